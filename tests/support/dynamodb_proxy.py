"""Stands between a function and its DynamoDB: counts, holds, refuses, and loses answers."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx2

Answer = tuple[int, bytes]


@dataclass(slots=True)
class Call:
    """One request.

    Attributes:
        number: from 1, over all connections.
        operation: such as "PutItem".
        size: bytes of its body.
    """

    number: int
    operation: str
    body: dict[str, Any]
    size: int
    _forward: Callable[[], Awaitable[Answer]] = field(repr=False)

    async def forward(self) -> Answer:
        """Does it; what DynamoDB answers."""
        return await self._forward()


Rule = Callable[[Call], Awaitable[Answer | None]]
"""What becomes of a call: an answer, or None for a connection that breaks."""


async def passes(call: Call) -> Answer | None:
    return await call.forward()


async def breaks(call: Call) -> Answer | None:
    """It never arrives."""
    return None


async def loses(call: Call) -> Answer | None:
    """It is done, and nobody hears of it."""
    await call.forward()
    return None


def error(kind: str, status: int = 400) -> Answer:
    """DynamoDB's own error."""
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{kind}", "message": "of a test"}
    return status, json.dumps(body).encode()


class DynamoProxy:
    """An async context manager; `rule` decides over each call and may be changed at any time.

    Attributes:
        url: where it listens.
        calls: all calls so far.
    """

    def __init__(self, upstream: str, rule: Rule = passes) -> None:
        self.rule = rule
        self.calls: list[Call] = []
        self.url = ""
        self._upstream = upstream

    async def __aenter__(self) -> Self:
        self._client = httpx2.AsyncClient(trust_env=False, timeout=30)
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}"
        self._serving: set[asyncio.Task[None]] = set()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, wrong: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._client.aclose()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")[1:-2]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))

        async def forward() -> Answer:
            sent = {name: value for name, value in headers.items() if name not in ("host", "connection")}
            got = await self._client.post(self._upstream, content=body, headers=sent)
            return got.status_code, got.content

        operation = headers["x-amz-target"].rpartition(".")[2]
        call = Call(len(self.calls) + 1, operation, json.loads(body), len(body), forward)
        self.calls.append(call)
        answer = await self.rule(call)
        if answer is None:
            return False
        status, content = answer
        writer.write(
            b"HTTP/1.1 %d x\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n%s"
            % (status, len(content), content)
        )
        await writer.drain()
        return True
