"""Calls out of files, and what is said where one cannot be read."""

import json
from typing import Any

import pytest

from local.cli.problems import BadInput
from local.cli.transcript import Options, read_request


def request(text: str | bytes, name: str = "call.txt", **options: Any) -> dict[str, Any]:
    raw = text if isinstance(text, bytes) else text.encode()
    return read_request(raw, name, Options(**options))


def lines(made: dict[str, Any]) -> list[tuple[int, str, str]]:
    return [(line["line_number"], line["speaker"], line["text"]) for line in made["transcript"]]


CALL = {
    "session_id": "s-1",
    "source": "here",
    "transcript": [
        {"line_number": 3, "speaker": "rep", "text": "Hi"},
        {"line_number": 7, "speaker": "customer", "text": "Hello"},
    ],
}


def test_request_as_it_is() -> None:
    assert request(json.dumps(CALL), "a.json") == CALL
    assert request(json.dumps(CALL), "a.json", mode="single", session_id="x") == {
        **CALL,
        "mode": "single",
        "session_id": "x",
    }


def test_unknown_members_are_left_to_the_function_to_judge() -> None:
    assert request(json.dumps({**CALL, "extra": 1}), "a.json")["extra"] == 1


def test_list_of_lines_is_numbered() -> None:
    made = request(json.dumps([{"speaker": "Agent", "text": "Hi"}, {"speaker": "CLIENT", "text": "Yo"}]))
    assert lines(made) == [(1, "rep", "Hi"), (2, "customer", "Yo")]
    assert made["session_id"].startswith("call-")


def test_list_of_texts() -> None:
    assert lines(request(json.dumps(["Rep: a\nb", "Customer: c"]))) == [
        (1, "rep", "a b"),
        (2, "customer", "c"),
    ]


def test_text_as_transcript_member() -> None:
    made = request(json.dumps({"session_id": "q", "transcript": "Rep: a\nCustomer: b"}))
    assert (made["session_id"], lines(made)) == ("q", [(1, "rep", "a"), (2, "customer", "b")])


def test_plain_text() -> None:
    text = "\ufeffRep: Hello\u2028there\r\n\r\nCustomer:\r\nOne question: why?\r\n[00:12] Rep: See https://x.org\n"
    assert lines(request(text)) == [
        (1, "rep", "Hello\u2028there"),
        (2, "customer", "One question: why?"),
        (3, "rep", "See https://x.org"),
    ]


def test_plain_text_that_begins_with_a_time() -> None:
    assert lines(request("[00:12] Rep: Hello\n0:13 Buyer: Hi")) == [
        (1, "rep", "Hello"),
        (2, "customer", "Hi"),
    ]


def test_named_rep() -> None:
    text = "Anna Lee: Hello\nBen: Hi\nCem: Me too"
    assert [line[1] for line in lines(request(text, rep="anna lee"))] == ["rep", "customer", "customer"]
    entries = json.dumps([{"speaker": "Anna", "text": "a"}, {"speaker": "rep", "text": "b"}])
    assert [line[1] for line in lines(request(entries, rep="Anna"))] == ["rep", "customer"]


def test_json_lines() -> None:
    text = "\n".join(json.dumps({**CALL, "session_id": name}) for name in ("a", "b"))
    assert request(text, "calls.jsonl", line=2)["session_id"] == "b"
    assert request(json.dumps(CALL) + "\n", "calls.jsonl") == CALL


def test_session_id_comes_from_name_and_content() -> None:
    first = request("Rep: a", "some dir/Große Call.v2.txt")["session_id"]
    assert first.startswith("Gro-e-Call-")
    assert first == request("Rep: a", "Große Call.txt")["session_id"]
    assert first != request("Rep: b", "Große Call.txt")["session_id"]
    assert request("Rep: a", "-")["session_id"].startswith("call-")


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("  \n", {}, "call.txt is empty"),
        (b"a\xff", {}, "call.txt is not UTF-8 text: byte 1 is 0xff"),
        ('{"a": 1,\n "b" 2}', {}, "call.txt is not JSON: Expecting ':' delimiter at line 2, column 6"),
        ("[" * 100_000, {}, "call.txt is nested too deep"),
        ("{}\n{}", {}, "a file with one call a line needs --line N"),
        ("{}\n{}", {"line": 3}, "has no line 3: it holds 2 calls"),
        ("{}", {}, 'there is no list "transcript" in it'),
        ("[]", {}, "the transcript is empty, it has no lines"),
        ('[{"speaker": "rep", "text": " "}]', {}, "the transcript is empty, no line has any text"),
        ("Rep:\nCustomer:", {}, "the transcript is empty, no line has any text"),
        ("[1]", {}, "transcript entry 1 is neither"),
        ('[{"speaker": "rep"}]', {}, 'transcript entry 1 has no text "text"'),
        ('[{"speaker": "Anna", "text": "a"}]', {}, "who is the rep among 'Anna'? Say it with --rep NAME"),
        ("Anna: Hello\nBen: Hi", {}, "who is the rep among 'Anna', 'Ben'?"),
        ("Anna: Hello", {"rep": "Ben"}, "nobody is named 'Ben' there; the speakers are: Anna"),
        ("no names here", {"rep": "Ben"}, "nobody is named 'Ben' there; the speakers are: none"),
        ("no names here", {}, "call.txt line 1: a transcript starts with"),
    ],
)
def test_what_is_wrong(text: str | bytes, options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput) as caught:
        request(text, **options)
    assert said in str(caught.value)


def test_many_calls_without_a_choice() -> None:
    with pytest.raises(BadInput, match="holds 2 calls: choose one with --line N, from 1 to 2"):
        request("{}\n{}", "calls.jsonl")
