"""Exports: JSON lines that read back, CSV that no spreadsheet takes for formulas."""

import csv
import io
import json
from typing import Any

import pytest
from results.analytics import scores_of
from results.export import line, table
from results.models import RunDetail
from results.runs import detail

from tests.support.results import run

HEADER = (
    "run_id,session_id,workflow,rep,mode,state,created_at,ended_at,cost_usd,line_ratings_count,"
    "score_overall,score_opening\r\n"
)


def shown(name: str = "r-1", **changes: Any) -> RunDetail:
    return detail(run(name, 1_769_903_999_007, **changes))


def csv_of(*runs: RunDetail) -> str:
    return table([(run, scores_of(run.result)) for run in runs])


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_json_lines_are_the_runs_whole() -> None:
    runs = [shown(rep="Zoë\n\u2028", error={"code": "internal"}, state="failed"), shown("r-2")]
    text = "".join(map(line, runs))
    assert text.endswith("\n")
    assert [json.loads(one) for one in text[:-1].split("\n")] == [run.model_dump() for run in runs]


def test_csv_has_a_row_each_and_every_score_a_column() -> None:
    text = csv_of(
        shown(result={"scores": {"overall": 71.5}}, line_ratings_count=3, rep="Zoë"),
        shown("r-2", result={"scores": {"opening": -1, "overall": 5}}, cost_usd=None),
        shown("r-3", result=None, state="running", ended_at=None),
    )
    assert text == HEADER + (
        "r-1,s-1,grading,Zoë,multi,complete,2026-01-31T23:59:59.007+00:00,2026-02-01T00:00:00.007+00:00,"
        "0.01,3,71.5,\r\n"
        "r-2,s-1,grading,,multi,complete,2026-01-31T23:59:59.007+00:00,2026-02-01T00:00:00.007+00:00,"
        ",0,5,-1\r\n"
        "r-3,s-1,grading,,multi,running,2026-01-31T23:59:59.007+00:00,,0.01,0,,\r\n"
    )


def test_no_runs() -> None:
    assert csv_of() == HEADER.removesuffix(",score_overall,score_opening\r\n") + "\r\n"


@pytest.mark.parametrize(
    "name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1+1", '=cmd|"/c x"!A1', "＝1", "＋1"]
)
def test_what_a_spreadsheet_would_run_is_text(name: str) -> None:
    [row] = rows(csv_of(shown(rep=name)))
    assert row["rep"] == f"'{name}"


@pytest.mark.parametrize("name", ["a, b", 'say "hi"', "two\r\nlines", "Ada = 1", "a-b", "Zoë ☕"])
def test_other_text_comes_back_as_it_was(name: str) -> None:
    [row] = rows(csv_of(shown(rep=name)))
    assert row["rep"] == name


def test_scores_may_be_negative() -> None:
    [row] = rows(csv_of(shown(result={"scores": {"=x": -3}})))
    assert row["score_=x"] == "-3"
