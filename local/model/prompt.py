"""Reads what the scripted model needs out of the messages of a request. Pure."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from local.model.signals import Line

_FENCE = re.compile(r"^<transcript>[ \t]*\n(.*?)^</transcript>[ \t]*$", re.MULTILINE | re.DOTALL)
_ONLY = re.compile(r"^Rate only these line numbers:[ \t]*([\d, \t]+)", re.MULTILINE)
_MARKER = re.compile(r"\[scripted\b([^\]]*)\]")


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the messages say, sorted by what the model does with it."""

    lines: tuple[Line, ...]
    only: frozenset[int] | None
    """The line numbers to rate; None for all."""
    question: str
    """The last user message without its transcript: what is asked."""
    material: str
    """Everything else a plain answer may draw from."""
    pace: str | None
    fault: str | None
    characters: int


def read_prompt(messages: Sequence[Mapping[str, object]]) -> Prompt:
    """Reads the messages of a chat completions request, already known to be a list of objects."""
    texts = [(str(message.get("role", "")), _text(message.get("content"))) for message in messages]
    user = [text for role, text in texts if role == "user"]
    system = [text for role, text in texts if role in {"system", "developer"}]
    spoken = "\n".join(user).replace("\r\n", "\n")
    # Markers count only outside the transcript: its lines are data, also for the scripted model.
    around = _FENCE.sub("", spoken)
    only = _ONLY.findall(around)
    options = _marked("\n".join(system))
    return Prompt(
        lines=tuple(line for block in _FENCE.findall(spoken) for line in _lines(block)),
        only=frozenset(int(number) for number in re.findall(r"\d+", only[-1])) if only else None,
        question=_FENCE.sub("", user[-1].replace("\r\n", "\n")).strip() if user else "",
        material="\n".join([*system, *(_FENCE.sub("", text) for text in user[:-1])]),
        pace=options.get("pace"),
        fault=options.get("fault"),
        characters=sum(len(text) for _, text in texts),
    )


def _text(content: object) -> str:
    """A message's text: a string, or a list of parts of which only text ones count."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(
            str(part.get("text", ""))
            for part in content
            if isinstance(part, dict) and part.get("type") == "text"
        )
    return ""


def _lines(block: str) -> list[Line]:
    # Only "\n" ends a line: str.splitlines would cut at U+2028 inside a JSON string.
    found = []
    for row in block.split("\n"):
        try:
            value = json.loads(row)
        except ValueError:
            continue
        if isinstance(value, dict) and isinstance(value.get("line_number"), int):
            found.append(
                Line(value["line_number"], str(value.get("speaker", "")), str(value.get("text", "")))
            )
    return found


def _marked(system: str) -> dict[str, str]:
    """`[scripted pace=50 fault=cut@20]` anywhere in a system message."""
    options: dict[str, str] = {}
    for marker in _MARKER.findall(system):
        for word in marker.split():
            name, equals, value = word.partition("=")
            if equals:
                options[name] = value
    return options
