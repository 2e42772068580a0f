"""The HTTP interface of a workflow function: routes, negotiation, and errors to responses.

Starlette only; what a run needs beside it is imported behind its first event.
"""

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from rill import __version__, sse
from rill.errors import BadRequest, BodyTooLarge, MethodNotAllowed, NotFound, RillError
from rill.events import Complete
from rill.runs import Run

R = TypeVar("R", bound=BaseModel)
logger = logging.getLogger(__name__)
MAX_BODY_BYTES = 6 * 1024 * 1024
"""What Lambda takes as a request. https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """What the runtime says of the invocation a request came in."""

    request_id: str
    deadline_ms: int | None
    direct: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition(Generic[R]):
    """What makes an app out of a workflow.

    Args:
        name: the workflow's.
        request_model: what `POST /runs` takes.
        start: makes a run, not yet started, of a request.
        read: a stored run as `GET /runs/{id}` shows it, or None where there is none.
        explain: makes a sentence of one validation error of pydantic's.
        close: closes what the app keeps open; called when the process ends.
    """

    name: str
    request_model: type[R]
    start: Callable[[R, Invocation], Run[Any]]
    read: Callable[[str], Awaitable[dict[str, Any] | None]]
    explain: Callable[[Any, Any], str]
    close: Callable[[], Awaitable[None]] | None = None


def create_app(definition: Definition[R]) -> Starlette:
    """The ASGI app of one workflow function."""

    async def runs(request: Request) -> Response:
        invocation = _invocation(request)
        if request.url.path == "/events" and not invocation.direct:
            raise NotFound
        run = definition.start(_validate(definition, await _body(request)), invocation)
        headers = {"X-Run-Id": run.record.run_id, "X-Request-Id": invocation.request_id}
        if not invocation.direct and _wants_stream(request.headers.get("accept", "")):
            headers |= {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
            return StreamingResponse(run.frames(), headers=headers, media_type=sse.MEDIA_TYPE)
        return await _whole(run, headers)

    async def run(request: Request) -> Response:
        found = await definition.read(request.path_params["run_id"])
        if found is None:
            raise NotFound(f"There is no run {request.path_params['run_id']!r}.")
        return JSONResponse(found, headers={"Cache-Control": "no-store"})

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "workflow": definition.name, "version": __version__})

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            if definition.close is not None:
                await definition.close()

    return Starlette(
        lifespan=lifespan,
        routes=[
            Route("/runs", runs, methods=["POST"]),
            Route("/events", runs, methods=["POST"]),
            Route("/runs/{run_id}", run, methods=["GET"]),
            Route("/health", health, methods=["GET"]),
        ],
        exception_handlers={RillError: _rill_error, HTTPException: _http_error, Exception: _bug},
    )


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


def _validate(definition: Definition[R], body: bytes) -> R:
    if not body.strip():
        raise BadRequest("The request body is empty; it has to be a JSON object.")
    try:
        document = json.loads(body)
    except ValueError as error:
        raise BadRequest(f"The request body is not JSON: {error}.") from error
    except RecursionError as error:
        raise BadRequest("The request body is nested too deep.") from error
    try:
        return definition.request_model.model_validate(document)
    except ValidationError as error:
        sentences = [definition.explain(detail, document) for detail in error.errors(include_url=False)[:5]]
        more = f" ({error.error_count() - 5} more)" if error.error_count() > 5 else ""
        raise BadRequest("; ".join(sentences) + more) from error


def _wants_stream(accept: str) -> bool:
    return sse.MEDIA_TYPE in accept.lower()


async def _whole(run: Run[Any], headers: dict[str, str]) -> Response:
    """Waits for the run and answers with its result, or its error as an HTTP status."""
    async for _ in run.frames():
        pass
    if isinstance(run.terminal, Complete):
        body = {"run_id": run.record.run_id, **sse.to_dict(run.terminal)}
        body["usage"] = asdict(run.terminal.usage)
        return JSONResponse(body, headers=headers)
    error = run.failure or RillError()
    return _error(error, run.record.request_id, {**headers, "X-Run-Id": run.record.run_id})


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
