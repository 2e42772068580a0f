"""The model's event stream: any cut, any line ending; and what its events say."""

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rill.errors import UpstreamError
from rill.models.wire import Delta, EventSplitter, Tokens, delta, plain_text

STREAM = (
    b"\xef\xbb\xbf: a comment\n\nevent: x\nid: 7\ndata: one\n\ndata:two\n\n\n\nretry: 5\n\n"
    b"data: three\ndata: more\n\ndata: [DONE]\n\ndata: never ends"
)
EVENTS = [b"one", b"two", b"three\nmore", b"[DONE]"]


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
@given(chance=st.randoms(use_true_random=False))
def test_any_cut_gives_the_same_events(ending: bytes, chance: random.Random) -> None:
    stream = STREAM.replace(b"\n", ending)
    cuts = sorted(chance.sample(range(len(stream) + 1), 6))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    for cut in ([stream], [bytes([byte]) for byte in stream], pieces):
        splitter = EventSplitter()
        assert [event for piece in cut for event in splitter.feed(piece)] == EVENTS


def test_an_event_is_given_with_its_last_byte() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: one\n") == []
    assert splitter.feed(b"\n") == [b"one"]


@pytest.mark.parametrize("piece", [b"x" * 7, b"data: x\n", b"data:\n"])
def test_an_event_without_end_is_refused(piece: bytes) -> None:
    splitter = EventSplitter(max_bytes=20)
    assert splitter.feed(piece) == []
    with pytest.raises(UpstreamError) as caught:
        splitter.feed(piece * 40)
    assert "over 20 bytes" in str(caught.value)


def test_the_limit_is_for_one_event() -> None:
    splitter = EventSplitter(max_bytes=20)
    for _ in range(100):
        assert splitter.feed(b"data: twelve\n\n") == [b"twelve"]


def chunk(**delta: Any) -> bytes:
    return json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}).encode()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (chunk(role="assistant", content=""), Delta()),
        (chunk(content="é"), Delta("é")),
        (chunk(content=None, refusal="No."), Delta(refusal="No.")),
        (b'{"choices":[{"finish_reason":"stop"}]}', Delta(finish="stop")),
        (b'{"choices":[]}', Delta()),
        (
            b'{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,'
            b'"prompt_tokens_details":{"cached_tokens":4}}}',
            Delta(tokens=Tokens(input_tokens=9, output_tokens=2, cached_tokens=4)),
        ),
        (
            b'{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}}',
            Delta(tokens=Tokens(input_tokens=9, output_tokens=2, cached_tokens=0)),
        ),
        (b'{"error":{"message":"x"}}', Delta(error={"message": "x"})),
        (b'{"error":"x"}', Delta(error={"message": "x"})),
    ],
)
def test_what_an_event_says(data: bytes, expected: Delta) -> None:
    assert delta([data]) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[1]",
        b'{"choices":[3]}',
        b'{"choices":{}, "usage":{"prompt_tokens":1}}',
        b'{"choices":5}',
        b'{"choices":[{"delta":{"content":5}}]}',
        b'{"choices":[{"delta":{"refusal":5}}]}',
    ],
)
def test_what_is_no_chunk_is_an_error_of_the_upstream(data: bytes) -> None:
    with pytest.raises(UpstreamError):
        delta([data])
    later = delta([chunk(content="a"), data])
    assert later.text == "a"
    assert isinstance(later.broken, UpstreamError)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (chunk(content="é"), "é"),
        (chunk(content="a", role="assistant"), "a"),
        (b'{"choices":[{"delta":{"content":"a"}}]}', "a"),
        (chunk(content=""), None),
        (chunk(content="", refusal="No."), None),
        (b'{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}', None),
        (b'{"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":1}}', None),
        (b'{"choices":[]}', None),
        (b'{"error":"x"}', None),
        (b"[1]", None),
        (b"3", None),
        (b"{", None),
        (b"[DONE]", None),
    ],
)
def test_plain_text_is_an_event_that_says_nothing_else(data: bytes, text: str | None) -> None:
    assert plain_text(data) == text


def test_what_arrived_together_is_one_delta() -> None:
    counted = b'{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}}'
    events = [chunk(content="a"), chunk(content=None), b'{"choices":[{"delta":{"content":"b"}}]}', counted]
    assert delta(events) == Delta("ab", tokens=Tokens(input_tokens=9, output_tokens=2, cached_tokens=0))


def test_what_comes_before_an_error_counts_and_nothing_after_it() -> None:
    events = [chunk(content="a"), b'{"error":{"message":"x"}}', b"no JSON"]
    assert delta(events) == Delta("a", error={"message": "x"})


def test_what_comes_before_a_broken_event_counts() -> None:
    found = delta([chunk(content="a"), b"{", chunk(content="b")])
    assert found.text == "a"
    assert "is not JSON" in str(found.broken)


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_text_in_the_last_event_counts(finish: str) -> None:
    last = json.dumps({"choices": [{"delta": {"content": "end"}, "finish_reason": finish}], "usage": None})
    assert delta([last.encode()]) == Delta("end", finish=finish)


def test_a_chunk_with_all_of_its_fields_is_read_the_quick_way() -> None:
    whole = {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}], "usage": None}
    assert delta([json.dumps(whole).encode()] * 2) == Delta("aa")
