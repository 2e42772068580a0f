"""One invocation on its way through the emulator: the event, where the response goes, and how it ended."""

import asyncio
import secrets
import time
import uuid
from dataclasses import dataclass, field
from typing import Protocol


class Sink(Protocol):
    """Where the function's response goes, piece by piece.

    Both methods return once there is room for more; neither raises when the client is gone, since a
    function is told nothing of that and runs on.
    """

    async def start(self, content_type: str, *, streaming: bool) -> None:
        """The response begins. A streaming one may start with a prelude, by its content type."""

    async def write(self, data: bytes) -> None:
        """A piece of the response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an invocation ended; `error_type` is None where it ended well.

    `error_body` is what the function said of it, JSON as a rule.
    """

    error_type: str | None = None
    error_body: bytes = b""


@dataclass(slots=True, kw_only=True)
class Invocation:
    """What a function is invoked with.

    Attributes:
        event: JSON, as the Runtime API hands it over.
        deadline_ms: epoch milliseconds; set when an environment takes the invocation.
        outcome: done when the response is complete or has failed.
    """

    event: bytes
    sink: Sink
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    trace_id: str = field(default_factory=lambda: new_trace_id())
    deadline_ms: int = 0
    outcome: "asyncio.Future[Outcome]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def end(self, outcome: Outcome) -> None:
        """Set the outcome, where none is set yet: the first word counts."""
        if not self.outcome.done():
            self.outcome.set_result(outcome)


def new_trace_id() -> str:
    """An X-Ray trace header, not sampled.

    Source: https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
    """
    root = f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"
    return f"Root={root};Parent={secrets.token_hex(8)};Sampled=0"


class Buffer:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.content_type = ""
        self.streaming = False
        self.data = bytearray()

    async def start(self, content_type: str, *, streaming: bool) -> None:
        self.content_type = content_type
        self.streaming = streaming

    async def write(self, data: bytes) -> None:
        self.data += data
