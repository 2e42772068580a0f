"""The API as a FastAPI app, over whatever stores it is given."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from results import figures, runs, sessions
from results.models import Health
from results.responses import documented, install
from results.stores import Stores
from rill import __version__
from rill.stores.dynamo import Dynamo
from rill.stores.line_ratings import LineRatingStore
from rill.stores.queries import RunQueryStore
from rill.stores.sessions import SessionStore


class _Api(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, without FastAPI's own 422: what is not valid is a 400 here."""
        if self.openapi_schema is None:
            found = super().openapi()
            for path in found["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("422", None)
            for name in ("HTTPValidationError", "ValidationError"):
                found["components"]["schemas"].pop(name, None)
        assert self.openapi_schema is not None  # noqa: S101  # FastAPI keeps what it has made
        return self.openapi_schema


def create_api(stores: Stores, close: Callable[[], Awaitable[None]] | None = None) -> FastAPI:
    """The app with all its routes; its OpenAPI document is at `/openapi.json`.

    Args:
        stores: what it reads and writes.
        close: awaited at the end of its lifespan.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            if close is not None:
                await close()

    app = _Api(
        lifespan=lifespan,
        title="Rill results",
        version=__version__,
        summary="What Rill keeps: sessions, runs, line ratings, and figures over them.",
        description="Lists are paged by opaque cursors. What can be polled has an `ETag`; "
        "with `If-None-Match` an unchanged answer is a 304 without a body.",
        # Their pages load scripts from somebody else's server.
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        responses=documented("default"),
    )
    install(app)
    app.state.stores = stores
    for part in (sessions, runs, figures):
        app.include_router(part.router)

    @app.get("/health", response_model=Health, tags=["health"], summary="Say that the API is there")
    async def health() -> Health:
        return Health(status="ok", version=__version__)

    return app


def document() -> dict[str, Any]:
    """The OpenAPI document, which no store has a part in."""
    dynamo = Dynamo()
    nowhere = Stores(
        sessions=SessionStore(dynamo, ""),
        runs=RunQueryStore(dynamo, ""),
        ratings=LineRatingStore(dynamo, ""),
    )
    return create_api(nowhere).openapi()
