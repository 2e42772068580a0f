import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from rill.errors import ModelRefused, UpstreamError
from rill.events import (
    Chunk,
    Event,
    Progress,
    Reset,
    Section,
    StepComplete,
    StepError,
    StepProgress,
    StepStart,
)
from rill.pipeline import Execution, Output, Step, StepEvent, Task, Workflow

Log = list[str]
Run = Callable[[Task[Log]], AsyncGenerator[StepEvent, None]]


def step(name: str, run: Run, **kwargs: Any) -> Step[Log]:
    return Step(name=name, label=name.upper(), run=run, **kwargs)


async def collect(*steps: Step[Log], **kwargs: Any) -> tuple[list[Event], Execution[Log]]:
    execution = Execution(Workflow("w", steps), [], **kwargs)
    return [event async for batch in execution.batches() for event in batch], execution


def kinds(events: list[Event]) -> list[str]:
    return [f"{event.type}:{getattr(event, 'step', '')}" for event in events]


async def says(task: Task[Log]) -> AsyncGenerator[StepEvent, None]:
    yield Chunk(step=task.step, content="hi")
    yield Output(task.step + str(task.attempt))


async def test_a_step_is_bracketed_and_its_output_kept() -> None:
    events, execution = await collect(step("a", says))
    assert [type(event) for event in events] == [StepStart, Chunk, StepComplete, Progress]
    assert execution.outputs == {"a": "a1"}
    assert execution.failure is None


async def test_no_steps_end_at_once() -> None:
    assert (await collect())[0] == []


async def test_dependants_wait_and_see_outputs() -> None:
    async def joins(task: Task[Log]) -> AsyncGenerator[StepEvent, None]:
        yield Output(task.outputs["a"] + task.outputs["b"])

    events, execution = await collect(step("c", joins, after=("a", "b")), step("a", says), step("b", says))
    assert execution.outputs["c"] == "a1b1"
    assert kinds(events).index("step_start:c") > kinds(events).index("step_complete:a")


async def test_finished_steps_are_not_run_again() -> None:
    events, execution = await collect(step("a", says), step("b", says), outputs={"a": "kept"})
    assert "step_start:a" not in kinds(events)
    assert execution.outputs == {"a": "kept", "b": "b1"}
    assert [e.progress for e in events if isinstance(e, Progress)] == [50, 100]


async def test_independent_steps_interleave_fairly() -> None:
    async def many(task: Task[Log]) -> AsyncGenerator[StepEvent, None]:
        for _ in range(50):
            yield Chunk(step=task.step, content="x")

    events, _ = await collect(step("a", many), step("b", many), queue_size=4)
    order = "".join(event.step for event in events if isinstance(event, Chunk))
    for cut in range(1, len(order)):  # a step leads by what its lane holds and the value that waits
        assert abs(order[:cut].count("a") - order[:cut].count("b")) <= 4 + 1


async def test_a_consumer_that_stops_stalls_the_steps() -> None:
    made = 0

    async def endless(task: Task[Log]) -> AsyncGenerator[StepEvent, None]:
        nonlocal made
        while True:
            made += 1
            yield Chunk(step=task.step, content="x")

    batches = Execution(Workflow("w", [step("a", endless)]), list[str](), queue_size=8).batches()
    await anext(batches)
    for _ in range(100):
        await asyncio.sleep(0)
    assert made <= 20
    await batches.aclose()


async def test_progress_follows_weights_and_never_falls() -> None:
    async def halves(task: Task[Log]) -> AsyncGenerator[StepEvent, None]:
        yield StepProgress(step=task.step, progress=50)
        if task.attempt == 1:
            raise UpstreamError
        yield StepProgress(step=task.step, progress=75)

    events, _ = await collect(step("a", halves, weight=3, attempts=2), step("b", says, after=("a",)))
    assert [e.progress for e in events if isinstance(e, Progress)] == [37.5, 56.2, 75, 100]


async def test_a_retry_resets_only_what_was_sent() -> None:
    async def fails(task: Task[Log]) -> AsyncGenerator[StepEvent, None]:
        if task.attempt == 2:
            yield Section(step=task.step, section="s", data=1)
        if task.attempt < 3:
            raise UpstreamError
        yield Output("third")

    events, execution = await collect(step("a", fails, attempts=3))
    assert kinds(events) == [
        *["step_start:a", "step_error:a"],
        *["step_start:a", "section:a", "step_error:a", "reset:a"],
        *["step_start:a", "step_complete:a", "progress:"],
    ]
    assert [e.attempt for e in events if isinstance(e, Reset)] == [3]
    assert execution.outputs["a"] == "third"


async def test_an_error_that_no_retry_helps_is_not_retried() -> None:
    async def refused(task: Task[Log]) -> AsyncGenerator[StepEvent, None]:
        raise ModelRefused
        yield

    events, execution = await collect(step("a", refused, attempts=3))
    assert [(e.attempt, e.code, e.will_retry) for e in events if isinstance(e, StepError)] == [
        (1, "model_refused", False)
    ]
    assert execution.failure is not None
    assert execution.failure[0] == "a"


async def test_a_failure_cancels_the_others_and_closes_what_they_opened() -> None:
    closed: Log = []
    opened = asyncio.Event()

    async def waits(task: Task[Log]) -> AsyncGenerator[StepEvent, None]:
        try:
            opened.set()
            await asyncio.Event().wait()
            yield Output(None)
        finally:
            closed.append(task.step)

    async def fails(task: Task[Log]) -> AsyncGenerator[StepEvent, None]:
        await opened.wait()
        raise UpstreamError
        yield

    events, execution = await collect(step("a", waits), step("b", fails), step("c", says, after=("a",)))
    assert closed == ["a"]
    assert execution.failure is not None
    assert "step_start:c" not in kinds(events)


