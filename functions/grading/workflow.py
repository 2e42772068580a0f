"""Grading's steps and their order."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter

from grading.models import GradingRequest, GradingResult, LineRating
from grading.prompts import messages
from rill.channel import Channel
from rill.errors import InvalidOutput, RillError
from rill.events import Item, Section, Status, StepProgress, Usage
from rill.models.client import ModelClient
from rill.models.structured import load, sections, subset
from rill.pipeline import Output, Step, StepEvent, Task, Workflow

LINES_PER_SHARD = 8
"""Rep lines one model call rates: small enough that the first ratings are there in seconds."""

MAX_SHARDS_AT_ONCE = 8
"""Model calls for line ratings under way at the same time."""

Tier = Literal["small", "large"]


@dataclass(frozen=True, slots=True)
class Grading:
    """The context of one grading; `aborted` is told what calls that were given up have used."""

    request: GradingRequest
    models: ModelClient
    aborted: Callable[[Usage], None]


@dataclass(frozen=True, slots=True)
class _Part:
    label: str
    waiting: str
    tier: Tier
    weight: float


# Objective parts on the small model, subjective ones on the large.
PARTS: dict[str, _Part] = {
    "session_analysis": _Part("Call analysis", "Reading the call", "small", 2),
    "scores": _Part("Scores", "Scoring each skill", "large", 2),
    "feedback": _Part("Feedback", "Looking for strengths and improvements", "large", 3),
    "objection_handling": _Part("Objections", "Finding objections and how they were met", "small", 2),
    "coaching": _Part("Coaching plan", "Writing a coaching plan", "large", 3),
}


def workflow(request: GradingRequest) -> Workflow[Grading]:
    """The steps that grade `request`: parallel sections, or all of them in one call."""
    if request.mode == "single":
        return Workflow(
            "grading",
            [Step(name="grading", label="Grading", run=_single, attempts=2, timeout=600)],
        )
    steps = [
        Step(name=name, label=part.label, run=_part, weight=part.weight, attempts=2, timeout=240)
        for name, part in PARTS.items()
    ]
    weight = max(3.0, len(request.rep_lines) / 4)
    ratings = Step(
        name="line_ratings", label="Line ratings", run=_ratings, weight=weight, attempts=2, timeout=600
    )
    return Workflow("grading", [*steps, ratings])


def result(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """The whole result, out of the steps' outputs, in the order of its model."""
    merged = outputs.get("grading", outputs)
    missing = [name for name in GradingResult.model_fields if name not in merged]
    if missing:
        raise InvalidOutput(detail=f"sections missing: {missing}")
    return {name: merged[name] for name in GradingResult.model_fields}


def load_forms() -> None:
    """Make what the answers' forms need, before anybody waits for one."""
    load(GradingResult, *map(_section_model, GradingResult.model_fields))
    _items()


@cache
def _items() -> dict[str, TypeAdapter[Any]]:
    return {"line_ratings": TypeAdapter(LineRating)}


def _section_model(name: str) -> type[BaseModel]:
    return subset(GradingResult, name, (name,))


async def _part(task: Task[Grading]) -> AsyncGenerator[StepEvent, None]:
    part = PARTS[task.step]
    yield Status(message=f"{part.waiting}…")
    events = sections(
        task.context.models,
        tier=part.tier,
        messages=messages(task.context.request, [task.step]),
        step=task.step,
        aborted=task.context.aborted,
        model=_section_model(task.step),
    )
    async with aclosing(events):
        async for event in events:
            yield event
            if isinstance(event, Section):
                yield Output(event.data)


@dataclass(slots=True)
class _Ratings:
    """Collects the ratings of the lines that were asked for, each once, in the call's order."""

    lines: Sequence[int]
    found: dict[int, Any] = field(default_factory=dict)

    def take(self, step: str, data: dict[str, Any]) -> Item | None:
        """The event of a rating, or None where its line was not asked for or is rated already."""
        number = data["line_number"]
        if number not in self.lines or number in self.found:
            return None
        self.found[number] = data
        return Item(step=step, section="line_ratings", index=self.lines.index(number), data=data)

    def missing(self, among: Iterable[int]) -> list[int]:
        return [number for number in among if number not in self.found]

    def section(self, step: str) -> Section:
        if missing := self.missing(self.lines):
            raise InvalidOutput(detail=f"lines without a rating: {missing[:20]}")
        return Section(step=step, section="line_ratings", data=[self.found[n] for n in self.lines])


