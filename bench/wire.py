"""What a model sends for an answer, as bytes: chat completions and the Responses API. Pure.

Source: https://platform.openai.com/docs/api-reference/chat-streaming and
https://platform.openai.com/docs/api-reference/responses-streaming
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from local.model.wire import DONE, Frames, dumps, usage

Kind = Literal["chat", "responses"]
Event = tuple[str, dict[str, Any]]
MODEL = "bench"
CREATED = 1_790_000_000


@dataclass(frozen=True, slots=True)
class Stream:
    """One answer's events: what comes before its deltas, what makes one of a piece, what comes after."""

    before: bytes
    delta: Callable[[str], bytes]
    after: bytes


def chat(texts: Sequence[str]) -> Stream:
    """Chat completion chunks, the last one with the usage."""
    frames = Frames(id="chatcmpl-bench", model=MODEL, created=CREATED, with_usage=True)
    end = frames.last("stop") + frames.usage(usage(4000, len(texts))) + DONE
    return Stream(frames.first(), frames.delta, end)


def responses(texts: Sequence[str]) -> Stream:
    """The events of one message's text."""
    text = "".join(texts)
    place = {"item_id": "msg_bench", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
    item = {"id": "msg_bench", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    before: list[Event] = [
        ("response.created", {"response": _response("in_progress", [])}),
        ("response.in_progress", {"response": _response("in_progress", [])}),
        ("response.output_item.added", {"output_index": 0, "item": item}),
        ("response.content_part.added", {**place, "part": part}),
    ]
    whole = {**part, "text": text}
    done = {**item, "status": "completed", "content": [whole]}
    after: list[Event] = [
        ("response.output_text.done", {**place, "text": text, "logprobs": []}),
        ("response.content_part.done", {**place, "part": whole}),
        ("response.output_item.done", {"output_index": 0, "item": done}),
        ("response.completed", {"response": _response("completed", [done], len(texts))}),
    ]

    def delta(piece: str) -> bytes:
        return _event("response.output_text.delta", {**place, "delta": piece, "logprobs": []})

    return Stream(_events(before), delta, _events(after))


def _events(events: Sequence[Event]) -> bytes:
    return b"".join(_event(kind, fields) for kind, fields in events)


def _event(kind: str, fields: dict[str, Any]) -> bytes:
    data = dumps({"type": kind, "sequence_number": 0, **fields})
    return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"


def _response(status: str, output: list[Any], tokens: int | None = None) -> dict[str, Any]:
    counted = None
    if tokens is not None:
        counted = {
            "input_tokens": 1000,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 1000 + tokens,
        }
    return {
        "id": "resp_bench",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "model": MODEL,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "temperature": 1.0,
        "top_p": 1.0,
        "text": {"format": {"type": "text"}},
        "usage": counted,
    }
