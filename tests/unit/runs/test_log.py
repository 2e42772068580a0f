"""When the log of a run is written: in virtual time, so that each moment is exact."""

import asyncio
import itertools
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from rill.run_log import (
    ALONE_SECONDS,
    ASIDE_SECONDS,
    FLUSH_BYTES,
    FLUSH_SECONDS,
    LOOK_PATIENCE,
    LOOK_SECONDS,
    MAX_BATCH_BYTES,
    MAX_PENDING_BYTES,
    OUTPUT_BYTES,
    RENEW_SECONDS,
    SILENCE_SECONDS,
    RunLog,
)
from rill.stores.dynamo import StoreError
from rill.stores.runs import FOLLOWED_MS, LEASE_MS, Batch, RunRecord, Unwritten, now_ms
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
    """Notes when it was written to, and when it was looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.delay = CALL_SECONDS
        self.runs["r"] = RECORD
        self.appended: list[tuple[float, Batch]] = []
        self.renewed: list[float] = []
        self.looks: list[float] = []
        self.rest = Unwritten()

    async def end(self, log: RunLog, seconds: float = 60) -> None:
        """Close the log, and write what it leaves to the run's end."""
        self.rest = await log.close(seconds)
        self.add("r", self.rest)

    async def append(self, record: RunRecord, new: Unwritten, *, heed_cancel: bool = True) -> None:
        if new.batch is None:
            self.renewed.append(_now())
        else:
            self.appended.append((_now(), new.batch))
        await super().append(record, new, heed_cancel=heed_cancel)

    async def get(self, run_id: str) -> RunRecord | None:
        self.looks.append(_now())
        return await super().get(run_id)

    def say_followed(self) -> None:
        self.runs["r"] = replace(self.runs["r"], followed_until=now_ms() + FOLLOWED_MS)

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
    times: Sequence[float],
    until: float,
    *,
    sizes: int = 100,
    store_delay: float = CALL_SECONDS,
    followed: bool = False,
) -> Store:
    """A log that gets an event at each of the times, and is closed at `until`."""

    async def main() -> Store:
        store = Store()
        store.delay = store_delay
        log = RunLog(store, lambda: RECORD, lambda why: None)
        if followed:
            store.say_followed()
            await asyncio.sleep(2 * LOOK_SECONDS)
        began = _now()
        for seq, at in enumerate(times, start=1):
            await asyncio.sleep(began + at - _now())
            log.add(_event(seq, sizes))
        await asyncio.sleep(began + until - _now())
        await store.end(log)
        store.appended = [(at - began, batch) for at, batch in store.appended]
        return store

    return clock.run(main())


def every(seconds: float, count: int) -> list[float]:
    return [(number + 1) * seconds for number in range(count)]


@pytest.mark.parametrize("store_delay", [0.0, 0.001, CALL_SECONDS, 0.012, 0.1])
def test_while_nobody_follows_all_events_are_in_a_few_writes(store_delay: float) -> None:
    store = logged(every(0.01, 1000), until=10.1, store_delay=store_delay)
    assert store.held == list(range(1, 1001))
    assert len(store.appended) == 3
    assert store.rest.batch is not None
    assert store.rest.batch.last == 1000
    assert store.renewed == []


@pytest.mark.parametrize("store_delay", [0.0, 0.001, CALL_SECONDS, 0.012, 0.1])
def test_while_somebody_follows_four_writes_a_second_hold_all_events(store_delay: float) -> None:
    store = logged(every(0.01, 900), until=9.01, store_delay=store_delay, followed=True)
    assert store.held == list(range(1, 901))
    assert 9 / (FLUSH_SECONDS + 0.1) <= len(store.appended) <= 9.1 / FLUSH_SECONDS + 1
    assert store.renewed == []


def test_who_begins_to_follow_soon_has_everything_and_who_leaves_costs_no_more_writes() -> None:
    async def main() -> list[float]:
        store = Store()
        log = RunLog(store, lambda: RECORD, lambda why: None)
        loop = asyncio.get_running_loop()
        loop.call_later(4.2, store.say_followed)
        loop.call_later(6.2, lambda: store.runs.update(r=replace(store.runs["r"], followed_until=0)))
        for seq in range(1, 2501):
            await asyncio.sleep(0.01)
            log.add(_event(seq))
        await log.close(1)
        return store.moments

    moments = clock.run(main())
    alone, soon = [at for at in moments if at < 4.2], [at for at in moments if 4.2 <= at < 14]
    assert len(alone) == 1
    assert soon[0] - 4.2 <= LOOK_SECONDS + 2 * CALL_SECONDS
    gaps = [after - before for before, after in itertools.pairwise(soon)]
    assert max(gaps) <= FLUSH_SECONDS + SILENCE_SECONDS
    late = [at for at in moments if at > 4.2 + 2 + LOOK_SECONDS + FOLLOWED_MS / 1000]
    assert 1 <= len(late) <= 3


