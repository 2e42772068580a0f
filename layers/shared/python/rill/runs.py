"""The life of a run: from its start to its one terminal event, numbered, encoded and kept."""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from rill import sse
from rill.errors import DeadlineExceeded, RillError
from rill.events import Certainty, Complete, Error, Event, Item, Section, Start, Status, Usage, UsageTotal
from rill.observability import RunMetrics, add_log_keys
from rill.pipeline import Execution
from rill.stores.runs import RunRecord, RunStore, now_ms, usage_document

C = TypeVar("C")
logger = logging.getLogger(__name__)
_WEAKEST: tuple[Certainty, ...] = ("exact", "estimated", "unknown")
DEADLINE_MARGIN = 3.0
"""Seconds before the invocation's end at which a run gives up, so that it can still say and keep so."""


def new_run_id() -> str:
    """A run id that sorts by time: 12 hex digits of epoch milliseconds and 80 random bits."""
    return f"{now_ms():012x}{uuid.uuid4().hex[:20]}"


@dataclass(slots=True)
class Ledger:
    """Adds up the `usage` events of a run; the weakest certainty and an unknown price carry through."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    calls: int = 0
    cost_usd: float | None = 0.0
    certainty: Certainty = "exact"

    def add(self, usage: Usage) -> None:
        """Count one model call."""
        self.input_tokens += usage.input_tokens
        self.output_tokens += usage.output_tokens
        self.cached_tokens += usage.cached_tokens or 0
        self.calls += 1
        self.certainty = max(self.certainty, usage.certainty, key=_WEAKEST.index)
        if usage.cost_usd is None or self.cost_usd is None:
            self.cost_usd = None
        else:
            self.cost_usd = round(self.cost_usd + usage.cost_usd, 8)

    @property
    def total(self) -> UsageTotal:
        """The sum as events carry it."""
        return UsageTotal(
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cached_tokens=self.cached_tokens,
            calls=self.calls,
            certainty=self.certainty,
        )


@dataclass(slots=True, kw_only=True)
class Run(Generic[C]):
    """One run of a workflow.

    Args:
        record: what is known of it at the start, `state` "running".
        execution: its steps, not yet started.
        assemble: makes the result out of the steps' outputs; may raise a `RillError`.
        store: where it is kept, or None.
        keep: writes what belongs to the result beside it, before the run counts as complete; returns
            what of the result is kept with the run itself.
        deadline_ms: when the invocation ends, epoch milliseconds, or None.
        ledger: where model calls that no event tells of are counted as well.
        observe: told what there is to count, once the run has ended.
    """

    record: RunRecord
    execution: Execution[C]
    assemble: Callable[[Mapping[str, Any]], dict[str, Any]]
    store: RunStore | None = None
    keep: Callable[[RunRecord, dict[str, Any]], Awaitable[tuple[dict[str, Any], int]]] | None = None
    deadline_ms: int | None = None
    ledger: Ledger = field(default_factory=Ledger)
    observe: Callable[[RunMetrics], None] | None = None
    terminal: Complete | Error | None = None
    failure: RillError | None = None
    _seq: int = 0
    _sections: int = 0
    _items: int = 0
    _began: float = field(default_factory=time.perf_counter)

    async def frames(self) -> AsyncIterator[bytes]:
        """The stream's bytes. Each piece is one or more whole frames, and is ready to be sent."""
        add_log_keys(run_id=self.record.run_id, request_id=self.record.request_id)
        yield sse.RETRY + self._encode(self._start())
        begun = asyncio.create_task(self._begin())
        timer = self._at_deadline()
        try:
            async for batch in self.execution.batches():
                self._count(batch)
                yield b"".join(map(self._encode, batch)) if batch else sse.KEEP_ALIVE
            await begun
            for event in await self._end():
                yield self._encode(event)
            if self.observe is not None:
                self.observe(self._metrics())
        finally:
            if timer is not None:
                timer.cancel()
            begun.cancel()
            await asyncio.gather(begun, return_exceptions=True)

    def _count(self, batch: list[Event]) -> None:
        for event in batch:
            if isinstance(event, Usage):
                self.ledger.add(event)
            elif isinstance(event, Section):
                self._sections += 1
            elif isinstance(event, Item):
                self._items += 1

    def _metrics(self) -> RunMetrics:
        step, failure = self.execution.failure or (None, self.failure)
        return RunMetrics(
            workflow=self.record.workflow,
            run_id=self.record.run_id,
            request_id=self.record.request_id,
            outcome="complete" if failure is None else "failed",
            duration=self._elapsed(),
            sections=self._sections,
            line_ratings=self._items,
            input_tokens=self.ledger.input_tokens,
            output_tokens=self.ledger.output_tokens,
            cost_usd=self.ledger.cost_usd,
            failed_step=step,
            code=None if failure is None else failure.code,
        )

    def _elapsed(self) -> float:
        """Milliseconds since the run began."""
        return round((time.perf_counter() - self._began) * 1000, 1)

    def _encode(self, event: Event) -> bytes:
        self._seq += 1
        return sse.encode(self._seq, event)

    def _start(self) -> Start:
        record = self.record
        return Start(
            run_id=record.run_id,
            workflow=record.workflow,
            request_id=record.request_id,
            steps=self.execution.workflow.infos,
            mode=record.mode,
        )

    def _at_deadline(self) -> asyncio.TimerHandle | None:
        if self.deadline_ms is None:
            return None
        left = self.deadline_ms / 1000 - time.time() - DEADLINE_MARGIN
        return asyncio.get_running_loop().call_later(max(left, 0), self.execution.stop, DeadlineExceeded())

    async def _begin(self) -> None:
        """Runs beside the steps: no event waits for it."""
        if self.store is not None:
            try:
                await self.store.begin(self.record)
            except RillError:
                logger.exception("run %s: its start could not be stored", self.record.run_id)

    async def _end(self) -> list[Event]:
        """The last events; the run is stored before the terminal one goes out."""
        if self.execution.failure is None:
            try:
                result = self.assemble(self.execution.outputs)
            except RillError as error:
                return await self._failed(None, error)
            return await self._complete(result)
        return await self._failed(*self.execution.failure)

    async def _complete(self, result: dict[str, Any]) -> list[Event]:
        self.terminal = Complete(
            data=result, duration=self._elapsed(), usage=self.ledger.total, cost_usd=self.ledger.cost_usd
        )
        if self.store is None:
            return [self.terminal]
        try:
            kept, count = (result, 0) if self.keep is None else await self.keep(self.record, result)
            await self.store.finish(self._ended(state="complete", result=kept, line_ratings_count=count))
        except RillError:
            logger.exception("run %s: its result could not be stored", self.record.run_id)
            return [Status(message="The result could not be kept; save this page."), self.terminal]
        return [self.terminal]

    async def _failed(self, step: str | None, error: RillError) -> list[Event]:
        logger.error("run %s failed in step %s: %s", self.record.run_id, step, error)
        self.failure = error
        self.terminal = Error(
            code=error.code,
            message=error.message,
            retryable=error.retryable,
            request_id=self.record.request_id,
            step=step,
        )
        if self.store is not None:
            try:
                await self.store.finish(self._ended(state="failed", error=sse.to_dict(self.terminal)))
            except RillError:
                logger.exception("run %s: its failure could not be stored", self.record.run_id)
        return [self.terminal]

    def _ended(self, **changes: Any) -> RunRecord:
        return replace(
            self.record,
            ended_at=now_ms(),
            usage=usage_document(self.ledger.total),
            cost_usd=self.ledger.cost_usd,
            **changes,
        )
