"""A server that plays an answer for each request, raw, and cuts the connection where it is told to."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Run-Id: r-7\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def after(self) -> int:
        return int(self.path.partition("after=")[2] or 0)


@dataclass(frozen=True, slots=True)
class Reply:
    """Bytes to send, and whether the connection then breaks instead of being closed."""

    data: bytes
    broken: bool = False


Play = Callable[[Asked], Reply]


class Player:
    """What was asked, in order, and where."""

    def __init__(self, play: Play) -> None:
        self.asked: list[Asked] = []
        self.url = ""
        self._play = play

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line, *rest = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {
                name.lower(): value for name, _, value in (each.partition(": ") for each in rest) if name
            }
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            method, path, _ = line.split(" ")
            self.asked.append(Asked(method, path, headers, body))
            reply = self._play(self.asked[-1])
            writer.write(reply.data)
            await writer.drain()
            if reply.broken:
                writer.transport.abort()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client is gone
        finally:
            writer.close()

    @property
    def lines(self) -> list[str]:
        return [f"{each.method} {each.path}" for each in self.asked]


@asynccontextmanager
async def playing(play: Play) -> AsyncIterator[Player]:
    """The player, listening on a port of this machine."""
    player = Player(play)
    server = await asyncio.start_server(player.serve, "127.0.0.1", 0)
    player.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    try:
        yield player
    finally:
        server.close()
        await server.wait_closed()


def frame(number: int, event: dict[str, Any]) -> bytes:
    return f"id: {number}\ndata: {json.dumps(event)}\n\n".encode()


def stream(frames: list[bytes]) -> bytes:
    """A whole answer with these frames."""
    return HEAD + b"retry: 1000\n\n: keep-alive\n\n" + b"".join(frames)


def document(status: int, value: dict[str, Any], *headers: str) -> Reply:
    """An answer in JSON."""
    body = json.dumps(value).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return Reply("\r\n".join([*lines, "", ""]).encode() + body)
