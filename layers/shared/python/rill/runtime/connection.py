"""One HTTP/1.1 connection to the Runtime API: h11 over asyncio."""

import asyncio
import contextlib

import h11

READ_BYTES = 64 * 1024

# `next` carries the caller's client context in a header; h11's 16 kB are for headers from strangers.
MAX_HEADER_BYTES = 256 * 1024


class ApiError(Exception):
    """The Runtime API refused a request, or its connection broke."""


class Answer:
    """A response of the Runtime API; header names in lower case."""

    def __init__(self, response: h11.Response, body: bytes) -> None:
        self.status = response.status_code
        self.headers = {name.decode().lower(): value.decode("latin-1") for name, value in response.headers}
        self.body = body

    @property
    def text(self) -> str:
        return self.body[:500].decode(errors="replace").strip()


class Connection:
    """h11's state over one asyncio connection. asyncio sets TCP_NODELAY on every one of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: bytes) -> None:
        self.host = host
        self._reader = reader
        self._writer = writer
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEADER_BYTES)
        # `drain` returns when nothing is left in the process: what the app sent is on its way.
        self._transport = writer.transport
        self._transport.set_write_buffer_limits(high=0)

    @classmethod
    async def open(cls, address: tuple[str, int]) -> "Connection":
        """Connect.

        Raises:
            ApiError: nothing listens there.
        """
        try:
            reader, writer = await asyncio.open_connection(*address)
        except OSError as error:
            raise ApiError(f"cannot connect to the Runtime API: {error}") from error
        return cls(reader, writer, f"{address[0]}:{address[1]}".encode())

    @property
    def usable(self) -> bool:
        """Whether another request can go out on it."""
        gone = self._reader.at_eof() or self._writer.is_closing()
        return self._protocol.our_state is h11.IDLE and not gone

    @property
    def sent_all(self) -> bool:
        """Whether the request is whole; an answer with `Connection: close` moves it on from DONE."""
        return self._protocol.our_state in (h11.DONE, h11.MUST_CLOSE, h11.CLOSED)

    def encoded(self, *events: h11.Event) -> bytes:
        """What h11 writes for these events, which are then taken as sent."""
        return b"".join(self._protocol.send(event) or b"" for event in events)

    async def write(self, data: bytes) -> None:
        """Write what is HTTP already; returns when the operating system has it.

        Raises:
            ApiError: the connection broke.
        """
        if not self.push(data):
            await self.drained()

    def push(self, data: bytes) -> bool:
        """Write; returns whether the operating system has it all, as it mostly does. Else `drained` waits."""
        self._transport.write(data)
        return not self._transport.get_write_buffer_size() and not self._transport.is_closing()

    async def drained(self) -> None:
        """Wait until the operating system has what was pushed. Raises as `write` does."""
        try:
            await self._writer.drain()
        except ConnectionError as error:
            raise ApiError(f"the connection to the Runtime API broke: {error}") from error

    async def answer(self) -> Answer:
        """Read one response whole.

        Raises:
            ApiError: the connection broke, or what came is not HTTP.
        """
        response: h11.Response | None = None
        body = bytearray()
        try:
            while True:
                event = self._protocol.next_event()
                if event is h11.NEED_DATA:
                    self._protocol.receive_data(await self._reader.read(READ_BYTES))
                elif isinstance(event, h11.Response):
                    response = event
                elif isinstance(event, h11.Data):
                    body += event.data
                elif isinstance(event, h11.EndOfMessage) and response is not None:
                    break
                elif not isinstance(event, h11.InformationalResponse):
                    raise ApiError("the Runtime API closed the connection")
        except (ConnectionError, h11.RemoteProtocolError) as error:
            raise ApiError(f"no answer from the Runtime API: {error}") from error
        return Answer(response, bytes(body))

    def next_cycle(self) -> None:
        """Make ready for another request, where the API keeps the connection."""
        if self._protocol.our_state is h11.DONE and self._protocol.their_state is h11.DONE:
            self._protocol.start_next_cycle()

    def abort(self) -> None:
        self._transport.abort()

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()
