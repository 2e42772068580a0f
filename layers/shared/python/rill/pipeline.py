"""Steps in, events out: which steps there are, in what order they run, what happens when one fails.

A step is an async generator of events over a context of the workflow's own type. Independent steps run
at the same time; their events meet in one bounded channel, so a client that stops reading stalls them.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from rill.channel import Channel
from rill.errors import RillError, StepTimeout
from rill.events import (
    Chunk,
    Citation,
    Event,
    Item,
    Progress,
    Reset,
    Section,
    Status,
    StepComplete,
    StepError,
    StepInfo,
    StepProgress,
    StepStart,
    Usage,
)

C = TypeVar("C")
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Output:
    """What a step has produced, for the steps after it and for the result. Not sent to the client."""

    value: Any


StepEvent: TypeAlias = Status | StepProgress | Section | Item | Chunk | Citation | Usage | Output
_RESETTABLE = (Section, Item, Chunk, Citation)


@dataclass(frozen=True, slots=True)
class Task(Generic[C]):
    """What a step is given: the workflow's context, its attempt (from 1), and the outputs before it."""

    step: str
    attempt: int
    context: C
    outputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Generic[C]):
    """One step of a workflow.

    Args:
        name: unique in the workflow; what events call it.
        label: what a person reads.
        run: an async generator function of the step's events.
        after: names of the steps whose outputs it needs.
        weight: its share of the progress, in any unit, above zero.
        attempts: how often it may start; errors that say a retry helps use up one.
        timeout: seconds an attempt may take, or None.
        on_failure: whether the run fails with the step or goes on without its output.
    """

    name: str
    label: str
    run: Callable[[Task[C]], AsyncGenerator[StepEvent, None]]
    after: tuple[str, ...] = ()
    weight: float = 1.0
    attempts: int = 1
    timeout: float | None = None
    on_failure: Literal["fail", "continue"] = "fail"


class Workflow(Generic[C]):
    """A named list of steps.

    Raises:
        ValueError: for a name used twice, an unknown dependency, a cycle, or a number out of range.
    """

    def __init__(self, name: str, steps: Sequence[Step[C]]) -> None:
        self.name = name
        self.steps = tuple(steps)
        names = [step.name for step in steps]
        for step in steps:
            if names.count(step.name) > 1:
                raise ValueError(f"{name}: two steps are named {step.name!r}")
            if unknown := set(step.after) - set(names):
                raise ValueError(f"{name}: step {step.name!r} comes after unknown steps {sorted(unknown)}")
            if step.weight <= 0 or step.attempts < 1:
                raise ValueError(f"{name}: step {step.name!r} needs a weight above 0 and an attempt")
        self._check_cycles()

    def _check_cycles(self) -> None:
        left = {step.name: set(step.after) for step in self.steps}
        while ready := [name for name, after in left.items() if not after]:
            for name in ready:
                del left[name]
            for after in left.values():
                after.difference_update(ready)
        if left:
            raise ValueError(f"{self.name}: steps wait for each other: {sorted(left)}")

    @property
    def infos(self) -> list[StepInfo]:
        """The steps as the `start` event announces them."""
        return [StepInfo(step=s.name, label=s.label, weight=s.weight) for s in self.steps]


@dataclass(slots=True)
class _State:
    """Of one step while it runs."""

    done: asyncio.Event = field(default_factory=asyncio.Event)
    fraction: float = 0.0
    sent: bool = False


