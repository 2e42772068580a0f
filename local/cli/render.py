"""What a renderer is: something that takes a run's events, one after the other."""

from collections.abc import Mapping
from typing import Any, Protocol

Event = Mapping[str, Any]


class Renderer(Protocol):
    """Shows a run while it happens."""

    def event(self, event: Event) -> None:
        """The next event."""

    def close(self) -> None:
        """The run is over, or lost; whatever moves on the screen stops."""


class Silent:
    """Shows nothing: for `--json`."""

    def event(self, event: Event) -> None:
        pass

    def close(self) -> None:
        pass


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
