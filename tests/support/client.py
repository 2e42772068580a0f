"""What a page does with a stream: it takes pieces of any size in, and holds what it shows."""

import copy
import json
from typing import Any

from rill.events import TERMINAL


class Client:
    """One person's view of a run, over as many connections as it takes.

    Attributes:
        after: the id of the newest event it has.
        seen: how many events it has taken in.
        terminal: the event that ended the run, or None.
    """

    def __init__(self) -> None:
        self.after = 0
        self.seen = 0
        self.terminal: dict[str, Any] | None = None
        self._buffer = b""
        self._view: dict[str, Any] = {"start": None, "progress": 0, "usages": [], "steps": {}}

    def feed(self, data: bytes) -> None:
        """Bytes of the connection."""
        *blocks, self._buffer = (self._buffer + data).split(b"\n\n")
        for block in blocks:
            fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if not line.startswith(b":"))
            if b"data" in fields:
                self._take(int(fields[b"id"]), json.loads(fields[b"data"]))

    def drop(self) -> None:
        """The connection is gone, and with it what had come of an event."""
        self._buffer = b""

    @property
    def view(self) -> dict[str, Any]:
        """Everything that is shown, to be compared."""
        return copy.deepcopy({**self._view, "terminal": self.terminal})

    def _take(self, seq: int, event: dict[str, Any]) -> None:
        if event["type"] == "handoff":
            return
        assert seq > self.after, f"event {seq} comes twice, or after {self.after}"
        self.after, self.seen = seq, self.seen + 1
        kind, view = event["type"], self._view
        if kind in TERMINAL:
            self.terminal = event
        elif kind == "start":
            view["start"] = event
        elif kind == "progress":
            view["progress"] = event["progress"]
        elif kind == "usage":
            view["usages"].append(event)
        elif "step" in event:
            self._step(event)

    def _step(self, event: dict[str, Any]) -> None:
        kind, name = event["type"], event["step"]
        shown = self._view["steps"].setdefault(name, {"sections": {}, "items": {}, "text": "", "cited": []})
        if kind == "reset":
            self._view["steps"][name] = {"sections": {}, "items": {}, "text": "", "cited": [], "state": kind}
        elif kind == "section":
            shown["sections"][event["section"]] = event["data"]
        elif kind == "item":
            shown["items"][f"{event['section']} {event['index']}"] = event["data"]
        elif kind == "chunk":
            shown["text"] += event["content"]
        elif kind == "citation":
            shown["cited"].append(event)
        elif kind in ("step_start", "step_complete", "step_error"):
            shown["state"] = event


def view(*connections: bytes) -> dict[str, Any]:
    """What a client shows that was given these connections, one after the other."""
    client = Client()
    for connection in connections:
        client.feed(connection)
        client.drop()
    return client.view