class Execution(Generic[C]):
    """One run through a workflow's steps.

    Args:
        workflow: the steps.
        context: handed to every step.
        outputs: outputs of steps that finished in an earlier invocation; these are not run again.
        attempts: how often each step had started then; attempts count on.
        on_output: told each step's output when the step completes, before its `step_complete`.
        queue_size: how many events of a step may wait for the client before the step is stalled.
        keep_alive: seconds of silence after which an empty batch is yielded.

    `progress` is what was last sent; one that is set before `batches()` is a floor.

    After `batches()` has ended, `failure` names the step and error that ended the run, or is None, and
    `outputs` has what the steps produced.
    """

    def __init__(
        self,
        workflow: Workflow[C],
        context: C,
        *,
        outputs: Mapping[str, Any] | None = None,
        attempts: Mapping[str, int] | None = None,
        on_output: Callable[[str, Any], None] | None = None,
        queue_size: int = 64,
        keep_alive: float = 10.0,
    ) -> None:
        self.workflow = workflow
        self.context = context
        self.outputs: dict[str, Any] = dict(outputs or {})
        self.failure: tuple[str | None, RillError] | None = None
        self.attempts: dict[str, int] = dict(attempts or {})
        self.progress = 0.0
        self.on_output = on_output
        self._draining = False
        self._keep_alive = keep_alive
        self._channel: Channel[Event] = Channel(queue_size)
        self._states = {step.name: _State() for step in workflow.steps}
        self._total = sum(step.weight for step in workflow.steps)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def unfinished(self) -> list[str]:
        """Steps without an output that neither failed nor were passed over."""
        return [name for name, state in self._states.items() if not state.done.is_set()]

    def drain(self) -> None:
        """Start no further step or attempt: `batches()` ends when what runs now has ended."""
        self._draining = True

    async def batches(self) -> AsyncGenerator[list[Event], None]:
        """The events, as many at a time as are ready; an empty list when a keep-alive is due.

        Leaving it early, or being cancelled, cancels the steps and closes what they opened.
        """
        self._tasks = [asyncio.create_task(self._step(step), name=step.name) for step in self.workflow.steps]
        closer = asyncio.create_task(self._close_when_done())
        try:
            while (batch := await self._channel.take(self._keep_alive)) is not None:
                yield batch
        finally:
            for task in (*self._tasks, closer):
                task.cancel()
            await asyncio.gather(*self._tasks, closer, return_exceptions=True)
            self._channel.close()

    async def _close_when_done(self) -> None:
        await asyncio.wait(self._tasks) if self._tasks else None
        self._channel.close()

    async def _step(self, step: Step[C]) -> None:
        state = self._states[step.name]
        for name in step.after:
            await self._states[name].done.wait()
        if step.name not in self.outputs and not await self._attempts(step, state):
            self._stop_waiting_for(step.name)
        elif self.failure is None:
            await self._advance(step.name, 1.0)
            state.done.set()

    def _stop_waiting_for(self, name: str) -> None:
        """A step was not started, or not again: those after it will not start in this execution."""
        for task, step in zip(self._tasks, self.workflow.steps, strict=True):
            if name in step.after:
                task.cancel()
                self._stop_waiting_for(step.name)

    async def _attempts(self, step: Step[C], state: _State) -> bool:
        """Whether the step is over; not so where the execution drains."""
        last = self.attempts.get(step.name, 0) + step.attempts
        while not self._draining:
            attempt = self.attempts[step.name] = self.attempts.get(step.name, 0) + 1
            await self._channel.put(StepStart(step=step.name, label=step.label, attempt=attempt), step.name)
            error = await self._attempt(step, state, attempt)
            if error is None:
                return True
            again = error.retryable and attempt < last
            await self._channel.put(
                StepError(
                    step=step.name,
                    attempt=attempt,
                    code=error.code,
                    message=error.message,
                    retryable=error.retryable,
                    will_retry=again,
                ),
                step.name,
            )
            if not again:
                if step.on_failure == "fail":
                    self._fail(step.name, error)
                return True
            if state.sent:
                state.sent = False
                await self._channel.put(
                    Reset(step=step.name, attempt=attempt + 1, reason=error.message), step.name
                )
        return False

    async def _attempt(self, step: Step[C], state: _State, attempt: int) -> RillError | None:
        began = time.perf_counter()
        task = Task(step.name, attempt, self.context, self.outputs)
        output: Any = None
        try:
            async with asyncio.timeout(step.timeout) as limit, aclosing(step.run(task)) as events:
                async for event in events:
                    if isinstance(event, Output):
                        output = event.value
                        continue
                    state.sent = state.sent or isinstance(event, _RESETTABLE)
                    await self._channel.put(event, step.name)
                    if isinstance(event, StepProgress):
                        await self._advance(step.name, event.progress / 100)
        except TimeoutError as error:
            if not limit.expired():
                return _internal(step.name, error)
            return StepTimeout(f"{step.label} took longer than {step.timeout:g} s.")
        except RillError as error:
            return error
        except Exception as error:  # noqa: BLE001 - whatever a step raises ends as a typed error event
            return _internal(step.name, error)
        self.outputs[step.name] = output
        if self.on_output is not None:
            self.on_output(step.name, output)
        duration = round((time.perf_counter() - began) * 1000, 1)
        await self._channel.put(StepComplete(step=step.name, duration=duration), step.name)
        return None

    def stop(self, error: RillError) -> None:
        """End the run from outside, at its deadline for one; what ended it first counts."""
        self._fail(None, error)

    def _fail(self, step: str | None, error: RillError) -> None:
        """The first failure ends the run: the other steps are cancelled."""
        if self.failure is None:
            self.failure = (step, error)
            current = asyncio.current_task()
            for task in self._tasks:
                if task is not current:
                    task.cancel()

    async def _advance(self, step: str, fraction: float) -> None:
        state = self._states[step]
        state.fraction = max(state.fraction, min(fraction, 1.0))
        done = sum(s.weight * self._states[s.name].fraction for s in self.workflow.steps)
        progress = round(100 * done / self._total, 1)
        # Under one percent is not worth an event; the last one always is.
        if progress - self.progress >= 1 or (progress == 100 and self.progress < 100):
            self.progress = progress
            await self._channel.put(Progress(progress=progress), step)


def _internal(step: str, error: Exception) -> RillError:
    logger.error("step %s raised", step, exc_info=error)
    wrapped = RillError(detail=f"{type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped
