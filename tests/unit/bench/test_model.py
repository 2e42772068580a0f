"""What the benchmarks' model replays, and what a client makes of it."""

import asyncio
import json
import re
from functools import partial

import jiter
import pytest

from bench import model, wire
from bench.heard import AnswerError, Heard, ask
from bench.lanes import Lanes


def test_options_stand_in_the_path() -> None:
    assert model.options("/v1/chat/completions") == ("chat", {})
    assert model.options("/pace/100/deltas/5/v1/responses") == ("responses", {"pace": 100, "deltas": 5})
    assert model.options("/v1/models") is None


def test_an_answer_can_be_longer_than_the_grading() -> None:
    assert len(model.texts(0)) == 4390
    assert len(model.texts(5000)) == 5000
    assert model.texts(4392)[-2:] == model.texts(2)


def test_chat_chunks_are_the_deltas() -> None:
    texts = ["{", '"a"', ": 1}"]
    stream = wire.chat(texts)
    sent = stream.before + b"".join(map(stream.delta, texts)) + stream.after
    *events, done, end = sent.split(b"\n\n")
    assert (done, end) == (b"data: [DONE]", b"")
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events]
    choices = [chunk["choices"][0] for chunk in chunks[:-1]]
    assert "".join(choice["delta"].get("content", "") for choice in choices) == "".join(texts)
    assert [choice["finish_reason"] for choice in choices] == [None] * 4 + ["stop"]
    assert chunks[-1]["usage"]["completion_tokens"] == 3


def test_responses_events_are_in_their_order() -> None:
    texts = ["a", "b"]
    stream = wire.responses(texts)
    events = (stream.before + b"".join(map(stream.delta, texts)) + stream.after).split(b"\n\n")[:-1]
    kinds = [json.loads(event.partition(b"data: ")[2])["type"] for event in events]
    assert kinds[0] == "response.created"
    assert kinds.count("response.output_text.delta") == 2
    assert kinds[-1] == "response.completed"


@pytest.mark.parametrize("path", ["/deltas/7/v1/chat/completions", "/deltas/7/pace/5000/v1/chat/completions"])
async def test_served_at_once_or_at_a_pace_it_is_the_same(path: str) -> None:
    server = await asyncio.start_server(partial(model.serve_one, Lanes()), "127.0.0.1", 0)
    async with server:
        heard = await ask("127.0.0.1", server.sockets[0].getsockname()[1], path, b"{}")
    events = [event for event in heard.body.split(b"\n\n") if b"data: {" in event]
    chunks = [jiter.from_json(event.partition(b"data: ")[2]) for event in events]
    said = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"]]
    assert "".join(said) == "".join(model.texts(7))


async def test_stamps_are_before_they_are_read() -> None:
    server = await asyncio.start_server(partial(model.serve_one, Lanes()), "127.0.0.1", 0)
    path = "/deltas/3/pace/5000/stamps/1/v1/responses"
    async with server:
        heard = await ask("127.0.0.1", server.sockets[0].getsockname()[1], path, b"{}")
    assert len(heard.delays()) == 3
    assert all(delay >= 0 for delay in heard.delays())


async def test_answers_in_lanes_begin_together_and_take_turns() -> None:
    server = await asyncio.start_server(partial(model.serve_one, Lanes()), "127.0.0.1", 0)
    path = "/deltas/4/pace/50/stamps/1/lanes/2/v1/chat/completions"
    async with server:
        port = server.sockets[0].getsockname()[1]
        heard = await asyncio.gather(*(ask("127.0.0.1", port, path, b"{}") for _ in range(2)))
    sent = [[int(stamp) for stamp in re.findall(rb"t(\d{9,});", one.body)] for one in heard]
    first, second = sorted(sent)
    assert len(first) == len(second) == 4
    turns = [0, 1] * 4
    assert [which for _, which in sorted([*((at, 0) for at in first), *((at, 1) for at in second)])] == turns


def test_heard_finds_the_first_and_each() -> None:
    heard = Heard(1_000_000, [(2_000_000, b"data: a"), (5_000_000, b"data: b data: b")])
    assert heard.first(rb"b") == 5_000_000
    assert heard.when_each(b"data") == [1, 4, 4]
    with pytest.raises(AnswerError, match="has no"):
        heard.first(b"c")


def test_percentiles_are_those_of_the_deltas_asked_for() -> None:
    stamps = [(place * 1_000_000, f"t{place * 1_000_000 - place * 1000:09d};") for place in range(1000, 1011)]
    heard = Heard(0, [(at, stamp.encode()) for at, stamp in stamps])
    assert heard.percentiles(10) == {"p50": 1004, "p99": 1009}
    with pytest.raises(AnswerError, match="11 of 12 deltas"):
        heard.percentiles(12)


def test_an_answer_without_its_end_is_an_error() -> None:
    Heard(0, [(1, b'data: {"type": "complete"}')]).check()
    with pytest.raises(AnswerError, match="not complete"):
        Heard(0, [(1, b'data: {"type":"chunk"}')]).check()
