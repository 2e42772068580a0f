"""Functions for the emulator's tests. A gate is a FIFO: opening it waits until the test opens it too."""

import json
import os
from pathlib import Path
from typing import Any

calls = 0


def _query(event: dict[str, Any]) -> dict[str, str]:
    return event.get("queryStringParameters") or {}


def echo(event: dict[str, Any], out: Any) -> None:
    """The event itself, streamed."""
    out.start({"statusCode": 200, "headers": {"content-type": "application/json"}})
    out.write(json.dumps(event).encode())
    out.end()


def identity(_event: dict[str, Any], out: Any) -> None:
    """Which process this is, and its how manyeth invocation."""
    global calls
    calls += 1
    out.start({"statusCode": 201, "headers": {"x-two": ["a", "b"]}, "cookies": ["c=1; Path=/", "d=2"]})
    out.write(json.dumps({"pid": os.getpid(), "calls": calls}).encode())
    out.end()


def gated(event: dict[str, Any], out: Any) -> None:
    """One piece, then nothing until the gate opens, then another; then a mark that it got to its end."""
    query = _query(event)
    out.start({"statusCode": 200, "headers": {"content-type": "text/event-stream"}})
    out.write(b"first\n")
    Path(query["gate"]).read_bytes()
    out.write(b"second\n")
    out.end()
    if "mark" in query:
        Path(query["mark"]).write_bytes(b"done")  # a FIFO as well: waits for its reader


def flood(event: dict[str, Any], out: Any) -> None:
    """More than any buffer holds, with the number of pieces written so far in a file."""
    out.start({"statusCode": 200})
    written = Path(_query(event)["count"])
    for number in range(1, 2001):
        out.write(bytes(64 * 1024))
        written.write_text(str(number))
    out.end()


def late_error(_event: dict[str, Any], out: Any) -> None:
    out.start({"statusCode": 200})
    out.write(b"half")
    out.end("Function.Failed", {"errorMessage": "half way"})


def early_error(_event: dict[str, Any], out: Any) -> None:
    out.post("error", {"errorMessage": "at once"}, "Function.Failed")


def crash(_event: dict[str, Any], _out: Any) -> None:
    os._exit(3)


def plain(_event: dict[str, Any], out: Any) -> None:
    """A stream without a prelude."""
    out.start(None, "text/plain")
    out.write(b"plain")
    out.end()


def bad_prelude(_event: dict[str, Any], out: Any) -> None:
    out.start(None)
    out.write(b"no json" + bytes(8) + b"x")
    out.end()


def buffered(event: dict[str, Any], out: Any) -> None:
    if _query(event).get("bare"):
        out.post("response", {"just": "json"})
    else:
        out.post(
            "response",
            {"statusCode": 202, "headers": {"X-A": "1"}, "body": "aGk=", "isBase64Encoded": True},
        )
