"""Structured answers: sections and items of one model call, each validated the moment it is complete."""

import json
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter, ValidationError, create_model

from rill.errors import InvalidOutput
from rill.events import Item, Section, Status, Usage
from rill.models.catalogue import Tier
from rill.models.client import Call, Message, ModelClient
from rill.sections import Element, Member, SectionParser

logger = logging.getLogger(__name__)
StructuredEvent = Section | Item | Usage | Status
MAX_PROBLEMS = 10


@dataclass(slots=True)
class _Answer:
    """Checks the members of one answer against the model's fields."""

    step: str
    adapters: Mapping[str, TypeAdapter[Any]]
    items: Mapping[str, TypeAdapter[Any]]
    done: set[str] = field(default_factory=set)
    problems: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, Any] = field(default_factory=dict)

    def check(self, found: Member | Element) -> Section | Item | None:
        """The event of a valid part; what is not valid is noted in `problems`."""
        if isinstance(found, Element):
            return self._item(found)
        if found.name not in self.adapters:
            logger.warning("step %s: the model's answer has an unknown section %.80r", self.step, found.name)
            return None
        adapter = self.adapters[found.name]
        try:
            data = adapter.dump_python(adapter.validate_python(found.value), mode="json")
        except ValidationError as error:
            self.problems[found.name] = _sentences(error)
            self.wrong[found.name] = found.value
            return None
        self.done.add(found.name)
        return Section(step=self.step, section=found.name, data=data)

    def _item(self, found: Element) -> Item | None:
        adapter = self.items[found.name]
        try:
            data = adapter.dump_python(adapter.validate_python(found.value), mode="json")
        except ValidationError:
            return None  # the list it stands in will not be valid either, and says so
        return Item(step=self.step, section=found.name, index=found.index, data=data)

    def left(self) -> list[str]:
        """The sections that are wrong or missing, in the model's order."""
        for name in self.adapters:
            if name not in self.done:
                self.problems.setdefault(name, "it is missing")
        return [name for name in self.adapters if name in self.problems]


async def sections(
    client: ModelClient,
    *,
    tier: Tier,
    messages: Sequence[Message],
    step: str,
    model: type[BaseModel],
    items: Mapping[str, TypeAdapter[Any]] | None = None,
    aborted: Callable[[Usage], None] | None = None,
) -> AsyncGenerator[StructuredEvent, None]:
    """Ask for an answer in the form of `model`; gives its fields as sections when each is complete.

    Sections that are not valid, or missing, are asked for once more, with what was wrong; a repaired
    section comes without items. The generator must be closed where it is not run to its end.

    Args:
        client: the model client.
        tier: which model answers.
        messages: the question.
        step: the step's name, for the events.
        model: whose fields are the sections.
        items: for list fields whose elements are wanted one by one: what checks an element.
        aborted: told the usage of a call that was given up, since no event can carry it.

    Raises:
        InvalidOutput: a section was not valid the second time either, or the answer is no JSON.
        RillError: see `ModelClient.open`.
    """
    answer = _Answer(step, _adapters(model), items or {})
    async with aclosing(_ask(client, tier, messages, model, answer, aborted)) as events:
        async for event in events:
            yield event
    if not (left := answer.left()):
        return
    logger.warning("step %s: asking again for %s: %s", step, left, answer.problems)
    yield Status(message=_again(left))
    repair = subset(model, f"{model.__name__}_repair", tuple(left))
    repaired = _Answer(step, _adapters(repair), {})
    question = [*messages, *_complaint(answer, left)]
    async with aclosing(_ask(client, tier, question, repair, repaired, aborted)) as events:
        async for event in events:
            yield event
    if still := repaired.left():
        raise InvalidOutput(detail=f"{still} not valid after a repair: {repaired.problems}")


