"""Figures, their reach, and the forms they are written in."""

import json
from dataclasses import replace

import pytest

from bench.report import KEYS, Figure, Part, markdown, number, part_from_json, table

COST = Figure(name="cost", unit="µs", rill=30.0, floor=5.0, peers={"slow": 600.0, "good": 300.0}, reach=0.12)


@pytest.mark.parametrize(
    ("figure", "ratio", "holds"),
    [
        (COST, 0.1, True),
        (replace(COST, rill=60.0), 0.2, False),
        (replace(COST, reach=None), 0.1, None),
        (replace(COST, peers={"good": None}), None, None),
        (replace(COST, rill=None), None, None),
        (replace(COST, rill=2400.0, reach=4, better="higher"), 4, True),
        (replace(COST, rill=2399.0, reach=4, better="higher"), 2399 / 600, False),
    ],
)
def test_reach_is_held_against_the_best_peer(figure: Figure, ratio: float | None, holds: bool | None) -> None:
    assert figure.ratio == ratio
    assert figure.holds is holds


def test_json_has_the_keys_that_programs_expect() -> None:
    found = replace(COST, rill=31.23456, peers={"good": 300.0, "gone": None}).as_json()
    assert tuple(found) == KEYS
    assert found == {
        "name": "cost",
        "unit": "µs",
        "rill": 31.23,
        "floor": 5.0,
        "peers": {"good": 300.0, "gone": None},
        "ratio": 0.1041,
        "reach": 0.12,
        "holds": True,
    }


def test_numbers_are_short() -> None:
    assert [number(value) for value in (None, 0.0, 0.1234, 5.678, 48_700.4)] == [
        "–",
        "0",
        "0.12",
        "5.68",
        "48,700",
    ]


def test_table_names_the_best_peer_first_and_the_missing_last() -> None:
    given = replace(COST, rill=90.0, peers={"no": None, "slow": 600.0, "good": 300.0})
    assert table([given]).splitlines()[2:] == [
        "| cost | µs | 90 | 5 | good 300; slow 600; no missing | 0.3 | 18 | at most 0.12: **does not hold** |"
    ]


def test_part_comes_back_whole_from_json() -> None:
    part = Part(
        name="delta",
        title="Deltas",
        method="So.",
        figures=[COST],
        missing={"gone": "no"},
        versions={"a": "1"},
    )
    assert part_from_json(json.loads(json.dumps(part.as_json()))) == part


def test_markdown_says_what_is_missing_and_what_was_rough() -> None:
    part = Part(
        name="delta",
        title="Deltas",
        method="So.",
        figures=[replace(COST, note="a note")],
        missing={"gone": "not installed"},
        versions={"openai": "3"},
        measured_on="2026-01-02",
        quick=True,
    )
    text = markdown([part], {"cores": "2"})
    assert "cores: 2." in text
    assert "QUICK=1" in text
    assert "So. Measured on 2026-01-02." in text
    assert "- cost: a note\n\n- missing: gone (not installed)" in text
    assert text.endswith("## Versions\n\n- openai: 3\n")
    assert "QUICK=1" not in markdown([replace(part, quick=False)], {})
