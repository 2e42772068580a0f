"""A run on a terminal: what stands there in the end."""

import io
from typing import Any

from rich.console import Console

from local.cli.render_rich import RichRenderer
from local.cli.rich_sections import rating_rows, section

REQUEST = {"transcript": [{"line_number": 1, "speaker": "rep", "text": "[bold]Hi[/bold] \x1b]0;x\x07"}]}
RATING = {
    "line_number": 1,
    "effectiveness": "missed_opportunity",
    "reason": "Scripted model: no question",
    "alternative_lines": ["Why [red]now[/red]?"],
}
USAGE = {"input_tokens": 1, "output_tokens": 2, "certainty": "exact"}


def printed(what: Any) -> str:
    console = Console(file=io.StringIO(), width=100, force_terminal=False)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_rating_shows_texts_as_they_are_and_no_control_characters() -> None:
    shown = printed(rating_rows(RATING, REQUEST["transcript"][0]["text"]))  # type: ignore[arg-type]
    assert "“[bold]Hi[/bold]  ]0;x”  no question" in shown
    assert "“Why [red]now[/red]?”" in shown
    assert "missed" in shown
    assert "\x1b" not in shown


def test_sections() -> None:
    scores = printed(section("scores", {"overall": 50, "rapport": 100, "closing": 0}))
    assert "Overall █" in scores
    assert scores.count("█") == 12 + 24
    feedback = printed(
        section(
            "feedback",
            {
                "strengths": [{"point": "Warm", "evidence_line": 3}],
                "improvements": [{"point": "Long", "evidence_line": None, "suggestion": "Stop"}],
            },
        )
    )
    assert [line.strip() for line in feedback.split("\n") if line.strip()] == [
        "Feedback",
        "+ Warm  line 3",
        "− Long",
        "→ Stop",
    ]
    objections = printed(
        section(
            "objection_handling",
            {
                "objections": [
                    {
                        "line_number": 4, "objection": "price", "response_line": None, "handled": False,
                        "rating": 20, "better_response": "Ask",
                    }
                ],
                "summary": "One.",
            },
        )
    )  # fmt: skip
    assert "✗ price  line 4, 20 of 100" in objections
    coaching = printed(
        section("coaching", {"focus": "f", "priorities": [{"title": "t", "why": "w", "practice": None}]})
    )
    assert "Priorities t  w" in coaching
    assert "plain" in printed(section("unknown", "plain"))


def test_run_as_it_stands_in_the_end() -> None:
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=False)
    renderer = RichRenderer(REQUEST, console)
    step = {"step": "lr", "label": "Line ratings", "weight": 1}
    events: list[dict[str, Any]] = [
        {"type": "start", "run_id": "r", "workflow": "grading", "mode": "multi", "steps": [step]},
        {"type": "status", "message": "Reading"},
        {"type": "step_start", "step": "lr", "label": "Line ratings", "attempt": 1},
        {"type": "progress", "progress": 12.5, "message": "Going on"},
        {"type": "step_progress", "step": "lr", "progress": 40},
        {
            "type": "step_error",
            "step": "lr",
            "code": "model_truncated",
            "message": "Cut.",
            "will_retry": True,
        },
        {"type": "reset", "step": "lr", "attempt": 2, "reason": "It starts over."},
        {"type": "step_start", "step": "lr", "label": "Line ratings", "attempt": 2},
        {"type": "item", "step": "lr", "section": "line_ratings", "index": 0, "data": RATING},
        {"type": "section", "step": "lr", "section": "line_ratings", "data": [RATING]},
        {"type": "step_complete", "step": "lr", "duration": 10},
        {"type": "complete", "data": {}, "duration": 1500, "usage": USAGE, "cost_usd": 0},
    ]
    for event in events:
        renderer.event(event)
    renderer.close()
    shown = out.getvalue()
    assert shown.count("no question") == 1
    assert "Line ratings: Cut." in shown
    assert "Line ratings starts again: It starts over." in shown
    assert "1 missed opportunity" in shown
    assert "✓ complete  1.5 s, 1 tokens in, 2 out, $0.0000" in shown


def test_failure() -> None:
    out = io.StringIO()
    renderer = RichRenderer({}, Console(file=out, width=100, force_terminal=False))
    renderer.event({"type": "error", "code": "internal", "message": "Oh [b]no[/b]"})
    renderer.event({"type": "cancelled", "data": {}, "duration": 5, "usage": USAGE, "cost_usd": None})
    renderer.close()
    assert "✗ failed  internal: Oh [b]no[/b]" in out.getvalue()
    assert "■ cancelled  0.0 s" in out.getvalue()


def test_ratings_stand_under_their_heading_again_after_another_section() -> None:
    out = io.StringIO()
    renderer = RichRenderer({}, Console(file=out, width=100, force_terminal=False))
    for number, between in ((1, None), (2, None), (3, "coaching")):
        if between:
            renderer.event({"type": "section", "step": "c", "section": between, "data": {"focus": "f"}})
        data = {**RATING, "line_number": number}
        renderer.event({"type": "item", "step": "lr", "section": "line_ratings", "index": 0, "data": data})
    renderer.close()
    heads = [line for line in out.getvalue().split("\n") if line and not line.startswith(" ")]
    assert heads == ["Line ratings", "Coaching", "Line ratings"]


def drawn(*events: dict[str, Any]) -> list[str]:
    out = io.StringIO()
    renderer = RichRenderer({}, Console(file=out, width=100, force_terminal=False))
    for event in events:
        renderer.event(event)
    renderer.note("connection lost")
    renderer.close()
    return [line.rstrip() for line in out.getvalue().split("\n") if line.strip()]


def test_run_that_was_taken_up_names_its_steps_and_shows_the_rest_of_the_result() -> None:
    ratings = [RATING, {**RATING, "line_number": 2}]
    result = {"line_ratings": ratings, "coaching": {"focus": "f"}}
    lines = drawn(
        {"type": "reset", "step": "line_ratings", "attempt": 2, "reason": "Again."},
        {"type": "step_start", "step": "line_ratings", "label": "Ratings", "attempt": 2},
        {"type": "item", "step": "line_ratings", "section": "line_ratings", "index": 0, "data": RATING},
        {"type": "reset", "step": "line_ratings", "attempt": 3, "reason": "Again."},
        {"type": "item", "step": "line_ratings", "section": "line_ratings", "index": 0, "data": RATING},
        {"type": "section", "step": "c", "section": "coaching", "data": {"focus": "f"}},
        {"type": "complete", "data": result, "duration": 1, "usage": USAGE, "cost_usd": 0},
    )
    heads = [line for line in lines if not line.startswith(" ")]
    assert heads == [
        "Line ratings starts again: Again.",
        "Line ratings",
        "Ratings starts again: Again.",
        "Line ratings",
        "Coaching",
        "Line ratings",
        "✓ complete  0.0 s, 1 tokens in, 2 out, $0.0000",
        "connection lost",
    ]
    numbers = [line.split()[0] for line in lines if "no question" in line]
    assert numbers == ["1", "1", "2"]


def test_count_of_the_ratings_stands_under_their_heading() -> None:
    lines = drawn(
        {"type": "item", "step": "lr", "section": "line_ratings", "index": 0, "data": RATING},
        {"type": "section", "step": "c", "section": "coaching", "data": {"focus": "f"}},
        {"type": "section", "step": "lr", "section": "line_ratings", "data": [RATING]},
    )
    assert lines[-3:] == ["Line ratings", "  1 missed opportunity", "connection lost"]
