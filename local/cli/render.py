"""What a renderer is: something that takes a run's events, one after the other."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

Event = Mapping[str, Any]


class Renderer(Protocol):
    """Shows a run while it happens."""

    def event(self, event: Event) -> None:
        """The next event."""

    def note(self, text: str) -> None:
        """Something about the connection, for the person waiting."""

    def close(self) -> None:
        """The run is over, or lost; whatever moves on the screen stops."""


class Silent:
    """Shows nothing: for `--json`."""

    def event(self, event: Event) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def close(self) -> None:
        pass


class Shown:
    """Which sections stand on the screen, by step: a result that comes without them shows the others.

    It does so where a run was followed after its events had expired, or was resumed.
    """

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {}

    def add(self, step: str, section: str) -> None:
        self._names.setdefault(step, set()).add(section)

    def forget(self, step: str) -> None:
        self._names.pop(step, None)

    def missing(self, result: Any) -> Iterator[tuple[str, Any]]:
        """The sections of a result that were not shown."""
        known = set().union(*self._names.values())
        if isinstance(result, Mapping):
            yield from ((name, data) for name, data in result.items() if name not in known)


class Lines:
    """The transcript's texts by line number, for the lines that are rated."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        transcript = request.get("transcript")
        entries = transcript if isinstance(transcript, list) else []
        self._texts = {
            entry.get("line_number"): str(entry.get("text", ""))
            for entry in entries
            if isinstance(entry, dict)
        }

    def text(self, number: Any) -> str:
        return self._texts.get(number, "")
