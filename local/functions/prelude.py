"""Splits a streamed response into its JSON prelude and the payload: bytes in, parts out, no I/O.

Source: https://docs.aws.amazon.com/lambda/latest/dg/response-streaming.html and, for the eight NUL bytes,
https://github.com/aws/aws-lambda-nodejs-runtime-interface-client/blob/main/src/HttpResponseStream.js
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CONTENT_TYPE = "application/vnd.awslambda.http-integration-response"
DELIMITER = b"\0" * 8
MAX_BYTES = 128 * 1024


class BadPrelude(Exception):
    """The response does not start with a prelude."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prelude:
    """Status and headers of a response; a header may have several values."""

    status: int = 200
    headers: Mapping[str, str | list[str]] = field(default_factory=dict)
    cookies: tuple[str, ...] = ()

    def header_list(self) -> list[tuple[str, str]]:
        """Every header line, cookies included."""
        lines: list[tuple[str, str]] = []
        for name, value in self.headers.items():
            lines += [(name, each) for each in (value if isinstance(value, list) else [value])]
        return [*lines, *(("set-cookie", cookie) for cookie in self.cookies)]


class PreludeParser:
    """Feed it the response's bytes; `prelude` is set once it is whole."""

    def __init__(self) -> None:
        self.prelude: Prelude | None = None
        self._buffer = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Take some bytes; returns those of them that belong to the payload.

        Raises:
            BadPrelude: what came before the delimiter is no prelude.
        """
        if self.prelude is not None:
            return data
        # The delimiter may lie across two pieces: look again at the last seven bytes, and no more.
        start = max(0, len(self._buffer) - len(DELIMITER) + 1)
        self._buffer += data
        at = self._buffer.find(DELIMITER, start)
        if at < 0:
            if len(self._buffer) > MAX_BYTES:
                raise BadPrelude("no end within 128 kB")
            return b""
        self.prelude = parse(bytes(self._buffer[:at]))
        payload = bytes(self._buffer[at + len(DELIMITER) :])
        self._buffer.clear()
        return payload


def parse(text: bytes) -> Prelude:
    """A prelude from its JSON.

    Raises:
        BadPrelude: it is not the JSON of a prelude.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise BadPrelude("not JSON") from error
    if not isinstance(value, dict):
        raise BadPrelude("not an object")
    return from_object(value)


def from_object(value: Mapping[str, Any]) -> Prelude:
    """A prelude from `statusCode`, `headers`, `multiValueHeaders` and `cookies`; others are ignored."""
    status = value.get("statusCode", 200)
    headers: dict[str, str | list[str]] = {}
    for name, given in {**(value.get("headers") or {}), **(value.get("multiValueHeaders") or {})}.items():
        headers[name.lower()] = [str(each) for each in given] if isinstance(given, list) else str(given)
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise BadPrelude(f"statusCode {status!r}")
    return Prelude(status=status, headers=headers, cookies=tuple(value.get("cookies") or ()))
