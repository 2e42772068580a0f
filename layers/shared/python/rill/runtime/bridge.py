"""Lambda's event as an ASGI scope and body: no I/O.

Mangum reads the HTTP event (payload format 2.0, which function URLs use); what it gets wrong for them is
put right here. Every other event - a schedule's, a queue's, a caller's own - is `POST /events` with the
event as its body.
"""

import importlib
import json
from collections.abc import Mapping, MutableMapping
from typing import Any

from rill.runtime.context import Invocation, LambdaContext

Scope = MutableMapping[str, Any]

DIRECT_PATH = "/events"

# From 2.4 on Starlette takes it that `send` raises OSError when the client is gone; Lambda tells nobody.
ASGI = {"version": "3.0", "spec_version": "2.3"}


def is_http(event: Any) -> bool:
    """Whether a function URL, or an HTTP API of payload format 2.0, made the event."""
    if not isinstance(event, dict) or event.get("version") != "2.0":
        return False
    context = event.get("requestContext")
    return isinstance(context, dict) and isinstance(context.get("http"), dict)


def load() -> None:
    """Import what the first HTTP event would."""
    importlib.import_module("mangum.handlers.api_gateway")


def request(
    event: Any, invocation: Invocation, context: LambdaContext, state: Mapping[str, Any] | None
) -> tuple[Scope, bytes]:
    """The scope and the whole body of one invocation. `state` is what the app's lifespan left, if any."""
    direct = not is_http(event)
    scope, body = _direct(event) if direct else _http(event, context)
    scope |= {
        "asgi": ASGI,
        "aws.event": event,
        "aws.context": context,
        "extensions": {
            "rill": {
                "request_id": invocation.request_id,
                "deadline_ms": invocation.deadline_ms,
                "invoked_directly": direct,
            }
        },
    }
    if state is not None:
        scope["state"] = dict(state)
    return scope, body


def _direct(event: Any) -> tuple[dict[str, Any], bytes]:
    body = json.dumps(event).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": DIRECT_PATH,
        "raw_path": DIRECT_PATH.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "server": ("lambda", 80),
        "client": None,
    }
    return scope, body


def _http(event: dict[str, Any], context: LambdaContext) -> tuple[dict[str, Any], bytes]:
    # Imported by the first HTTP event: a function that only a schedule starts never pays for it.
    from mangum.handlers.api_gateway import HTTPGateway
    from mangum.types import LambdaConfig

    given: dict[str, str] = event.get("headers") or {}
    headers = {name.lower(): value for name, value in given.items()}
    host = headers.pop("host", "")
    config = LambdaConfig(api_gateway_base_path="/", text_mime_types=[], exclude_headers=[])
    # Mangum splits the Host header at every colon, and fails on an IPv6 address: it doesn't get to see it.
    gateway = HTTPGateway({**event, "headers": headers}, context, config)
    scope = dict(gateway.scope)
    scope["server"] = _server(host, scope["scheme"])
    # Mangum gives lists and UTF-8. ASGI has tuples, and its servers hand on a header's bytes as they came,
    # which Starlette reads as Latin-1 again.
    scope["headers"] = [(name, _latin(value)) for name, value in scope["headers"]]
    if host:
        scope["headers"].insert(0, (b"host", _latin(host.encode())))
    # Mangum leaves it out; `path` is decoded, and this is the only way to tell a slash from `%2F`.
    scope["raw_path"] = event.get("rawPath", scope["path"]).encode()
    return scope, gateway.body


def _latin(value: bytes) -> bytes:
    text = value.decode()
    return text.encode("latin-1") if all(ord(letter) < 256 for letter in text) else value


def _server(host: str, scheme: str) -> tuple[str, int]:
    default = 443 if scheme == "https" else 80
    name, colon, port = host.rpartition(":")
    if colon and port.isascii() and port.isdigit():
        return name.strip("[]"), int(port)
    return host.strip("[]") or "lambda", default
