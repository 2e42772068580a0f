"""The bytes of a streamed chat completion: Server-Sent Events to deltas. Pure.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation and
https://platform.openai.com/docs/api-reference/chat-streaming
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jiter

from rill.errors import UpstreamError

MAX_EVENT_BYTES = 1024 * 1024
DONE = b"[DONE]"


class EventSplitter:
    """Takes an event stream in pieces; gives the data of its events. Each byte is looked at once."""

    def __init__(self, max_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._line: list[bytes] = []  # of the line that has not ended yet
        self._data: list[bytes] = []  # the data lines of the event that has not ended yet
        self._held = 0
        self._after_cr = False
        self._first = True

    def feed(self, piece: bytes) -> list[bytes]:
        """Take the next bytes; returns the data of the events that are complete with them.

        Raises:
            UpstreamError: an event is longer than `max_bytes`.
        """
        # The common case: one event, whole, from a provider that sends each in a write of its own.
        if (
            not self._held
            and piece.startswith(b"data: ")
            and piece.endswith(b"\n\n")
            and piece.count(b"\n") == 2
            and b"\r" not in piece
            and len(piece) <= self._max_bytes
        ):
            self._first = self._after_cr = False
            return [piece[6:-2]]
        if self._after_cr and piece:
            self._after_cr = False
            piece = piece.removeprefix(b"\n")
        if b"\r" in piece:
            self._after_cr = piece.endswith(b"\r")
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = piece.split(b"\n")
        self._held += len(piece)
        self._line.append(lines[0])
        if len(lines) == 1:
            return self._within([])
        lines[0] = b"".join(self._line)
        self._line = [lines.pop()]
        return self._within(self._events(lines))

    def _events(self, lines: list[bytes]) -> list[bytes]:
        found: list[bytes] = []
        for line in lines:
            if self._first:
                self._first = False
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif not line and self._data:
                found.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data.clear()
        self._held = len(self._line[0]) + sum(map(len, self._data)) + len(self._data)
        return found

    def _within(self, found: list[bytes]) -> list[bytes]:
        if self._held > self._max_bytes:
            raise UpstreamError(detail=f"an event of the model's is over {self._max_bytes} bytes")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What a provider counted; `cached_tokens` are a part of `input_tokens`."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int


@dataclass(slots=True)
class Delta:
    """What events say: a piece of the answer, of a refusal, the end, the count, an error, a break."""

    text: str = ""
    refusal: str = ""
    finish: str | None = None
    tokens: Tokens | None = None
    error: dict[str, Any] | None = None
    broken: UpstreamError | None = None


def plain_text(data: bytes) -> str | None:
    """The text of an event that says nothing else, as nearly all do; None for any other."""
    try:
        chunk = jiter.from_json(data, cache_mode="keys")
        (choice,) = chunk["choices"]
        text = choice["delta"]["content"]
        if type(text) is str and text and choice.get("finish_reason") is None and chunk.get("usage") is None:
            return text
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    return None


def delta(events: Sequence[bytes]) -> Delta:
    """Read the data of events that arrived together as one delta; what follows a mistake is not read.

    Raises:
        UpstreamError: the first is not a chat completion chunk. For a later one it is `broken`.
    """
    said = Delta()
    texts: list[str] = []
    for number, data in enumerate(events):
        if (text := plain_text(data)) is not None:
            texts.append(text)
            continue
        try:
            texts.append(_read(data, said))
        except UpstreamError as error:
            if not number:
                raise
            said.broken = error
        if said.error is not None or said.broken is not None:
            break
    said.text = "".join(texts)
    return said


def _read(data: bytes, said: Delta) -> str:
    """The text of one event; what else it says is noted in `said`."""
    try:
        chunk: Any = jiter.from_json(data, cache_mode="keys")
    except ValueError as error:
        raise UpstreamError(detail=f"an event of the model's is not JSON: {error}") from error
    if not isinstance(chunk, dict):
        raise UpstreamError(detail="an event of the model's is no object")
    if chunk.get("error") is not None:
        given = chunk["error"]
        said.error = given if isinstance(given, dict) else {"message": str(given)}
        return ""
    try:
        if chunk.get("usage") is not None:
            said.tokens = _tokens(chunk["usage"])
        if not (choices := chunk.get("choices")):
            return ""
        piece = choices[0].get("delta") or {}
        text = piece.get("content") or ""
        if not isinstance(text, str):
            raise TypeError(f"its content is of the type {type(text).__name__}")
        said.refusal += piece.get("refusal") or ""
        said.finish = choices[0].get("finish_reason") or said.finish
        return text
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise UpstreamError(
            detail=f"an event of the model's is no chat completion chunk: {error!r}"
        ) from error


def _tokens(usage: dict[str, Any]) -> Tokens:
    details = usage.get("prompt_tokens_details") or {}
    return Tokens(
        input_tokens=int(usage["prompt_tokens"]),
        output_tokens=int(usage["completion_tokens"]),
        cached_tokens=int(details.get("cached_tokens") or 0),
    )
