"""A run that is followed over connections that drop, from a server that cuts them where it is told to."""

import io
import re
from collections.abc import Callable
from typing import Any

import pytest

from local.cli.client import Client, Event
from local.cli.following import Following, Patience
from local.cli.problems import Problem, Unreachable
from local.cli.render_plain import PlainRenderer
from local.cli.target import Target
from tests.unit.cli.player import HEAD, Asked, Play, Player, Reply, document, frame, playing, stream

REQUEST = {"transcript": [{"line_number": 1, "speaker": "rep", "text": "Hi"}]}
USAGE = {"input_tokens": 1, "output_tokens": 2, "cached_tokens": 0, "calls": 1, "certainty": "exact"}
RATING = {"line_number": 1, "effectiveness": "good", "reason": "warm \u2028", "alternative_lines": ["Hello"]}
STEPS = [{"step": "lr", "label": "Lines", "weight": 1}, {"step": "c", "label": "Coach", "weight": 1}]
COMPLETE = {
    "type": "complete",
    "data": {"line_ratings": [RATING], "coaching": {"focus": "é"}},
    "duration": 9,
    "usage": USAGE,
    "cost_usd": 0,
}
EVENTS: list[dict[str, Any]] = [
    {"type": "start", "run_id": "r-7", "workflow": "grading", "mode": "multi", "steps": STEPS},
    {"type": "step_start", "step": "lr", "label": "Lines", "attempt": 1},
    {"type": "item", "step": "lr", "section": "line_ratings", "index": 0, "data": RATING},
    {"type": "chunk", "step": "c", "content": "one"},
    {"type": "section", "step": "lr", "section": "line_ratings", "data": [RATING]},
    {"type": "section", "step": "c", "section": "coaching", "data": {"focus": "é"}},
    {"type": "step_complete", "step": "lr", "duration": 5},
    COMPLETE,
]
FRAMES = [frame(number, event) for number, event in enumerate(EVENTS, 1)]
LINES = [
    "run r-7: grading (multi): Lines, Coach",
    "step lr: started",
    "line 1: good: “Hi” (warm)",
    "line 1: instead: “Hello”",
    "text: one",
    "line_ratings: 1 lines: 1 good",
    "coaching.focus: é",
    "step lr: done in 0.0 s",
    "complete: 0.0 s, 1 tokens in, 2 out, $0.0000",
]
EVENTS_AFTER = "GET /runs/r-7/events?after="
LOST = "connection lost, reattaching…\n"
QUICK = Patience(pauses=(0.0, 0.0, 0.0), before_stream=2)


def rest(after: int) -> bytes:
    """A stream of the run's events after that one."""
    return stream(FRAMES[after:])


def in_turn(*replies: Reply) -> Play:
    """A reply for each request, in their order."""
    left = iter(replies)
    return lambda asked: next(left)


class Shown:
    """What came out of a run that was followed."""

    def __init__(self, player: Player) -> None:
        self.player = player
        self.out = io.StringIO()

    @property
    def lines(self) -> list[str]:
        return self.out.getvalue().split("\n")[:-1]


async def follow(
    play: Play,
    work: Callable[[Following], Any] = lambda run: run.start(REQUEST),
    *,
    options: str | None = "",
) -> tuple[Shown, Event | Problem]:
    """Follow a run of a player; returns what was shown, and its end or the problem instead."""
    async with playing(play) as player, Client(Target(url=player.url, options=options)) as client:
        shown = Shown(player)
        following = Following(client, PlainRenderer(shown.out, REQUEST), QUICK)
        try:
            return shown, await work(following)
        except Problem as problem:
            return shown, problem


WHOLE = stream(FRAMES)
BOUNDARIES = [found.end() for found in re.finditer(rb"\n\n", WHOLE)]
CUTS = sorted({0, 20, len(HEAD), *BOUNDARIES, *(end - 1 for end in BOUNDARIES), *range(0, len(WHOLE), 3)})


