"""What a run has used and shown."""

from typing import Any

from rill.events import Chunk, Item, Reset, Section, Status, Usage
from rill.ledger import Ledger, Parts

USED = {"step": "a", "model": "m", "input_tokens": 10, "output_tokens": 2}


def usage(**more: Any) -> Usage:
    return Usage(**{**USED, "cost_usd": 0.1, "certainty": "exact", **more})


def test_calls_add_up_and_the_weakest_certainty_carries() -> None:
    ledger = Ledger()
    ledger.add(usage(cached_tokens=4))
    ledger.add(usage(certainty="estimated"))
    total = ledger.total
    assert (total.input_tokens, total.output_tokens, total.cached_tokens, total.calls) == (20, 4, 4, 2)
    assert (ledger.cost_usd, total.certainty) == (0.2, "estimated")


def test_one_unknown_price_makes_the_sum_unknown() -> None:
    ledger = Ledger()
    ledger.add(usage())
    ledger.add(usage(cost_usd=None, certainty="unknown"))
    ledger.add(usage())
    assert (ledger.cost_usd, ledger.total.certainty) == (None, "unknown")


def test_what_an_earlier_part_used_is_carried_on() -> None:
    ledger = Ledger()
    ledger.carry(None, None)
    assert ledger.cost_usd == 0
    stored = {"input_tokens": 5, "output_tokens": 1, "cached_tokens": 2, "calls": 3, "certainty": "estimated"}
    ledger.carry(stored, 0.5)
    ledger.add(usage())
    assert (ledger.calls, ledger.input_tokens, ledger.cached_tokens, ledger.cost_usd) == (4, 15, 2, 0.6)


def test_what_was_shown_is_kept_by_section_and_text_by_step() -> None:
    parts = Parts()
    for event in (
        Status(message="no part"),
        Chunk(step="a", content="one "),
        Chunk(step="a", content="two"),
        Item(step="b", section="list", index=0, data=1),
        Section(step="c", section="whole", data={"x": 1}),
        Item(step="c", section="whole", index=0, data="late"),
        Section(step="d", section="text", data="a section of that name"),
    ):
        parts.add(event)
    assert parts.data == {
        "a": "one two",
        "list": [1],
        "whole": {"x": 1},
        "text": "a section of that name",
    }
    assert (parts.sections, parts.items) == (2, 2)
    parts.add(Reset(step="c", attempt=2, reason="again"))
    parts.add(Reset(step="a", attempt=2, reason="again"))
    assert parts.data == {"list": [1], "text": "a section of that name"}
