"""The life of a run: from its start to its one terminal event, numbered, encoded, delivered and kept.

Every event goes to the client at once; `rill.run_log` keeps it, in batches and beside, the last one together
with the run's end. What ends a run:

=============  =================================  ============  ==========================
why            state that is stored               last event    in the log
=============  =================================  ============  ==========================
all steps      complete                           `complete`    rebuilt from `META`
a failure      failed                             `error`       rebuilt from `META`
a cancel       cancelled, with what there is      `cancelled`   rebuilt from `META`
the deadline   queued, for the worker             `handoff`     no: its number is used again
a lost lease   what the other process says        `handoff`     no
=============  =================================  ============  ==========================
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, TypeVar

from rill import sse
from rill.errors import DeadlineExceeded, RillError
from rill.events import Cancelled, Complete, Error, Event, Handoff, Reset, Start, Status, Usage
from rill.ledger import Ledger, Parts
from rill.observability import RunMetrics, add_log_keys
from rill.pipeline import Execution
from rill.run_log import RunLog, keep_trying
from rill.stores.dynamo import ConditionFailed, StoreError
from rill.stores.run_records import RunRecord, now_ms, to_json, usage_document
from rill.stores.runs import LEASE_MS, NOTHING, Batch, RunStore, Unwritten

C = TypeVar("C")
logger = logging.getLogger(__name__)
Terminal = Complete | Cancelled | Error | Handoff

DEADLINE_MARGIN = 5.0
"""Seconds before the invocation's end at which a run gives up, so that it can still say and keep so."""

DRAIN_MARGIN = 60.0
"""Seconds before the invocation's end from which on no further step is started, where a worker can go on;
half of what is left at the start where that is less, so that every part gets somewhere."""

LAST_TRIES_SECONDS = 6.0
"""How long the end of a run waits for a DynamoDB that is away, at each of its points."""


def new_run_id() -> str:
    """A run id that sorts by time: 12 hex digits of epoch milliseconds and 80 random bits."""
    return f"{now_ms():012x}{uuid.uuid4().hex[:20]}"


class _Stop(RillError):
    """Ends an execution that has not failed."""

    why: ClassVar[str]


class _CancelAsked(_Stop):
    why = "cancelled"


class _LeaseLost(_Stop):
    why = "lost"


class _OutOfTime(_Stop):
    why = "handoff"


