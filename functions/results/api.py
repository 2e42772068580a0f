"""The API as a FastAPI app, over whatever stores it is given."""

from fastapi import FastAPI

from results import figures, runs, sessions
from results.models import Health
from results.responses import install
from results.stores import Stores
from rill import __version__


def create_api(stores: Stores) -> FastAPI:
    """The app with all its routes; its OpenAPI document is at `/openapi.json`."""
    app = FastAPI(
        title="Rill results",
        version=__version__,
        summary="What Rill keeps: sessions, runs, line ratings, and figures over them.",
        description="Lists are paged by opaque cursors. What can be polled has an `ETag`; "
        "with `If-None-Match` an unchanged answer is a 304 without a body.",
        # Their pages load scripts from somebody else's server.
        docs_url=None,
        redoc_url=None,
    )
    install(app)
    for routes in (sessions.routes, runs.routes, figures.routes):
        app.include_router(routes(stores))

    @app.get("/health", response_model=Health, tags=["health"], summary="Say that the API is there")
    async def health() -> Health:
        return Health(status="ok", version=__version__)

    return app
