"""The HTTP interface of a workflow function: routes, negotiation, and errors to responses.

Starlette only; what a run needs beside it is imported behind its first event.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from rill import __version__, sse
from rill.errors import BadRequest, BodyTooLarge, MethodNotAllowed, NotFound, RillError
from rill.events import Cancelled, Complete, Error, Event
from rill.runs import Run, new_run_id
from rill.service import Definition, Invocation, Service

__all__ = ["Definition", "Invocation", "create_app"]

R = TypeVar("R", bound=BaseModel)
logger = logging.getLogger(__name__)
MAX_BODY_BYTES = 6 * 1024 * 1024
"""What Lambda takes as a request. https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

_SEND = "rill.send"
"""Where the scope has the server's own `send`."""

_STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def create_app(definition: Definition[R]) -> Starlette:
    """The ASGI app of one workflow function."""
    routes = _Routes(Service(definition))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            if definition.load is not None:
                await definition.load()
            yield
        finally:
            if definition.close is not None:
                await definition.close()

    return _App(
        lifespan=lifespan,
        routes=[
            Route("/runs", routes.start, methods=["POST"]),
            Route("/runs/{run_id}", routes.read, methods=["GET"]),
            Route("/runs/{run_id}/events", routes.attach, methods=["GET"]),
            Route("/runs/{run_id}/cancel", routes.cancel, methods=["POST"]),
            Route("/runs/{run_id}/resume", routes.again, methods=["POST"]),
            Route("/runs/{run_id}/steps/{step}/retry", routes.again, methods=["POST"]),
            Route("/events", routes.direct, methods=["POST"]),
            Route("/health", routes.health, methods=["GET"]),
        ],
        exception_handlers={RillError: _rill_error, HTTPException: _http_error, Exception: _bug},
    )


class _App(Starlette):
    """Starlette, with a shorter way out for the pieces of a stream.

    Its own middlewares look at the first message of a response and only pass the others on, each in a call of
    its own: pieces go past them. They do not go past middlewares that somebody has added.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.user_middleware:
            scope[_SEND] = send
        await super().__call__(scope, receive, send)


class _Routes:
    """What the addresses do."""

    def __init__(self, service: Service[Any]) -> None:
        self._service = service

    async def start(self, request: Request) -> Response:
        service, invocation = self._service, _invocation(request)
        body = await _body(request)
        asked = service.validate(body)
        key = request.headers.get("idempotency-key")
        run_id, known = await service.known(key, body, new_run_id())
        headers = {"X-Request-Id": invocation.request_id, "X-Run-Id": run_id}
        if _prefers_async(request):
            return await self._queued(asked, body, known, headers, invocation)
        if known:
            return await self._known(request, run_id, headers, invocation)
        run = service.start(asked, body, run_id, invocation)
        if _wants_stream(request):
            return _stream(run.frames(), headers)
        return await _whole(run, headers)

    async def _queued(
        self, asked: Any, body: bytes, known: bool, headers: dict[str, str], invocation: Invocation
    ) -> Response:
        run_id = headers["X-Run-Id"]
        if known:
            state = (await self._service.follower.find(run_id)).state
        else:
            state = (await self._service.enqueue(asked, body, run_id, invocation)).state
        headers |= {"Preference-Applied": "respond-async", "Location": f"/runs/{run_id}"}
        return JSONResponse({"run_id": run_id, "state": state}, status_code=202, headers=headers)

    async def _known(
        self, request: Request, run_id: str, headers: dict[str, str], invocation: Invocation
    ) -> Response:
        """A repeated start: the same run, from its beginning."""
        follower = self._service.follower
        frames = follower.frames(run_id, 0, invocation.deadline_ms)
        if _wants_stream(request):
            return _stream(frames, headers)
        async for _ in frames:
            pass
        terminal = await follower.terminal(await follower.find(run_id))
        return _ended(run_id, terminal, invocation.request_id, headers)

    async def attach(self, request: Request) -> Response:
        invocation, run_id = _invocation(request), request.path_params["run_id"]
        after = _after(request)
        await self._service.follower.find(run_id)
        frames = self._service.follower.frames(run_id, after, invocation.deadline_ms)
        return _stream(frames, {"X-Request-Id": invocation.request_id, "X-Run-Id": run_id})

    async def again(self, request: Request) -> Response:
        invocation, run_id = _invocation(request), request.path_params["run_id"]
        run = await self._service.again(run_id, request.path_params.get("step"), invocation)
        headers = {"X-Request-Id": invocation.request_id, "X-Run-Id": run_id}
        if _wants_stream(request):
            return _stream(run.frames(), headers)
        return await _whole(run, headers)

    async def cancel(self, request: Request) -> Response:
        answer = await self._service.cancel(request.path_params["run_id"])
        return JSONResponse(answer, status_code=202 if answer["cancel"] else 200)

    async def read(self, request: Request) -> Response:
        found = await self._service.read(request.path_params["run_id"])
        return JSONResponse(found, headers={"Cache-Control": "no-store"})

    async def direct(self, request: Request) -> Response:
        """An event that is no HTTP request: a batch of the queue, or a request as it is."""
        invocation = _invocation(request)
        if not invocation.direct:
            raise NotFound
        body = await _body(request)
        if (event := _queue_event(body)) is not None:
            return JSONResponse(await self._service.work(event, invocation))
        run_id = new_run_id()
        run = self._service.start(self._service.validate(body), body, run_id, invocation)
        return await _whole(run, {"X-Request-Id": invocation.request_id, "X-Run-Id": run_id})

    async def health(self, request: Request) -> Response:
        name = self._service.definition.name
        return JSONResponse({"status": "ok", "workflow": name, "version": __version__})


# -- requests ------------------------------------------------------------------------------------


def _invocation(request: Request) -> Invocation:
    """From the runtime's scope; under another ASGI server there is a request id and no deadline."""
    known = request.scope.get("extensions", {}).get("rill", {})
    return Invocation(
        request_id=known.get("request_id") or request.headers.get("x-request-id", "local"),
        deadline_ms=known.get("deadline_ms"),
        direct=known.get("invoked_directly", False),
    )


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge(f"The request body is over {MAX_BODY_BYTES} bytes.")
    return bytes(body)


