"""A proxy that cuts connections where the answer says a given thing."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class Proxy:
    """Passes bytes on, and cuts one connection for each text to come, right behind it.

    Attributes:
        left: the texts at which it has not cut yet.
        requests: the heads of the requests it saw.
        runs: the run ids in the heads of the answers.
    """

    def __init__(self, url: str, cuts: Sequence[bytes]) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self.left = list(cuts)
        self.requests: list[bytes] = []
        self.runs: set[bytes] = set()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._host, self._port)
        ways = [asyncio.ensure_future(way) for way in (self._ask(reader, back), self._answer(there, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for each in (writer, back):
                each.close()

    async def _ask(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(head)
        back.write(head)
        while data := await reader.read(65536):
            back.write(data)
            await back.drain()

    async def _answer(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen = b""
        with suppress(ConnectionError):
            while data := await there.read(65536):
                begin = max(0, len(seen) - 200)
                seen += data
                self.runs |= set(re.findall(rb"(?i)x-run-id: (\w+)", seen))
                if self.left and (found := seen.find(self.left[0], begin)) >= 0:
                    rest = len(seen) - found - len(self.left.pop(0))
                    writer.write(data[: len(data) - rest])
                    return
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def cutting(url: str, cuts: Sequence[bytes]) -> AsyncIterator[Proxy]:
    """The proxy in front of `url`, listening on a port of this machine."""
    proxy = Proxy(url, cuts)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    try:
        yield proxy
    finally:
        server.close()
        await server.wait_closed()
