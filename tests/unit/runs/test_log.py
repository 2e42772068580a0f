"""When the log of a run is written: in virtual time, so that each moment is exact."""

import asyncio
import itertools
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from rill.run_log import (
    ASIDE_SECONDS,
    FLUSH_BYTES,
    FLUSH_SECONDS,
    HEARTBEAT_SECONDS,
    MAX_BATCH_BYTES,
    MAX_PENDING_BYTES,
    SILENCE_SECONDS,
    RunLog,
)
from rill.stores.dynamo import StoreError
from rill.stores.runs import Batch, RunRecord
from tests.support import clock
from tests.support.memory_store import MemoryStore

RECORD = RunRecord(
    run_id="r",
    session_id="s",
    workflow="w",
    request_id="q",
    mode="m",
    state="running",
    created_at=1,
    owner="me",
)
CALL_SECONDS = 0.005
"""What DynamoDB takes."""


class Store(MemoryStore):
    """Notes when its writes began."""

    def __init__(self) -> None:
        super().__init__()
        self.delay = CALL_SECONDS
        self.runs["r"] = RECORD
        self.appended: list[tuple[float, Batch]] = []
        self.renewed: list[float] = []

    async def append(self, record: RunRecord, batch: Batch, *, heed_cancel: bool = True) -> None:
        self.appended.append((_now(), batch))
        await super().renew(record, heed_cancel=heed_cancel)
        self.logs.setdefault("r", []).append(batch)

    async def renew(self, record: RunRecord, *, heed_cancel: bool = True) -> None:
        self.renewed.append(_now())
        await super().renew(record, heed_cancel=heed_cancel)

    @property
    def moments(self) -> list[float]:
        return [at for at, _ in self.appended]

    @property
    def held(self) -> list[int]:
        """The events of the log, by their numbers."""
        return [seq for batch in self.logs.get("r", []) for seq in range(batch.first, batch.last + 1)]


def _now() -> float:
    return asyncio.get_running_loop().time()


def _event(seq: int, size: int = 100) -> Batch:
    return Batch(first=seq, last=seq, frames=b"x" * size)


def logged(
    times: Sequence[float], until: float, *, sizes: int = 100, store_delay: float = CALL_SECONDS
) -> Store:
    """A log that gets an event at each of the times, and is closed at `until`."""

    async def main() -> Store:
        store = Store()
        store.delay = store_delay
        log = RunLog(store, lambda: RECORD, lambda why: None)
        for seq, at in enumerate(times, start=1):
            await asyncio.sleep(at - _now())
            log.add(_event(seq, sizes))
        await asyncio.sleep(until - _now())
        await log.close(60)
        return store

    return clock.run(main())


def every(seconds: float, count: int) -> list[float]:
    return [(number + 1) * seconds for number in range(count)]


@pytest.mark.parametrize("store_delay", [0.0, 0.001, CALL_SECONDS, 0.012, 0.1])
def test_at_a_models_pace_four_writes_a_second_hold_all_events(store_delay: float) -> None:
    store = logged(every(0.01, 1000), until=10.1, store_delay=store_delay)
    assert store.held == list(range(1, 1001))
    assert len(store.appended) <= 10.1 / FLUSH_SECONDS + 1
    assert all(len(range(b.first, b.last + 1)) >= 25 for _, b in store.appended[:-1])
    assert store.renewed == []


def test_a_write_stands_aside_of_the_event_that_makes_it_due() -> None:
    times = every(0.01, 100)
    store = logged(times, until=1.001)
    for moment, batch in store.appended[:-1]:
        assert moment == pytest.approx(times[batch.last - 1] + ASIDE_SECONDS)


@pytest.mark.parametrize("store_delay", [0.0, CALL_SECONDS])
def test_an_event_that_comes_alone_waits_for_others_and_then_goes(store_delay: float) -> None:
    store = logged([1.0, 2.5, 2.6], until=5, store_delay=store_delay)
    assert store.held == [1, 2, 3]
    assert [(batch.first, batch.last) for _, batch in store.appended] == [(1, 1), (2, 3)]
    assert store.moments[0] - 1.0 <= SILENCE_SECONDS + 0.001
    assert store.moments[1] - 2.5 <= SILENCE_SECONDS + 0.001


def test_a_full_batch_does_not_wait() -> None:
    count = FLUSH_BYTES // 10_000 + 1
    store = logged(every(0.001, count), until=1, sizes=10_000)
    assert store.moments == [pytest.approx(0.001 * count + ASIDE_SECONDS)]
    assert store.held == list(range(1, count + 1))


def test_without_events_the_lease_is_renewed_within_a_second() -> None:
    store = logged([], until=9.5)
    assert store.renewed[0] == pytest.approx(HEARTBEAT_SECONDS)
    assert len(store.renewed) == 10
    assert store.appended == []


@pytest.mark.parametrize("seed", range(20))
def test_whenever_events_come_the_lease_is_renewed_within_a_second(seed: int) -> None:
    chance, at, times = random.Random(seed), 0.0, []
    while at < 60:
        at += chance.choice([0.001, 0.01, 0.2, 0.5, 0.8, 0.89, 0.95, 2.5]) * chance.random()
        times.append(at)
    store = logged(times, until=at + 1, store_delay=chance.choice([0.0, 0.005, 0.05]))
    assert store.held == list(range(1, len(times) + 1))
    writes = [0.0, *sorted(store.moments + store.renewed)]
    assert max(after - before for before, after in itertools.pairwise(writes)) < 1
    # Nothing is older than it may get: its write began within the time of silence, or behind the one before.
    for moment, batch in store.appended:
        assert moment - times[batch.first - 1] <= SILENCE_SECONDS + 0.05 + 0.001


