"""Reading the Runs table: page by page through its indexes, and one run without what came out of it.

Pages are of bounded size and of bounded work: a filter that drops nearly everything gives short pages with
a position to go on from, never a request that reads the whole table.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, TypeVar

from rill.stores.dynamo import Attributes, Dynamo
from rill.stores.run_records import SPENT, RunRecord, as_it_stands, from_item, key, now_ms
from rill.stores.runs import RunStore

T = TypeVar("T")
Position = tuple[int, str]
"""Where a page ends: `created_at` and id of the last item read. Both come back in the index's order."""

MAX_EVALUATED = 2000
"""Items one page reads at most, those that its filter drops included."""

_CHUNK = 250

_AT_ONCE = 8
"""How many runs of a page are looked at themselves at a time."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """`next` is where the following page begins, None after the last one."""

    items: list[T]
    next: Position | None


async def fill_page(
    query: Callable[[int, Position | None], Awaitable[dict[str, Any]]],
    *,
    id_name: str,
    limit: int,
    start: Position | None,
    filtered: bool,
    evaluate: int = MAX_EVALUATED,
) -> Page[Attributes]:
    """A page of `limit` items, over as many queries as it takes to fill it within `evaluate` items read.

    Args:
        query: asks for a number of items after a position; answers as DynamoDB's Query does.
        id_name: the table's hash key.
        limit: items on a page.
        start: where to begin.
        filtered: whether the query drops items, so that asking for more than the page takes pays.
        evaluate: items to read at most.
    """
    items: list[Attributes] = []
    while True:
        missing = limit - len(items) + 1  # one more says whether there is a next page
        answer = await query(min(evaluate, max(missing, _CHUNK) if filtered else missing), start)
        items += answer["Items"]
        evaluate -= max(answer["ScannedCount"], 1)
        last = answer.get("LastEvaluatedKey")
        if len(items) > limit:
            return Page(items[:limit], _position(items[limit - 1], id_name))
        if last is None:
            return Page(items, None)
        start = _position(last, id_name)
        if evaluate <= 0:
            return Page(items, start)


def _position(key: Attributes, id_name: str) -> Position:
    return int(key["created_at"]["N"]), key[id_name]["S"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """What the indexes know of a run: times are epoch milliseconds, `cost_usd` is None until it has ended."""

    run_id: str
    session_id: str
    workflow: str
    mode: str
    state: str
    created_at: int
    ended_at: int | None
    rep: str | None
    cost_usd: float | None
    line_ratings_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs: of a session or else of a workflow, one of which is there. Bounds are inclusive."""

    session_id: str | None = None
    workflow: str | None = None
    state: str | None = None
    rep: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None


