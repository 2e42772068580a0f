"""Events as scopes: what a function URL, an HTTP API and a direct caller send."""

import base64
import json
from typing import Any

import pytest

from rill.runtime import bridge
from rill.runtime.context import Invocation, LambdaContext
from rill.runtime.settings import Settings

SETTINGS = Settings.from_env({"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", "_HANDLER": "a.app"})
INVOCATION = Invocation(request_id="r", deadline_ms=5, function_arn="arn", trace_id=None, event=b"")
CONTEXT = LambdaContext(INVOCATION, SETTINGS)


def event(path: str = "/a", **given: Any) -> dict[str, Any]:
    """As https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads shows it."""
    made: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": "x.lambda-url.us-east-1.on.aws", "x-forwarded-proto": "https"},
        "requestContext": {"http": {"method": "GET", "path": path, "sourceIp": "192.0.2.1"}},
        "isBase64Encoded": False,
    }
    return {**made, **given}


def request(given: Any, state: dict[str, Any] | None = None) -> tuple[bridge.Scope, bytes]:
    return bridge.request(given, INVOCATION, CONTEXT, state)


def test_scope() -> None:
    given = event(rawQueryString="x=1&x=2&y=a%20b&z=")
    scope, body = request(given, {"pool": 1})
    assert body == b""
    assert scope == {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "path": "/a",
        "raw_path": b"/a",
        "root_path": "",
        "query_string": b"x=1&x=2&y=a%20b&z=",
        "headers": [(b"host", b"x.lambda-url.us-east-1.on.aws"), (b"x-forwarded-proto", b"https")],
        "server": ("x.lambda-url.us-east-1.on.aws", 443),
        "client": ("192.0.2.1", 0),
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "extensions": {"rill": {"request_id": "r", "deadline_ms": 5, "invoked_directly": False}},
        "aws.event": given,
        "aws.context": CONTEXT,
        "state": {"pool": 1},
    }


def test_state_is_each_requests_own_copy() -> None:
    state = {"a": 1}
    request(event(), state)[0]["state"]["a"] = 2
    assert state == {"a": 1}
    assert "state" not in request(event())[0]


def test_path_is_decoded_once() -> None:
    scope, _ = request(event("/%C3%A4/a%2Fb/100%2525"))
    assert scope["path"] == "/ä/a/b/100%25"
    assert scope["raw_path"] == b"/%C3%A4/a%2Fb/100%2525"


def test_cookies() -> None:
    scope, _ = request(event(cookies=["k=v", "l=w"]))
    assert (b"cookie", b"k=v; l=w") in scope["headers"]


def test_header_values_are_the_bytes_that_came() -> None:
    scope, _ = request(event(headers={"X-Latin": "é", "X-Other": "☃", "X-Two": "a,b"}))
    assert scope["headers"] == [(b"x-latin", b"\xe9"), (b"x-other", "☃".encode()), (b"x-two", b"a,b")]


@pytest.mark.parametrize("given", [None, {}])
def test_no_headers(given: Any) -> None:
    scope, _ = request(event(headers=given))
    assert (scope["headers"], scope["server"]) == ([], ("lambda", 443))


@pytest.mark.parametrize(
    ("host", "proto", "server"),
    [
        ("a.b:8080", "https", ("a.b", 8080)),
        ("[::1]:8080", "http", ("::1", 8080)),
        ("[::1]", "http", ("::1", 80)),
        ("a:b", "https", ("a:b", 443)),
    ],
)
def test_server(host: str, proto: str, server: tuple[str, int]) -> None:
    scope, _ = request(event(headers={"Host": host, "X-Forwarded-Proto": proto}))
    assert scope["server"] == server
    assert (b"host", host.encode()) in scope["headers"]


@pytest.mark.parametrize(
    ("given", "body"),
    [
        ({"body": "ä"}, "ä".encode()),
        ({"body": base64.b64encode(b"\xff\x00").decode(), "isBase64Encoded": True}, b"\xff\x00"),
        ({"body": None}, b""),
        ({"body": ""}, b""),
    ],
)
def test_body(given: dict[str, Any], body: bytes) -> None:
    assert request(event(**given))[1] == body


@pytest.mark.parametrize(
    "given",
    [
        None,
        "text",
        [event()],
        {},
        {"version": "2.0"},
        {"version": "2.0", "requestContext": None},
        {"version": "2.0", "requestContext": {}},
        {"version": "1.0", "requestContext": {"http": {}}},
        {"Records": [{"eventSource": "aws:sqs"}]},
        {"version": "0", "detail-type": "Scheduled Event"},
    ],
)
def test_every_other_event_is_a_post(given: Any) -> None:
    scope, body = request(given)
    assert json.loads(body) == given
    assert (scope["type"], scope["method"], scope["path"]) == ("http", "POST", "/events")
    assert dict(scope["headers"])[b"content-length"] == str(len(body)).encode()
    assert scope["extensions"]["rill"]["invoked_directly"] is True
    assert scope["aws.event"] == given


def test_context() -> None:
    assert (CONTEXT.aws_request_id, CONTEXT.invoked_function_arn) == ("r", "arn")
    assert (CONTEXT.function_version, CONTEXT.memory_limit_in_mb) == ("$LATEST", 128)
    assert CONTEXT.get_remaining_time_in_millis() == 0
