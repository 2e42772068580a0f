"""What the app sends, on its way to the Runtime API: streamed, or buffered where nobody can take a stream."""

import json
from collections.abc import Callable
from typing import Any, Protocol

from rill.runtime import wire
from rill.runtime.client import Post, RuntimeApi
from rill.runtime.failure import Failure, function_kind

Head = tuple[int, list[tuple[bytes, bytes]]]


class Response(Protocol):
    """A response that takes its pieces in order. All of its methods raise ApiError."""

    async def write(self, head: Head, data: bytes, *, last: bool) -> None:
        """A piece of the body; `head` is the same for all of them."""

    async def fail(self, failure: Failure) -> None:
        """End it as failed. Nothing follows."""

    async def close(self) -> None:
        """Free what it holds."""


class Streamed:
    """Every piece on the wire before `write` returns."""

    def __init__(self, api: RuntimeApi, request_id: str) -> None:
        self._api = api
        self._request_id = request_id
        self._post: Post | None = None
        self._begun = False

    async def write(self, head: Head, data: bytes, *, last: bool) -> None:
        if self._post is None:
            self._post = await self._api.stream(self._request_id)
        if not self._begun:
            # With the first piece, in one write: a client that gets the status gets what comes with it.
            # Marked before the write, which may be cancelled when its bytes are out already.
            self._begun = True
            await self._post.write(wire.prelude(*head) + data)
        elif data:
            await self._post.write(data)
        if last:
            await self._post.end()

    async def fail(self, failure: Failure) -> None:
        if self._post is not None and self._begun:
            await self._post.end(failure.trailers())
        else:
            await self._api.error(self._request_id, failure)

    async def close(self) -> None:
        if self._post is not None:
            await self._post.close()


Encode = Callable[[Head, bytes], bytes | Failure]


class Buffered:
    """The whole body at its end, made into one JSON value by `encode`."""

    def __init__(self, api: RuntimeApi, request_id: str, encode: Encode) -> None:
        self._api = api
        self._request_id = request_id
        self._encode = encode
        self._body = bytearray()

    async def write(self, head: Head, data: bytes, *, last: bool) -> None:
        self._body += data
        if not last:
            return
        encoded = self._encode(head, bytes(self._body))
        if isinstance(encoded, Failure):
            await self._api.error(self._request_id, encoded)
        else:
            await self._api.respond(self._request_id, encoded)

    async def fail(self, failure: Failure) -> None:
        await self._api.error(self._request_id, failure)

    async def close(self) -> None:
        pass


def http_object(head: Head, body: bytes) -> bytes:
    """For `sam local`: the response object of payload format 2.0."""
    return wire.buffered(*head, body)


def direct_result(head: Head, body: bytes) -> bytes | Failure:
    """For an event that was no HTTP request: the app's JSON as it is, and its errors as Lambda's."""
    status, _ = head
    value, valid = _parse(body)
    if status >= 400:
        named = value if isinstance(value, dict) else {}
        code = str(named.get("code", "error"))
        message = str(named.get("message", f"The app answered with status {status}."))
        return Failure(kind=function_kind(code), error_type=code, message=message)
    if valid:
        return body
    try:
        return json.dumps(body.decode() or None).encode()
    except UnicodeDecodeError:
        return Failure.runtime(
            "Runtime.MarshalError", "The app answered an event with neither JSON nor text."
        )


def _parse(body: bytes) -> tuple[Any, bool]:
    try:
        return json.loads(body), True
    except ValueError:
        return None, False