class RunQueryStore:
    """Reads runs: one by its id, many through the indexes `by_session` and `by_workflow`.

    A run whose lease ran out has failed, also where nobody has written that yet.

    The indexes lag behind the table by some milliseconds, as DynamoDB's global indexes do.
    """

    def __init__(self, dynamo: Dynamo, table: str) -> None:
        self._dynamo = dynamo
        self._table = table
        self._runs = RunStore(dynamo, table)

    async def get(self, run_id: str) -> RunRecord | None:
        """The run with its result, or None."""
        found = await self._runs.get(run_id)
        return None if found is None else as_it_stands(found, now_ms())

    async def standing(self, run_id: str) -> RunRecord | None:
        """The run without its result, whatever its size; or None."""
        answer = await self._dynamo.call(
            "get_item",
            TableName=self._table,
            Key=key(run_id, "META"),
            ConsistentRead=True,
            ProjectionExpression=", ".join(f"#{name}" for name in _STANDING),
            ExpressionAttributeNames={f"#{name}": name for name in _STANDING},
        )
        item = answer.get("Item", {})
        return as_it_stands(from_item(item), now_ms()) if "state" in item else None

    async def page(
        self,
        wanted: RunFilter,
        *,
        limit: int,
        start: Position | None = None,
        evaluate: int = MAX_EVALUATED,
    ) -> Page[RunSummary]:
        """A page of runs, newest first; it may be short where runs are lost."""
        index = "by_workflow" if wanted.session_id is None else "by_session"
        partition = "workflow" if wanted.session_id is None else "session_id"
        value = getattr(wanted, partition)
        expressions = _expressions(wanted, partition, value)

        async def query(count: int, after: Position | None) -> dict[str, Any]:
            arguments = dict(expressions)
            if after is not None:
                arguments["ExclusiveStartKey"] = {
                    partition: {"S": value},
                    "created_at": {"N": str(after[0])},
                    "run_id": {"S": after[1]},
                    "sk": {"S": "META"},
                }
            return await self._dynamo.call(
                "query",
                TableName=self._table,
                IndexName=index,
                ScanIndexForward=False,
                Limit=count,
                **arguments,
            )

        filtered = "FilterExpression" in expressions
        page = await fill_page(
            query, id_name="run_id", limit=limit, start=start, filtered=filtered, evaluate=evaluate
        )
        found = await self._as_they_stand([_summary(item) for item in page.items])
        return Page([run for run in found if wanted.state in (None, run.state)], page.next)

    async def _as_they_stand(self, runs: list[RunSummary]) -> list[RunSummary]:
        """The indexes know no lease: who runs by them is looked at itself."""
        places = asyncio.Semaphore(_AT_ONCE)

        async def look(run: RunSummary) -> RunSummary:
            if run.state != "running":
                return run
            async with places:
                record = await self.standing(run.run_id)
            if record is None or record.state != "failed":
                return run
            return replace(run, state=record.state, ended_at=record.ended_at, cost_usd=record.cost_usd)

        return list(await asyncio.gather(*map(look, runs)))

    async def newest(self, wanted: RunFilter) -> RunSummary | None:
        """The newest of those runs, or None where there is none among the newest 2,000."""
        page = await self.page(wanted, limit=1)
        return page.items[0] if page.items else None


_STANDING = (*(field.name for field in fields(RunRecord) if field.name != "result"), SPENT)


def _expressions(wanted: RunFilter, partition: str, value: str) -> dict[str, Any]:
    names = {"#partition": partition}
    values: Attributes = {":partition": {"S": value}}
    key = "#partition = :partition"
    if wanted.from_ms is not None or wanted.to_ms is not None:
        key += " AND created_at BETWEEN :from AND :to"
        values[":from"] = {"N": str(wanted.from_ms or 0)}
        values[":to"] = {"N": str(10**15 if wanted.to_ms is None else wanted.to_ms)}
    filters = []
    for name in ("workflow", "state", "rep"):
        if name != partition and (text := getattr(wanted, name)) is not None:
            filters.append(f"#{name} = :{name}")
            names[f"#{name}"] = name
            values[f":{name}"] = {"S": text}
    if wanted.state == "failed":  # or lost
        filters[filters.index("#state = :state")] = "#state IN (:state, :running)"
        values[":running"] = {"S": "running"}
    expressions: dict[str, Any] = {
        "KeyConditionExpression": key,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }
    if filters:
        expressions["FilterExpression"] = " AND ".join(filters)
    return expressions


def _summary(item: Attributes) -> RunSummary:
    return RunSummary(
        run_id=item["run_id"]["S"],
        session_id=item["session_id"]["S"],
        workflow=item["workflow"]["S"],
        mode=item["mode"]["S"],
        state=item["state"]["S"],
        created_at=int(item["created_at"]["N"]),
        ended_at=int(item["ended_at"]["N"]) if "ended_at" in item else None,
        rep=item["rep"]["S"] if "rep" in item else None,
        cost_usd=_cost(item.get("cost_usd")),
        line_ratings_count=int(item.get("line_ratings_count", {"N": "0"})["N"]),
    )


def _cost(attribute: dict[str, Any] | None) -> float | None:
    """It is stored as JSON, `null` where a price was unknown."""
    found: float | None = None if attribute is None else json.loads(attribute["S"])
    return found
