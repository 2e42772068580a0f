"""What the routes read and write."""

from dataclasses import dataclass

from rill.stores.line_ratings import LineRatingStore
from rill.stores.queries import RunQueryStore
from rill.stores.sessions import SessionStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The tables of the API."""

    sessions: SessionStore
    runs: RunQueryStore
    ratings: LineRatingStore
