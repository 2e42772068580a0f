"""A function's URL: HTTP in, an invocation, its response out as it comes."""

import asyncio
import base64
import binascii
import json

from local.functions import cors, payload
from local.functions.http import ClientGone, Exchange, Server
from local.functions.invocation import Invocation, Outcome, new_trace_id
from local.functions.pool import THROTTLED, Pool
from local.functions.prelude import CONTENT_TYPE, BadPrelude, Prelude, PreludeParser, from_object
from local.functions.template import Function, FunctionUrl

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_REQUEST_BYTES = 6 * 1024 * 1024

_HOP_BY_HOP = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding", "upgrade"})
_JSON = [("Content-Type", "application/json")]


class Front:
    """Serves one function's URL on a port of its own."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._server = Server(self._handle)

    async def start(self, port: int = 0) -> str:
        """Listen, and return the URL.

        Raises:
            OSError: the port is taken.
        """
        await self._server.start(port)
        return self._server.url

    async def close(self) -> None:
        await self._server.close()

    async def _handle(self, exchange: Exchange) -> None:
        url = _url(self._pool.function)
        origin = exchange.header("Origin")
        added = cors.headers(url.cors, origin)
        if exchange.method == "OPTIONS" and url.cors is not None:
            async for _ in exchange.chunks():
                pass
            await exchange.respond(200, [*added, *cors.preflight(url.cors, origin)])
            return
        body = await exchange.body(MAX_REQUEST_BYTES)
        if body is None:
            await exchange.respond(413, _JSON, b'{"Message":"Request must be smaller than 6291456 bytes"}')
            return
        response = _Response(exchange, added, streaming=url.streaming)
        invocation = _invocation(exchange, body, response, iam=url.iam)
        self._pool.submit(invocation)
        # The invocation is the pool's: it runs on when this connection, and with it this task, is gone.
        outcome = await asyncio.shield(invocation.outcome)
        await response.finish(outcome)


def _url(function: Function) -> FunctionUrl:
    """A function without a URL in the template gets one here as well, to be looked at."""
    return function.url or FunctionUrl(streaming=False, iam=False, cors=None)


def _invocation(exchange: Exchange, body: bytes, sink: "_Response", *, iam: bool) -> Invocation:
    invocation = Invocation(event=b"", sink=sink)
    invocation.trace_id = exchange.header("X-Amzn-Trace-Id") or new_trace_id()
    made = payload.event(
        method=exchange.method,
        target=exchange.target,
        headers=exchange.headers,
        body=body,
        peer=exchange.peer,
        request_id=invocation.request_id,
        trace_id=invocation.trace_id,
        iam=iam,
    )
    invocation.event = json.dumps(made, ensure_ascii=False).encode()
    return invocation


class _Response:
    """The sink of a function URL's invocation: prelude to status line, payload to body, at once."""

    def __init__(self, exchange: Exchange, added: list[tuple[str, str]], *, streaming: bool) -> None:
        self._exchange = exchange
        self._added = added
        self._through = streaming
        self._prelude: PreludeParser | None = None
        self._kept = bytearray()
        self._streamed = False
        self._gone = False
        self._bad: str | None = None

    async def start(self, content_type: str, *, streaming: bool) -> None:
        self._streamed = streaming
        if streaming and content_type.partition(";")[0].strip() == CONTENT_TYPE:
            self._prelude = PreludeParser()
        elif streaming:
            self._prelude = PreludeParser()
            self._prelude.prelude = Prelude(headers={"content-type": content_type})
            await self._payload(b"")

    async def write(self, data: bytes) -> None:
        if self._prelude is None:
            self._kept += data
        elif self._bad is None:
            try:
                data = self._prelude.feed(data)
            except BadPrelude as error:
                self._bad = str(error)
                return
            await self._payload(data)

    async def _payload(self, data: bytes) -> None:
        if not self._through:
            self._kept += data
            return
        prelude = self._prelude.prelude if self._prelude is not None else None
        if prelude is None or self._gone:
            return
        try:
            if not self._exchange.started:
                await self._exchange.start(prelude.status, _headers(prelude, self._added))
            if data and self._exchange.method != "HEAD":
                await self._exchange.send(data)
        except ClientGone:
            self._gone = True

    async def finish(self, outcome: Outcome) -> None:
        """End the response by how the invocation ended.

        Raises:
            ClientGone: nobody is there to read it.
        """
        if self._gone:
            raise ClientGone
        if self._exchange.started:
            if outcome.error_type is None:
                await self._exchange.end()
            else:
                self._exchange.abort()
        elif outcome.error_type == THROTTLED:
            await self._exchange.respond(429, [*_JSON, *self._added], outcome.error_body)
        elif outcome.error_type is not None or self._bad is not None:
            await self._failed()
        elif self._prelude is not None:
            await self._collected(self._prelude.prelude)
        else:
            await self._buffered()

    async def _failed(self) -> None:
        await self._exchange.respond(502, [*_JSON, *self._added], b'{"Message":"Internal Server Error"}')

    async def _collected(self, prelude: Prelude | None) -> None:
        if prelude is None:
            await self._failed()
        else:
            await self._exchange.respond(prelude.status, _headers(prelude, self._added), bytes(self._kept))

    async def _buffered(self) -> None:
        """A buffered result: a response object, or any JSON as the body of a 200.

        Source: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-response-payload
        """
        try:
            value = json.loads(self._kept)
            if not isinstance(value, dict) or "statusCode" not in value:
                await self._exchange.respond(200, [*_JSON, *self._added], bytes(self._kept))
                return
            prelude = from_object({**value, "headers": {**_DEFAULT_TYPE, **(value.get("headers") or {})}})
            body = value.get("body") or ""
            data = base64.b64decode(body) if value.get("isBase64Encoded") else body.encode()
        except (ValueError, binascii.Error, AttributeError, BadPrelude):
            await self._failed()
            return
        await self._exchange.respond(prelude.status, _headers(prelude, self._added), data)


_DEFAULT_TYPE = {"content-type": "application/json"}


def _headers(prelude: Prelude, added: list[tuple[str, str]]) -> list[tuple[str, str]]:
    kept = [(name, value) for name, value in prelude.header_list() if name not in _HOP_BY_HOP]
    return [*kept, *added]
