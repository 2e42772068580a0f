"""Sections and items out of a model's text, without a model: what is sent, when, and what is repaired."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from rill.errors import InvalidOutput, ModelRefused
from rill.events import Item, Section, Status, Usage
from rill.models.catalogue import Catalogue, bundled
from rill.models.client import ModelClient
from rill.models.settings import ModelSettings
from rill.models.structured import sections, strict_schema, subset


class Score(BaseModel):
    model_config = ConfigDict(extra="forbid")
    overall: int = Field(ge=0, le=100)


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    scores: Score
    notes: list[Score]


GOOD = {"scores": {"overall": 7}, "notes": [{"overall": 1}, {"overall": 2}]}
USED = Usage(step="s", model="m", input_tokens=1, output_tokens=1, cost_usd=0.0, certainty="exact")


class FakeCall:
    def __init__(self, pieces: Sequence[str | Exception], gate: "asyncio.Queue[str | None] | None") -> None:
        self.pieces = pieces
        self.gate = gate

    async def __aiter__(self) -> AsyncIterator[str]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece
        while self.gate is not None and (given := await self.gate.get()) is not None:
            yield given

    def usage(self, step: str) -> Usage:
        return USED


class FakeClient:
    """Answers each call with the next of its answers."""

    def __init__(
        self, *answers: Sequence[str | Exception], gate: "asyncio.Queue[str | None] | None" = None
    ) -> None:
        self.answers = list(answers)
        self.gate = gate
        self.asked: list[Any] = []
        self.closed = 0
        self.settings = ModelSettings.from_env({"OPENAI_API_KEY": "k"})

    async def ready(self) -> None:
        pass

    @asynccontextmanager
    async def open(self, **options: Any) -> AsyncIterator[FakeCall]:
        self.asked.append(options)
        try:
            yield FakeCall(self.answers.pop(0), self.gate)
        finally:
            self.closed += 1


def ask(client: FakeClient, aborted: Any = None, items: bool = True) -> Any:
    return sections(
        cast(ModelClient, client),
        tier="small",
        messages=[{"role": "user", "content": "?"}],
        step="s",
        model=Answer,
        items={"notes": TypeAdapter(Score)} if items else None,
        aborted=aborted,
    )


async def collect(events: Any) -> list[Any]:
    return [event async for event in events]


async def test_sections_and_items_come_in_the_order_of_the_text() -> None:
    client = FakeClient(list(json.dumps(GOOD)))
    assert await collect(ask(client)) == [
        Section(step="s", section="scores", data={"overall": 7}),
        Item(step="s", section="notes", index=0, data={"overall": 1}),
        Item(step="s", section="notes", index=1, data={"overall": 2}),
        Section(step="s", section="notes", data=[{"overall": 1}, {"overall": 2}]),
        USED,
    ]
    assert client.closed == 1
    assert client.asked[0]["response_format"]["json_schema"]["strict"] is True


async def test_a_section_leaves_in_the_turn_of_its_last_character() -> None:
    gate: asyncio.Queue[str | None] = asyncio.Queue()
    client = FakeClient([], gate=gate)
    events = ask(client)
    for character in '{"scores": {"overall": 7':
        gate.put_nowait(character)
    waiting = asyncio.ensure_future(anext(events))
    for _ in range(200):
        await asyncio.sleep(0)
    assert gate.empty()
    assert not waiting.done()
    gate.put_nowait("}")
    turns = 0
    while not waiting.done():
        await asyncio.sleep(0)
        turns += 1
    # One turn wakes the reader of the queue, the next one this test: no timer, no further character.
    assert turns <= 2
    assert waiting.result() == Section(step="s", section="scores", data={"overall": 7})
    await events.aclose()
    assert client.closed == 1


async def test_wrong_and_missing_sections_are_asked_for_once_more_together() -> None:
    wrong = json.dumps({"scores": {"overall": 101}, "extra": 1})
    client = FakeClient([wrong], [json.dumps(GOOD)])
    events = await collect(ask(client))
    assert events == [
        USED,
        Status(message="Checking scores and notes again…"),
        Section(step="s", section="scores", data={"overall": 7}),
        Section(step="s", section="notes", data=[{"overall": 1}, {"overall": 2}]),
        USED,
    ]
    complaint = client.asked[1]["messages"][-1]["content"]
    assert "overall: Input should be less than or equal to 100" in complaint
    assert "notes: it is missing" in complaint
    assert '"overall": 101' in client.asked[1]["messages"][-2]["content"]


async def test_an_item_that_is_not_valid_is_left_to_the_repair_of_its_list() -> None:
    wrong = json.dumps({**GOOD, "notes": [{"overall": 1}, {"overall": -1}]})
    client = FakeClient([wrong], [json.dumps({"notes": [{"overall": 1}, {"overall": 2}]})])
    events = await collect(ask(client))
    assert [e.index for e in events if isinstance(e, Item)] == [0]
    assert events[-2] == Section(step="s", section="notes", data=[{"overall": 1}, {"overall": 2}])


async def test_a_second_mistake_is_an_error() -> None:
    wrong = json.dumps({**GOOD, "scores": {"overall": "many " * 3}})
    client = FakeClient([wrong], [json.dumps({"scores": {"overall": 101}})])
    with pytest.raises(InvalidOutput) as caught:
        await collect(ask(client))
    assert "scores" in str(caught.value)
    assert client.closed == 2


async def test_many_problems_are_cut_short_in_the_complaint() -> None:
    wrong = json.dumps({**GOOD, "notes": [{"overall": -1}] * 15})
    client = FakeClient([wrong], [json.dumps({"notes": []})])
    await collect(ask(client, items=False))
    assert "(and 5 more)" in client.asked[1]["messages"][-1]["content"]


@pytest.mark.parametrize("pieces", [['{"scores"', ModelRefused()], ['{"scores"']])
async def test_usage_of_a_failed_call_is_told(pieces: list[str | Exception]) -> None:
    aborted: list[Usage] = []
    client = FakeClient(pieces)
    with pytest.raises((ModelRefused, InvalidOutput)):
        await collect(ask(client, aborted.append))
    assert aborted == [USED]
    assert client.closed == 1


async def test_usage_of_a_call_that_is_left_is_told() -> None:
    aborted: list[Usage] = []
    client = FakeClient(list(json.dumps(GOOD)))
    events = ask(client, aborted.append)
    await anext(events)
    await events.aclose()
    assert aborted == [USED]
    assert client.closed == 1


async def test_a_provider_without_schemas_gets_it_as_a_message() -> None:
    client = FakeClient(["```json\n", json.dumps(GOOD), "\n```"])
    catalogue: Catalogue = bundled()
    client.settings = ModelSettings.from_env(
        {"RILL_MODEL_PROVIDER": "anthropic", "ANTHROPIC_API_KEY": "k"}, catalogue
    )
    assert len(await collect(ask(client))) == 5
    assert client.asked[0]["response_format"] == {"type": "json_object"}
    assert '"overall"' in client.asked[0]["messages"][-1]["content"]


def test_schemas_are_strict_and_made_once() -> None:
    part = subset(Answer, "part", ("scores",))
    assert subset(Answer, "part", ("scores",)) is part
    schema = strict_schema(part)
    assert schema["required"] == ["scores"]
    assert schema["additionalProperties"] is False
    assert strict_schema(part) == schema