async def test_a_step_the_run_can_do_without() -> None:
    async def fails(task: Task[Log]) -> AsyncGenerator[StepEvent, None]:
        raise UpstreamError
        yield

    async def uses(task: Task[Log]) -> AsyncGenerator[StepEvent, None]:
        yield Output(task.outputs.get("a", "without"))

    events, execution = await collect(step("a", fails, on_failure="continue"), step("b", uses, after=("a",)))
    assert execution.failure is None
    assert execution.outputs == {"b": "without"}
    assert events[-1] == Progress(progress=100)


async def test_a_bug_in_a_step_is_internal_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def bug(task: Task[Log]) -> AsyncGenerator[StepEvent, None]:
        raise KeyError("secret")
        yield

    async def times_out_itself(task: Task[Log]) -> AsyncGenerator[StepEvent, None]:
        raise TimeoutError("its own")
        yield

    for run in (bug, times_out_itself):
        events, execution = await collect(step("a", run))
        [error] = [e for e in events if isinstance(e, StepError)]
        assert error.code == "internal"
        assert "secret" not in error.message
        assert execution.failure is not None
    assert "secret" in caplog.text


async def test_a_step_over_its_time_is_closed() -> None:
    closed: Log = []

    async def stalls(task: Task[Log]) -> AsyncGenerator[StepEvent, None]:
        try:
            await asyncio.Event().wait()
            yield Output(None)
        finally:
            closed.append(task.step)

    events, _ = await collect(step("a", stalls, timeout=0.01))
    assert [e.code for e in events if isinstance(e, StepError)] == ["step_timeout"]
    assert closed == ["a"]


async def test_silence_yields_empty_batches_for_keep_alives() -> None:
    gate = asyncio.Event()

    async def silent(task: Task[Log]) -> AsyncGenerator[StepEvent, None]:
        await gate.wait()
        yield Output(None)

    execution = Execution(Workflow("w", [step("a", silent)]), list[str](), keep_alive=0.005)
    batches = []
    async for batch in execution.batches():
        batches.append(batch)
        if batches.count([]) == 3:
            gate.set()
    assert batches.count([]) >= 3


async def test_cancelling_the_consumer_cancels_the_steps() -> None:
    closed: Log = []
    opened = asyncio.Event()

    async def waits(task: Task[Log]) -> AsyncGenerator[StepEvent, None]:
        try:
            opened.set()
            await asyncio.Event().wait()
            yield Output(None)
        finally:
            closed.append(task.step)

    consumer = asyncio.create_task(collect(step("a", waits)))
    await opened.wait()
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer
    assert closed == ["a"]


@pytest.mark.parametrize(
    ("steps", "match"),
    [
        ([step("a", says), step("a", says)], "two steps are named 'a'"),
        ([step("a", says, after=("x",))], r"unknown steps \['x'\]"),
        ([step("a", says, after=("b",)), step("b", says, after=("a",))], "wait for each other"),
        ([step("a", says, weight=0)], "weight above 0"),
        ([step("a", says, attempts=0)], "weight above 0 and an attempt"),
    ],
)
def test_a_workflow_that_cannot_run_is_refused(steps: list[Step[Log]], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Workflow("w", steps)


def test_a_workflow_announces_its_steps() -> None:
    assert [info.step for info in Workflow("w", [step("a", says), step("b", says)]).infos] == ["a", "b"]


async def test_drained_what_runs_ends_and_nothing_else_begins() -> None:
    async def drains(task: Task[Log]) -> AsyncGenerator[StepEvent, None]:
        execution.drain()
        yield Output("done")

    steps = [
        step("a", drains),
        step("b", says, after=("a",)),
        step("c", says, after=("b",)),
        step("d", says, after=("a", "c")),
    ]
    execution = Execution(Workflow("w", steps), list[str]())
    events = [event async for batch in execution.batches() for event in batch]
    assert [kind for kind in kinds(events) if kind.startswith("step")] == ["step_start:a", "step_complete:a"]
    assert execution.outputs == {"a": "done"}
    assert execution.unfinished == ["b", "c", "d"]
    assert execution.failure is None


async def test_drained_a_step_that_fails_is_not_tried_again() -> None:
    async def drains(task: Task[Log]) -> AsyncGenerator[StepEvent, None]:
        execution.drain()
        raise UpstreamError
        yield

    steps = [step("a", drains, attempts=3), step("b", says, after=("a",))]
    execution = Execution(Workflow("w", steps), list[str]())
    events = [event async for batch in execution.batches() for event in batch]
    assert kinds(events) == ["step_start:a", "step_error:a"]
    assert execution.unfinished == ["a", "b"]


async def test_stopped_from_outside_the_first_reason_counts() -> None:
    async def stays(task: Task[Log]) -> AsyncGenerator[StepEvent, None]:
        yield Chunk(step=task.step, content="x")
        await asyncio.Event().wait()

    execution = Execution(Workflow("w", [step("a", stays)]), list[str]())
    events: list[Event] = []
    async for batch in execution.batches():
        events += batch
        if any(isinstance(event, Chunk) for event in batch):
            execution.stop(UpstreamError())
            execution.stop(ModelRefused())
    assert kinds(events) == ["step_start:a", "chunk:a"]
    assert execution.failure is not None
    assert isinstance(execution.failure[1], UpstreamError)
