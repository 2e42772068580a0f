"""Runs as items and back."""

from dataclasses import replace
from typing import get_args

from rill.events import UsageTotal
from rill.stores.run_records import RunRecord, State, from_item, now_ms, to_item, to_json, usage_document

LEAST = RunRecord(
    run_id="r",
    session_id="s",
    workflow="w",
    request_id="q",
    mode="m",
    state="queued",
    created_at=1,
)
MOST = replace(
    LEAST,
    state="cancelled",
    ended_at=2,
    result={"text": "é\u2028", "none": None},
    error={"code": "internal"},
    usage=usage_document(
        UsageTotal(input_tokens=1, output_tokens=2, cached_tokens=0, calls=1, certainty="exact")
    ),
    cost_usd=0.00012,
    line_ratings_count=3,
    rep="Ana",
    owner="me",
    lease_until=4,
    epoch=2,
    last_seq=10_001,
    cancel=True,
    duration=12.5,
    attempts={"a": 2},
    progress=40.5,
)


def test_a_record_comes_back_from_its_item() -> None:
    for record in (LEAST, MOST):
        assert from_item(to_item(record)) == record


def test_what_is_not_known_is_not_there() -> None:
    item = to_item(LEAST)
    assert {"ended_at", "result", "error", "usage", "cost_usd", "rep"}.isdisjoint(item)
    assert item["sk"] == {"S": "META"}


def test_what_a_run_has_cost_so_far_is_in_no_index() -> None:
    states: tuple[State, ...] = get_args(State)
    for state in states:
        item = to_item(replace(MOST, state=state))
        assert item.get("cost_usd") == (None if state in ("queued", "running") else {"S": "0.00012"})
        assert from_item(item).cost_usd == MOST.cost_usd


def test_documents_are_one_compact_string() -> None:
    assert to_json({"a": ["é", 1.5]}) == '{"a":["é",1.5]}'
    assert to_item(MOST)["attempts"] == {"S": '{"a":2}'}


def test_times_are_milliseconds() -> None:
    assert 1_700_000_000_000 < now_ms() < 10_000_000_000_000
