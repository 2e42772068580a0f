import json
from typing import Any

import pytest

from local.model.faults import FaultBook
from local.model.plan import Plan, plan
from local.model.prose import OPENING, plain_answer, sentences
from local.model.request import read_request
from local.model.wire import dumps, error, pieces, usage
from tests.unit.model.support import GOOD, SECTIONS, messages, obj, response_format, transcript

SCORES = response_format("scores", obj(scores=SECTIONS["scores"]))


def planned(fault: str = "", user: str = "", **body: Any) -> Plan:
    request = read_request(dumps({"model": "m", "messages": messages(user or transcript(GOOD)), **body}))
    return plan(request, FaultBook(fault).take(request.schema_name))


def test_the_answer_follows_the_schema() -> None:
    whole = planned(response_format=SCORES)
    assert (whole.reason, whole.interruption, whole.refusal) == ("stop", None, ())
    assert set(json.loads("".join(whole.content))) == {"scores"}


def test_pieces_are_about_four_characters_and_lose_nothing() -> None:
    text = "Ünï 😀 " * 100
    cut = list(pieces(text))
    assert "".join(cut) == text
    assert 3.5 < len(text) / len(cut) < 4.5
    assert list(pieces("")) == []


@pytest.mark.parametrize("kind", ["stall", "cut", "error", "malformed", "hang"])
def test_an_interruption_keeps_its_place_or_comes_at_the_end(kind: str) -> None:
    assert (planned(f"{kind}@3", response_format=SCORES).interruption, planned(f"{kind}@3").at) == (kind, 3)
    late = planned(f"{kind}@99999")
    assert late.at == len(late.content)


def test_endings() -> None:
    assert (planned("truncated@5").reason, len(planned("truncated@5").content)) == ("length", 5)
    assert (planned("filtered@5").reason, len(planned("filtered@5").content)) == ("content_filter", 5)
    refused = planned("refusal@2")
    assert (len(refused.content), "".join(refused.refusal)[:9]) == (2, "Scripted ")
    short = planned(max_completion_tokens=4)
    assert (short.reason, len(short.content)) == ("length", 4)
    assert planned(max_completion_tokens=100000).reason == "stop"


@pytest.mark.parametrize("at", range(40))
def test_broken_content_is_no_json_wherever_it_breaks(at: int) -> None:
    with pytest.raises(json.JSONDecodeError):
        json.loads("".join(planned(f"broken@{at}", response_format=SCORES).content))


def test_wrong_content_is_json_against_the_schema() -> None:
    value = json.loads("".join(planned("wrong", response_format=SCORES).content))
    assert value["scores"]["overall"] == {"scripted": "wrong"}


def test_json_without_a_schema() -> None:
    form = {"type": "json_object"}
    assert "line_ratings" in json.loads("".join(planned(response_format=form).content))
    assert (
        "scripted"
        in json.loads("".join(planned(user="Hi there you.", response_format=form).content))["answer"]
    )


def test_plain_answers_draw_on_the_prompt() -> None:
    answer = plain_answer(
        "How long is the warranty?", "Boats are blue. The warranty is 2.5 years long.\nOk.", None
    )
    assert answer.startswith(OPENING)
    assert answer.index("2.5 years") < answer.index("Boats")
    assert "nothing more" in plain_answer("", "", None)
    assert "talk" not in plain_answer("Hello", "", None)
    assert "scores" in "".join(planned().content)


def test_sentences() -> None:
    assert sentences("One two three. Four?\n- Five six seven!\nOne two three.") == (
        "One two three.",
        "Five six seven!",
    )


def test_usage_and_errors() -> None:
    assert usage(9, 5)["total_tokens"] == 8
    assert error(429, "x")["error"]["type"] == "rate_limit_error"
    assert error(404, "x")["error"]["type"] == "invalid_request_error"
    assert error(502, "x")["error"]["type"] == "server_error"
