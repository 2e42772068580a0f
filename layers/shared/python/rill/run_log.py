"""Writes a run's events to its log, in batches and beside their delivery, and watches its lease."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Literal, TypeVar

from rill.errors import RillError
from rill.stores.dynamo import ConditionFailed
from rill.stores.runs import Batch, RunRecord, RunStore

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 0.25
FLUSH_BYTES = 64 * 1024
"""A batch is written with the first event that finds it so old, or that makes it so large."""

ASIDE_SECONDS = 0.002
"""How long after that event: whoever reads it has it by then, also on the same processor, and the next one is
not there yet."""

SILENCE_SECONDS = 0.3
"""How old a batch gets where no event follows."""

HEARTBEAT_SECONDS = 0.9
"""The longest time without a write: it renews the lease and reads the cancel flag, within a second."""

MAX_BATCH_BYTES = 300_000
MAX_PENDING_BYTES = 4 * 1024 * 1024
"""What may wait for a DynamoDB that is slow or away; beyond it the log ends, and followers get the result."""

Stopped = Literal["cancelled", "lost"]
T = TypeVar("T")


async def keep_trying(write: Callable[[], Awaitable[T]], wanted: Callable[[], bool] = lambda: True) -> T:
    """Try until it is written, with jitter, since every run of a busy hour tries.

    Args:
        write: what may be done twice.
        wanted: whether to try once more.

    Raises:
        ConditionFailed: at once.
        StoreError: of the last try, once it is no longer wanted.
    """
    pause = 0.1
    while True:
        try:
            return await write()
        except ConditionFailed:
            raise
        except RillError as error:
            if not wanted():
                raise
            logger.warning("a write of the run failed, trying again: %s", error)
            await asyncio.sleep(random.uniform(0.5, 1) * pause)  # noqa: S311 - jitter
            pause = min(pause * 2, 2.0)


class RunLog:
    """The log of one run that this process runs.

    Args:
        store: where it is kept.
        current: the run as it stands now: lease, usage.
        stop: called once, when somebody asked for the run's end or took it over.
        before: awaited before the first write: what makes the run's `META`.
    """

    def __init__(
        self,
        store: RunStore,
        current: Callable[[], RunRecord],
        stop: Callable[[Stopped], None],
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._store = store
        self._current = current
        self._stop = stop
        self._before = before
        self._pending: list[Batch] = []
        self._bytes = 0
        self._fresh = 0  # bytes that came since the last write began
        self._since = 0.0  # when the first of them came, or that write began
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + HEARTBEAT_SECONDS
        self._wake = asyncio.Event()
        self._closing = False
        self._cancelled = False
        self.last_seq = current().last_seq
        self.broken = False
        self._task = asyncio.create_task(self._run(), name="run-log")

    def add(self, batch: Batch) -> None:
        """Take events to be written. Never waits."""
        if self.broken:
            return
        now = self._loop.time()
        if not self._pending:
            self._since = now
        self._pending.append(batch)
        self._bytes += len(batch.frames)
        self._fresh += len(batch.frames)
        if self._bytes > MAX_PENDING_BYTES:
            self._break("too much waits to be written")
        elif self._fresh >= FLUSH_BYTES or now - self._since >= FLUSH_SECONDS:
            self._write_by(now + ASIDE_SECONDS)
        else:
            self._write_by(self._since + SILENCE_SECONDS)

    def _write_by(self, due: float) -> None:
        if due < self._due:
            self._due = due
            self._wake.set()

    async def close(self, seconds: float) -> None:
        """Write what waits; after so long it gives up. `last_seq` is then what the log holds."""
        self._closing = True
        self._wake.set()
        try:
            async with asyncio.timeout(seconds):
                await self._task
        except TimeoutError:
            self._break("the database stayed away")

    async def abandon(self) -> None:
        """Stop writing at once."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def _break(self, why: str) -> None:
        if not self.broken:
            logger.error("the run's log ends at event %d: %s", self.last_seq, why)
        self.broken = True
        self._pending.clear()
        self._bytes = 0
        self._wake.set()

    @property
    def _over(self) -> bool:
        return self.broken or (self._closing and not self._pending)

    async def _run(self) -> None:
        if self._before is not None:
            await self._again(self._before)
        while not self._over:
            await self._until_due()
            if not self._over:
                await self._again(self._write)

    async def _until_due(self) -> None:
        while not (self._closing or self.broken) and (left := self._due - self._loop.time()) > 0:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._wake.wait()

    async def _write(self) -> None:
        """One write: all that waits, or as much as an item takes; or a heartbeat."""
        record, began = self._current(), self._loop.time()
        self._since, self._fresh = began, 0
        self._due = began + HEARTBEAT_SECONDS
        count, size = 0, 0
        for batch in self._pending:
            if count and size + len(batch.frames) > MAX_BATCH_BYTES:
                break
            count, size = count + 1, size + len(batch.frames)
        if not count:
            await self._store.renew(record, heed_cancel=not self._cancelled)
            return
        taken, more = self._pending[:count], count < len(self._pending)
        batch = Batch(first=taken[0].first, last=taken[-1].last, frames=b"".join(b.frames for b in taken))
        await self._store.append(replace(record, last_seq=batch.last), batch, heed_cancel=not self._cancelled)
        self.last_seq = batch.last
        del self._pending[:count]
        self._bytes -= size
        if more:
            self._write_by(began)

    async def _again(self, write: Callable[[], Awaitable[None]]) -> None:
        """Try until it is written, or nobody needs it any more."""
        while not self.broken:
            try:
                await keep_trying(write, lambda: not self.broken)
                return
            except ConditionFailed:
                if not await self._write_on(begun=write is self._before):
                    return
            except RillError:  # the log was given up meanwhile
                return

    async def _write_on(self, *, begun: bool) -> bool:
        """Why a condition did not hold; whether to try again; `begun`: what was written is the start."""
        mine = self._current()
        try:
            found = await self._store.get(mine.run_id)
        except RillError:
            return True
        if found is None:  # cancelled before it began: there is no META to write to
            self._stop("cancelled")
            self._break("the run was cancelled before it began")
            return False
        if found.owner != mine.owner:
            self._break("another process has taken the run over")
            self._stop("lost")
            return False
        if found.cancel and not self._cancelled:
            self._cancelled = True
            self._stop("cancelled")
        # A start that is there already: an earlier try was written and its answer was lost.
        return not begun
