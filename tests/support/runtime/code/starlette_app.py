"""Starlette as the workflows use it: a stream, and an error that its middleware answers and raises again."""

from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route


async def stream(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"data: %d\n\n" % number

    return StreamingResponse(pieces(), media_type="text/event-stream")


async def fail(request: Request) -> Response:
    raise ValueError("a bug")


async def path(request: Request) -> Response:
    values: dict[str, Any] = {
        "path": request.path_params["rest"],
        "cookies": request.cookies,
        "x": request.query_params.getlist("x"),
        "length": len(await request.body()),
    }
    from starlette.responses import JSONResponse

    return JSONResponse(values)


app = Starlette(
    routes=[
        Route("/stream", stream),
        Route("/fail", fail),
        Route("/path/{rest:path}", path, methods=["GET", "POST"]),
    ]
)
