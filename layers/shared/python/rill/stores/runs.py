"""The Runs table: what a run is, how it stands, what came out of it.

Its `META` item is the commit point: a result and its line ratings count only once `state` says so.
"""

import json
import time
from dataclasses import dataclass
from typing import Any, Literal

from rill.events import UsageTotal
from rill.sse import to_dict
from rill.stores.dynamo import Attributes, Dynamo

State = Literal["running", "complete", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run as it is stored. Times are epoch milliseconds, `cost_usd` None where a price is unknown."""

    run_id: str
    session_id: str
    workflow: str
    request_id: str
    mode: str
    state: State
    created_at: int
    ended_at: int | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    cost_usd: float | None = None
    line_ratings_count: int = 0


def now_ms() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000


class RunStore:
    """Reads and writes runs in `table` (`run_id`, `sk`)."""

    def __init__(self, dynamo: Dynamo, table: str) -> None:
        self._dynamo = dynamo
        self._table = table

    async def begin(self, record: RunRecord) -> None:
        """Write a run that starts. A run that is there already is left as it is."""
        await self._put(record, "attribute_not_exists(run_id)")

    async def finish(self, record: RunRecord) -> None:
        """Write a run that has ended: result, usage and state in one item, so all of it or nothing."""
        await self._put(record, "attribute_not_exists(run_id) OR #state = :running")

    async def _put(self, record: RunRecord, condition: str) -> None:
        arguments: dict[str, Any] = {"ConditionExpression": condition}
        if ":running" in condition:
            arguments["ExpressionAttributeNames"] = {"#state": "state"}
            arguments["ExpressionAttributeValues"] = {":running": {"S": "running"}}
        await self._dynamo.call("put_item", TableName=self._table, Item=_to_item(record), **arguments)

    async def get(self, run_id: str) -> RunRecord | None:
        """The run, or None."""
        key = {"run_id": {"S": run_id}, "sk": {"S": "META"}}
        answer = await self._dynamo.call("get_item", TableName=self._table, Key=key, ConsistentRead=True)
        item = answer.get("Item")
        return None if item is None else _from_item(item)


_TEXT = ("run_id", "session_id", "workflow", "request_id", "mode", "state")
_NUMBERS = ("created_at", "ended_at", "line_ratings_count")
_DOCUMENTS = ("result", "error", "usage", "cost_usd")


def _to_item(record: RunRecord) -> Attributes:
    """What is queried stands as attributes of its own, documents as one JSON string each."""
    item: Attributes = {"sk": {"S": "META"}}
    for name in _TEXT:
        item[name] = {"S": getattr(record, name)}
    for name in _NUMBERS:
        if (number := getattr(record, name)) is not None:
            item[name] = {"N": str(number)}
    for name in _DOCUMENTS:
        if (document := getattr(record, name)) is not None:
            item[name] = {"S": json.dumps(document, ensure_ascii=False, separators=(",", ":"))}
    return item


def _from_item(item: Attributes) -> RunRecord:
    values: dict[str, Any] = {name: item[name]["S"] for name in _TEXT}
    values |= {name: int(item[name]["N"]) for name in _NUMBERS if name in item}
    values |= {name: json.loads(item[name]["S"]) for name in _DOCUMENTS if name in item}
    return RunRecord(**values)


def usage_document(total: UsageTotal) -> dict[str, Any]:
    """The usage of a run as it is stored."""
    return to_dict(total)
