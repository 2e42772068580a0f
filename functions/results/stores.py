"""What the routes read and write."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from rill.stores.line_ratings import LineRatingStore
from rill.stores.queries import RunQueryStore
from rill.stores.sessions import SessionStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The tables of the API."""

    sessions: SessionStore
    runs: RunQueryStore
    ratings: LineRatingStore


async def _of(request: Request) -> Stores:
    stores: Stores = request.app.state.stores
    return stores


StoresParameter = Annotated[Stores, Depends(_of)]
"""What an app was made over, as a parameter of its routes."""
