"""A DynamoDB that works elsewhere, as AWS's does: in a process of its own, it answers each write after 5 ms.

It stores nothing, so that it takes none of the processors that are measured. moto, in its place, computes for
about 10 ms for each transaction, and the next delta waits for a processor.
5 ms: "consistent single-digit millisecond",
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Introduction.html
"""

import asyncio
import contextlib
import sys

HOST = "127.0.0.1"
ANSWER_SECONDS = 0.005
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: 2\r\n\r\n{}"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, kept for many calls."""
    with contextlib.closing(writer), contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
            await reader.readexactly(int(length or 0))
            await asyncio.sleep(ANSWER_SECONDS)
            writer.write(_ANSWER)
            await writer.drain()


async def main() -> None:
    """Serve until standard input ends, as it does with the process that started this one."""
    server = await asyncio.start_server(serve, HOST, 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