def _wants_stream(request: Request) -> bool:
    return sse.MEDIA_TYPE in request.headers.get("accept", "").lower()


def _prefers_async(request: Request) -> bool:
    """https://www.rfc-editor.org/rfc/rfc7240#section-4.1"""
    wishes = ",".join(request.headers.getlist("prefer")).lower().split(",")
    return any(wish.partition(";")[0].strip() == "respond-async" for wish in wishes)


def _after(request: Request) -> int:
    """Where to go on; the header, which a browser sets by itself, is newer than the address."""
    for name, text in (
        ("Last-Event-ID", request.headers.get("last-event-id")),
        ("after", request.query_params.get("after")),
    ):
        if text is None or text == "":
            continue
        if not (text.isascii() and text.isdigit() and len(text) <= 10):
            raise BadRequest(f"{name} is {text[:40]!r}; it has to be the id of an event.")
        return int(text)
    return 0


def _queue_event(body: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(body)
        records = event["Records"]
        from_queue = all(record["eventSource"] == "aws:sqs" for record in records)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return event if from_queue and records else None


# -- responses -----------------------------------------------------------------------------------


class _EventStream(Response):
    """Each piece as it comes. Starlette's own streams beside a task that ends the stream when the client goes
    away; a run goes on then, and Lambda would tell nobody."""

    media_type = sse.MEDIA_TYPE

    def __init__(self, frames: AsyncGenerator[bytes, None], headers: dict[str, str]) -> None:
        self._frames = frames
        self.status_code = 200
        self.background = None
        self.init_headers({**headers, **_STREAM_HEADERS})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # In a task of its own: a piece wakes up this and the run, and not the dozen of Starlette's that wait.
        await asyncio.create_task(self._send_all(send, scope.get(_SEND, send)), name="event stream")

    async def _send_all(self, send: Send, send_piece: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(self._frames) as frames:
            async for piece in frames:
                await send_piece({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _stream(frames: AsyncGenerator[bytes, None], headers: dict[str, str]) -> Response:
    return _EventStream(frames, headers)


async def _whole(run: Run[Any], headers: dict[str, str]) -> Response:
    """Waits for the run and answers with its result, or its error as an HTTP status."""
    async for _ in run.frames():
        pass
    if run.failure is not None:
        return _error(run.failure, run.record.request_id, headers)
    assert run.terminal is not None  # noqa: S101 - a run that has not failed has ended
    return _ended(run.record.run_id, run.terminal, run.record.request_id, headers)


def _ended(run_id: str, terminal: Event, request_id: str, headers: dict[str, str]) -> Response:
    """A run's end as an answer."""
    if isinstance(terminal, Error):
        body = {"code": terminal.code, "message": terminal.message, "request_id": terminal.request_id}
        return JSONResponse(body, status_code=_status(terminal.code), headers=headers)
    if terminal.type == "handoff":
        body = {"run_id": run_id, "state": "queued"}
        return JSONResponse(body, status_code=202, headers={**headers, "Location": f"/runs/{run_id}"})
    ended: dict[str, Any] = {"run_id": run_id, **sse.to_dict(terminal)}
    if isinstance(terminal, (Complete, Cancelled)):
        ended["usage"] = asdict(terminal.usage)
    return JSONResponse(ended, headers=headers)


def _status(code: str) -> int:
    """The status of an error of which only the code is left."""
    kinds: list[type[RillError]] = [RillError]
    while kinds:
        kind = kinds.pop(0)
        if kind.code == code:
            return kind.status
        kinds += kind.__subclasses__()
    return RillError.status


def _error(error: RillError, request_id: str, headers: dict[str, str] | None = None) -> Response:
    headers = dict(headers or {})
    if error.retry_after is not None or error.status == 429:
        headers["Retry-After"] = str(round(error.retry_after or 1))
    body = {"code": error.code, "message": error.message, "request_id": request_id}
    return JSONResponse(body, status_code=error.status, headers=headers)


async def _rill_error(request: Request, error: Exception) -> Response:
    rill_error = error if isinstance(error, RillError) else RillError()
    logger.warning("request answered with %s: %s", rill_error.status, rill_error)
    return _error(rill_error, _invocation(request).request_id)


async def _http_error(request: Request, error: Exception) -> Response:
    allowed = (getattr(error, "headers", None) or {}).get("Allow")
    if getattr(error, "status_code", 404) == 405:
        message = f"{request.url.path} does not take {request.method}; it takes {allowed}."
        headers = {"Allow": allowed} if allowed else None
        return _error(MethodNotAllowed(message), _invocation(request).request_id, headers)
    return _error(NotFound(f"There is no {request.url.path} here."), _invocation(request).request_id)


async def _bug(request: Request, error: Exception) -> Response:
    logger.error("request %s raised", _invocation(request).request_id, exc_info=error)
    return _error(RillError(), _invocation(request).request_id)
