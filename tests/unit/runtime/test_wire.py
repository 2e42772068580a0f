"""The bytes of a response, against the parser of the emulator's side."""

import json

import pytest

from local.functions.prelude import PreludeParser
from rill.runtime import wire


def test_prelude() -> None:
    made = wire.prelude(201, [(b"Content-Type", b"text/plain"), (b"X-E", "é".encode("latin-1"))])
    head, delimiter, rest = made.partition(bytes(8))
    assert json.loads(head) == {
        "statusCode": 201,
        "headers": {"content-type": "text/plain", "x-e": "é"},
        "cookies": [],
    }
    assert (delimiter, rest) == (bytes(8), b"")
    assert head.isascii()


def test_prelude_is_read_by_the_other_side() -> None:
    parser = PreludeParser()
    assert parser.feed(wire.prelude(200, [(b"x", b"\x00")]) + b"payload") == b"payload"
    assert parser.prelude is not None
    assert parser.prelude.headers == {"x": "\x00"}


def test_repeated_headers_are_joined_and_cookies_are_not() -> None:
    headers = [(b"Vary", b"a"), (b"Set-Cookie", b"k=v, w"), (b"vary", b"b"), (b"set-cookie", b"l=m")]
    made = wire.head(200, headers)
    assert made == {"statusCode": 200, "headers": {"vary": "a, b"}, "cookies": ["k=v, w", "l=m"]}


def test_framing_is_left_to_the_front() -> None:
    headers = [(b"Content-Length", b"2"), (b"Transfer-Encoding", b"chunked"), (b"Connection", b"close")]
    assert wire.head(204, headers)["headers"] == {}


@pytest.mark.parametrize(
    ("content_type", "body", "encoded", "is_base64"),
    [
        (b"text/plain; charset=utf-8", "ä".encode(), "ä", False),
        (b"application/problem+json; a=b", b"{}", "{}", False),
        (b"application/json", b"", "", False),
        (b"image/png", b"", "", False),
        (b"image/png", b"abc", "YWJj", True),
        (b"text/plain", b"\xff", "/w==", True),
    ],
)
def test_buffered(content_type: bytes, body: bytes, encoded: str, is_base64: bool) -> None:
    made = json.loads(wire.buffered(200, [(b"content-type", content_type)], body))
    assert (made["body"], made["isBase64Encoded"]) == (encoded, is_base64)
    assert (made["statusCode"], made["cookies"]) == (200, [])
