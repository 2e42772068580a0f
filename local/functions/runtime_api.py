"""Lambda's Runtime API for one execution environment.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html and, for streaming,
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
"""

import asyncio
import base64
import binascii
import json
import re
from typing import Any

from local.functions.http import ClientGone, Exchange, Server, find
from local.functions.invocation import Invocation, Outcome

PREFIX = "/2018-06-01/runtime/"
MAX_BUFFERED_BYTES = 6 * 1024 * 1024
MAX_ERROR_BYTES = 1024 * 1024

_POST = re.compile(re.escape(PREFIX) + r"invocation/([^/]+)/(response|error)")


class InitFailed(Exception):
    """The runtime said that it cannot start, or ended before it asked for work."""

    def __init__(self, error_type: str, body: bytes = b"") -> None:
        super().__init__(error_type)
        self.outcome = Outcome(error_type=error_type, error_body=body)


class RuntimeApi:
    """Hands invocations to one runtime process and takes its responses.

    A runtime asks for the next invocation only when it has nothing left to do for the one before: that
    request is what `idle` waits for, and where Lambda freezes the environment.
    """

    def __init__(self, function_arn: str) -> None:
        self._arn = function_arn
        self._server = Server(self._handle)
        self._asking = asyncio.Event()
        self._offer: asyncio.Queue[Invocation] = asyncio.Queue()
        self._init_error: asyncio.Future[InitFailed] = asyncio.get_running_loop().create_future()
        self._current: Invocation | None = None

    async def start(self) -> None:
        await self._server.start()

    async def close(self) -> None:
        await self._server.close()

    @property
    def address(self) -> str:
        """What goes into AWS_LAMBDA_RUNTIME_API."""
        return f"127.0.0.1:{self._server.port}"

    async def idle(self) -> None:
        """Wait until the runtime asks for an invocation.

        Raises:
            InitFailed: it posted an initialisation error instead.
        """
        asking = asyncio.ensure_future(self._asking.wait())
        either: list[asyncio.Future[Any]] = [asking, self._init_error]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asking.cancel()
        if self._init_error.done():
            raise self._init_error.result()

    def offer(self, invocation: Invocation) -> None:
        """Answer the runtime's request for work. It must be asking: see `idle`."""
        self._asking.clear()
        self._current = invocation
        self._offer.put_nowait(invocation)

    async def _handle(self, exchange: Exchange) -> None:
        path = exchange.target.partition("?")[0]
        if exchange.method == "GET" and path == PREFIX + "invocation/next":
            await self._next(exchange)
        elif exchange.method == "POST" and path == PREFIX + "init/error":
            await self._on_init_error(exchange)
        elif exchange.method == "POST" and (match := _POST.fullmatch(path)):
            await self._on_post(exchange, *match.groups())
        else:
            await _refuse(exchange, 404, "UnknownOperation", f"{exchange.method} {path}")

    async def _next(self, exchange: Exchange) -> None:
        async for _ in exchange.chunks():
            pass
        self._current = None
        self._asking.set()
        invocation = await self._offer.get()
        headers = [
            ("Content-Type", "application/json"),
            ("Lambda-Runtime-Aws-Request-Id", invocation.request_id),
            ("Lambda-Runtime-Deadline-Ms", str(invocation.deadline_ms)),
            ("Lambda-Runtime-Invoked-Function-Arn", self._arn),
            ("Lambda-Runtime-Trace-Id", invocation.trace_id),
        ]
        await exchange.respond(200, headers, invocation.event)

    async def _on_init_error(self, exchange: Exchange) -> None:
        body = await exchange.body(MAX_ERROR_BYTES) or b""
        if not self._init_error.done():
            self._init_error.set_result(InitFailed(_error_type(exchange, "Runtime.InitError"), body))
        await _accept(exchange)

    async def _on_post(self, exchange: Exchange, request_id: str, what: str) -> None:
        invocation = self._current
        if invocation is None or invocation.request_id != request_id:
            await _refuse(exchange, 400, "InvalidRequestID", f"no invocation {request_id} is running")
        elif invocation.outcome.done():
            await _refuse(exchange, 403, "InvalidStateTransition", "it has been answered already")
        elif what == "error":
            body = await exchange.body(MAX_ERROR_BYTES) or b""
            invocation.end(Outcome(error_type=_error_type(exchange, "Unhandled"), error_body=body))
            await _accept(exchange)
        elif (exchange.header("Lambda-Runtime-Function-Response-Mode") or "").lower() == "streaming":
            await self._stream(exchange, invocation)
        else:
            await self._buffered(exchange, invocation)

    async def _stream(self, exchange: Exchange, invocation: Invocation) -> None:
        await invocation.sink.start(
            exchange.header("Content-Type") or "application/octet-stream", streaming=True
        )
        try:
            async for piece in exchange.chunks():
                await invocation.sink.write(piece)
        except ClientGone:
            invocation.end(Outcome(error_type="Runtime.TruncatedResponse"))
            raise
        invocation.end(_outcome_of_trailers(exchange))
        await _accept(exchange)

    async def _buffered(self, exchange: Exchange, invocation: Invocation) -> None:
        body = await exchange.body(MAX_BUFFERED_BYTES)
        if body is None:
            invocation.end(Outcome(error_type="Function.ResponseSizeTooLarge"))
            await _refuse(exchange, 413, "RequestEntityTooLarge", "a buffered response is 6 MB at most")
            return
        await invocation.sink.start(exchange.header("Content-Type") or "application/json", streaming=False)
        await invocation.sink.write(body)
        invocation.end(Outcome())
        await _accept(exchange)


def _outcome_of_trailers(exchange: Exchange) -> Outcome:
    error_type = find(exchange.trailers, "Lambda-Runtime-Function-Error-Type")
    if error_type is None:
        return Outcome()
    encoded = find(exchange.trailers, "Lambda-Runtime-Function-Error-Body") or ""
    try:
        body = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        body = encoded.encode("latin-1")
    return Outcome(error_type=error_type, error_body=body)


def _error_type(exchange: Exchange, default: str) -> str:
    return exchange.header("Lambda-Runtime-Function-Error-Type") or default


async def _accept(exchange: Exchange) -> None:
    await exchange.respond(202, [("Content-Type", "application/json")], b'{"status":"OK"}\n')


async def _refuse(exchange: Exchange, status: int, error_type: str, message: str) -> None:
    body = json.dumps({"errorType": error_type, "errorMessage": message}).encode()
    await exchange.respond(status, [("Content-Type", "application/json")], body)
