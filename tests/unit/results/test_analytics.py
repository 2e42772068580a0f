"""Figures over graded runs, against sums done by hand."""

from dataclasses import fields
from typing import Any

import pytest
from results.analytics import Graded, by_rep, by_week, in_all, missed, scores_of
from results.models import Effectiveness, Figures, MissedOpportunity, Place

from rill.stores.line_ratings import LineRatingRecord
from rill.stores.queries import RunSummary
from tests.support.results import rating, run

HOUR = 3600 * 1000
SUNDAY = 1_769_990_399_999  # 2026-02-01T23:59:59.999Z, the last moment of week 5
NO_LINES: dict[Effectiveness, int] = {"excellent": 0, "good": 0, "poor": 0, "missed_opportunity": 0}


def graded(name: str, at: int, *ratings: LineRatingRecord, **changes: Any) -> Graded:
    record = run(name, at, **changes)
    known = {one.name: getattr(record, one.name) for one in fields(RunSummary)}
    return Graded(RunSummary(**known), scores_of(record.result), ratings)


def scored(**scores: Any) -> dict[str, Any]:
    return {"scores": scores}


def test_averages_are_of_the_runs_that_have_the_score() -> None:
    found = in_all(
        [
            graded("a", 1, rating(1), rating(3, "poor"), result=scored(overall=70, opening=10)),
            graded("b", 2, rating(1), result=scored(overall=75.5)),
            graded("c", 3, rating(1, "missed_opportunity"), result=scored(overall=41)),
            graded("d", 4, rating(1, "excellent"), result=None),
            graded("e", 5, result=scored()),
        ]
    )
    assert found == Figures(
        runs=5,
        scored=3,
        scores={"overall": 62.17, "opening": 10.0},  # 186.5 / 3
        lines=5,
        effectiveness={"excellent": 1, "good": 2, "poor": 1, "missed_opportunity": 1},
    )


def test_nothing_comes_to_nothing() -> None:
    assert in_all([]) == Figures(runs=0, scored=0, scores={}, lines=0, effectiveness=NO_LINES)
    assert by_week([]) == []
    assert by_rep([]) == []
    assert missed([]) == []


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (None, {}),
        ({}, {}),
        ({"scores": None}, {}),
        ({"scores": [1]}, {}),
        ({"scores": {"a": True, "b": "9", "c": None, "d": 0, "e": 1.5}}, {"d": 0, "e": 1.5}),
    ],
)
def test_only_numbers_are_scores(result: dict[str, Any] | None, expected: dict[str, float]) -> None:
    assert scores_of(result) == expected


def test_weeks_are_iso_weeks_in_utc() -> None:
    new_year = 1_767_225_600_000  # 2026-01-01T00:00:00Z, a Thursday
    weeks = by_week(
        [
            graded("next", SUNDAY + 1, result=scored(overall=90)),
            graded("last", SUNDAY, result=scored(overall=60)),
            graded("also", SUNDAY - HOUR, rating(1), result=scored(overall=61)),
            graded("eve", new_year - 1, result=scored(overall=1)),
            graded("first", new_year, result=scored(overall=2)),
            graded("december", 1_735_603_200_000, result=None),  # 2024-12-31, of the year after's week 1
        ]
    )
    assert [(week.week, week.starts, week.runs, week.scores, week.lines) for week in weeks] == [
        ("2025-W01", "2024-12-30", 1, {}, 0),
        ("2026-W01", "2025-12-29", 2, {"overall": 1.5}, 0),
        ("2026-W05", "2026-01-26", 2, {"overall": 60.5}, 1),
        ("2026-W06", "2026-02-02", 1, {"overall": 90.0}, 0),
    ]


def test_reps_by_name_and_those_without_last() -> None:
    reps = by_rep(
        [
            graded("1", 1, result=scored(overall=10)),
            graded("2", 2, rating(1, "poor"), rep="Zoë", result=scored(overall=20)),
            graded("3", 3, rep="Ada", result=scored(overall=30)),
            graded("4", 4, rating(1), rep="Zoë", result=scored(overall=25)),
        ]
    )
    assert [(rep.rep, rep.runs, rep.scores, rep.lines) for rep in reps] == [
        ("Ada", 1, {"overall": 30.0}, 0),
        ("Zoë", 2, {"overall": 22.5}, 2),
        (None, 1, {"overall": 10.0}, 0),
    ]
    assert reps[1].effectiveness == {**NO_LINES, "poor": 1, "good": 1}


def test_missed_opportunities_by_how_often_then_by_how_new() -> None:
    lost = "missed_opportunity"
    found = missed(
        [
            graded("old", 1, rating(1, lost, "Anything else?"), rating(5, lost, "Bye."), session_id="s-old"),
            graded(
                "new", 3, rating(7, lost, " anything  ELSE?"), rating(9, "poor", "Bye."), session_id="s-new"
            ),
            graded("mid", 2, rating(2, lost, "Sure."), rating(4, "good", "Anything else?")),
        ]
    )
    assert found[0] == MissedOpportunity(
        text=" anything  ELSE?",
        count=2,
        reason="Because.",
        alternative_lines=["Another."],
        latest=Place(session_id="s-new", run_id="new", line_number=7),
    )
    assert [(one.text, one.count, one.latest.run_id) for one in found[1:]] == [
        ("Sure.", 1, "mid"),
        ("Bye.", 1, "old"),
    ]


def test_missed_opportunities_are_twenty_at_most() -> None:
    lines = [rating(number, "missed_opportunity", f"line {number}") for number in range(1, 26)]
    found = missed([graded("a", 1, *lines), graded("b", 2, lines[24])])
    assert [one.text for one in found] == ["line 25", *(f"line {number}" for number in range(1, 20))]
