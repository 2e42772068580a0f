"""A small HTTP/1.1 server over h11 for the two sides of the emulator.

h11 and no framework: chunks must pass through at once and under backpressure, and the trailers that end
a failed streaming response must be seen.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import h11

HOST = "127.0.0.1"

Headers = list[tuple[bytes, bytes]]

READ_BYTES = 64 * 1024

# Error trailers carry a traceback in base64, and h11's limit of 16 kB is for headers from strangers.
MAX_HEADER_BYTES = 1024 * 1024


class ClientGone(Exception):
    """The peer closed the connection."""


class Exchange:
    """One request and its response.

    Attributes:
        method, target: of the request line.
        headers: names in lower case.
        trailers: what followed a chunked body; complete once `chunks()` has ended.
        peer: the client's address.
    """

    def __init__(self, link: "_Link", request: h11.Request) -> None:
        self._link = link
        self.method = request.method.decode()
        self.target = request.target.decode("latin-1")
        self.headers: Headers = list(request.headers)
        self.trailers: Headers = []
        self.started = False

    @property
    def peer(self) -> str:
        return self._link.peer

    def header(self, name: str) -> str | None:
        """The first header of that name, in any case."""
        return find(self.headers, name)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body's pieces as they arrive.

        Raises:
            ClientGone: the connection was closed before the body's end.
        """
        while True:
            event = await self._link.next_event()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                self.trailers = list(event.headers)
                return
            else:
                raise ClientGone

    async def body(self, limit: int) -> bytes | None:
        """The whole body, or None where it is longer than `limit`."""
        pieces, size = [], 0
        async for piece in self.chunks():
            size += len(piece)
            if size > limit:
                return None
            pieces.append(piece)
        return b"".join(pieces)

    async def start(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """Send the status and headers. Without a Content-Length the body goes out chunked."""
        self.started = True
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await self._link.send(h11.Response(status_code=status, headers=encoded))

    async def send(self, data: bytes) -> None:
        """Send a piece of the body; returns once the connection has room for more."""
        await self._link.send(h11.Data(data=data))

    async def end(self) -> None:
        await self._link.send(h11.EndOfMessage())

    def abort(self) -> None:
        """Cut the connection where it is, so that the client knows the body is not whole."""
        self._link.abort()

    async def respond(self, status: int, headers: Iterable[tuple[str, str]], body: bytes = b"") -> None:
        """A whole response at once."""
        listed = [*headers]
        if status >= 200 and status not in (204, 304):
            listed.append(("Content-Length", str(len(body))))
        await self.start(status, listed)
        if body and self.method != "HEAD":
            await self.send(body)
        await self.end()


Handler = Callable[[Exchange], Awaitable[None]]


class Server:
    """Serves `handler` on a port of this machine, connections kept alive."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self, port: int = 0) -> None:
        """Listen on `port`, or on any free one.

        Raises:
            OSError: the port is taken.
        """
        self._server = await asyncio.start_server(self._accept, HOST, port)
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(_Link(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, link: "_Link") -> None:
        try:
            while (request := await link.next_request()) is not None:
                await self._handler(Exchange(link, request))
                if not link.next_cycle():
                    return
        except (ClientGone, h11.RemoteProtocolError):
            pass  # nobody is left to answer
        finally:
            await link.close()

    async def close(self) -> None:
        """Stop listening and drop what is open."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _Link:
    """h11's state over one asyncio connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER_BYTES)
        address = writer.get_extra_info("peername")
        self.peer: str = address[0] if address else HOST

    async def next_event(self) -> h11.Event | type[h11.PAUSED]:
        if self._protocol.they_are_waiting_for_100_continue:
            await self.send(h11.InformationalResponse(status_code=100, headers=[]))
        try:
            while (event := self._protocol.next_event()) is h11.NEED_DATA:
                self._protocol.receive_data(await self._reader.read(READ_BYTES))
        except (ConnectionError, h11.RemoteProtocolError) as error:
            raise ClientGone from error
        return event  # type: ignore[return-value]  # h11's sentinel has no type that narrows

    async def next_request(self) -> h11.Request | None:
        event = await self.next_event()
        return event if isinstance(event, h11.Request) else None

    async def send(self, event: h11.Event) -> None:
        data = self._protocol.send(event)
        try:
            if data:
                self._writer.write(data)
            await self._writer.drain()
        except ConnectionError as error:
            raise ClientGone from error

    def next_cycle(self) -> bool:
        """Whether the connection can take another request."""
        if self._protocol.our_state is h11.DONE and self._protocol.their_state is h11.DONE:
            self._protocol.start_next_cycle()
            return True
        return False

    def abort(self) -> None:
        self._writer.transport.abort()

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


def find(headers: Headers, name: str) -> str | None:
    """The first header of that name, in any case."""
    wanted = name.lower().encode()
    return next((value.decode("latin-1") for key, value in headers if key.lower() == wanted), None)
