"""HTTP/1.1 for pieces that come alone: a transport for httpx2. Imports httpx2: import it late.

h11 writes requests and reads the heads of answers; a chunked body is decoded by `rill.chunked`, so that what
has come together is one piece, and a piece that comes alone takes one turn of the event loop. httpx2's own
transport takes several times as long for each (docs/decisions/0004). It can do more: HTTP/2, proxies.
"""

import asyncio
import select
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast
from urllib.request import getproxies

import h11
import httpx2

from rill.chunked import BadChunk, ChunkedDecoder
from rill.waiter import Waiter

KEEP_SECONDS = 60.0
"""How long a connection is kept that nobody uses."""

MAX_BUFFER = 256 * 1024
"""What is read ahead of who iterates; beyond it the peer has to wait."""

MAX_HEAD = 64 * 1024

BODY = "rill.body"
"""The extension of a response that has its body as the transport gives it, without the client's wrapping."""

Origin = tuple[str, str, int]
Timeouts = Mapping[str, float | None]


def http_client(*, timeout: httpx2.Timeout, tls: ssl.SSLContext | None) -> httpx2.AsyncClient:
    """A client that follows no redirects, so that nothing leads from there to a host nobody named.

    Where the environment names a proxy, it is httpx2's own through that proxy.

    Args:
        timeout: for connecting, and for each read and write.
        tls: None for one that is used over plain HTTP only.
    """
    if getproxies():
        verify = tls if tls is not None else False
        return httpx2.AsyncClient(verify=verify, timeout=timeout, follow_redirects=False)
    return httpx2.AsyncClient(
        transport=Transport(tls), trust_env=False, timeout=timeout, follow_redirects=False
    )