@pytest.mark.parametrize("broken", [False, True])
async def test_cut_anywhere_shows_the_same_as_uncut(broken: bool, capsys: pytest.CaptureFixture[str]) -> None:
    cut, cut_already = 0, False

    def play(asked: Asked) -> Reply:
        nonlocal cut_already
        if not cut_already:
            cut_already = True
            return Reply(WHOLE[:cut], broken)
        return Reply(rest(asked.after))

    async with playing(play) as player, Client(Target(url=player.url)) as client:
        for cut in CUTS:
            cut_already = False
            player.asked.clear()
            out = io.StringIO()
            end = await Following(client, PlainRenderer(out, REQUEST), QUICK).start(REQUEST)
            assert (out.getvalue().split("\n")[:-1], end) == (LINES, COMPLETE), f"cut at byte {cut}"
            keys = {each.headers["idempotency-key"] for each in player.asked if each.method == "POST"}
            assert len(keys) == 1
            said = capsys.readouterr().err
            if len(player.asked) == 1:
                assert (cut, said) == (len(WHOLE), "")
            elif player.asked[1].method == "GET":
                assert cut >= len(HEAD)
                assert said == LOST
            else:
                assert said == "connection lost, asking again…\n"
    assert {0, len(WHOLE)} <= {*CUTS}


async def test_request_that_got_no_answer_is_repeated_under_its_key() -> None:
    shown, end = await follow(in_turn(Reply(b""), Reply(b"", True), Reply(WHOLE)))
    first, second, third = shown.player.asked
    assert (first.method, first.path) == ("POST", "/runs")
    assert len(first.headers["idempotency-key"]) == 36
    assert first.body == second.body == third.body
    keys = {each.headers["idempotency-key"] for each in (first, second, third)}
    assert len(keys) == 1
    assert (shown.lines, end) == (LINES, COMPLETE)


async def test_two_runs_have_two_keys() -> None:
    keys = []
    for _ in range(2):
        shown, _ = await follow(in_turn(Reply(WHOLE)))
        keys.append(shown.player.asked[0].headers["idempotency-key"])
    assert keys[0] != keys[1]


async def test_one_event_a_connection_is_enough(capsys: pytest.CaptureFixture[str]) -> None:
    shown, end = await follow(lambda asked: Reply(stream(FRAMES[asked.after : asked.after + 1])))
    assert (shown.lines, end) == (LINES, COMPLETE)
    assert shown.player.lines == ["POST /runs", *(f"{EVENTS_AFTER}{n}" for n in range(1, len(FRAMES)))]


async def test_events_that_come_again_are_shown_once() -> None:
    shown, end = await follow(in_turn(Reply(stream(FRAMES[:4])), Reply(stream(FRAMES[:6])), Reply(WHOLE)))
    assert (shown.lines, end) == (LINES, COMPLETE)


async def test_gives_up_and_says_how_to_follow(capsys: pytest.CaptureFixture[str]) -> None:
    shown, problem = await follow(
        lambda asked: Reply(stream(FRAMES[:2])), options=" --url https://x.on.aws/ --iam"
    )
    assert isinstance(problem, Unreachable)
    assert problem.code == 3
    assert str(problem) == (
        "the connection to run r-7 was lost before its end and did not come back: the stream has no end.\n"
        "It may go on without you; follow it with:\n"
        "  rill attach r-7 --url https://x.on.aws/ --iam"
    )
    assert shown.player.lines == ["POST /runs", *[f"{EVENTS_AFTER}2"] * 3]
    assert shown.lines == LINES[:2]
    assert capsys.readouterr().err == LOST


async def test_no_way_to_follow_what_ends_with_the_command() -> None:
    _, problem = await follow(lambda asked: Reply(stream(FRAMES[:2])), options=None)
    assert str(problem).endswith("did not come back: the stream has no end")


async def test_function_that_never_answers() -> None:
    shown, problem = await follow(lambda asked: Reply(b""))
    assert isinstance(problem, Unreachable)
    assert str(problem).startswith(f"{shown.player.url} does not answer: ")
    assert shown.player.lines == ["POST /runs"] * 3


async def test_handoff_is_followed_unseen(capsys: pytest.CaptureFixture[str]) -> None:
    handoff = frame(4, {"type": "handoff", "after": 3})
    shown, end = await follow(in_turn(Reply(stream([*FRAMES[:3], handoff])), Reply(rest(3))))
    assert (shown.lines, end) == (LINES, COMPLETE)
    assert shown.player.lines == ["POST /runs", f"{EVENTS_AFTER}3"]
    assert capsys.readouterr().err == ""


