"""The scripted model as an ASGI app: OpenAI's endpoints, and a few of its own to steer and watch it.

POST   /v1/chat/completions   GET /v1/models   GET /health
GET    /requests    the request log           DELETE /requests    forgets it
GET    /faults      PUT or POST /faults       {"faults": "scores=500:once"}; DELETE /faults
POST   /release     lets stalled answers go on
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from local.model.completion import Answering, Connection, parse_pace
from local.model.faults import BadFault, FaultBook
from local.model.log import RequestLog, RequestRecord
from local.model.request import BadRequest, read_request
from local.model.wire import dumps, error

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MODELS = ("scripted-small", "scripted-large")
MAX_BODY = 32 * 1024 * 1024


class ModelApp:
    """One scripted model.

    Args:
        pace: deltas (tokens) per second; 0 for as fast as the connection takes them.
        faults: see `local.model.faults`.
    """

    def __init__(self, *, pace: float = 0.0, faults: str = "", log: RequestLog | None = None) -> None:
        self.pace = pace
        self.faults = FaultBook(faults)
        self.log = log if log is not None else RequestLog()
        self._release = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"the scripted model speaks HTTP, not {scope['type']}")
        connection = Connection(send)
        route = (scope["method"], scope["path"])
        if route == ("POST", "/v1/chat/completions"):
            await self._complete(scope, receive, connection)
            return
        try:
            status, value = self._steer(*route, await _body(receive))
        except (BadFault, BadRequest) as problem:
            status, value = 400, error(400, str(problem))
        await connection.answer(status, dumps(value))

    def release(self) -> None:
        """Lets every answer that stalls now go on."""
        self._release.set()
        self._release = asyncio.Event()

    def cancel_all(self) -> None:
        """Ends every answer that is under way, as the server is about to stop."""
        for task in self._running:
            task.cancel()

    def _steer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        match method, path:
            case "GET", "/health":
                return 200, {"status": "ok", "model": "scripted"}
            case "GET", "/v1/models":
                listed = [
                    {"id": name, "object": "model", "created": 0, "owned_by": "scripted"} for name in MODELS
                ]
                return 200, {"object": "list", "data": listed}
            case "GET", "/requests":
                return 200, [record.as_dict() for record in self.log.records()]
            case "DELETE", "/requests":
                self.log.clear()
            case (("POST" | "PUT"), "/faults"):
                self.faults.set(_faults(body))
            case "DELETE", "/faults":
                self.faults.set("")
            case "GET", "/faults":
                pass
            case "POST", "/release":
                self.release()
            case _:
                return 404, error(404, f"Unknown request URL: {method} {path}.", "unknown_url")
        return 200, {"faults": self.faults.text}

    async def _complete(self, scope: Message, receive: Receive, connection: Connection) -> None:
        """Answers in a task of its own, so that a client that leaves is noticed while the answer waits."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        record, started = RequestRecord(), asyncio.get_running_loop().time()
        raw = await _body(receive)
        answer = asyncio.create_task(self._answer(raw, headers, record, connection))
        gone = asyncio.create_task(_disconnected(receive))
        self._running.add(answer)
        try:
            await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
            record.disconnected = not answer.done()
        finally:
            for task in (answer, gone):
                task.cancel()
            results = await asyncio.gather(answer, gone, return_exceptions=True)
            self._running.discard(answer)
            record.status = connection.status
            record.duration_ms = round((asyncio.get_running_loop().time() - started) * 1000, 1)
            self.log.add(record)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _answer(
        self, raw: bytes, headers: dict[str, str], record: RequestRecord, connection: Connection
    ) -> None:
        try:
            request = read_request(raw)
            written = (headers.get("x-scripted-fault"), request.prompt.fault)
            fault = self.faults.take(request.schema_name, *written)
            pace = parse_pace(headers.get("x-scripted-pace") or request.prompt.pace, self.pace)
        except (BadRequest, BadFault) as problem:
            await connection.answer(400, dumps(error(400, str(problem))))
            return
        record.model, record.schema, record.stream = request.model, request.schema_name, request.stream
        record.body, record.fault = request.body, fault.text if fault else None
        await Answering(request, fault, pace, record, connection, self._release).run()


def _faults(body: bytes) -> str:
    """The faults of a request to set them: a JSON object, or the text itself."""
    text = body.decode("utf-8", "replace").strip()
    if not text.startswith("{"):
        return text
    try:
        value = json.loads(text).get("faults")
    except ValueError:
        raise BadRequest('The body is no JSON: {"faults": "429:2"} is expected.') from None
    if not isinstance(value, str):
        raise BadRequest('"faults" must be a string such as "429:2".')
    return value


async def _body(receive: Receive) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size <= MAX_BODY:  # a longer one is read to its end and then fails as JSON
            parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