def test_a_write_stands_aside_of_the_event_that_makes_it_due() -> None:
    times = every(0.01, 1000)
    store = logged(times, until=10.001)
    assert len(store.appended) == 3
    for moment, batch in store.appended:
        assert moment == pytest.approx(times[batch.last - 1] + ASIDE_SECONDS)
    assert len(store.looks) > 15
    for moment in store.looks:
        assert moment % 0.01 == pytest.approx(ASIDE_SECONDS, abs=1e-6)


@pytest.mark.parametrize("store_delay", [0.0, CALL_SECONDS])
@pytest.mark.parametrize("followed", [False, True])
def test_an_event_that_comes_alone_waits_for_others_and_then_goes(store_delay: float, followed: bool) -> None:
    store = logged([1.0, 9.5, 9.6], until=20, store_delay=store_delay, followed=followed)
    assert store.held == [1, 2, 3]
    assert [(batch.first, batch.last) for _, batch in store.appended] == [(1, 1), (2, 3)]
    longest = (FLUSH_SECONDS if followed else ALONE_SECONDS) + SILENCE_SECONDS
    assert store.moments[0] - 1.0 <= longest + 2 * CALL_SECONDS
    assert store.moments[1] - 9.5 <= longest + 2 * CALL_SECONDS


def test_a_full_batch_does_not_wait() -> None:
    count = FLUSH_BYTES // 10_000 + 1
    store = logged(every(0.001, count), until=1, sizes=10_000)
    assert store.moments == [pytest.approx(0.001 * count + ASIDE_SECONDS)]
    assert store.held == list(range(1, count + 1))


def test_without_events_the_lease_is_renewed_in_time() -> None:
    store = logged([], until=30.5)
    assert store.renewed[0] == pytest.approx(RENEW_SECONDS)
    assert len(store.renewed) == 9
    assert store.appended == []


def test_a_renewed_lease_leaves_where_the_log_has_got_to() -> None:
    store = logged([1.0], until=20)
    assert store.renewed
    assert store.runs["r"].last_seq == 1


@pytest.mark.parametrize("seed", range(20))
def test_whenever_events_come_the_lease_lasts_and_the_run_is_looked_at(seed: int) -> None:
    chance, at, times = random.Random(seed), 0.0, []
    while at < 100:
        at += chance.choice([0.001, 0.01, 0.2, 0.9, 2.8, 2.9, 3.1, 8.5]) * chance.random()
        times.append(at)
    delay = chance.choice([0.0, 0.005, 0.05])
    store = logged(times, until=at + 1, store_delay=delay)
    assert store.held == list(range(1, len(times) + 1))
    writes = [0.0, *sorted(store.moments + store.renewed)]
    assert max(after - before for before, after in itertools.pairwise(writes)) < LEASE_MS / 2000
    assert max(after - before for before, after in itertools.pairwise(store.looks)) < 2 * LOOK_SECONDS
    # Nothing is older than it may get: its write began in time, or behind the call before.
    for moment, batch in store.appended:
        assert moment - times[batch.first - 1] <= ALONE_SECONDS + SILENCE_SECONDS + 2 * delay + 0.001


def test_what_comes_during_a_write_is_a_batch_of_its_own_in_time() -> None:
    """A slow write: what came meanwhile is due when it is over, and is one batch."""
    store = logged(every(0.01, 600), until=6.001, store_delay=0.6, followed=True)
    assert store.held == list(range(1, 601))
    gaps = [b - a for a, b in zip(store.moments, store.moments[1:], strict=False)]
    assert all(gap <= 2 * 0.6 + 0.011 for gap in gaps), "a look may be between two writes"


def test_closing_leaves_what_waits_to_the_end() -> None:
    store = logged([0.1, 0.2], until=0.21)
    assert (store.appended, store.held) == ([], [1, 2])


@pytest.mark.parametrize("followed", [False, True])
def test_an_output_goes_with_the_events_behind_it(followed: bool) -> None:
    async def main() -> tuple[Store, Unwritten]:
        store = Store()
        log = RunLog(store, lambda: RECORD, lambda why: None)
        if followed:
            store.say_followed()
            await asyncio.sleep(1)
        assert log.add_output("one", "[1]")
        log.add(_event(1))
        await asyncio.sleep(4)
        assert (store.steps, store.held) == ({("r", "one"): [1]}, [1])
        assert log.add_output("two", "[2]")
        log.add(_event(2))
        return store, await log.close(1)

    store, rest = clock.run(main())
    assert rest == Unwritten(batch=_event(2), outputs={"two": "[2]"})
    assert store.steps == {("r", "one"): [1]}


def test_an_output_that_comes_without_events_goes_with_the_lease() -> None:
    async def main() -> Store:
        store = Store()
        log = RunLog(store, lambda: RECORD, lambda why: None)
        log.add_output("one", "[1]")
        await asyncio.sleep(4)
        await log.close(1)
        return store

    assert clock.run(main()).steps == {("r", "one"): [1]}


