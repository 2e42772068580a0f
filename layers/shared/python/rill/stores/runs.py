"""The Runs table: what a run is, how it stands, its event log, what came out of it.

Items of one run, by their sort key:

================  ==============================================================================
`META`            state, lease, usage; the commit point: a result counts once `state` says so
`INPUT#…`         the request, as JSON; expires
`STEP#<name>#…`   a finished step's output, as JSON; expires
`EVENT#<seq>`     a batch of frames as they went to the client, by its last event, as zlib; expires
`RESULT#<n>#…`    the result of epoch n, where it is too large for `META`
================  ==============================================================================

Who holds the lease writes, and nobody else: `owner` is a condition of every write to `META`.
"""

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rill.events import SKIP
from rill.stores.dynamo import Attributes, ConditionFailed, Dynamo, binary
from rill.stores.pieces import MAX_ITEM_BYTES, document_item, expiry, get_document, put_document
from rill.stores.run_records import (
    SPENT,
    RunRecord,
    State,
    from_item,
    key,
    now_ms,
    to_item,
    to_json,
    usage_document,
)

__all__ = ["Batch", "RunRecord", "RunStore", "State", "Unwritten", "now_ms", "usage_document"]

LEASE_MS = 10_000
"""How long a run counts as alive after its last write."""

FOLLOWED_MS = 10_000
"""How long a run counts as followed after somebody who follows it said so."""

EVENT_TTL = 24 * 3600
"""Seconds for which a run can be replayed event by event; after that a follower gets the result at once."""

INPUT_TTL = 7 * 24 * 3600
"""Seconds for which a run can be resumed, or one of its steps be run again."""

COMPRESSION = 1
"""zlib's quickest: 30 µs for 250 ms of a run, which are a third to half as large then. Writes are billed by
the kilobyte, and those of a transaction twice."""

_SPLIT = "$split"
_RENEW = (
    f"SET lease_until = :until, last_seq = :seq, #usage = :usage, {SPENT} = :cost, "
    "attempts = :attempts, progress = :progress"
)
_UNLESS_CANCELLED = " AND (attribute_not_exists(cancel) OR cancel = :no)"


@dataclass(slots=True, kw_only=True)
class Batch:
    """Frames of the log in order, from the event `first` to the event `last`."""

    first: int
    last: int
    frames: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwritten:
    """What of a run is not in the table yet.

    Attributes:
        batch: the newest events of its log.
        outputs: of steps that have finished, as JSON of at most `MAX_ITEM_BYTES`, by step.
    """

    batch: Batch | None = None
    outputs: Mapping[str, str] = field(default_factory=dict)


NOTHING = Unwritten()


