"""Events to Server-Sent Events bytes: a pure encoder.

A frame is `id: <seq>`, `data: <json>` and a blank line, with no `event:` field, so that
`EventSource.onmessage` and fetch readers both see everything.
Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

import json
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from rill.events import Chunk, Event

RETRY = b"retry: 1000\n\n"
"""What a stream opens with: how long a client waits before it reconnects, in milliseconds."""

KEEP_ALIVE = b": keep-alive\n\n"
"""A comment for silent times; it has no id, so a client's place in the stream does not move."""

MEDIA_TYPE = "text/event-stream"


_known: dict[type, tuple[tuple[str, bool], ...]] = {}


def _fields(cls: type[Any]) -> tuple[tuple[str, bool], ...]:
    """(name, may be left out when None) of each field, in wire order: `type` first."""
    if cls not in _known:
        listed = [(f.name, f.default is None and f.default is not MISSING) for f in fields(cls)]
        _known[cls] = tuple(sorted(listed, key=lambda pair: pair[0] != "type"))
    return _known[cls]


def to_dict(value: Any) -> dict[str, Any]:
    """The JSON object of an event, without the optional fields that are None."""
    data = {}
    for name, optional in _fields(type(value)):
        field = getattr(value, name)
        if field is not None or not optional:
            data[name] = field
    return data


def _default(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return to_dict(value)
    raise TypeError(f"{type(value).__name__} does not go on the wire")


# Made once: json.dumps with arguments builds an encoder on each call. NaN is not JSON, so it is an error.
_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_default, check_circular=False
).encode
_quoted = json.encoder.encode_basestring
_encode_ascii = json.JSONEncoder(
    ensure_ascii=True, allow_nan=False, separators=(",", ":"), default=_default, check_circular=False
).encode


def to_json(event: Event) -> bytes:
    """The JSON text of one event, in UTF-8 and on one line.

    U+2028 and U+2029 go out escaped: several clients' line readers split on them. So does a lone
    surrogate, which UTF-8 cannot carry.
    """
    if type(event) is Chunk:  # of these there are thousands in a run
        text = f'{{"type":"chunk","step":{_quoted(event.step)},"content":{_quoted(event.content)}}}'
    else:
        text = _encode(to_dict(event))
    if text.isascii():
        return text.encode()
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        return _encode_ascii(to_dict(event)).encode()
    if "\u2028" in text or "\u2029" in text or "\x85" in text:
        text = text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").replace("\x85", "\\u0085")
        return text.encode()
    return encoded


def encode(seq: int, event: Event) -> bytes:
    """One event as an SSE frame. `seq` counts from 1 and has no gaps."""
    return b"id: %d\ndata: %b\n\n" % (seq, to_json(event))
