"""Resuming, cancelling and leaving a run, from a server that loses answers."""

import pytest

from local.cli.asking import ask
from local.cli.client import Ask, Client
from local.cli.following import Following, Patience, starting
from local.cli.problems import BadInput, Problem
from local.cli.render import Silent
from local.cli.target import Target, given_by
from tests.unit.cli.player import Play, Player, Reply, document, frame, playing, stream

QUICK = Patience(pauses=(0.0, 0.0, 0.0), before_stream=2)
COMPLETE = {"type": "complete", "data": {}, "duration": 1, "usage": {}, "cost_usd": 0}
STATUS = {"type": "status", "message": "The run goes on…"}
RESUMED = [frame(10_001, STATUS), frame(10_002, COMPLETE)]

LOOK = "GET /runs/r-7"
RESUME = "POST /runs/r-7/resume"
FAILED = document(200, {"run_id": "r-7", "state": "failed", "epoch": 1, "last_seq": 40})
TAKEN_UP = document(200, {"run_id": "r-7", "state": "running", "epoch": 2, "last_seq": 10_000})
CONFLICT = document(409, {"code": "conflict", "message": "The run has not ended."})


class Recorder(Silent):
    def __init__(self) -> None:
        self.types: list[str] = []

    def event(self, event: object) -> None:
        assert isinstance(event, dict)
        self.types.append(event["type"])


def in_turn(*replies: Reply) -> Play:
    left = iter(replies)
    return lambda asked: next(left)


async def resume(play: Play, step: str | None = None) -> tuple[Player, Recorder, object]:
    """Take run r-7 up again; returns its end, or the problem."""
    recorder = Recorder()
    async with playing(play) as player, Client(Target(url=player.url)) as client:
        try:
            return player, recorder, await Following(client, recorder, QUICK).again("r-7", step)
        except Problem as problem:
            return player, recorder, problem


async def test_resume() -> None:
    player, recorder, end = await resume(in_turn(FAILED, Reply(stream(RESUMED))))
    assert player.lines == [LOOK, RESUME]
    assert (recorder.types, end) == (["status", "complete"], COMPLETE)
    assert player.asked[1].headers["accept"] == "text/event-stream"


async def test_retry_of_a_step() -> None:
    player, _, end = await resume(in_turn(FAILED, Reply(stream(RESUMED))), "scores")
    assert player.lines == [LOOK, "POST /runs/r-7/steps/scores/retry"]
    assert end == COMPLETE


async def test_resume_that_drops_is_followed_from_where_it_was() -> None:
    player, recorder, end = await resume(
        in_turn(FAILED, Reply(stream(RESUMED[:1])), TAKEN_UP, Reply(stream(RESUMED[1:])))
    )
    assert player.lines == [LOOK, RESUME, LOOK, "GET /runs/r-7/events?after=10001"]
    assert (recorder.types, end) == (["status", "complete"], COMPLETE)


async def test_resume_that_got_no_answer_and_has_not_begun_is_asked_again() -> None:
    player, recorder, end = await resume(in_turn(FAILED, Reply(b""), FAILED, Reply(stream(RESUMED))))
    assert player.lines == [LOOK, RESUME, LOOK, RESUME]
    assert (recorder.types, end) == (["status", "complete"], COMPLETE)


async def test_resume_that_got_no_answer_and_has_begun_is_followed() -> None:
    player, recorder, end = await resume(in_turn(FAILED, Reply(b""), TAKEN_UP, Reply(stream(RESUMED))))
    assert player.lines == [LOOK, RESUME, LOOK, "GET /runs/r-7/events?after=40"]
    assert (recorder.types, end) == (["status", "complete"], COMPLETE)


async def test_resume_that_begins_between_the_look_and_the_second_request_is_followed() -> None:
    player, _, end = await resume(in_turn(FAILED, Reply(b""), FAILED, CONFLICT, Reply(stream(RESUMED))))
    assert player.lines == [LOOK, RESUME, LOOK, RESUME, "GET /runs/r-7/events?after=40"]
    assert end == COMPLETE


async def test_run_that_cannot_be_resumed() -> None:
    player, _, problem = await resume(in_turn(TAKEN_UP, CONFLICT))
    assert isinstance(problem, BadInput)
    assert str(problem) == "the function refuses the request (409): The run has not ended."
    assert player.lines == [LOOK, RESUME]


async def test_run_that_is_not_there() -> None:
    gone = document(404, {"code": "not_found", "message": "There is no run 'r-7'."})
    player, _, problem = await resume(in_turn(gone))
    assert str(problem) == "There is no run 'r-7'."
    assert player.lines == [LOOK]


async def test_run_without_a_document() -> None:
    _, _, problem = await resume(in_turn(Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")))
    assert "does not answer with JSON: is it a function of Rill's?" in str(problem)


async def test_question_whose_answer_was_lost_is_asked_again(capsys: pytest.CaptureFixture[str]) -> None:
    answers = in_turn(Reply(b""), document(202, {"run_id": "r-7", "state": "running", "cancel": True}))
    async with playing(answers) as player:
        cancel = Ask(method="POST", path="runs/r-7/cancel")
        assert (await ask(Target(url=player.url), cancel, QUICK))["cancel"] is True
    assert player.lines == ["POST /runs/r-7/cancel"] * 2
    assert capsys.readouterr() == ("", "connection lost, asking again…\n")


async def test_start_that_nobody_waits_for() -> None:
    answers = in_turn(Reply(b""), document(202, {"run_id": "r-7", "state": "queued"}))
    async with playing(answers) as player:
        start = starting({"a": 1}, wait=False)
        assert (await ask(Target(url=player.url), start, QUICK))["state"] == "queued"
    assert {each.headers["prefer"] for each in player.asked} == {"respond-async"}
    assert len({each.headers["idempotency-key"] for each in player.asked}) == 1


@pytest.mark.parametrize(
    ("target", "command"),
    [
        (Target(url="http://x/"), None),
        (Target(url="http://x/", options=""), "rill attach r-7"),
        (given_by("http://x/", iam=False), "rill attach r-7 --url http://x/"),
        (given_by("http://x/?a b", iam=True), "rill attach r-7 --url 'http://x/?a b' --iam"),
    ],
)
def test_how_to_reach_the_run_again(target: Target, command: str | None) -> None:
    assert target.command("attach", "r-7") == command
