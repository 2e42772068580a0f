"""The smallest Runtime API: hands one function invocations, and is itself the client of its streams.

With it a function is measured as a server is: nothing stands between it and who reads.
"""

import asyncio
import contextlib
import json
import time
from typing import Any

from bench.heard import AnswerError, Heard, read_answer

HOST = "127.0.0.1"
_NEXT = b"/invocation/next"
_OK = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
ARN = "arn:aws:lambda:us-east-1:123456789012:function:bench"
DEADLINE_MS = 900_000


class RuntimeApi:
    """Serves one runtime process.

    Attributes:
        address: for AWS_LAMBDA_RUNTIME_API.
        idle: set while the process asks for work: what it had to do is done.
    """

    def __init__(self) -> None:
        self.address = ""
        self.idle = asyncio.Event()
        self._events: asyncio.Queue[bytes] = asyncio.Queue()
        self._heard: asyncio.Queue[Heard | AnswerError] = asyncio.Queue()
        self._asked = 0
        self._count = 0
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, HOST, 0)
        self.address = f"{HOST}:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def invoke(self, event: dict[str, Any]) -> Heard:
        """One invocation; returns when its whole answer is there.

        Raises:
            AnswerError: the function failed.
        """
        self._asked = time.monotonic_ns()
        self._events.put_nowait(json.dumps(event).encode())
        heard = await self._heard.get()
        if isinstance(heard, AnswerError):
            raise heard
        return heard

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if _NEXT in head.split(b"\r\n", 1)[0]:
                    await self._next(writer)
                else:
                    await self._posted(head, reader)
                    writer.write(_OK)
                await writer.drain()

    async def _next(self, writer: asyncio.StreamWriter) -> None:
        self.idle.set()
        event = await self._events.get()
        self.idle.clear()
        self._count += 1
        deadline = int(time.time() * 1000) + DEADLINE_MS
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(event)}\r\n"
            f"Lambda-Runtime-Aws-Request-Id: bench-{self._count}\r\n"
            f"Lambda-Runtime-Deadline-Ms: {deadline}\r\n"
            f"Lambda-Runtime-Invoked-Function-Arn: {ARN}\r\n\r\n"
        )
        writer.write(head.encode() + event)

    async def _posted(self, head: bytes, reader: asyncio.StreamReader) -> None:
        if b"transfer-encoding: chunked" in head.lower():
            heard = Heard(self._asked)
            await read_answer(reader, heard)
            self._heard.put_nowait(heard)
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        if b"/response " in head.split(b"\r\n", 1)[0]:
            self._heard.put_nowait(Heard(self._asked, [(time.monotonic_ns(), body)]))
            return
        self._heard.put_nowait(AnswerError(body.decode(errors="replace")[:2000]))
