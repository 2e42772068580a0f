"""Answers: JSON with an ETag, errors as every function of Rill gives them."""

import hashlib
import json
import logging
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from results.models import Problem
from results.problems import explain
from rill.errors import BadRequest, BodyTooLarge, MethodNotAllowed, NotFound, RillError

logger = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 6_000_000
"""Lambda's 6 MB for a buffered response, less what its headers take.

https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

MAX_BODY_BYTES = 6 * 1024 * 1024
"""Lambda takes no larger event; this holds behind any other server as well."""

_DESCRIPTIONS: dict[int | str, str] = {
    304: "It is as `If-None-Match` says.",
    400: "The request is not valid; the message names the parameter.",
    404: "There is nothing by that id.",
    409: "It does not fit what is there.",
    413: "The request body is too large.",
    "default": "Any other error, such as a database that cannot be reached.",
}


def documented(*statuses: int | str) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of those statuses."""
    return {
        status: {
            "description": _DESCRIPTIONS[status],
            **({} if status == 304 else {"model": Problem}),
        }
        for status in statuses
    }


def tagged(request: Request, document: BaseModel, *, hint: str = "take a lower `limit`") -> Response:
    """The document as JSON with a strong ETag, of its bytes; 304 where the caller has it already.

    Args:
        request: whose `If-None-Match` counts.
        document: what to send.
        hint: what to do where the document is too large to send.

    Raises:
        BadRequest: it is too large for Lambda's response.
    """
    body = document.model_dump_json().encode()
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return unchanged(request, tag) or sent(body, tag, hint=hint)


def unchanged(request: Request, tag: str) -> Response | None:
    """The 304 for a caller that has what the tag stands for."""
    # If-None-Match compares weakly: https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2
    theirs = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if "*" in theirs or tag.removeprefix("W/") in theirs:
        return Response(status_code=304, headers=_cached_as(tag))
    return None


def sent(body: bytes, tag: str, *, hint: str) -> Response:
    """The body, which is JSON, under that tag.

    Raises:
        BadRequest: it is too large for Lambda's response; `hint` says what to do.
    """
    check_size(body, hint)
    return Response(body, media_type="application/json", headers=_cached_as(tag))


def _cached_as(tag: str) -> dict[str, str]:
    return {"ETag": tag, "Cache-Control": "private, no-cache"}


def fits(body: bytes) -> bool:
    """Whether Lambda takes the body as an answer: inside a JSON document of at most 6 MB."""
    # JSON within JSON can double quotes and backslashes, other text can grow six-fold; two quotes around it.
    if len(body) * 6 + 2 <= MAX_ANSWER_BYTES:
        return True
    return len(json.dumps(body.decode(), ensure_ascii=False).encode()) <= MAX_ANSWER_BYTES


def check_size(body: bytes, hint: str) -> None:
    """Raise BadRequest with the hint where the body does not fit."""
    if not fits(body):
        raise BadRequest(f"The answer would be over the limit of {MAX_ANSWER_BYTES} bytes; {hint}.")


def request_id(request: Request) -> str:
    """Lambda's id of the invocation; under another server what the caller sent, or "local"."""
    context = request.scope.get("aws.context")
    known = getattr(context, "aws_request_id", None)
    return str(known or request.headers.get("x-request-id", "local"))


def _error(request: Request, error: RillError, headers: dict[str, str] | None = None) -> Response:
    body = {"code": error.code, "message": error.message, "request_id": request_id(request)}
    return JSONResponse(body, status_code=error.status, headers=headers)


async def _rill_error(request: Request, error: Exception) -> Response:
    known = error if isinstance(error, RillError) else RillError()
    logger.warning("request %s answered with %s: %s", request_id(request), known.status, known)
    return _error(request, known)


async def _invalid(request: Request, error: Exception) -> Response:
    details = list(error.errors()) if isinstance(error, RequestValidationError) else []
    if any(detail["loc"][0] == "path" for detail in details):
        return _error(request, NotFound(f"There is no {request.url.path} here."))
    body = getattr(error, "body", None)
    more = f" ({len(details) - 5} more)" if len(details) > 5 else ""
    return _error(request, BadRequest("; ".join(explain(one, body) for one in details[:5]) + more))


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    if status == 405:
        allowed = (getattr(error, "headers", None) or {}).get("Allow", "")
        message = f"{request.url.path} does not take {request.method}; it takes {allowed}."
        return _error(request, MethodNotAllowed(message), {"Allow": allowed})
    if status == 413:
        return _error(request, BodyTooLarge(f"The request body is over the limit of {MAX_BODY_BYTES} bytes."))
    if status == 400:
        return _error(request, BadRequest("The request body is not JSON that can be read."))
    return _error(request, NotFound(f"There is no {request.url.path} here."))


async def _bug(request: Request, error: Exception) -> Response:
    logger.error("request %s raised", request_id(request), exc_info=error)
    return _error(request, RillError())


class _RequestId:
    """Puts the request's id on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        header = (b"x-request-id", request_id(Request(scope)).encode("latin-1"))

        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": [*message["headers"], header]}
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            if started:
                raise
            await (await _bug(Request(scope), error))(scope, receive, send_with_id)


class _BodyLimit:
    """Refuses what is too large while it is read; Starlette's own limit answers in plain text."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        size = 0

        async def receive_limited() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > MAX_BODY_BYTES:
                # FastAPI takes any other exception for a body that is no JSON.
                raise HTTPException(413)
            return message

        await self._app(scope, receive_limited, send)


def install(app: FastAPI) -> None:
    """Give the app these errors, the limit of bodies, and the header with the request's id."""
    app.add_exception_handler(RillError, _rill_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_middleware(_BodyLimit)
    app.add_middleware(_RequestId)
