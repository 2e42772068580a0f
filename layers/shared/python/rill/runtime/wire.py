"""The bytes of a streamed response's head, and of a buffered one's body: no I/O.

Source: https://docs.aws.amazon.com/lambda/latest/dg/response-streaming.html and, for the eight NUL bytes,
https://github.com/aws/aws-lambda-nodejs-runtime-interface-client/blob/main/src/HttpResponseStream.js
"""

import base64
import json
from collections.abc import Iterable
from typing import Any

CONTENT_TYPE = b"application/vnd.awslambda.http-integration-response"
DELIMITER = bytes(8)

# The payload's length and framing are the front's business: it counts what it gets.
_DROPPED = frozenset({"content-length", "transfer-encoding", "connection"})

_TEXT = ("text/", "application/json", "application/javascript", "application/xml", "application/x-www-form")

Headers = Iterable[tuple[bytes, bytes]]


def head(status: int, headers: Headers) -> dict[str, Any]:
    """`statusCode`, `headers` and `cookies` of a response, from ASGI's header list.

    A header that comes twice is one line here, its values joined as RFC 9110 (5.3) has it; `set-cookie`
    cannot be joined, and is why there are `cookies`.
    """
    joined: dict[str, str] = {}
    cookies: list[str] = []
    for key, raw in headers:
        name, value = key.decode("latin-1").lower(), raw.decode("latin-1")
        if name == "set-cookie":
            cookies.append(value)
        elif name not in _DROPPED:
            joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return {"statusCode": status, "headers": joined, "cookies": cookies}


def prelude(status: int, headers: Headers) -> bytes:
    """What a streamed response begins with. JSON in ASCII: no NUL byte can be in it."""
    return json.dumps(head(status, headers)).encode() + DELIMITER


def buffered(status: int, headers: Headers, body: bytes) -> bytes:
    """The response as one JSON object, for a front that knows no streaming."""
    made = head(status, headers)
    text = _as_text(made["headers"].get("content-type", ""), body)
    if text is None:
        made |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    else:
        made |= {"body": text, "isBase64Encoded": False}
    return json.dumps(made).encode()


def _as_text(content_type: str, body: bytes) -> str | None:
    kind = content_type.lower()
    if body and not (kind.startswith(_TEXT) or kind.split(";")[0].strip().endswith("+json")):
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None