@dataclass(slots=True, kw_only=True)
class Run(Generic[C]):
    """One run of a workflow in this process. Iterate `frames()` once.

    Args:
        record: what is known of it; `state` "running". `last_seq` is where its numbers go on.
        request: what it was started with, as JSON, to be kept with it.
        execution: its steps, not yet started.
        assemble: makes the result out of the steps' outputs; may raise a `RillError`.
        store: where it is kept, or None.
        keep: writes what belongs to the result beside it, before the run counts as complete; returns
            what of the result is kept with the run itself, and the number of line ratings.
        hand_over: has a run continued by somebody else after the deadline, or None.
        deadline_ms: when the invocation ends, epoch milliseconds, or None.
        ledger: where model calls that no event tells of are counted as well.
        observe: told what there is to count, once the run has ended.
        prepare: awaited before the first write: what the steps import. Imports share one interpreter, and
            theirs are what the person waits for.
        claimed: whether the record is in the store already, with this run as its owner; see `take_up`.
        begun: whether the log holds its `start`.
        again: steps that run again, of which a client may hold parts.
    """

    record: RunRecord
    execution: Execution[C]
    assemble: Callable[[Mapping[str, Any]], dict[str, Any]]
    request: str = "{}"
    store: RunStore | None = None
    keep: Callable[[RunRecord, dict[str, Any]], Awaitable[tuple[dict[str, Any], int]]] | None = None
    hand_over: Callable[[str], Awaitable[None]] | None = None
    deadline_ms: int | None = None
    ledger: Ledger = field(default_factory=Ledger)
    observe: Callable[[RunMetrics], None] | None = None
    prepare: Callable[[], Awaitable[object]] | None = None
    claimed: bool = False
    begun: bool = False
    again: Sequence[str] = ()
    terminal: Terminal | None = None
    failure: RillError | None = None
    _parts: Parts = field(default_factory=Parts)
    _seq: int = 0
    _began: float = field(default_factory=time.perf_counter)
    _before: dict[str, Any] = field(default_factory=dict)
    _saving: set["asyncio.Task[None]"] = field(default_factory=set)
    _log: RunLog | None = None
    _rest: Unwritten = NOTHING

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """The stream's bytes. Each piece is one or more whole frames, and is ready to be sent."""
        record = self.record
        add_log_keys(run_id=record.run_id, request_id=record.request_id)
        self._seq = record.last_seq
        self._before = dict(self.execution.outputs)
        first = [self._start(), *self._resets()]
        frames = self._encode(first)
        yield sse.RETRY + frames
        timers = self._timers()
        if self.store is not None:
            self._log = RunLog(self.store, self._current, self._stopped, self._begin)
            self.execution.on_output = self._save_step
        self._keep(first, frames)
        try:
            async with contextlib.aclosing(self.execution.batches()) as batches:
                async for events in batches:
                    if not events:
                        yield sse.KEEP_ALIVE
                        continue
                    frames = self._encode(events)
                    yield frames
                    self._keep(events, frames)  # behind their delivery, which does not wait for it
            for last in await self._end():
                yield self._encode([last])
            if self.observe is not None:
                self.observe(self._metrics())
        finally:
            for timer in timers:
                timer.cancel()
            await self._leave()

    def take_up(self, outputs: Mapping[str, Any], again: Sequence[str], *, begun: bool) -> None:
        """Make this the next part of a run that was claimed.

        Args:
            outputs: of steps that are not run again.
            again: steps that are, of which a client may hold parts.
            begun: whether the log holds the run's `start`.
        """
        self.claimed, self.begun, self.again = True, begun, again
        self.execution.outputs.update(outputs)
        self.execution.progress = self.record.progress
        self.execution.attempts = dict(self.record.attempts)

    # -- events --------------------------------------------------------------------------------

    def _encode(self, events: Sequence[Event]) -> bytes:
        """Their frames, numbered."""
        frames: list[bytes] = []
        for event in events:
            self._seq += 1
            frames.append(sse.encode(self._seq, event))
        return b"".join(frames)

    def _keep(self, events: Sequence[Event], frames: bytes) -> None:
        """Count the newest events in, and have them written to the log."""
        for event in events:
            self._parts.add(event)
            if isinstance(event, Usage):
                self.ledger.add(event)
        if self._log is not None:
            first = self._seq - len(events) + 1
            self._log.add(Batch(first=first, last=self._seq, frames=frames))

    def _start(self) -> Start | Status:
        record = self.record
        if self.begun:
            return Status(message="The run goes on…")
        return Start(
            run_id=record.run_id,
            workflow=record.workflow,
            request_id=record.request_id,
            steps=self.execution.workflow.infos,
            mode=record.mode,
        )

    def _resets(self) -> list[Reset]:
        """What a client has to forget before a run goes on."""
        attempts, reason = self.execution.attempts, "This step runs again."
        return [Reset(step=step, attempt=attempts.get(step, 0) + 1, reason=reason) for step in self.again]

    # -- beside the steps ----------------------------------------------------------------------

    def _current(self) -> RunRecord:
        """The record with what has been used so far."""
        return replace(
            self.record,
            usage=usage_document(self.ledger.total),
            cost_usd=self.ledger.cost_usd,
            duration=self._elapsed(),
            attempts=dict(self.execution.attempts),
            progress=self.execution.progress,
        )

    async def _begin(self) -> None:
        if self.prepare is not None:
            try:
                await self.prepare()
            except Exception as error:  # noqa: BLE001 - the step that needs it says so itself
                logger.info("the steps will not find what they need: %s", error)
        if self.store is not None and not self.claimed:
            await self.store.begin(replace(self.record, lease_until=now_ms() + LEASE_MS), self.request)

    def _stopped(self, why: str) -> None:
        self.execution.stop(_CancelAsked() if why == "cancelled" else _LeaseLost())

    def _save_step(self, step: str, output: Any) -> None:
        """Keep a step's output. Nobody waits for it before the run's end."""
        assert self._log is not None  # noqa: S101 - set together with the caller
        text = to_json(output)
        if self._log.add_output(step, text):
            return
        task = asyncio.create_task(self._store_step(step, text), name=f"save-{step}")
        self._saving.add(task)
        task.add_done_callback(self._saving.discard)

    async def _store_step(self, step: str, output: str) -> None:
        assert self.store is not None  # noqa: S101 - set together with the caller
        try:
            await self.store.save_step(self.record.run_id, step, output)
        except RillError:
            logger.exception("the output of step %s could not be stored; it would run again", step)

    def _timers(self) -> list[asyncio.TimerHandle]:
        if self.deadline_ms is None:
            return []
        loop = asyncio.get_running_loop()
        left = self.deadline_ms / 1000 - time.time()
        timers = [loop.call_later(max(left - DEADLINE_MARGIN, 0), self._at_deadline)]
        if self.hand_over is not None:
            margin = min(DRAIN_MARGIN, left / 2)
            timers.append(loop.call_later(max(left - margin, 0), self.execution.drain))
        return timers

    def _at_deadline(self) -> None:
        """A step that is longer than an invocation would be begun for ever: it fails."""
        finished = self.execution.outputs.keys() - self._before.keys()
        self.execution.stop(_OutOfTime() if self.hand_over and finished else DeadlineExceeded())

    async def _leave(self) -> None:
        """Stop what runs beside; after a proper end nothing does."""
        if self._log is not None:
            await self._log.abandon()
        for task in self._saving:
            task.cancel()
        await asyncio.gather(*self._saving, return_exceptions=True)

    # -- the end -------------------------------------------------------------------------------

    async def _end(self) -> list[Event]:
        """The last events; the run is stored before the terminal one goes out."""
        if self._log is not None:
            self._rest = await self._log.close(self._patience())
        if self._saving:
            await asyncio.wait(self._saving, timeout=self._patience())
        step, error = self.execution.failure or (None, None)
        if error is None and self.execution.unfinished and self.hand_over is not None:
            error = _OutOfTime()
        if error is None:
            try:
                result = self.assemble(self.execution.outputs)
            except RillError as wrong:
                return await self._failed(None, wrong)
            return await self._complete(result)
        if isinstance(error, _CancelAsked):
            return await self._cancelled()
        if isinstance(error, _Stop):
            return await self._handed_over(error)
        return await self._failed(step, error)

    async def _complete(self, result: dict[str, Any]) -> list[Event]:
        terminal = Complete(
            data=result,
            duration=self._elapsed(),
            usage=self.ledger.total,
            cost_usd=self.ledger.cost_usd,
        )
        self.terminal = terminal
        if self.store is None:
            return [terminal]
        try:
            await self._persist(lambda rest: self._store_result(terminal, rest))
        except ConditionFailed:
            return await self._overtaken()
        except RillError:
            logger.exception("the run's result could not be stored")
            await self._keep_rest()
            return [Status(message="The result could not be kept; save this page."), terminal]
        return [terminal]

    async def _store_result(self, terminal: Complete, rest: Unwritten) -> None:
        assert self.store is not None  # noqa: S101 - only a store keeps results
        kept, count = terminal.data, 0
        if self.keep is not None:
            kept, count = await self.keep(self.record, terminal.data)
        ended = self._ended(state="complete", result=kept, duration=terminal.duration)
        await self.store.finish(replace(ended, line_ratings_count=count), rest)

    async def _persist(self, write: Callable[[Unwritten], Awaitable[None]]) -> None:
        """Write the run's end, however often it takes within the time there is.

        Args:
            write: takes what goes with it. Where that cannot be written, the end counts more than its log.
        """
        try:
            await self._in_time(keep_trying(lambda: write(self._rest)))
        except ConditionFailed:
            raise
        except RillError as error:
            if self._rest == NOTHING:
                raise
            logger.error("the log of the run is left without its end: %s", error)
            await self._in_time(self._write_apart(write))

    async def _write_apart(self, write: Callable[[Unwritten], Awaitable[None]]) -> None:
        await asyncio.gather(*(self._store_step(step, out) for step, out in self._rest.outputs.items()))
        await write(NOTHING)

    async def _in_time(self, writing: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self._patience()):
                await writing
        except TimeoutError as error:
            raise StoreError(detail="the run's end could not be written in time") from error

    async def _keep_rest(self) -> None:
        """Try once to write what would have gone with the result: the run can be resumed from there."""
        assert self.store is not None  # noqa: S101 - only a store keeps results
        assert self._log is not None  # noqa: S101 - made with the store
        batch = self._rest.batch
        record = replace(self._current(), last_seq=batch.last if batch else self._log.last_seq)
        with contextlib.suppress(RillError):
            await self._in_time(self.store.append(record, self._rest, heed_cancel=False))

    def _patience(self) -> float:
        """Seconds that the end may wait for the database: a third of what the invocation has left."""
        if self.deadline_ms is None:
            return LAST_TRIES_SECONDS
        return max(min(LAST_TRIES_SECONDS, (self.deadline_ms - now_ms()) / 3000), 0.1)

    async def _overtaken(self) -> list[Event]:
        """Somebody else has ended the run, or was told to cancel it before it began."""
        assert self.store is not None  # noqa: S101 - only a store overtakes
        try:
            began = await self.store.get(self.record.run_id) is not None
        except RillError:
            began = True
        return await self._handed_over(_LeaseLost()) if began else await self._cancelled()

    async def _cancelled(self) -> list[Event]:
        data = {**self._before, **self._parts.data}
        terminal = Cancelled(
            data=data, duration=self._elapsed(), usage=self.ledger.total, cost_usd=self.ledger.cost_usd
        )
        self.terminal = terminal
        if self.store is not None:
            ended = self._ended(state="cancelled", result=data, duration=terminal.duration)
            try:
                await self._persist(lambda rest: self._store_cancelled(ended, rest))
            except RillError:
                logger.exception("that the run was cancelled could not be stored")
        return [terminal]

    async def _store_cancelled(self, ended: RunRecord, rest: Unwritten) -> None:
        assert self.store is not None  # noqa: S101 - only a store keeps results
        try:
            await self.store.finish(ended, rest)
        except ConditionFailed:
            await self.store.end_early(ended)

    async def _failed(
        self, step: str | None, error: RillError, found: RunRecord | None = None
    ) -> list[Event]:
        """`found`: what stands in the store, where that is no longer a running run."""
        logger.error("the run failed in step %s: %s", step, error)
        self.failure = error
        terminal = Error(
            code=error.code,
            message=error.message,
            retryable=error.retryable,
            request_id=self.record.request_id,
            step=step,
        )
        self.terminal = terminal
        if (store := self.store) is not None:
            ended = self._ended(state="failed", error=sse.to_dict(terminal))
            try:
                await self._persist(
                    lambda rest: store.change(found, ended) if found else store.finish(ended, rest)
                )
            except RillError:
                logger.exception("the run's failure could not be stored")
        return [terminal]

    async def _handed_over(self, error: _Stop) -> list[Event]:
        handoff = self.terminal = Handoff(after=self._seq)
        if isinstance(error, _OutOfTime) and (store := self.store) is not None and self.hand_over is not None:
            waiting = self._ended(state="queued", ended_at=None)
            try:
                await self._persist(lambda rest: store.finish(waiting, rest))
            except RillError as wrong:
                return await self._failed(None, wrong)
            try:
                await self.hand_over(self.record.run_id)
            except RillError as wrong:
                return await self._failed(None, wrong, waiting)
        logger.info("the run goes on elsewhere (%s)", error.why)
        return [handoff]

    def _ended(self, **changes: Any) -> RunRecord:
        # The log may have lost its end; the terminal event's number follows what the client has.
        known: dict[str, Any] = {"ended_at": now_ms(), "last_seq": self._seq, **changes}
        return replace(self._current(), **known)

    def _elapsed(self) -> float:
        """Milliseconds the run has run, in this process and before."""
        return round(self.record.duration + (time.perf_counter() - self._began) * 1000, 1)

    def _metrics(self) -> RunMetrics:
        step, _ = self.execution.failure or (None, None)
        outcome = "failed" if self.terminal is None else _OUTCOMES[type(self.terminal)]
        return RunMetrics(
            workflow=self.record.workflow,
            run_id=self.record.run_id,
            request_id=self.record.request_id,
            outcome=outcome,
            duration=self._elapsed(),
            sections=self._parts.sections,
            line_ratings=self._parts.items,
            input_tokens=self.ledger.input_tokens,
            output_tokens=self.ledger.output_tokens,
            cost_usd=self.ledger.cost_usd,
            failed_step=step,
            code=None if self.failure is None else self.failure.code,
        )


_OUTCOMES = {Complete: "complete", Cancelled: "cancelled", Error: "failed", Handoff: "handed_over"}
