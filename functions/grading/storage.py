"""Where the parts of a result are kept: line ratings as items of their own, the rest with the run."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from grading.models import GradingRequest, LineRating
from rill.stores.line_ratings import LineRatingRecord, LineRatingStore
from rill.stores.runs import RunRecord, now_ms

Keep = Callable[[RunRecord, dict[str, Any]], Awaitable[tuple[dict[str, Any], int]]]


class Storage:
    """Takes a grading apart for storage, and puts it together again."""

    def __init__(self, ratings: LineRatingStore) -> None:
        self._ratings = ratings

    def keep(self, request: GradingRequest) -> Keep:
        """Writes the line ratings of a result; gives what is left of it, and their number."""

        async def keep(record: RunRecord, whole: dict[str, Any]) -> tuple[dict[str, Any], int]:
            lines = {line.line_number: line for line in request.transcript}
            rated = [
                LineRatingRecord(
                    **data,
                    speaker=lines[data["line_number"]].speaker,
                    text=lines[data["line_number"]].text,
                    created_at=now_ms(),
                )
                for data in whole["line_ratings"]
            ]
            await self._ratings.put(record.session_id, record.run_id, rated)
            return {name: value for name, value in whole.items() if name != "line_ratings"}, len(rated)

        return keep

    async def result(self, record: RunRecord) -> dict[str, Any]:
        """The whole result of a complete run, as its `complete` event had it."""
        rated = await self._ratings.of_run(record.session_id, record.run_id)
        ratings = [{name: asdict(rating)[name] for name in LineRating.model_fields} for rating in rated]
        return {**(record.result or {}), "line_ratings": ratings}
