"""The model of all benchmarks, in a process of its own: replays one answer, at once or at a pace.

What it does is in the path of a request, before `/v1`: `/pace/100` deltas a second (0: all at once),
`/deltas/500` of the answer, `/stamps/1` for deltas that say when they were sent, `/lanes/5` for one of five
answers that are given side by side and `/places/2` for one that gets twice the room. A connection per answer.
"""

import asyncio
import contextlib
import sys
import time
from functools import cache, partial
from itertools import cycle, islice

from bench import wire
from bench.answer import answer
from bench.lanes import Lanes

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
)
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
HOST = "127.0.0.1"


def stamp() -> str:
    """A piece of text that says when it was made; all processes of a machine share this clock."""
    return f"t{time.monotonic_ns()};"


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@cache
def whole(kind: wire.Kind, count: int) -> bytes:
    """The body of an answer that is sent at once: one HTTP chunk an event, as servers write them."""
    deltas = texts(count)
    stream = _stream(kind, deltas)
    events = [stream.before, *map(stream.delta, deltas), stream.after]
    return b"".join(map(chunked, events)) + b"0\r\n\r\n"


def texts(count: int) -> list[str]:
    """So many deltas of the answer; 0 for all of them, and more than it has by beginning again."""
    deltas = answer().deltas
    return list(islice(cycle(deltas), count or len(deltas)))


def _stream(kind: wire.Kind, deltas: list[str]) -> wire.Stream:
    return wire.chat(deltas) if kind == "chat" else wire.responses(deltas)


def options(path: str) -> tuple[wire.Kind, dict[str, float]] | None:
    """What a path asks for; None where it is no endpoint."""
    before, found, endpoint = path.partition("/v1/")
    kinds: dict[str, wire.Kind] = {"chat/completions": "chat", "responses": "responses"}
    if not found or endpoint not in kinds:
        return None
    words = before.strip("/").split("/") if before else []
    return kinds[endpoint], {name: float(value) for name, value in zip(words[::2], words[1::2], strict=True)}


async def serve_one(lanes: Lanes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, one answer."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        for line in head.split("\r\n"):
            name, _, value = line.partition(":")
            if name.lower() == "content-length":
                await reader.readexactly(int(value))
        asked = options(head.split(" ", 2)[1])
        if asked is None:
            writer.write(NOT_FOUND)
        else:
            await _answer(writer, lanes, *asked)
        await writer.drain()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def _answer(
    writer: asyncio.StreamWriter, lanes: Lanes, kind: wire.Kind, asked: dict[str, float]
) -> None:
    count, pace = int(asked.get("deltas", 0)), asked.get("pace", 0.0)
    writer.write(HEAD)
    if not pace:
        writer.write(whole(kind, count))
        return
    deltas = texts(count)
    stream, stamps = _stream(kind, deltas), bool(asked.get("stamps"))
    writer.write(chunked(stream.before))
    loop = asyncio.get_running_loop()
    began = loop.time()
    if "lanes" in asked:
        began = await lanes.join(int(asked["lanes"]), 1 / pace, int(asked.get("places", 1)))
    for place, text in enumerate(deltas, start=1):
        await asyncio.sleep(began + place / pace - loop.time())
        writer.write(chunked(stream.delta(stamp() if stamps else text)))
        await writer.drain()
    # The end is a token as well: sent at once, it would delay the last delta.
    await asyncio.sleep(began + (len(deltas) + 1) / pace - loop.time())
    writer.write(chunked(stream.after) + b"0\r\n\r\n")


async def main() -> None:
    """Serve until standard input ends, as it does with the process that started this one."""
    server = await asyncio.start_server(partial(serve_one, Lanes()), HOST, 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
