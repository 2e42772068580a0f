"""A run as plain lines, each written at once: for pipes, files and logs."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from local.cli.render import Event, Lines, Shown
from local.cli.text import SCRIPTED_MARK, clean, closing, seconds, title


class PlainRenderer:
    """Writes to `out`, one line for each thing worth knowing."""

    def __init__(self, out: TextIO, request: Mapping[str, Any]) -> None:
        self._out = out
        self._lines = Lines(request)
        self._rated: dict[int, str] = {}  # lines, and the step that rated them
        self._shown = Shown()

    def event(self, event: Event) -> None:
        for line in self._of(event):
            print(line, file=self._out, flush=True)

    def note(self, text: str) -> None:
        print(clean(text), file=sys.stderr, flush=True)

    def close(self) -> None:
        pass

    def _of(self, event: Event) -> Iterator[str]:
        match event.get("type"):
            case "start":
                steps = ", ".join(clean(step["label"]) for step in event["steps"])
                what = f"{clean(event['workflow'])} ({clean(event['mode'])})"
                yield f"run {clean(event['run_id'])}: {what}: {steps}"
            case "status":
                yield f"status: {clean(event['message'])}"
            case "step_start":
                again = f", attempt {event['attempt']}" if event["attempt"] > 1 else ""
                yield f"step {clean(event['step'])}: started{again}"
            case "step_complete":
                yield f"step {clean(event['step'])}: done in {seconds(event['duration'])}"
            case "step_error":
                then = "trying again" if event["will_retry"] else "giving up"
                said = f"{clean(event['code'])}: {clean(event['message'])}"
                yield f"step {clean(event['step'])}: {said} ({then})"
            case "reset":
                self._rated = {line: step for line, step in self._rated.items() if step != event["step"]}
                self._shown.forget(event["step"])
                why = clean(event["reason"])
                yield f"step {clean(event['step'])}: starts again, forget what it said: {why}"
            case "item" if event["section"] == "line_ratings":
                yield from self._rating(event["step"], event["data"])
            case "section":
                yield from self._section(event["step"], event["section"], event["data"])
            case "chunk":
                self._shown.add(event["step"], event["step"])  # what a cancelled run keeps it under
                yield f"text: {clean(event['content'])}"
            case "complete":
                yield from self._rest(event["data"])
                yield f"complete: {closing(dict(event))}"
            case "cancelled":
                yield from self._rest(event["data"])
                yield f"cancelled: {closing(dict(event))}"
            case "error":
                yield f"error: {clean(event['code'])}: {clean(event['message'])}"

    def _rest(self, result: Any) -> Iterator[str]:
        for name, data in list(self._shown.missing(result)):
            yield from self._section("", name, data)

    def _rating(self, step: str, rating: Mapping[str, Any]) -> Iterator[str]:
        number = rating["line_number"]
        if number in self._rated:
            return
        self._rated[number] = step
        said, reason = clean(self._lines.text(number)), clean(rating["reason"]).removeprefix(SCRIPTED_MARK)
        line = f"“{said}” ({reason})" if said else reason
        yield f"line {number}: {clean(rating['effectiveness'])}: {line}"
        for instead in rating["alternative_lines"]:
            yield f"line {number}: instead: “{clean(instead)}”"

    def _section(self, step: str, name: str, data: Any) -> Iterator[str]:
        self._shown.add(step, name)
        if name == "line_ratings":
            for rating in data:
                yield from self._rating(step, rating)
            counts = Counter(clean(rating["effectiveness"]) for rating in data)
            listed = ", ".join(f"{count} {each.replace('_', ' ')}" for each, count in counts.most_common())
            yield f"line_ratings: {len(data)} lines: {listed}"
            return
        yield from flat(name, data)


def flat(name: str, value: Any) -> Iterator[str]:
    """A value as lines of `path: value`; the members of one list element stand on one line."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flat(f"{name}.{key}", inner)
    elif isinstance(value, list):
        if not value:
            yield f"{name}: none"
        for inner in value:
            if isinstance(inner, Mapping):
                said = "; ".join(f"{title(k)}: {clean(v)}" for k, v in inner.items() if v is not None)
                yield f"{name}: {said}"
            else:
                yield f"{name}: {clean(inner)}"
    else:
        yield f"{name}: {clean(value)}"
