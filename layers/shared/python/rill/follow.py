"""Follows a run by its log, from any of its events on: what is there at once, then what comes.

The log is written as events come only while somebody follows: a follower says so in the run's `META`.
"""

import asyncio
import dataclasses
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from rill import sse
from rill.errors import NotFound, RillError
from rill.events import SKIP, Cancelled, Complete, Error, Event, Handoff, UsageTotal
from rill.stores.dynamo import ConditionFailed
from rill.stores.run_records import ENDED, RunRecord, is_lost, lost_error, now_ms
from rill.stores.runs import FOLLOWED_MS, Batch, RunStore

logger = logging.getLogger(__name__)

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 1.0
"""Seconds between two looks at the log: short while events come, longer while none do."""

KEEP_ALIVE_SECONDS = 10.0
FOLLOWED_LEFT_MS = FOLLOWED_MS / 2
"""A follower says again that it follows when this is left of what was last said."""

BEGIN_SECONDS = 5.0
"""A run's first event is out before its `META` is written: how long a follower waits for it."""

DEADLINE_MARGIN = 5.0


class Follower:
    """Follows the runs of one workflow.

    Args:
        store: where they are kept.
        result: the whole result of a run that is complete, as its `complete` event had it.
    """

    def __init__(self, store: RunStore, result: Callable[[RunRecord], Awaitable[dict[str, Any]]]) -> None:
        self._store = store
        self._result = result

    async def find(self, run_id: str) -> RunRecord:
        """The run; one that was made just now is waited for.

        Raises:
            NotFound: there is none.
        """
        pause = FIRST_PAUSE
        until = time.monotonic() + BEGIN_SECONDS
        while True:
            found = await self._store.get(run_id)
            if found is not None:
                return await self.settle(found)
            if not self.may_come(run_id) or time.monotonic() > until:
                raise NotFound(f"There is no run {run_id!r}.")
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)

    @staticmethod
    def may_come(run_id: str) -> bool:
        """Whether a run of this id may exist in a moment: its id was made within the last minute."""
        try:
            made = int(run_id[:12], 16)
        except ValueError:
            return False
        return len(run_id) == 32 and abs(now_ms() - made) < 60_000

    async def settle(self, found: RunRecord) -> RunRecord:
        """The run as it stands: one whose lease ran out has failed, and whoever looks first says so."""
        if not is_lost(found, now_ms()):
            return found
        logger.error("run %s was lost: its lease ran out", found.run_id)
        try:
            return await self._store.fail_lost(found, lost_error(found))
        except ConditionFailed:  # it lives, or somebody else said so first
            return await self._store.get(found.run_id) or found

    async def frames(
        self, run_id: str, after: int, deadline_ms: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The stream from the event after `after` on, to the terminal event.

        Where the log has expired, or is not whole, a run that has ended gives its terminal event alone:
        it holds the whole result.
        """
        yield sse.RETRY
        pause, said = FIRST_PAUSE, time.monotonic()
        while True:
            # First the state, then the log: when the state says ended, the log is all there.
            record = await self.find(run_id)
            await self.say_followed(record)
            moved = False
            if record.last_seq > after:  # it was written with the last of them: nothing new, no query
                async for batch in self._store.events(run_id, after):
                    if not _follows(batch, after):
                        break
                    yield _cut(batch, after)
                    after, moved, said = batch.last, True, time.monotonic()
            if record.state in ENDED:
                yield sse.encode(record.last_seq + 1, await self.terminal(record))
                return
            if deadline_ms is not None and deadline_ms - now_ms() < DEADLINE_MARGIN * 1000:
                yield sse.encode(after + 1, Handoff(after=after))
                return
            if time.monotonic() - said >= KEEP_ALIVE_SECONDS:
                yield sse.KEEP_ALIVE
                said = time.monotonic()
            pause = FIRST_PAUSE if moved else min(pause * 1.5, LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def say_followed(self, record: RunRecord) -> None:
        """Have the log of a running run written as it comes, for as long as somebody says so."""
        if record.state != "running" or record.followed_until - now_ms() > FOLLOWED_LEFT_MS:
            return
        try:
            await self._store.follow(record.run_id)
        except ConditionFailed:
            pass  # it has ended meanwhile
        except RillError as error:  # what is there can be read all the same
            logger.warning("run %s was not told that it is followed: %s", record.run_id, error)

    async def terminal(self, record: RunRecord) -> Event:
        """The terminal event of a run that has ended, out of what is stored."""
        usage = UsageTotal(**(record.usage or dataclasses.asdict(_NOTHING)))
        if record.state == "complete":
            data = await self._result(record)
            return Complete(data=data, duration=record.duration, usage=usage, cost_usd=record.cost_usd)
        if record.state == "cancelled":
            return Cancelled(
                data=record.result or {}, duration=record.duration, usage=usage, cost_usd=record.cost_usd
            )
        if record.error is None:
            raise RillError(detail=f"run {record.run_id} is {record.state} and has no error")
        return Error(**{name: value for name, value in record.error.items() if name != "type"})


_NOTHING = UsageTotal(input_tokens=0, output_tokens=0, cached_tokens=0, calls=0, certainty="exact")


def _follows(batch: Batch, after: int) -> bool:
    """Whether nothing is missing between `after` and the batch; a lost run goes on at a round number."""
    return batch.first <= after + 1 or batch.first % SKIP == 1


def _cut(batch: Batch, after: int) -> bytes:
    """The frames of the batch after `after`."""
    if batch.first > after:
        return batch.frames
    frames = batch.frames.split(b"\n\n")[after - batch.first + 1 :]
    return b"\n\n".join(frames)