async def _ask(
    client: ModelClient,
    tier: Tier,
    messages: Sequence[Message],
    model: type[BaseModel],
    answer: _Answer,
    aborted: Callable[[Usage], None] | None,
) -> AsyncGenerator[StructuredEvent, None]:
    parser = SectionParser(answer.items)
    # The schema is made by the SDK, which is imported with the client.
    form, hints = await _form(client, tier, model)
    async with client.open(tier=tier, messages=[*messages, *hints], response_format=form) as call:
        told = False
        try:
            async for text in call:
                for found in parser.feed(text):
                    if (event := answer.check(found)) is not None:
                        yield event
            parser.close()
            told = True
            yield call.usage(answer.step)
        finally:
            if not told:
                _tell(call, answer.step, aborted)
    if parser.tolerated:
        logger.info("step %s: beside its JSON the model sent %s", answer.step, parser.tolerated)


def _tell(call: Call, step: str, aborted: Callable[[Usage], None] | None) -> None:
    usage = call.usage(step)
    logger.info("step %s: a model call was given up after %s", step, usage)
    if aborted is not None:
        aborted(usage)


async def _form(
    client: ModelClient, tier: Tier, model: type[BaseModel]
) -> tuple[dict[str, Any], list[Message]]:
    """The response format, and the schema as a message where the provider does not hold to it."""
    await client.ready()
    schema = strict_schema(model)
    if client.settings.tiers[tier].schema:
        return {
            "type": "json_schema",
            "json_schema": {"name": model.__name__[:64], "strict": True, "schema": schema},
        }, []
    text = "Answer with one JSON object of this schema, and nothing else:\n" + json.dumps(schema)
    return {"type": "json_object"}, [{"role": "user", "content": text}]


def load(*models: type[BaseModel]) -> None:
    """Make what answers in the form of these models need: otherwise the first of each has to wait for it."""
    for model in models:
        strict_schema(model)
        _adapters(model)


@lru_cache(maxsize=64)
def strict_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of `model` in the strict form: every field required, no others allowed.

    Source: https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
    """
    from openai import pydantic_function_tool

    schema: Any = pydantic_function_tool(model)["function"]["parameters"]
    return dict(schema)


@lru_cache(maxsize=64)
def _adapters(model: type[BaseModel]) -> Mapping[str, TypeAdapter[Any]]:
    adapters: dict[str, TypeAdapter[Any]] = {}
    for name, info in model.model_fields.items():
        form: Any = Annotated[info.annotation, info]
        adapters[name] = TypeAdapter(form)
    return adapters


@lru_cache(maxsize=64)
def subset(model: type[BaseModel], name: str, fields: tuple[str, ...]) -> type[BaseModel]:
    """A model named `name` with some of the fields of `model`. The same one each time."""
    chosen: dict[str, Any] = {
        field: (model.model_fields[field].annotation, model.model_fields[field]) for field in fields
    }
    made: type[BaseModel] = create_model(name, __config__=model.model_config, **chosen)
    return made


def _complaint(answer: _Answer, left: Sequence[str]) -> list[Message]:
    wrong = json.dumps({name: answer.wrong.get(name) for name in left}, ensure_ascii=False)
    listed = "\n".join(f"- {name}: {answer.problems[name]}" for name in left)
    return [
        {"role": "assistant", "content": wrong},
        {
            "role": "user",
            "content": f"That was not valid:\n{listed}\nWrite {', '.join(left)} again, whole and corrected.",
        },
    ]


def _sentences(error: ValidationError) -> str:
    details = error.errors(include_url=False, include_context=False)
    said = [f"{'.'.join(map(str, d['loc']))}: {d['msg']}".removeprefix(": ") for d in details[:MAX_PROBLEMS]]
    return "; ".join(said) + (f" (and {len(details) - MAX_PROBLEMS} more)" if details[MAX_PROBLEMS:] else "")


def _again(left: Sequence[str]) -> str:
    names = " and ".join(name.replace("_", " ") for name in left)
    return f"Checking {names} again…"
