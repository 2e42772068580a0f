"""What the routes read and write."""

from dataclasses import dataclass

from rill.stores.queries import LineRatingQueryStore, RunQueryStore
from rill.stores.sessions import SessionStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The tables of the API."""

    sessions: SessionStore
    runs: RunQueryStore
    ratings: LineRatingQueryStore