class Transport(httpx2.AsyncBaseTransport):
    """Connections are kept and used again, the newest first; they belong to one event loop."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._idle: defaultdict[Origin, list[_Connection]] = defaultdict(list)
        self._open: set[_Connection] = set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        timeouts: Timeouts = request.extensions.get("timeout", {})
        url = request.url
        origin = (url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80))
        connection = self._take(origin) or await self._connect(origin, timeouts.get("connect"))
        try:
            protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
            await connection.write(await _encoded(protocol, request), timeouts.get("write"))
            head = await _head(protocol, connection, timeouts.get("read"))
        except BaseException:
            self._drop(connection)
            raise
        body = _Body(self, origin, connection, protocol, head, timeouts.get("read"))
        return httpx2.Response(
            head.status_code,
            headers=list(head.headers.raw_items()),
            stream=body,
            extensions={
                "http_version": b"HTTP/" + head.http_version,
                "reason_phrase": bytes(head.reason),
                BODY: body,
            },
        )

    async def aclose(self) -> None:
        for connection in list(self._open):
            self._drop(connection)

    def _take(self, origin: Origin) -> "_Connection | None":
        idle = self._idle[origin]
        while idle:
            connection = idle.pop()
            if connection.usable:
                return connection
            self._drop(connection)
        return None

    async def _connect(self, origin: Origin, timeout: float | None) -> "_Connection":
        scheme, host, port = origin
        if scheme == "https" and self._tls is None:
            raise httpx2.UnsupportedProtocol("this client was made for plain HTTP")
        loop = asyncio.get_running_loop()
        tls, name = (self._tls, host) if scheme == "https" else (None, None)
        try:
            async with asyncio.timeout(timeout):
                _, connection = await loop.create_connection(
                    _Connection, host, port, ssl=tls, server_hostname=name
                )
        except TimeoutError as error:
            raise httpx2.ConnectTimeout(f"no connection to {host}:{port} in {timeout:g} s") from error
        except OSError as error:  # ssl.SSLError is one
            raise httpx2.ConnectError(f"{host}:{port}: {error}") from error
        self._open.add(connection)
        return connection

    def give_back(self, origin: Origin, connection: "_Connection") -> None:
        """Keep a connection whose answer has been read to its end."""
        connection.rest()
        self._idle[origin].append(connection)

    def _drop(self, connection: "_Connection") -> None:
        self._open.discard(connection)
        connection.abort()

    drop = _drop


class _Connection(asyncio.Protocol):
    """Bytes in and out, with a timeout for each, one reader at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._waiter = Waiter()
        self._drained = asyncio.Event()
        self._drained.set()
        self._paused = False
        self._over: Exception | None = None
        self._idle_since = 0.0

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > MAX_BUFFER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._waiter.wake()

    def eof_received(self) -> None:
        self._end(httpx2.RemoteProtocolError("the server closed the connection"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(httpx2.ReadError(str(exc)) if exc else httpx2.ReadError("the connection is closed"))
        self._drained.set()

    def pause_writing(self) -> None:
        self._drained.clear()

    def resume_writing(self) -> None:
        self._drained.set()

    def _end(self, error: Exception) -> None:
        self._over = self._over or error
        self._waiter.wake()

    # -- ours

    @property
    def usable(self) -> bool:
        """Whether a kept connection can take another request: nothing has come, not even its end."""
        if self._over is not None or self._buffer or self._transport is None or self._transport.is_closing():
            return False
        # The event loop may not have seen its end yet: Lambda freezes the process between two invocations.
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not poll.poll(0) and self._loop.time() - self._idle_since < KEEP_SECONDS

    def rest(self) -> None:
        self._waiter.close()
        self._idle_since = self._loop.time()

    async def write(self, data: bytes, timeout: float | None) -> None:
        assert self._transport is not None  # noqa: S101 - it is connected
        self._transport.write(data)
        if self._drained.is_set():
            return
        try:
            async with asyncio.timeout(timeout):
                await self._drained.wait()
        except TimeoutError as error:
            raise httpx2.WriteTimeout(f"nothing was taken in {timeout:g} s") from error

    async def read(self, timeout: float | None) -> bytes:
        """What has come, at least a byte of it."""
        if not self._buffer:
            if self._over is not None:
                raise self._over
            await self._waiter.wait(timeout)
            if not self._buffer:
                raise self._over or httpx2.ReadTimeout(f"nothing came in {timeout} s")
        data = bytes(self._buffer)
        self._buffer.clear()
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    def abort(self) -> None:
        self._waiter.close()
        if self._transport is not None:
            self._transport.abort()


async def _encoded(protocol: h11.Connection, request: httpx2.Request) -> bytes:
    """The whole request: bodies of models and tables are in memory anyhow."""
    stream: Any = request.stream
    body = b"".join([piece async for piece in stream])
    try:
        head = h11.Request(
            method=request.method.encode(), target=request.url.raw_path, headers=request.headers.raw
        )
        parts = [protocol.send(head), protocol.send(h11.Data(body)) if body else b""]
        return b"".join(part or b"" for part in (*parts, protocol.send(h11.EndOfMessage())))
    except h11.LocalProtocolError as error:
        raise httpx2.LocalProtocolError(str(error)) from error


async def _head(protocol: h11.Connection, connection: _Connection, timeout: float | None) -> h11.Response:
    while True:
        event = _next(protocol)
        if isinstance(event, h11.Response):
            return event
        if event is h11.NEED_DATA:
            protocol.receive_data(await connection.read(timeout))


def _next(protocol: h11.Connection) -> Any:
    try:
        return protocol.next_event()
    except h11.RemoteProtocolError as error:
        raise httpx2.RemoteProtocolError(str(error)) from error


class _Body(httpx2.AsyncByteStream):
    """The body of one answer; at its end the connection goes back, before it the connection is closed."""

    def __init__(
        self,
        transport: Transport,
        origin: Origin,
        connection: _Connection,
        protocol: h11.Connection,
        head: h11.Response,
        timeout: float | None,
    ) -> None:
        self._transport = transport
        self._origin = origin
        self._connection: _Connection | None = connection
        self._protocol = protocol
        self._timeout = timeout
        headers = {bytes(name): bytes(value).lower() for name, value in head.headers}
        self._chunked = headers.get(b"transfer-encoding") == b"chunked"
        self._kept = head.http_version == b"1.1" and b"close" not in headers.get(b"connection", b"")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        connection = self._connection
        if connection is None:
            raise httpx2.StreamClosed
        try:
            if self._chunked:
                decoder = ChunkedDecoder()
                data, _ = self._protocol.trailing_data
                while True:
                    if piece := decoder.feed(data):
                        yield piece
                    if decoder.done:
                        break
                    data = await connection.read(self._timeout)
                self._kept = self._kept and not decoder.rest
            else:
                async for piece in self._read(connection):
                    yield piece
        except BadChunk as error:
            raise httpx2.RemoteProtocolError(str(error)) from error
        else:
            self._connection = None
            if self._kept:
                self._transport.give_back(self._origin, connection)
            else:
                self._transport.drop(connection)
        finally:
            await self.aclose()

    async def _read(self, connection: _Connection) -> AsyncIterator[bytes]:
        while True:
            event = _next(self._protocol)
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                self._kept = self._kept and self._protocol.their_state is h11.DONE
                return
            elif event is h11.NEED_DATA:
                self._protocol.receive_data(await self._more(connection))

    async def _more(self, connection: _Connection) -> bytes:
        """An answer without a length ends with its connection, which h11 is told by nothing."""
        try:
            return await connection.read(self._timeout)
        except httpx2.RemoteProtocolError:
            return b""

    async def aclose(self) -> None:
        if self._connection is not None:
            self._transport.drop(self._connection)
            self._connection = None
