"""A run as it is stored, and its `META` item. Pure."""

import json
import time
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from rill.events import Error, UsageTotal
from rill.sse import to_dict
from rill.stores.dynamo import Attributes

State = Literal["queued", "running", "complete", "failed", "cancelled"]
ENDED: frozenset[State] = frozenset({"complete", "failed", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run as it is stored. Times are epoch milliseconds, `cost_usd` None where a price is unknown.

    Attributes:
        result: what came out; without what is stored in tables of its own, such as line ratings.
        error: the `error` event of a failed run.
        usage: tokens of all its model calls, as in the events' `UsageTotal`.
        rep: whose call it was, where the request says so.
        owner: who holds the lease; each time it is taken up there is another.
        lease_until: when a running run counts as lost.
        followed_until: until when somebody reads its log while it is written.
        epoch: how often it was taken up, from 1.
        last_seq: of the newest event in the log; the terminal event, which is not in it, is the next.
        cancel: whether somebody asked for its end.
        duration: of all its times of running, in milliseconds.
        attempts: how often each step has started.
        progress: as it was last shown, in percent; it never falls, not even when steps run again.
    """

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
    rep: str | None = None
    owner: str = ""
    lease_until: int = 0
    followed_until: int = 0
    epoch: int = 1
    last_seq: int = 0
    cancel: bool = False
    duration: float = 0.0
    attempts: dict[str, int] = field(default_factory=dict)
    progress: float = 0.0


def now_ms() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000


def is_lost(record: RunRecord, now: int) -> bool:
    """Whether the process that runs it is gone: its lease ran out."""
    return record.state == "running" and record.lease_until <= now


def lost_error(record: RunRecord) -> dict[str, Any]:
    """The `error` event that ends a lost run."""
    message = "The run was interrupted. It can be resumed."
    return to_dict(Error(code="internal", message=message, retryable=True, request_id=record.request_id))


def as_it_stands(record: RunRecord, now: int) -> RunRecord:
    """The run, failed where it is lost and nobody has written that yet; it ended when its lease did."""
    if not is_lost(record, now):
        return record
    return replace(record, state="failed", error=lost_error(record), ended_at=record.lease_until)


def usage_document(total: UsageTotal) -> dict[str, Any]:
    """The usage of a run as it is stored."""
    return to_dict(total)


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def to_json(value: Any) -> str:
    """Compact JSON."""
    return _ENCODER.encode(value)


_TEXT = ("run_id", "session_id", "workflow", "request_id", "mode", "state", "owner", "rep")
_NUMBERS = (
    "created_at",
    "ended_at",
    "line_ratings_count",
    "lease_until",
    "followed_until",
    "epoch",
    "last_seq",
)
_DOCUMENTS = ("result", "error", "usage", "cost_usd", "duration", "attempts", "progress")

SPENT = "spent_usd"
"""Where `cost_usd` stands of a run that has not ended: it changes with every model call, and `cost_usd` is in
the table's indexes, each of which would be written as well."""


def key(run_id: str, sk: str) -> Attributes:
    """The key of one of a run's items."""
    return {"run_id": {"S": run_id}, "sk": {"S": sk}}


def to_item(record: RunRecord) -> Attributes:
    """What is queried stands as attributes of its own, documents as one JSON string each."""
    item: Attributes = {"sk": {"S": "META"}, "cancel": {"BOOL": record.cancel}}
    for name in _TEXT:
        if (text := getattr(record, name)) is not None:
            item[name] = {"S": text}
    for name in _NUMBERS:
        if (number := getattr(record, name)) is not None:
            item[name] = {"N": str(number)}
    for name in _DOCUMENTS:
        if (document := getattr(record, name)) is not None:
            item[name] = {"S": to_json(document)}
    if "cost_usd" in item and record.state not in ENDED:
        item[SPENT] = item.pop("cost_usd")
    return item


def from_item(item: Attributes) -> RunRecord:
    """The record of a `META` item."""
    values: dict[str, Any] = {name: item[name]["S"] for name in _TEXT if name in item}
    values |= {name: int(item[name]["N"]) for name in _NUMBERS if name in item}
    values |= {name: json.loads(item[name]["S"]) for name in _DOCUMENTS if name in item}
    if SPENT in item:
        values["cost_usd"] = json.loads(item[SPENT]["S"])
    return RunRecord(**values, cancel=item.get("cancel", {}).get("BOOL", False))