def test_what_comes_during_a_write_is_a_batch_of_its_own_in_time() -> None:
    """A slow write: what came meanwhile is due when it is over, and is one batch."""
    store = logged(every(0.01, 300), until=3.001, store_delay=0.6)
    assert store.held == list(range(1, 301))
    gaps = [b - a for a, b in zip(store.moments, store.moments[1:], strict=False)]
    assert all(gap == pytest.approx(0.6, abs=0.011) for gap in gaps[:-1])


def test_closing_writes_at_once() -> None:
    store = logged([0.1, 0.2], until=0.21)
    assert store.moments == [pytest.approx(0.21)]
    assert store.held == [1, 2]


def test_a_database_that_comes_back_gets_everything_once() -> None:
    async def main() -> Store:
        store = Store()
        store.down = True
        log = RunLog(store, lambda: RECORD, lambda why: None)
        for seq in range(1, 501):
            log.add(_event(seq, 4_000))
            await asyncio.sleep(0.01)
        assert store.held == []
        store.down = False
        await log.close(60)
        assert not log.broken
        return store

    store = clock.run(main())
    assert store.held == list(range(1, 501))
    assert all(len(batch.frames) <= MAX_BATCH_BYTES for batch in store.logs["r"])


def test_more_than_may_wait_ends_the_log_and_not_the_run(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> RunLog:
        store = Store()
        store.down = True
        log = RunLog(store, lambda: RECORD, lambda why: None)
        for seq in range(1, MAX_PENDING_BYTES // 100_000 + 2):
            log.add(_event(seq, 100_000))
            await asyncio.sleep(0.001)
        log.add(_event(999))
        await log.close(60)
        return log

    log = clock.run(main())
    assert log.broken
    assert log.last_seq == 0
    assert "the run's log ends at event 0: too much waits" in caplog.text


def test_a_database_that_stays_away_is_given_up_in_time(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> float:
        store = Store()
        store.down = True
        log = RunLog(store, lambda: RECORD, lambda why: None)
        log.add(_event(1))
        began = _now()
        await log.close(6)
        assert log.broken
        return _now() - began

    assert clock.run(main()) == pytest.approx(6)
    assert "the database stayed away" in caplog.text


def test_a_batch_that_an_item_cannot_take_is_several() -> None:
    """All of it came during one write."""
    store = logged([0.001, *[0.5 + n / 1000 for n in range(10)]], until=3, sizes=100_000, store_delay=0.7)
    assert store.held == list(range(1, 12))
    assert [len(batch.frames) for _, batch in store.appended] == [100_000, 300_000, 300_000, 300_000, 100_000]


def test_what_an_item_could_not_take_is_written_next_however_little_it_is() -> None:
    store = logged([0.001, *[0.5 + n / 1000 for n in range(8)]], until=3, sizes=40_000, store_delay=0.7)
    assert store.held == list(range(1, 10))
    assert [len(batch.frames) for _, batch in store.appended] == [40_000, 280_000, 40_000]
    assert store.moments[2] - store.moments[1] == pytest.approx(0.7)


@pytest.mark.parametrize("pace", [0.01, 0.4, 10.0])
def test_a_cancel_is_seen_within_a_second_and_the_log_goes_on(pace: float) -> None:
    async def main() -> tuple[Store, list[tuple[float, str]], int]:
        store, stops = Store(), list[tuple[float, str]]()
        log = RunLog(store, lambda: RECORD, lambda why: stops.append((_now(), why)))
        asyncio.get_running_loop().call_later(0.3, _cancel, store)
        count = 0
        while _now() < 5:
            await asyncio.sleep(pace)
            count += 1
            log.add(_event(count))
        await log.close(1)
        return store, stops, count

    def _cancel(store: Store) -> None:
        store.runs["r"] = replace(store.runs["r"], cancel=True)

    store, stops, count = clock.run(main())
    assert [why for _, why in stops] == ["cancelled"]
    assert stops[0][0] - 0.3 < 1
    assert store.held == list(range(1, count + 1))


def test_a_run_that_was_taken_over_is_not_written_any_more(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> tuple[Store, list[str], RunLog]:
        store, stops = Store(), list[str]()
        log = RunLog(store, lambda: RECORD, stops.append)
        log.add(_event(1))
        await asyncio.sleep(1)
        store.runs["r"] = replace(RECORD, owner="somebody else")
        log.add(_event(2))
        await log.close(1)
        return store, stops, log

    store, stops, log = clock.run(main())
    assert (stops, store.held, log.last_seq, log.broken) == (["lost"], [1], 1, True)
    assert "another process has taken the run over" in caplog.text


def test_a_cancel_before_the_beginning_wins(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> tuple[Store, list[str]]:
        store, stops = Store(), list[str]()
        store.runs.clear()
        store.announced.add("r")
        log = RunLog(store, lambda: RECORD, stops.append, lambda: store.begin(RECORD))
        log.add(_event(1))
        await log.close(1)
        return store, stops

    store, stops = clock.run(main())
    assert (stops, store.held, store.runs) == (["cancelled"], [], {})
    assert "cancelled before it began" in caplog.text


def test_a_database_that_goes_away_while_it_is_asked_why_is_asked_again() -> None:
    class Away(Store):
        fails = 3

        async def get(self, run_id: str) -> RunRecord | None:
            if self.fails:
                self.fails -= 1
                raise StoreError(detail="down")
            return await super().get(run_id)

    async def main() -> tuple[Away, list[str]]:
        store, stops = Away(), list[str]()
        store.runs["r"] = replace(RECORD, cancel=True)
        log = RunLog(store, lambda: RECORD, stops.append)
        log.add(_event(1))
        await log.close(5)
        return store, stops

    store, stops = clock.run(main())
    assert (stops, store.held, store.fails) == (["cancelled"], [1], 0)
