"""The bytes of the chat completions protocol, as OpenAI's API writes them. Pure."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

FINGERPRINT = "scripted"
DONE = b"data: [DONE]\n\n"
_SIZES = (4, 3, 5, 4, 2, 6)  # a delta is about four characters, and never two of the same size in a row

FinishReason = Literal["stop", "length", "content_filter"]


def pieces(text: str) -> Iterator[str]:
    """Cuts a text as a model's tokens would: unevenly, without regard for words or JSON."""
    start = index = 0
    while start < len(text):
        size = _SIZES[index % len(_SIZES)]
        yield text[start : start + size]
        start, index = start + size, index + 1


def usage(prompt_characters: int, completion_tokens: int) -> dict[str, Any]:
    prompt_tokens = -(-prompt_characters // 4)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def error(status: int, message: str, code: str | None = None) -> dict[str, Any]:
    kind = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}.get(
        status, "invalid_request_error" if status < 500 else "server_error"
    )
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def dumps(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Frames:
    """The events of one streamed answer."""

    id: str
    model: str
    created: int
    with_usage: bool

    def first(self) -> bytes:
        return self._frame({"role": "assistant", "content": "", "refusal": None})

    def delta(self, text: str, field: Literal["content", "refusal"] = "content") -> bytes:
        return self._frame({field: text})

    def last(self, reason: FinishReason) -> bytes:
        return self._frame({}, reason)

    def usage(self, tokens: dict[str, Any]) -> bytes:
        return b"data: " + dumps({**self._head(), "choices": [], "usage": tokens}) + b"\n\n"

    def _head(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "system_fingerprint": FINGERPRINT,
        }

    def _frame(self, delta: dict[str, Any], reason: FinishReason | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        # With include_usage every event carries the field, null until the last one.
        end: dict[str, Any] = {"usage": None} if self.with_usage else {}
        return b"data: " + dumps({**self._head(), "choices": [choice], **end}) + b"\n\n"


def whole(
    frames: Frames, content: str | None, refusal: str | None, reason: FinishReason, tokens: dict[str, Any]
) -> bytes:
    """The same answer in one piece."""
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": refusal, "annotations": []}
    return dumps({
        "id": frames.id,
        "object": "chat.completion",
        "created": frames.created,
        "model": frames.model,
        "system_fingerprint": FINGERPRINT,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
        "usage": tokens,
    })  # fmt: skip
