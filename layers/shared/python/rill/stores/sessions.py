"""The Sessions table: the transcripts that come in, each in as many items as it takes.

A transcript may be larger than DynamoDB's 400 KB for an item, so it is cut into parts below that. `META` is
the commit point: it names the version and the number of the parts that count, is written after them and
deleted before them. Parts carry their version in the key, so those of two writers never mix.
"""

import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

from rill.stores.dynamo import Attributes, ConditionFailed, Dynamo, StoreError
from rill.stores.pieces import split
from rill.stores.queries import Page, Position, fill_page
from rill.stores.runs import now_ms

_KIND = "session"
"""The index `by_created` has one partition, of all sessions: good for some hundred new ones a second."""

_ABANDONED_MS = 3600 * 1000
"""Nobody is writing any more what is older: Lambda ends an invocation after 15 minutes."""

_TEXT = ("title", "rep", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSummary:
    """A session without its transcript; `created_at` is epoch milliseconds, `lines` how many there are."""

    session_id: str
    created_at: int
    lines: int
    title: str | None = None
    rep: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """A session with its transcript: lines of `line_number`, `speaker` and `text`."""

    summary: SessionSummary
    transcript: list[dict[str, Any]]


class SessionStore:
    """Reads and writes sessions in `table` (`session_id`, `sk`)."""

    def __init__(self, dynamo: Dynamo, table: str) -> None:
        self._dynamo = dynamo
        self._table = table

    async def put(self, record: SessionRecord) -> None:
        """Write a new session. Readers see none until all of it is there.

        Raises:
            ConditionFailed: there is one by that id.
        """
        session_id = record.summary.session_id
        if await self._meta(session_id) is not None:
            raise ConditionFailed(detail="the session is there already")
        version = f"{now_ms():012x}{uuid.uuid4().hex[:12]}"
        text = json.dumps(record.transcript, ensure_ascii=False, separators=(",", ":"))
        parts = [
            {**_part_key(session_id, version, number), "text": {"S": part}}
            for number, part in enumerate(split(text), 1)
        ]
        await self._dynamo.write_all(self._table, [{"PutRequest": {"Item": part}} for part in parts])
        try:
            await self._dynamo.call(
                "put_item",
                TableName=self._table,
                Item=_to_meta(record.summary, version, len(parts)),
                ConditionExpression="attribute_not_exists(session_id)",
            )
        except ConditionFailed:
            # A write whose answer was lost is sent again, and then finds itself.
            there = await self._meta(session_id)
            if there is not None and there["version"]["S"] == version:
                return
            await self._delete([_key_of(part) for part in parts])
            raise

    async def _meta(self, session_id: str) -> Attributes | None:
        answer = await self._dynamo.call(
            "get_item", TableName=self._table, Key=_meta_key(session_id), ConsistentRead=True
        )
        item: Attributes | None = answer.get("Item")
        return item

    async def get(self, session_id: str) -> SessionRecord | None:
        """The session, or None."""
        for _ in range(3):
            # META sorts before the parts, so it is the first item of the first page.
            items = await self._dynamo.query(
                TableName=self._table,
                KeyConditionExpression="session_id = :session",
                ExpressionAttributeValues={":session": {"S": session_id}},
                ConsistentRead=True,
            )
            if not items or items[0]["sk"]["S"] != "META":
                return None
            meta, wanted = items[0], [key["sk"]["S"] for key in _part_keys(items[0])]
            texts = {item["sk"]["S"]: item["text"]["S"] for item in items[1:]}
            if all(key in texts for key in wanted):
                text = "".join(texts[key] for key in wanted)
                return SessionRecord(summary=_from_meta(meta), transcript=json.loads(text))
            # It was deleted, and perhaps made anew, between two pages of the query.
        raise StoreError(detail=f"session {session_id}: parts of it are missing")

    async def delete(self, session_id: str) -> bool:
        """Delete a session; False where there was none.

        What writers that died have left under the id goes with it.
        """
        answer = await self._dynamo.call(
            "delete_item", TableName=self._table, Key=_meta_key(session_id), ReturnValues="ALL_OLD"
        )
        before = answer.get("Attributes")
        own = {key["sk"]["S"] for key in _part_keys(before)} if before else set()
        items = await self._dynamo.query(
            TableName=self._table,
            KeyConditionExpression="session_id = :session AND begins_with(sk, :parts)",
            ExpressionAttributeValues={":session": {"S": session_id}, ":parts": {"S": "PART#"}},
            ProjectionExpression="session_id, sk",
            ConsistentRead=True,
        )
        abandoned = f"PART#{int(time.time() * 1000) - _ABANDONED_MS:012x}"
        # Newer parts of another version are of somebody who is just making the session anew.
        await self._delete(
            [_key_of(item) for item in items if item["sk"]["S"] in own or item["sk"]["S"] < abandoned]
        )
        return before is not None

    async def _delete(self, keys: list[Attributes]) -> None:
        await self._dynamo.write_all(self._table, [{"DeleteRequest": {"Key": key}} for key in keys])

    async def page(self, *, limit: int, start: Position | None = None) -> Page[SessionSummary]:
        """A page of sessions, newest first."""

        async def query(count: int, after: Position | None) -> dict[str, Any]:
            arguments: dict[str, Any] = {}
            if after is not None:
                arguments["ExclusiveStartKey"] = {
                    **_meta_key(after[1]),
                    "kind": {"S": _KIND},
                    "created_at": {"N": str(after[0])},
                }
            return await self._dynamo.call(
                "query",
                TableName=self._table,
                IndexName="by_created",
                KeyConditionExpression="kind = :kind",
                ExpressionAttributeValues={":kind": {"S": _KIND}},
                ScanIndexForward=False,
                Limit=count,
                **arguments,
            )

        page = await fill_page(query, id_name="session_id", limit=limit, start=start, filtered=False)
        return Page([_from_meta(item) for item in page.items], page.next)


def _meta_key(session_id: str) -> Attributes:
    return {"session_id": {"S": session_id}, "sk": {"S": "META"}}


def _part_key(session_id: str, version: str, number: int) -> Attributes:
    return {"session_id": {"S": session_id}, "sk": {"S": f"PART#{version}#{number:04d}"}}


def _part_keys(meta: Attributes) -> list[Attributes]:
    session_id, version = meta["session_id"]["S"], meta["version"]["S"]
    return [_part_key(session_id, version, number + 1) for number in range(int(meta["parts"]["N"]))]


def _key_of(item: Attributes) -> Attributes:
    return {"session_id": item["session_id"], "sk": item["sk"]}


def _to_meta(summary: SessionSummary, version: str, parts: int) -> Attributes:
    item: Attributes = {
        **_meta_key(summary.session_id),
        "kind": {"S": _KIND},
        "created_at": {"N": str(summary.created_at)},
        "lines": {"N": str(summary.lines)},
        "version": {"S": version},
        "parts": {"N": str(parts)},
    }
    for name in _TEXT:
        if (text := getattr(summary, name)) is not None:
            item[name] = {"S": text}
    return item


def _from_meta(item: Attributes) -> SessionSummary:
    return SessionSummary(
        session_id=item["session_id"]["S"],
        created_at=int(item["created_at"]["N"]),
        lines=int(item["lines"]["N"]),
        **{name: item[name]["S"] for name in _TEXT if name in item},
    )
