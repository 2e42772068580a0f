"""What a run holds does not grow with how many events it sends."""

import tracemalloc
from collections.abc import AsyncGenerator

from rill.events import Chunk, StepProgress
from rill.pipeline import Execution, Output, Step, StepEvent, Task, Workflow
from rill.runs import Run
from rill.stores.runs import RunRecord

RECORD = RunRecord(
    run_id="r", session_id="s", workflow="w", request_id="q", mode="m", state="running", created_at=1
)
TEXT = 40_000


async def held(events: int) -> tuple[int, int]:
    """The most bytes a run held that sends so many events, of a text of the same length; and its frames."""

    async def write(task: Task[None]) -> AsyncGenerator[StepEvent, None]:
        for _ in range(events):
            yield Chunk(step=task.step, content="x" * (TEXT // events))
            yield StepProgress(step=task.step, progress=1)
        yield Output(None)

    steps = [Step(name="write", label="Write", run=write)]
    run = Run(record=RECORD, execution=Execution(Workflow("w", steps), None), assemble=lambda _: {})
    tracemalloc.start()
    try:
        frames = 0
        async for piece in run.frames():
            frames += piece.count(b"\n\n")
        return tracemalloc.get_traced_memory()[1], frames
    finally:
        tracemalloc.stop()


async def test_memory_is_that_of_the_text_and_not_of_the_events() -> None:
    await held(100)  # what is made once
    few, few_frames = await held(200)
    many, many_frames = await held(20_000)
    assert many_frames > 90 * few_frames
    assert many < few + 300_000
