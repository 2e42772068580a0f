"""HTTP connections for pieces that come alone: httpx2 over asyncio's streams. Imports httpx2: import it late.

httpx2 reads through anyio, which for every piece sets up a cancel scope, goes once more around the event
loop, and stops and starts reading: as much work as all else that is done with a piece. asyncio's own streams
do without.
Source: https://www.encode.io/httpcore/network-backends/
"""

import asyncio
import contextlib
import select
import ssl
from collections.abc import Iterable
from typing import Any
from urllib.request import getproxies

import httpcore2
import httpx2

READ_BYTES = 128 * 1024
MAX_CONNECTIONS = 100


def http_client(*, timeout: httpx2.Timeout, tls: ssl.SSLContext | None) -> httpx2.AsyncClient:
    """A client that follows no redirects, so that nothing leads from there to a host nobody named.

    Where the environment names a proxy, it is httpx2's own through that proxy.

    Args:
        timeout: for connecting, and for each read and write.
        tls: None for one that is used over plain HTTP only.
    """
    verify = tls if tls is not None else False
    if getproxies():
        return httpx2.AsyncClient(verify=verify, timeout=timeout, follow_redirects=False)
    transport = _Transport(verify=verify)
    return httpx2.AsyncClient(transport=transport, trust_env=False, timeout=timeout, follow_redirects=False)


class _Transport(httpx2.AsyncHTTPTransport):
    """httpx2's own, with another pool: it has no argument for the network below."""

    def __init__(self, *, verify: ssl.SSLContext | bool) -> None:
        super().__init__(verify=verify, trust_env=False)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=verify if isinstance(verify, ssl.SSLContext) else None,
            max_connections=MAX_CONNECTIONS,
            keepalive_expiry=30.0,
            network_backend=_Network(),
        )


class _Network(httpcore2.AsyncNetworkBackend):
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> "httpcore2.AsyncNetworkStream":
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await asyncio.open_connection(host, port, limit=READ_BYTES)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(f"no connection in {timeout} s") from error
        except OSError as error:
            raise httpcore2.ConnectError(str(error)) from error
        return _Stream(reader, writer)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Stream(httpcore2.AsyncNetworkStream):
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            async with asyncio.timeout(timeout):
                return await self._reader.read(READ_BYTES)
        except TimeoutError as error:
            raise httpcore2.ReadTimeout(f"nothing came in {timeout} s") from error
        except OSError as error:
            raise httpcore2.ReadError(str(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            async with asyncio.timeout(timeout):
                self._writer.write(buffer)
                await self._writer.drain()
        except TimeoutError as error:
            raise httpcore2.WriteTimeout(f"nothing was taken in {timeout} s") from error
        except OSError as error:
            raise httpcore2.WriteError(str(error)) from error

    async def aclose(self) -> None:
        # At once: closing gently would wait for a peer that takes nothing any more.
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> "httpcore2.AsyncNetworkStream":
        try:
            async with asyncio.timeout(timeout):
                await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        except TimeoutError as error:
            self._writer.transport.abort()
            raise httpcore2.ConnectTimeout(f"no TLS in {timeout} s") from error
        except OSError as error:  # ssl.SSLError is one
            self._writer.transport.abort()
            raise httpcore2.ConnectError(str(error)) from error
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            return self._ended()
        return self._writer.get_extra_info(
            {"server_addr": "peername", "client_addr": "sockname"}.get(info, info)
        )

    def _ended(self) -> bool:
        """Whether something has come on a connection that waits for nothing: its end, as a rule."""
        socket = self._writer.get_extra_info("socket")
        if self._reader.at_eof() or self._writer.is_closing() or socket is None or socket.fileno() < 0:
            return True
        # The event loop may not have seen it yet: Lambda freezes the process between two invocations.
        poll = select.poll()
        poll.register(socket.fileno(), select.POLLIN)
        return bool(poll.poll(0))