async def test_handoffs_of_a_run_that_waits_are_followed_for_longer_than_drops() -> None:
    handoff = stream([frame(1, {"type": "handoff", "after": 0})])
    shown, end = await follow(in_turn(*[Reply(handoff)] * 9, Reply(WHOLE)))
    assert (shown.lines, end) == (LINES, COMPLETE)
    assert shown.player.lines == ["POST /runs", *[f"{EVENTS_AFTER}0"] * 9]


async def test_numbers_skip_after_a_crash_and_parts_are_forgotten() -> None:
    reset = {"type": "reset", "step": "lr", "attempt": 2, "reason": "This step runs again."}
    again: list[dict[str, Any]] = [
        {"type": "status", "message": "The run goes on…"},
        reset,
        *EVENTS[1:3],
        EVENTS[4],
        COMPLETE,
    ]
    later = [frame(number, event) for number, event in enumerate(again, 10_001)]
    shown, end = await follow(
        in_turn(Reply(stream(FRAMES[:3])), Reply(stream(later[:2])), Reply(stream(later[2:])))
    )
    assert end == COMPLETE
    assert shown.player.lines == ["POST /runs", f"{EVENTS_AFTER}3", f"{EVENTS_AFTER}10002"]
    assert shown.lines == [
        *LINES[:4],
        "status: The run goes on…",
        "step lr: starts again, forget what it said: This step runs again.",
        *LINES[1:4],
        LINES[5],
        LINES[6],  # of a step that was finished before: out of the result
        LINES[8],
    ]


async def test_end_that_comes_alone_brings_what_was_not_shown() -> None:
    shown, end = await follow(in_turn(Reply(stream(FRAMES[:3])), Reply(stream([FRAMES[-1]]))))
    assert end == COMPLETE
    assert shown.lines == [*LINES[:4], LINES[5], LINES[6], LINES[8]]


async def test_end_is_shown_whatever_its_number() -> None:
    shown, end = await follow(in_turn(Reply(stream([FRAMES[-1]]))), lambda run: run.attach("r-7", 900))
    assert end == COMPLETE
    assert shown.player.lines == [f"{EVENTS_AFTER}900"]
    assert shown.lines == [*LINES[2:4], *LINES[5:7], LINES[8]]


async def test_run_that_is_not_known_any_more() -> None:
    gone = document(404, {"code": "not_found", "message": "There is no run 'r-7'."})
    shown, problem = await follow(in_turn(Reply(stream(FRAMES[:2])), gone))
    assert isinstance(problem, Unreachable)
    assert str(problem) == (
        "the connection to run r-7 was lost before its end, and the function does not know it:"
        " There is no run 'r-7'."
    )
    assert len(shown.player.asked) == 2


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_function_that_fails_for_a_while(status: int, capsys: pytest.CaptureFixture[str]) -> None:
    busy = document(status, {"message": "slow\x1b down"}, "Retry-After: 0")
    shown, end = await follow(in_turn(busy, busy, Reply(stream(FRAMES[:2])), busy, busy, Reply(rest(2))))
    assert (shown.lines, end) == (LINES, COMPLETE)
    assert [each.method for each in shown.player.asked] == ["POST"] * 3 + ["GET"] * 3
    assert len({each.headers["idempotency-key"] for each in shown.player.asked[:3]}) == 1
    said = f"the function failed ({status}): slow  down; trying again…\n"
    assert capsys.readouterr().err == said + LOST


async def test_function_that_fails_for_good() -> None:
    shown, problem = await follow(lambda asked: document(502, {"Message": "Internal Server Error"}))
    assert (type(problem), str(problem)) == (Problem, "the function failed (502): Internal Server Error")
    assert len(shown.player.asked) == 3


@pytest.mark.parametrize("asks", ["3600", "31"])
async def test_longer_wait_than_anybody_has_patience_for(asks: str) -> None:
    shown, problem = await follow(lambda asked: document(429, {"message": "later"}, f"Retry-After: {asks}"))
    assert str(problem) == "the function failed (429): later"
    assert len(shown.player.asked) == 1


def test_pauses_grow_and_differ_from_client_to_client() -> None:
    patience = Patience(pauses=(1, 4))
    for failures, longest in ((1, 1), (2, 4), (7, 4)):
        drawn = {patience.pause(failures, 0.0) for _ in range(50)}
        assert len(drawn) > 1
        assert all(longest / 2 <= pause <= longest for pause in drawn)
    assert patience.pause(1, 20.0) == 20.0
    assert sum(Patience().pauses) > 20
