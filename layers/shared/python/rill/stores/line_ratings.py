"""The LineRatings table: one item a rated line, keyed by `session_id` and `line_key`.

`line_key` is `<run_id>#<line number, six digits>`: gradings of one session do not overwrite each other,
and the lines of one run come back in order. Ratings count once their run's `META` says `complete`.
"""

import json
from dataclasses import dataclass
from typing import Any

from rill.stores.dynamo import Attributes, Dynamo


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRatingRecord:
    """One rated line as it is stored; `created_at` is epoch milliseconds."""

    line_number: int
    speaker: str
    text: str
    effectiveness: str
    reason: str
    alternative_lines: list[str]
    created_at: int


class LineRatingStore:
    """Reads and writes the ratings of runs in `table`."""

    def __init__(self, dynamo: Dynamo, table: str) -> None:
        self._dynamo = dynamo
        self._table = table

    async def put(self, session_id: str, run_id: str, ratings: list[LineRatingRecord]) -> None:
        """Write all ratings of a run. They do not count before the run is complete."""
        keys = [_key(session_id, run_id, rating.line_number) for rating in ratings]
        puts = [
            {"PutRequest": {"Item": {**key, **_to_item(rating), "run_id": {"S": run_id}}}}
            for key, rating in zip(keys, ratings, strict=True)
        ]
        await self._dynamo.write_all(self._table, puts)

    async def delete(self, session_id: str, run_id: str, ratings: list[LineRatingRecord]) -> None:
        """Delete the ratings of a run."""
        keys = [_key(session_id, run_id, rating.line_number) for rating in ratings]
        await self._dynamo.write_all(self._table, [{"DeleteRequest": {"Key": key}} for key in keys])

    async def of_run(self, session_id: str, run_id: str) -> list[LineRatingRecord]:
        """The ratings of one run, by line number."""
        items = await self._dynamo.query(
            TableName=self._table,
            KeyConditionExpression="session_id = :session AND begins_with(line_key, :run)",
            ExpressionAttributeValues={":session": {"S": session_id}, ":run": {"S": f"{run_id}#"}},
            ConsistentRead=True,
        )
        return [_from_item(item) for item in items]


def _key(session_id: str, run_id: str, line_number: int) -> Attributes:
    return {"session_id": {"S": session_id}, "line_key": {"S": f"{run_id}#{line_number:06d}"}}


def _to_item(rating: LineRatingRecord) -> Attributes:
    return {
        "line_number": {"N": str(rating.line_number)},
        "speaker": {"S": rating.speaker},
        "text": {"S": rating.text},
        "effectiveness": {"S": rating.effectiveness},
        "reason": {"S": rating.reason},
        "alternative_lines": {"S": json.dumps(rating.alternative_lines, ensure_ascii=False)},
        "created_at": {"N": str(rating.created_at)},
    }


def _from_item(item: Attributes) -> LineRatingRecord:
    values: dict[str, Any] = {
        "line_number": int(item["line_number"]["N"]),
        "created_at": int(item["created_at"]["N"]),
        "alternative_lines": json.loads(item["alternative_lines"]["S"]),
    }
    for name in ("speaker", "text", "effectiveness", "reason"):
        values[name] = item[name]["S"]
    return LineRatingRecord(**values)