async def _rate(task: Task[Grading], ratings: _Ratings, shard: list[int]) -> AsyncGenerator[StepEvent, None]:
    """One shard's ratings; lines the model left out are asked for once more."""
    asked = shard
    for _ in range(2):
        events = sections(
            task.context.models,
            tier="small",
            messages=messages(task.context.request, ["line_ratings"], only=asked),
            step=task.step,
            aborted=task.context.aborted,
            model=_section_model("line_ratings"),
            items=_items(),
        )
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Item):
                    item = ratings.take(task.step, event.data)
                    if item is not None:
                        yield item
                elif isinstance(event, Section):
                    for data in event.data:  # a repaired section has elements that were no items before
                        if (item := ratings.take(task.step, data)) is not None:
                            yield item
                else:
                    yield event
        asked = ratings.missing(shard)
        if not asked:
            return


async def _ratings(task: Task[Grading]) -> AsyncGenerator[StepEvent, None]:
    lines = [line.line_number for line in task.context.request.rep_lines]
    ratings = _Ratings(lines)
    shards = [lines[i : i + LINES_PER_SHARD] for i in range(0, len(lines), LINES_PER_SHARD)]
    yield Status(message=f"Rating {len(lines)} lines of the rep…")
    async with aclosing(_together([_rate(task, ratings, shard) for shard in shards])) as events:
        async for event in events:
            yield event
            if isinstance(event, Item) and len(lines) > 1:
                yield StepProgress(step=task.step, progress=round(99 * len(ratings.found) / len(lines), 1))
    section = ratings.section(task.step)
    yield section
    yield Output(section.data)


async def _together(
    sources: Sequence[AsyncGenerator[StepEvent, None]],
) -> AsyncGenerator[StepEvent, None]:
    """The events of all sources as they come, a few sources at a time; the first error ends all."""
    channel: Channel[StepEvent | RillError] = Channel(4)
    places = asyncio.Semaphore(MAX_SHARDS_AT_ONCE)
    left = len(sources)

    async def pump(source: AsyncGenerator[StepEvent, None], lane: str) -> None:
        nonlocal left
        try:
            async with places, aclosing(source) as events:
                async for event in events:
                    await channel.put(event, lane)
        except RillError as error:
            await channel.put(error, lane)
        finally:
            left -= 1
            if left == 0:
                channel.close()

    tasks = [asyncio.create_task(pump(source, str(lane))) for lane, source in enumerate(sources)]
    if not tasks:
        return
    try:
        while (batch := await channel.take()) is not None:
            for event in batch:
                if isinstance(event, RillError):
                    raise event
                yield event
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _single(task: Task[Grading]) -> AsyncGenerator[StepEvent, None]:
    """All six sections out of one model call."""
    request = task.context.request
    lines = [line.line_number for line in request.rep_lines]
    ratings = _Ratings(lines)
    done: dict[str, Any] = {}
    yield Status(message="Grading the call in one go…")
    events = sections(
        task.context.models,
        tier="large",
        messages=messages(request, list(GradingResult.model_fields), only=lines),
        step=task.step,
        aborted=task.context.aborted,
        model=GradingResult,
        items=_items(),
    )
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Item):
                if (item := ratings.take(task.step, event.data)) is not None:
                    yield item
            elif isinstance(event, Section) and event.section == "line_ratings":
                for data in event.data:
                    if (item := ratings.take(task.step, data)) is not None:
                        yield item
            elif isinstance(event, Section):
                done[event.section] = event.data
                yield event
                yield StepProgress(step=task.step, progress=round(95 * len(done) / 6, 1))
            else:
                yield event
    if missing := ratings.missing(lines):
        async with aclosing(_rate(task, ratings, missing)) as more:
            async for extra in more:
                yield extra
    section = ratings.section(task.step)
    yield section
    yield Output({**done, "line_ratings": section.data})
