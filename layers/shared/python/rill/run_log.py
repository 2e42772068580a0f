"""Writes a run's events to its log, in batches and beside their delivery, and watches its lease.

Who started a run reads its stream, and needs no log until the stream is cut. So the log is written as events
come only while somebody follows it, who says so in the run's `META`; otherwise every few seconds, and at the
run's end together with its result (docs/decisions/0005).
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Literal, TypeVar

from rill.errors import RillError
from rill.stores.dynamo import ConditionFailed
from rill.stores.run_records import now_ms
from rill.stores.runs import LEASE_MS, Batch, RunRecord, RunStore, Unwritten

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 0.25
"""How old a batch gets while somebody follows."""

ALONE_SECONDS = 3.0
"""How old it gets while nobody does: what a process that dies can lose."""

RENEW_SECONDS = LEASE_MS / 3000
"""When the lease is renewed where there is nothing to be written."""

FLUSH_BYTES = 64 * 1024
"""A batch is written with the first event that finds it so old, or that makes it so large."""

ASIDE_SECONDS = 0.002
"""How long after that event: whoever reads it has it by then, also on the same processor, and the next one is
not there yet."""

LOOK_SECONDS = 0.5
"""How often it is looked at whether the run is to be cancelled, was taken over, or is followed: behind an
event, as well."""

LOOK_PATIENCE = 1.0
"""How long a look may take: the lease does not wait for it."""

SILENCE_SECONDS = 0.05
"""How much longer both wait where no event follows."""

OUTPUT_BYTES = 16 * 1024
"""The largest output that is written with the log: a transaction costs twice what its items do alone, which
for large ones is more than the call that is saved."""

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
        self._outputs: dict[str, str] = {}
        self._bytes = 0
        self._fresh = 0  # bytes that came since the last write began
        self._since = 0.0  # when the first of them came, or that write began
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + RENEW_SECONDS
        self._look_due = self._loop.time() + LOOK_SECONDS + SILENCE_SECONDS
        self._followed = 0.0  # until when
        self._wake = asyncio.Event()
        self._closing = False
        self._cancelled = False
        began = current()
        self._run_id, self._owner = began.run_id, began.owner
        self.last_seq = began.last_seq
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
            return
        age = self._age(now)
        if self._fresh >= FLUSH_BYTES or now - self._since >= age:
            self._write_by(now + ASIDE_SECONDS)
        else:
            self._write_by(self._since + age + SILENCE_SECONDS)
        if self._look_due - SILENCE_SECONDS <= now < self._look_due - ASIDE_SECONDS:
            self._look_due = now + ASIDE_SECONDS
            self._wake.set()

    def add_output(self, step: str, output: str) -> bool:
        """Take a finished step's output, as JSON, to be written with the next events.

        Returns:
            Whether it was taken: not one that is large, nor once the log has ended.
        """
        if self.broken or len(output.encode()) > OUTPUT_BYTES:
            return False
        self._outputs[step] = output
        return True

    def _age(self, now: float) -> float:
        return FLUSH_SECONDS if now < self._followed else ALONE_SECONDS

    def _write_by(self, due: float) -> None:
        if due < self._due:
            self._due = due
            self._wake.set()

    async def close(self, seconds: float) -> Unwritten:
        """Stop writing; after so long it gives up what it is at.

        Returns:
            What is left, to be written with the run's end.
        """
        self._closing = True
        self._wake.set()
        try:
            async with asyncio.timeout(seconds):
                await self._task
        except TimeoutError:
            self._break("the database stayed away")
        return self._next()[0]

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
        """Whether nothing is left but what the run's end takes along."""
        return self.broken or (self._closing and self._bytes <= MAX_BATCH_BYTES)

    async def _run(self) -> None:
        if self._before is not None:
            await self._again(self._before)
        while not self._over:
            await self._until_due()
            if self._over:
                return
            if self._closing or self._due <= self._loop.time():
                await self._again(self._write)
            else:
                await self._look()

    async def _until_due(self) -> None:
        while not (self._closing or self.broken):
            left = min(self._due, self._look_due) - self._loop.time()
            if left <= 0:
                return
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._wake.wait()

    def _next(self) -> tuple[Unwritten, int, int]:
        """What one write takes, and how many batches and bytes of the log it holds."""
        count, size = 0, 0
        for batch in self._pending:
            if count and size + len(batch.frames) > MAX_BATCH_BYTES:
                break
            count, size = count + 1, size + len(batch.frames)
        taken = self._pending[:count]
        joined = None
        if taken:
            frames = b"".join(batch.frames for batch in taken)
            joined = Batch(first=taken[0].first, last=taken[-1].last, frames=frames)
        return Unwritten(batch=joined, outputs=dict(self._outputs)), count, size

    async def _write(self) -> None:
        """One write: all that waits, or as much as an item takes; or the lease alone."""
        record, began = self._current(), self._loop.time()
        self._since, self._fresh = began, 0
        self._due = began + RENEW_SECONDS
        new, count, size = self._next()
        more = count < len(self._pending)
        record = replace(record, last_seq=new.batch.last if new.batch else self.last_seq)
        await self._store.append(record, new, heed_cancel=not self._cancelled)
        self.last_seq = record.last_seq
        del self._pending[:count]
        self._bytes -= size
        for step in new.outputs:
            del self._outputs[step]
        if more:
            self._write_by(began)

    async def _look(self) -> None:
        """How the run stands in the table; where that cannot be seen, the next look will do."""
        self._look_due = self._loop.time() + LOOK_SECONDS + SILENCE_SECONDS
        try:
            async with asyncio.timeout(LOOK_PATIENCE):
                found = await self._store.get(self._run_id)
        except (RillError, TimeoutError) as error:
            logger.info("the run could not be looked at: %r", error)
        else:
            self._see(found)

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
        try:
            found = await self._store.get(self._run_id)
        except RillError:
            return True
        # A start that is there already: an earlier try was written and its answer was lost.
        return self._see(found) and not begun

    def _see(self, found: RunRecord | None) -> bool:
        """Heed how the run stands; whether it is still this process that writes it."""
        if found is None:  # cancelled before it began: there is no META to write to
            self._stop("cancelled")
            self._break("the run was cancelled before it began")
            return False
        if found.owner != self._owner:
            self._break("another process has taken the run over")
            self._stop("lost")
            return False
        if found.cancel and not self._cancelled:
            self._cancelled = True
            self._stop("cancelled")
        left = (found.followed_until - now_ms()) / 1000
        if left > 0:
            self._followed = self._loop.time() + left
            if self._pending:
                self._write_by(self._since + FLUSH_SECONDS)
        return True
