"""What went wrong, as the Runtime API wants it told: no I/O."""

import base64
import json
import re
import traceback
from dataclasses import dataclass

# Lambda turns any other type into `Unknown`:
# https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html#runtimes-api-invokeerror
_TYPE = re.compile(r"(Function|Runtime)\.[A-Z][A-Za-z]+")

MAX_BYTES = 32 * 1024

# Lambda's side is Go's net/http, which refuses trailers that do not fit its 4 kB read buffer ("suspiciously
# long trailer"): the JSON, in base64 and with the two names, has to stay below that.
# https://github.com/golang/go/blob/master/src/net/http/transfer.go
MAX_TRAILER_BYTES = 2700


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One error, told twice: by its kind to Lambda's metrics, and in JSON to the caller.

    Attributes:
        kind: Lambda's category and reason, as `Function.ValueError`.
        error_type: the exception's name, or the app's own code.
    """

    kind: str
    error_type: str
    message: str
    trace: tuple[str, ...] = ()

    @classmethod
    def of(cls, error: BaseException, kind: str | None = None) -> "Failure":
        name = type(error).__name__
        lines = traceback.format_exception(error)
        return cls(kind=kind or function_kind(name), error_type=name, message=str(error), trace=tuple(lines))

    @classmethod
    def runtime(cls, kind: str, message: str) -> "Failure":
        """One of the runtime's own, as `Runtime.IncompleteResponse`."""
        return cls(kind=kind, error_type=kind, message=message)

    def body(self, limit: int = MAX_BYTES) -> bytes:
        """The JSON of an error, ASCII only; message and trace are cut to fit into `limit` bytes."""
        value = {"errorType": self.error_type[:80], "errorMessage": _cut(self.message, limit // 2)}
        room = limit - len(json.dumps({**value, "stackTrace": []}))
        return json.dumps({**value, "stackTrace": _last(self.trace, room)}).encode()

    def trailers(self) -> list[tuple[bytes, bytes]]:
        """What ends a streamed response that failed after its first byte."""
        return [
            (b"Lambda-Runtime-Function-Error-Type", self.kind.encode()),
            (b"Lambda-Runtime-Function-Error-Body", base64.b64encode(self.body(MAX_TRAILER_BYTES))),
        ]


def function_kind(name: str) -> str:
    """Lambda's name for an error of the function: `bad_request` is `Function.BadRequest`."""
    words = "".join(word[:1].upper() + word[1:] for word in re.split(r"[^A-Za-z]+", name))
    kind = f"Function.{words}"
    return kind if _TYPE.fullmatch(kind) else "Function.Unknown"


def _cut(text: str, limit: int) -> str:
    """The text, or as much of it as takes up `limit` bytes of JSON."""
    while (size := len(json.dumps(text))) > limit:
        text = text[: len(text) * limit // size]
    return text


def _last(lines: tuple[str, ...], room: int) -> list[str]:
    """The last lines that fit: where it happened stands at a trace's end."""
    kept: list[str] = []
    for line in reversed(lines):
        room -= len(json.dumps(line)) + 2
        if room < 0:
            break
        kept.insert(0, line)
    return kept