class RunStore:
    """Reads and writes runs in `table` (`run_id`, `sk`). Every method may raise `StoreError`."""

    def __init__(self, dynamo: Dynamo, table: str) -> None:
        self._dynamo = dynamo
        self._table = table

    # -- a run's life --------------------------------------------------------------------------

    async def begin(self, record: RunRecord, request: str = "{}") -> None:
        """Write a run that starts (or waits in the queue), with its request as JSON.

        Raises:
            ConditionFailed: it is there already, or was cancelled before it began.
        """
        # Both at once: a run without its input cannot be resumed, but can be seen and cancelled.
        await asyncio.gather(
            self._put_document(record.run_id, "INPUT", request, INPUT_TTL),
            self._put(record, "attribute_not_exists(run_id)"),
        )

    async def end_early(self, record: RunRecord) -> None:
        """Write a run that was cancelled before it began.

        Raises:
            ConditionFailed: it did begin.
        """
        await self._put(
            record,
            "attribute_not_exists(#state) AND cancel = :yes",
            {"#state": "state"},
            {":yes": {"BOOL": True}},
        )

    async def append(self, record: RunRecord, new: Unwritten, *, heed_cancel: bool = True) -> None:
        """Renew the lease, keep the usage and add what is new, in one write.

        Raises:
            ConditionFailed: somebody else holds the lease, or (where heeded) the run is to be cancelled.
        """
        lease = self._lease(record, heed_cancel)
        if puts := self._puts(record.run_id, new):
            await self._dynamo.call("transact_write_items", TransactItems=[*puts, {"Update": lease}])
        else:
            await self._dynamo.call("update_item", **lease)

    def _puts(self, run_id: str, new: Unwritten) -> list[dict[str, Any]]:
        """What is new, as parts of a transaction."""
        items = [
            document_item(key(run_id, f"STEP#{step}"), text, INPUT_TTL) for step, text in new.outputs.items()
        ]
        if (batch := new.batch) is not None:
            event: Attributes = {
                **key(run_id, f"EVENT#{batch.last:010d}"),
                "first": {"N": str(batch.first)},
                "frames": {"B": zlib.compress(batch.frames, COMPRESSION)},
                "expires_at": expiry(EVENT_TTL),
            }
            items.append(event)
        return [{"Put": {"TableName": self._table, "Item": item}} for item in items]

    def _lease(self, record: RunRecord, heed_cancel: bool) -> dict[str, Any]:
        values: Attributes = {
            ":owner": {"S": record.owner},
            ":until": {"N": str(now_ms() + LEASE_MS)},
            ":seq": {"N": str(record.last_seq)},
            ":usage": {"S": to_json(record.usage)},
            ":cost": {"S": to_json(record.cost_usd)},
            ":attempts": {"S": to_json(record.attempts)},
            ":progress": {"S": to_json(record.progress)},
        }
        if heed_cancel:
            values[":no"] = {"BOOL": False}
        return {
            "TableName": self._table,
            "Key": key(record.run_id, "META"),
            "UpdateExpression": _RENEW,
            "ConditionExpression": "#owner = :owner" + (_UNLESS_CANCELLED if heed_cancel else ""),
            "ExpressionAttributeNames": {"#owner": "owner", "#usage": "usage"},
            "ExpressionAttributeValues": values,
        }

    async def finish(self, record: RunRecord, new: Unwritten = NOTHING) -> None:
        """Write a run that has ended or is handed over: state, usage, result and what is new, all or nothing.

        Raises:
            ConditionFailed: somebody else holds the lease, or it has ended already.
        """
        if record.result is not None:
            whole = to_json(record.result)
            if len(whole.encode()) > MAX_ITEM_BYTES:
                await self._put_document(record.run_id, f"RESULT#{record.epoch}", whole, None)
                record = replace(record, result={_SPLIT: True})
        await self._put(
            record,
            "attribute_not_exists(#state) OR (#state = :state AND #owner = :owner)",
            {"#state": "state", "#owner": "owner"},
            {":state": {"S": "running"}, ":owner": {"S": record.owner}},
            beside=self._puts(record.run_id, new),
        )

    async def claim(self, found: RunRecord, owner: str) -> RunRecord:
        """Take up a run that waits or has ended; the answer holds the new lease.

        Raises:
            ConditionFailed: it changed since it was read: somebody else was faster.
        """
        claimed = replace(
            found,
            state="running",
            owner=owner,
            lease_until=now_ms() + LEASE_MS,
            epoch=found.epoch + 1,
            ended_at=None,
            result=None,
            error=None,
            cancel=False,
        )
        await self.change(found, claimed)
        return claimed

    async def fail_lost(self, found: RunRecord, error: dict[str, Any]) -> RunRecord:
        """Fail a run whose lease ran out.

        Raises:
            ConditionFailed: it is alive after all, or somebody else was faster.
        """
        failed = replace(
            found,
            state="failed",
            error=error,
            ended_at=now_ms(),
            owner=f"lost by {found.owner}",
            last_seq=(found.last_seq // SKIP + 1) * SKIP,
        )
        await self.change(found, failed)
        return failed

    async def change(self, found: RunRecord, changed: RunRecord) -> None:
        """Write a run that nobody holds.

        Raises:
            ConditionFailed: it is no longer as it was found.
        """
        await self._put(
            changed,
            "#owner = :owner AND #state = :state AND epoch = :epoch AND lease_until = :until",
            {"#state": "state", "#owner": "owner"},
            {
                ":owner": {"S": found.owner},
                ":state": {"S": found.state},
                ":epoch": {"N": str(found.epoch)},
                ":until": {"N": str(found.lease_until)},
            },
        )

    async def cancel(self, run_id: str) -> RunRecord | None:
        """Ask for a run's end: a running one will see it, one that waits ends at once.

        Returns:
            The run as it stands; None for one that does not exist yet, which then ends when it begins.
        """
        while True:
            found = await self.get(run_id)
            try:
                if found is None:
                    await self._announce_cancel(run_id)
                elif found.state == "running":
                    await self._flag(found)
                elif found.state == "queued":
                    found = await self._cancel_queued(found)
            except ConditionFailed:
                continue  # it went on meanwhile: look again
            return found

    async def _flag(self, found: RunRecord) -> None:
        await self._dynamo.call(
            "update_item",
            TableName=self._table,
            Key=key(found.run_id, "META"),
            UpdateExpression="SET cancel = :yes",
            ConditionExpression="#state = :state AND #owner = :owner",
            ExpressionAttributeNames={"#state": "state", "#owner": "owner"},
            ExpressionAttributeValues={
                ":yes": {"BOOL": True},
                ":state": {"S": "running"},
                ":owner": {"S": found.owner},
            },
        )

    async def _cancel_queued(self, found: RunRecord) -> RunRecord:
        ended = replace(found, state="cancelled", ended_at=now_ms(), cancel=True, result={})
        await self.change(found, ended)
        return ended

    async def _announce_cancel(self, run_id: str) -> None:
        await self._dynamo.call(
            "put_item",
            TableName=self._table,
            Item={**key(run_id, "META"), "cancel": {"BOOL": True}, "expires_at": expiry(3600)},
            ConditionExpression="attribute_not_exists(run_id)",
        )

    async def follow(self, run_id: str) -> None:
        """Say that somebody follows a running run, so that its log is written as it comes.

        Raises:
            ConditionFailed: it is not running.
        """
        await self._dynamo.call(
            "update_item",
            TableName=self._table,
            Key=key(run_id, "META"),
            UpdateExpression="SET followed_until = :until",
            ConditionExpression="#state = :state",
            ExpressionAttributeNames={"#state": "state"},
            ExpressionAttributeValues={
                ":until": {"N": str(now_ms() + FOLLOWED_MS)},
                ":state": {"S": "running"},
            },
        )

    # -- reading -------------------------------------------------------------------------------

    async def get(self, run_id: str) -> RunRecord | None:
        """The run, or None where there is none (or only word that it is to be cancelled)."""
        answer = await self._dynamo.call(
            "get_item", TableName=self._table, Key=key(run_id, "META"), ConsistentRead=True
        )
        item = answer.get("Item")
        if item is None or "state" not in item:
            return None
        record = from_item(item)
        if record.result is not None and _SPLIT in record.result:
            whole = await self._get_document(run_id, f"RESULT#{record.epoch}")
            return replace(record, result=None if whole is None else json.loads(whole))
        return record

    async def request(self, run_id: str) -> str | None:
        """The request a run was started with, as JSON; None once it has expired."""
        return await self._get_document(run_id, "INPUT")

    async def events(self, run_id: str, after: int) -> AsyncIterator[Batch]:
        """The batches of the log with events after `after`, in order; a page of the table at a time."""
        arguments: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "run_id = :run AND sk BETWEEN :from AND :to",
            "ExpressionAttributeValues": {
                ":run": {"S": run_id},
                ":from": {"S": f"EVENT#{after + 1:010d}"},
                ":to": {"S": "EVENT#~"},
            },
            "ConsistentRead": True,
        }
        while True:
            page = await self._dynamo.call("query", **arguments)
            for item in page["Items"]:
                yield Batch(
                    first=int(item["first"]["N"]),
                    last=int(item["sk"]["S"].removeprefix("EVENT#")),
                    frames=zlib.decompress(binary(item["frames"])),
                )
            if "LastEvaluatedKey" not in page:
                return
            arguments["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    # -- outputs of steps ----------------------------------------------------------------------

    async def save_step(self, run_id: str, step: str, output: str) -> None:
        """Keep a finished step's output, as JSON of any size; it replaces that of an earlier attempt."""
        await self._put_document(run_id, f"STEP#{step}", output, INPUT_TTL)

    async def forget_steps(self, run_id: str, steps: Iterable[str]) -> None:
        """Forget the outputs of steps that are to run again."""
        for name in steps:
            await self._dynamo.call(
                "delete_item", TableName=self._table, Key=key(run_id, f"STEP#{name}#0001")
            )

    async def finished(self, run_id: str) -> list[str]:
        """The names of the steps whose outputs are kept."""
        items = await self._dynamo.query(
            TableName=self._table,
            KeyConditionExpression="run_id = :run AND begins_with(sk, :step)",
            ExpressionAttributeValues={":run": {"S": run_id}, ":step": {"S": "STEP#"}},
            ProjectionExpression="sk",
            ConsistentRead=True,
        )
        keys = [item["sk"]["S"] for item in items]
        return [sk.removeprefix("STEP#").removesuffix("#0001") for sk in keys if sk.count("#") == 2]

    async def outputs(self, run_id: str, steps: Iterable[str]) -> dict[str, Any]:
        """The outputs of those of the steps that have finished."""
        names = list(steps)
        found = await asyncio.gather(*(self._get_document(run_id, f"STEP#{name}") for name in names))
        return {name: json.loads(text) for name, text in zip(names, found, strict=True) if text is not None}

    # -- plumbing ------------------------------------------------------------------------------

    async def _put(
        self,
        record: RunRecord,
        condition: str,
        names: dict[str, str] | None = None,
        values: Attributes | None = None,
        beside: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        put: dict[str, Any] = {
            "TableName": self._table,
            "Item": to_item(record),
            "ConditionExpression": condition,
        }
        if names is not None:
            put["ExpressionAttributeNames"] = names
        if values is not None:
            put["ExpressionAttributeValues"] = values
        if beside:
            await self._dynamo.call("transact_write_items", TransactItems=[*beside, {"Put": put}])
        else:
            await self._dynamo.call("put_item", **put)

    async def _put_document(self, run_id: str, name: str, text: str, ttl: int | None) -> None:
        await put_document(self._dynamo, self._table, key(run_id, name), text, ttl=ttl)

    async def _get_document(self, run_id: str, name: str) -> str | None:
        return await get_document(self._dynamo, self._table, key(run_id, name))
