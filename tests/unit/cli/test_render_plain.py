"""A run as plain lines."""

import io
from typing import Any

import pytest

from local.cli.render_plain import PlainRenderer, flat

REQUEST = {
    "transcript": [
        {"line_number": 1, "speaker": "rep", "text": "Hi \x1b[31mthere"},
        {"line_number": 2, "speaker": "customer", "text": "No"},
    ]
}
USAGE = {"input_tokens": 1200, "output_tokens": 34, "cached_tokens": 0, "calls": 2, "certainty": "exact"}


def shown(*events: dict[str, Any]) -> list[str]:
    out = io.StringIO()
    renderer = PlainRenderer(out, REQUEST)
    for event in events:
        renderer.event(event)
    renderer.close()
    return out.getvalue().split("\n")[:-1]


def rating(number: int, effectiveness: str = "good", *instead: str) -> dict[str, Any]:
    return {
        "line_number": number,
        "effectiveness": effectiveness,
        "reason": "Scripted model: short",
        "alternative_lines": list(instead),
    }


def item(number: int, *instead: str) -> dict[str, Any]:
    data = rating(number, "poor" if instead else "good", *instead)
    return {"type": "item", "step": "lr", "section": "line_ratings", "index": 0, "data": data}


def test_life_of_a_run() -> None:
    steps = [{"step": "a", "label": "First", "weight": 1}, {"step": "b", "label": "Second", "weight": 1}]
    assert shown(
        {"type": "start", "run_id": "r1", "workflow": "grading", "mode": "multi", "steps": steps},
        {"type": "status", "message": "Reading the\ncall…"},
        {"type": "step_start", "step": "a", "label": "First", "attempt": 1},
        {"type": "progress", "progress": 10},
        {
            "type": "step_error", "step": "a", "attempt": 1, "code": "model_overloaded",
            "message": "Busy.", "will_retry": True,
        },
        {"type": "reset", "step": "a", "attempt": 2, "reason": "again"},
        {"type": "step_start", "step": "a", "label": "First", "attempt": 2},
        {"type": "step_complete", "step": "a", "duration": 1234.5},
        {"type": "complete", "data": {}, "duration": 65432.1, "usage": USAGE, "cost_usd": 0.01234},
    ) == [
        "run r1: grading (multi): First, Second",
        "status: Reading the call…",
        "step a: started",
        "step a: model_overloaded: Busy. (trying again)",
        "step a: starts again, forget what it said: again",
        "step a: started, attempt 2",
        "step a: done in 1.2 s",
        "complete: 65.4 s, 1,200 tokens in, 34 out, $0.0123",
    ]  # fmt: skip


def test_ends() -> None:
    estimated = {**USAGE, "certainty": "unknown"}
    assert shown(
        {"type": "cancelled", "data": {}, "duration": 100, "usage": estimated, "cost_usd": None},
        {"type": "error", "code": "deadline", "message": "Too\x07late.", "retryable": True},
        {"type": "step_error", "step": "a", "code": "internal", "message": "No.", "will_retry": False},
        {"type": "cancelled", "data": {}, "duration": 0, "usage": USAGE, "cost_usd": 12.5},
    ) == [
        "cancelled: 0.1 s, 1,200 tokens in, 34 out, cost unknown (unknown)",
        "error: deadline: Too late.",
        "step a: internal: No. (giving up)",
        "cancelled: 0.0 s, 1,200 tokens in, 34 out, $12.50",
    ]


def test_ratings_once_each_and_the_rest_with_the_section() -> None:
    whole = {
        "type": "section", "step": "lr", "section": "line_ratings", "data": [rating(1), rating(2, "poor")],
    }  # fmt: skip
    assert shown(item(1), item(1), whole) == [
        "line 1: good: “Hi  [31mthere” (short)",
        "line 2: poor: “No” (short)",
        "line_ratings: 2 lines: 1 good, 1 poor",
    ]


def test_ratings_again_after_a_reset() -> None:
    reset = {"type": "reset", "step": "lr", "attempt": 2, "reason": "cut"}
    assert shown(item(2, "Why?"), reset, item(2, "Why?")) == [
        "line 2: poor: “No” (short)",
        "line 2: instead: “Why?”",
        "step lr: starts again, forget what it said: cut",
        "line 2: poor: “No” (short)",
        "line 2: instead: “Why?”",
    ]


def test_section_and_text() -> None:
    data = {"focus": "listen", "priorities": [{"title": "Ask", "why": None}], "needs": ["a", "b"], "none": []}
    assert shown(
        {"type": "section", "step": "c", "section": "coaching", "data": data},
        {"type": "chunk", "step": "t", "content": "Hello"},
    ) == [
        "coaching.focus: listen",
        "coaching.priorities: Title: Ask",
        "coaching.needs: a",
        "coaching.needs: b",
        "coaching.none: none",
        "text: Hello",
    ]


def test_flat_value() -> None:
    assert list(flat("x", 3)) == ["x: 3"]


def test_result_shows_what_was_not_shown_before_it() -> None:
    rated = {"type": "section", "step": "lr", "section": "line_ratings", "data": [rating(1)]}
    coaching = {"type": "section", "step": "c", "section": "coaching", "data": {"focus": "f"}}
    reset = {"type": "reset", "step": "c", "attempt": 2, "reason": "r"}
    chunk = {"type": "chunk", "step": "t", "content": "one"}
    result = {"line_ratings": [rating(1), rating(2)], "coaching": {"focus": "g"}, "t": "one", "scores": 5}
    end = {"type": "cancelled", "data": result, "duration": 0, "usage": USAGE, "cost_usd": 0}
    closing = "0.0 s, 1,200 tokens in, 34 out, $0.0000"
    assert shown(item(1), rated, coaching, reset, chunk, end) == [
        "line 1: good: “Hi  [31mthere” (short)",
        "line_ratings: 1 lines: 1 good",
        "coaching.focus: f",
        "step c: starts again, forget what it said: r",
        "text: one",
        "coaching.focus: g",
        "scores: 5",
        f"cancelled: {closing}",
    ]
    assert shown(item(1), {**end, "type": "complete", "data": {"line_ratings": [rating(1), rating(2)]}}) == [
        "line 1: good: “Hi  [31mthere” (short)",
        "line 2: good: “No” (short)",
        "line_ratings: 2 lines: 2 good",
        f"complete: {closing}",
    ]


def test_rating_of_a_line_whose_text_is_not_known() -> None:
    data = rating(9)
    assert shown({"type": "item", "step": "lr", "section": "line_ratings", "index": 0, "data": data}) == [
        "line 9: good: short"
    ]


def test_note_about_the_connection_is_no_part_of_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    PlainRenderer(out, REQUEST).note("connection\x1b lost")
    assert (out.getvalue(), capsys.readouterr()) == ("", ("", "connection  lost\n"))