def test_a_large_output_is_not_taken_nor_one_of_a_log_that_has_ended() -> None:
    async def main() -> None:
        store = Store()
        log = RunLog(store, lambda: RECORD, lambda why: None)
        assert not log.add_output("one", '"%s"' % ("é" * (OUTPUT_BYTES // 2)))
        store.runs["r"] = replace(RECORD, owner="somebody else")
        await asyncio.sleep(1)
        assert log.broken
        assert not log.add_output("one", "1")
        assert await log.close(1) == Unwritten()

    clock.run(main())


def test_a_look_that_hangs_holds_up_neither_the_lease_nor_the_end() -> None:
    class Hanging(Store):
        async def get(self, run_id: str) -> RunRecord | None:
            self.looks.append(_now())
            await asyncio.sleep(3600)
            return None

    async def main() -> tuple[Hanging, float]:
        store = Hanging()
        log = RunLog(store, lambda: RECORD, lambda why: None)
        for seq in range(1, 3001):
            await asyncio.sleep(0.01)
            log.add(_event(seq))
        began = _now()
        await store.end(log)
        return store, _now() - began

    store, took = clock.run(main())
    assert store.held == list(range(1, 3001))
    writes = [0.0, *store.moments]
    longest = max(after - before for before, after in itertools.pairwise(writes))
    assert longest <= ALONE_SECONDS + SILENCE_SECONDS + LOOK_PATIENCE
    assert len(store.looks) > 10
    assert took <= LOOK_PATIENCE


def test_a_look_that_fails_is_not_the_end() -> None:
    class Blind(Store):
        async def get(self, run_id: str) -> RunRecord | None:
            if _now() < 5:
                raise StoreError(detail="down")
            return await super().get(run_id)

    async def main() -> list[float]:
        store, stops = Blind(), list[float]()
        log = RunLog(store, lambda: RECORD, lambda why: stops.append(_now()))
        await asyncio.sleep(4)
        store.runs["r"] = replace(store.runs["r"], cancel=True)
        await asyncio.sleep(2)
        await log.close(1)
        return stops

    stops = clock.run(main())
    assert len(stops) == 1
    assert 5 <= stops[0] < 6


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
        await store.end(log)
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
        await asyncio.sleep(4)
        began = _now()
        assert await log.close(6) == Unwritten()
        assert log.broken
        return _now() - began

    assert clock.run(main()) == pytest.approx(6)
    assert "the database stayed away" in caplog.text


def test_a_batch_that_an_item_cannot_take_is_several() -> None:
    """All of it came during one write."""
    times = [0.001, *[0.5 + n / 1000 for n in range(10)]]
    store = logged(times, until=3, sizes=100_000, store_delay=0.7)
    assert store.held == list(range(1, 12))
    assert [len(batch.frames) for _, batch in store.appended] == [100_000, 300_000, 300_000, 300_000, 100_000]


def test_what_the_end_cannot_take_is_written_before_it() -> None:
    times = [0.001, *[0.5 + n / 1000 for n in range(8)]]
    store = logged(times, until=0.6, sizes=100_000, store_delay=0.7)
    assert store.held == list(range(1, 10))
    assert [len(batch.frames) for _, batch in store.appended] == [100_000, 300_000, 300_000]
    assert store.rest.batch is not None
    assert len(store.rest.batch.frames) == 200_000


def test_what_an_item_could_not_take_is_written_next_however_little_it_is() -> None:
    times = [0.001, 0.002, *[0.5 + n / 1000 for n in range(8)]]
    store = logged(times, until=3, sizes=40_000, store_delay=0.7)
    assert store.held == list(range(1, 11))
    assert [len(batch.frames) for _, batch in store.appended] == [80_000, 280_000, 40_000]
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
        await store.end(log)
        return store, stops, count

    def _cancel(store: Store) -> None:
        store.runs["r"] = replace(store.runs["r"], cancel=True)

    store, stops, count = clock.run(main())
    assert [why for _, why in stops] == ["cancelled"]
    assert stops[0][0] - 0.3 < 1
    assert store.held == list(range(1, count + 1))


@pytest.mark.parametrize("lives", [1, 4])
def test_a_run_that_was_taken_over_is_not_written_any_more(
    caplog: pytest.LogCaptureFixture, lives: float
) -> None:
    async def main() -> tuple[Store, list[str], RunLog]:
        store, stops = Store(), list[str]()
        log = RunLog(store, lambda: RECORD, stops.append)
        log.add(_event(1))
        await asyncio.sleep(4)
        store.runs["r"] = replace(RECORD, owner="somebody else")
        log.add(_event(2))
        await asyncio.sleep(lives)
        log.add(_event(3))
        await store.end(log)
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
        log.add(_event(1, 2 * MAX_BATCH_BYTES))
        await store.end(log)
        return store, stops

    store, stops = clock.run(main())
    assert (stops, store.held, store.fails) == (["cancelled"], [1], 0)
