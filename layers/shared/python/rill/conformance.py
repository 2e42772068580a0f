"""Does a whole stream keep the protocol? Schema, numbering, step brackets, one terminal event.

What order is legal stands in `RULES` and `LIFE`, and only there. Pure: bytes in, a report out.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any

from pydantic import Discriminator, TypeAdapter, ValidationError
from pydantic_core import from_json

from rill.events import SKIP, TERMINAL, Event

# What a step is doing -> the events of that step that are legal then, and what it is doing after them.
_WORK = ("step_progress", "section", "item", "chunk", "citation", "usage")
RULES: dict[str, dict[str, str]] = {
    "idle": {"step_start": "running", "reset": "idle"},
    "running": {
        **dict.fromkeys(_WORK, "running"),
        "step_complete": "done",
        "step_error": "failed",
        "reset": "idle",  # the run was interrupted, and goes on
    },
    "failed": {"reset": "idle", "step_start": "running", "usage": "failed", "step_error": "failed"},
    "done": {"reset": "idle"},
}
# How a stream may end: which step states are legal under each terminal event.
LIFE: dict[str, frozenset[str]] = {
    "complete": frozenset({"idle", "done", "failed"}),
    "cancelled": frozenset({"idle", "done", "failed", "running"}),
    "error": frozenset({"idle", "done", "failed", "running"}),
}

_FRAME = re.compile(rb"id: (\d+)\ndata: ([^\r\n]*)\Z")
_COMMENT = re.compile(rb":[^\r\n]*\Z")


class NonConforming(ValueError):
    """The stream breaks the protocol; the message names the first place."""


@cache
def adapter() -> TypeAdapter[Event]:
    """Validates one event's JSON; unknown fields are errors, since version 1 has a closed vocabulary."""
    return TypeAdapter(Annotated[Event, Discriminator("type")])


def json_schema() -> dict[str, Any]:
    """The protocol as JSON Schema (2020-12), as it is published in docs/protocol.schema.json."""
    schema = adapter().json_schema(mode="serialization")
    for name, definition in schema["$defs"].items():
        properties = definition["properties"]
        required = [key for key, value in properties.items() if value.get("default", "") is not None]
        definition.update(required=required, additionalProperties=False, title=name)
        for value in properties.values():
            value.pop("title", None)
            if value.get("default", "") is None:
                del value["default"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Rill wire protocol, version 1: one event",
        **schema,
    }


@dataclass
class Report:
    """What a conforming stream held: its events in order, and how many keep-alive comments."""

    events: list[Event] = field(default_factory=list)
    comments: int = 0

    def of(self, kind: str) -> list[Any]:
        """The events of one `type`, in order."""
        return [event for event in self.events if event.type == kind]

    @property
    def terminal(self) -> Any:
        """The last event."""
        return self.events[-1]


def check(stream: bytes, *, after: int = 0, gaps: bool = False) -> Report:
    """Check one whole stream.

    Args:
        stream: the body as it came over the wire.
        after: the `seq` the client had already, where the stream is a replay.
        gaps: whether numbers may jump where they can: where a lost run goes on, and before a terminal
            event that comes alone, since the log has expired or is not whole.

    Raises:
        NonConforming: naming the first frame that breaks a rule.
    """
    if not stream.startswith(b"retry: 1000\n\n"):
        raise NonConforming(f"the stream does not open with retry: {stream[:40]!r}")
    if not stream.endswith(b"\n\n"):
        raise NonConforming(f"the stream ends inside a frame: {stream[-40:]!r}")
    report = Report()
    seq = after
    for block in stream.removeprefix(b"retry: 1000\n\n").removesuffix(b"\n\n").split(b"\n\n"):
        if _COMMENT.match(block):
            report.comments += 1
            continue
        match = _FRAME.match(block)
        if match is None:
            raise NonConforming(f"no frame: {block[:80]!r}")
        expected, seq = seq + 1, int(match[1])
        event = _parse(seq, match[2])
        jumps = gaps and seq > expected and (event.type in TERMINAL or seq % SKIP == 1)
        if seq != expected and not jumps:
            raise NonConforming(f"event {expected} carries id {seq}")
        report.events.append(event)
    check_order(report.events, replay=after > 0)
    return report


def _parse(seq: int, data: bytes) -> Event:
    try:
        event = adapter().validate_json(data)
    except ValidationError as error:
        raise NonConforming(f"event {seq} is not of the schema: {error}") from None
    known = {*type(event).__dataclass_fields__}
    unknown = {*from_json(data)} - known
    if unknown:
        raise NonConforming(f"event {seq} ({event.type}) has unknown fields: {sorted(unknown)}")
    return event


def check_order(events: Iterable[Event], *, replay: bool = False) -> None:
    """Check the order rules over events in sequence.

    Args:
        events: at least the terminal event, or a `handoff` where the stream is one connection of many.
        replay: the sequence begins in the middle of a run, so `start` and brackets may lie before it.
    """
    order = _Order(replay)
    for seq, event in enumerate(events, 1):
        order.feed(seq, event)
    order.close()


class _Order:
    def __init__(self, replay: bool) -> None:
        self.replay = replay
        self.states: dict[str, str] = {}
        self.sent: set[tuple[str, str, int]] = set()
        self.progress = 0.0
        self.last: str | None = None

    def feed(self, seq: int, event: Event) -> None:
        where = f"event {seq} ({event.type})"
        if self.last in TERMINAL or self.last == "handoff":
            raise NonConforming(f"{where} comes after {self.last}")
        if not self.replay and (event.type == "start") != (seq == 1):
            raise NonConforming(f"{where}: a stream has one start, and it comes first")
        self.last = event.type
        if event.type == "start":
            self.states = {info.step: "idle" for info in event.steps}
        elif event.type == "progress":
            self._progress(where, event.progress)
        elif event.type not in ("error", "status", "handoff", "complete", "cancelled"):
            self._step(where, event)
        if event.type in LIFE:
            self._end(where, LIFE[event.type])

    def _progress(self, where: str, progress: float) -> None:
        if not self.progress <= progress <= 100:
            raise NonConforming(f"{where}: progress went from {self.progress} to {progress}")
        self.progress = progress

    def _step(self, where: str, event: Any) -> None:
        state = self.states.get(event.step)
        if state is None:
            if not self.replay:
                raise NonConforming(f"{where}: step {event.step!r} was not announced in start")
            state = "idle" if event.type == "step_start" else "running"
        after = RULES[state].get(event.type)
        if after is None:
            raise NonConforming(f"{where}: not legal for step {event.step!r} while it is {state}")
        self.states[event.step] = after
        if event.type == "reset":
            self.sent = {key for key in self.sent if key[0] != event.step}
        elif event.type in ("section", "item"):
            key = (event.step, event.section, getattr(event, "index", -1))
            if key in self.sent:
                raise NonConforming(f"{where}: {key} was sent twice")
            self.sent.add(key)

    def _end(self, where: str, legal: frozenset[str]) -> None:
        for step, state in self.states.items():
            if state not in legal:
                raise NonConforming(f"{where}: step {step!r} is still {state}")

    def close(self) -> None:
        if self.last not in TERMINAL and self.last != "handoff":
            raise NonConforming(f"the stream ends with {self.last}, which is not terminal")
