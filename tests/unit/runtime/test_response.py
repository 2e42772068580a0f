"""What becomes of an answer to an event that was no HTTP request."""

import json
from typing import Any

import pytest

from rill.runtime.failure import Failure
from rill.runtime.response import direct_result, http_object


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b"null", None),
        (b"", None),
        (b"text", "text"),
    ],
)
def test_result(body: bytes, result: Any) -> None:
    encoded = direct_result((200, []), body)
    assert isinstance(encoded, bytes)
    assert json.loads(encoded) == result


@pytest.mark.parametrize(
    ("status", "body", "kind", "error_type", "message"),
    [
        (400, b'{"code": "bad_request", "message": "No."}', "Function.BadRequest", "bad_request", "No."),
        (500, b"oops", "Function.Error", "error", "The app answered with status 500."),
        (404, b"[]", "Function.Error", "error", "The app answered with status 404."),
        (
            200,
            b"\xff",
            "Runtime.MarshalError",
            "Runtime.MarshalError",
            "The app answered an event with neither JSON nor text.",
        ),
    ],
)
def test_failure(status: int, body: bytes, kind: str, error_type: str, message: str) -> None:
    expected = Failure(kind=kind, error_type=error_type, message=message)
    assert direct_result((status, []), body) == expected


def test_http_object() -> None:
    made = json.loads(http_object((201, [(b"content-type", b"text/plain")]), b"hi"))
    assert (made["statusCode"], made["body"]) == (201, "hi")
