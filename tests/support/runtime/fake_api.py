"""A Runtime API that does as a test scripts it, for what the function-URL emulator never does."""

import asyncio
import json
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Literal

from local.functions.http import ClientGone, Exchange, Server, find

PREFIX = "/2018-06-01/runtime"
ROOT = Path(__file__).parents[3]
WRAPPER = ROOT / "layers/shared/bin/rill-runtime"

Refusal = Literal["413", "reset"]


class Posted:
    """What the runtime sent with one POST."""

    def __init__(self, path: str, exchange: Exchange, body: bytes) -> None:
        self.path = path.removeprefix(PREFIX)
        self.kind = exchange.header("Lambda-Runtime-Function-Error-Type")
        self.mode = exchange.header("Lambda-Runtime-Function-Response-Mode")
        self.trailer = find(exchange.trailers, "Lambda-Runtime-Function-Error-Type")
        self.body = body


class FakeApi:
    """Hands out what `events` holds; `posts` has what came back, in order.

    Attributes:
        asked: the paths of the runtime's requests for work, in order.
        first_piece: set when a response's first piece is there.
        refusal: how responses are refused after their first piece.
        closing: whether every answer closes its connection.
        next_status: what `next` is answered with.
    """

    def __init__(self) -> None:
        self.events: asyncio.Queue[tuple[str, bytes, dict[str, str]]] = asyncio.Queue()
        self.posts: asyncio.Queue[Posted] = asyncio.Queue()
        self.asked: asyncio.Queue[str] = asyncio.Queue()
        self.restored = asyncio.Event()
        self.first_piece = asyncio.Event()
        self.refusal: Refusal | None = None
        self.closing = False
        self.next_status = 200
        self._server = Server(self._handle)

    async def start(self) -> None:
        await self._server.start()

    async def close(self) -> None:
        await self._server.close()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.port}"

    def offer(self, request_id: str, event: Any, **headers: str) -> None:
        raw = event if isinstance(event, bytes) else json.dumps(event).encode()
        self.events.put_nowait((request_id, raw, headers))

    async def _handle(self, exchange: Exchange) -> None:
        path = exchange.target.removeprefix(PREFIX)
        if exchange.method == "GET":
            async for _ in exchange.chunks():
                pass
            self.asked.put_nowait(path)
        if path == "/restore/next":
            await self.restored.wait()
            await exchange.respond(200, [])
        elif path == "/invocation/next" and self.next_status != 200:
            await exchange.respond(self.next_status, [], b"out of service")
        elif path == "/invocation/next":
            request_id, event, headers = await self.events.get()
            listed = [
                ("Lambda-Runtime-Aws-Request-Id", request_id),
                ("Lambda-Runtime-Deadline-Ms", "4102444800000"),
                (
                    "Lambda-Runtime-Invoked-Function-Arn",
                    "arn:aws:lambda:us-east-1:123456789012:function:probe",
                ),
            ]
            await exchange.respond(200, [*listed, *headers.items(), *self._added()], event)
        else:
            await self._post(exchange)

    async def _post(self, exchange: Exchange) -> None:
        body = b""
        async for piece in exchange.chunks():
            body += piece
            self.first_piece.set()
            if self.refusal == "reset":
                exchange.abort()
                raise ClientGone
            if self.refusal == "413":
                await exchange.respond(413, [], b"too large")
                raise ClientGone
        self.posts.put_nowait(Posted(exchange.target, exchange, body))
        await exchange.respond(202, self._added())

    def _added(self) -> list[tuple[str, str]]:
        return [("Connection", "close")] if self.closing else []


def http_event(path: str, **given: Any) -> dict[str, Any]:
    """The event of a function URL, as far as the runtime looks at it."""
    context = {"http": {"method": "GET", "path": path, "sourceIp": "127.0.0.1"}}
    event = {"version": "2.0", "rawPath": path, "rawQueryString": "", "headers": {}}
    return {**event, "requestContext": context, "isBase64Encoded": False, **given}


class Started:
    """A runtime process started by the wrapper, with its log in a file."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    async def ended(self) -> int:
        """The exit code, when the process has ended by itself."""
        return await asyncio.wait_for(self.process.wait(), 20)


async def start(
    stack: AsyncExitStack, tmp_path: Path, address: str, handler: str = "probe.app", **env: str
) -> Started:
    """Start the runtime as Lambda does. The stack ends it."""
    code = Path(__file__).parent / "code"
    variables = {
        "PATH": os.environ["PATH"],
        "AWS_LAMBDA_RUNTIME_API": address,
        "AWS_LAMBDA_FUNCTION_NAME": "probe",
        "LAMBDA_TASK_ROOT": str(code),
        "_HANDLER": handler,
        **env,
    }
    path = tmp_path / "runtime.log"
    log = stack.enter_context(path.open("ab"))
    process = await asyncio.create_subprocess_exec(
        str(WRAPPER),
        sys.executable,
        "/var/runtime/bootstrap.py",
        cwd=code,
        env=variables,
        stdout=log,
        stderr=log,
    )
    stack.push_async_callback(_end, process)
    return Started(process, path)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()
