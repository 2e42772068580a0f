import json
from pathlib import Path
from typing import Any

import pytest

from rill.conformance import NonConforming, check, check_order, json_schema
from rill.events import (
    Chunk,
    Complete,
    Error,
    Event,
    Handoff,
    Item,
    Progress,
    Reset,
    Section,
    Start,
    Status,
    StepComplete,
    StepError,
    StepInfo,
    StepStart,
    UsageTotal,
)
from rill.sse import KEEP_ALIVE, RETRY, encode

TOTAL = UsageTotal(input_tokens=0, output_tokens=0, cached_tokens=0, calls=0, certainty="exact")
START = Start(
    run_id="r", workflow="w", request_id="q", mode="multi", steps=[StepInfo(step="a", label="A", weight=1)]
)
END = Complete(data={}, duration=1, usage=TOTAL, cost_usd=0)
BEGIN_A = StepStart(step="a", label="A", attempt=1)
DONE_A = StepComplete(step="a", duration=1)


def stream(*events: Event) -> bytes:
    return RETRY + b"".join(encode(seq, event) for seq, event in enumerate(events, 1))


def test_a_good_stream_is_reported_whole() -> None:
    events: list[Event] = [
        START,
        Status(message="Hello"),
        BEGIN_A,
        Progress(progress=3),
        Chunk(step="a", content="x"),
    ]
    failed = StepError(
        step="a", attempt=1, code="upstream_error", message="m", retryable=True, will_retry=True
    )
    events += [failed, Reset(step="a", attempt=2, reason="again"), StepStart(step="a", label="A", attempt=2)]
    events += [
        Section(step="a", section="s", data=1),
        Item(step="a", section="t", index=0, data=1),
        DONE_A,
        END,
    ]
    report = check(stream(*events).replace(b"id: 3", KEEP_ALIVE + b"id: 3"))
    assert report.events == events
    assert report.comments == 1
    assert report.terminal == END
    assert report.of("chunk") == [Chunk(step="a", content="x")]


@pytest.mark.parametrize(
    ("events", "match"),
    [
        ([BEGIN_A, END], "one start"),
        ([START, START, END], "one start"),
        ([START, Chunk(step="a", content=""), END], "not legal for step 'a' while it is idle"),
        ([START, BEGIN_A, BEGIN_A, END], "while it is running"),
        ([START, BEGIN_A, END], "step 'a' is still running"),
        ([START, BEGIN_A, DONE_A, Chunk(step="a", content="")], "while it is done"),
        ([START, StepStart(step="b", label="B", attempt=1)], "'b' was not announced"),
        ([START, END, Status(message="late")], "comes after complete"),
        ([START, Handoff(after=1), Status(message="late")], "comes after handoff"),
        ([START, Progress(progress=5), Progress(progress=4), END], "progress went from 5"),
        ([START, Progress(progress=101), END], "progress went from 0"),
        ([START, BEGIN_A, *[Section(step="a", section="s", data=1)] * 2], "was sent twice"),
        ([START, BEGIN_A, *[Item(step="a", section="s", index=1, data=1)] * 2], "was sent twice"),
        ([START, Status(message="x")], "not terminal"),
    ],
)
def test_each_broken_order_is_named(events: list[Event], match: str) -> None:
    with pytest.raises(NonConforming, match=match):
        check(stream(*events))


def test_an_error_may_come_while_steps_run_and_handoff_ends_a_connection() -> None:
    error = Error(code="internal", message="m", retryable=False, request_id="q")
    check_order([START, BEGIN_A, error])
    check_order([START, Handoff(after=1)])


def test_a_replay_begins_anywhere() -> None:
    tail = stream(START, BEGIN_A, Chunk(step="a", content=""), DONE_A, END).split(b"id: 3", 1)[1]
    assert len(check(RETRY + b"id: 3" + tail, after=2).events) == 3
    check_order([BEGIN_A, DONE_A, END], replay=True)


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (b"", "does not open with retry"),
        (RETRY + b"id: 1\ndata: {", "ends inside a frame"),
        (RETRY + b"event: x\n\n", "no frame"),
        (RETRY + encode(2, START), "event 1 carries id 2"),
        (RETRY + b'id: 1\ndata: {"type":"nope"}\n\n', "not of the schema"),
        (RETRY + b'id: 1\ndata: {"type":"status","message":"m","x":1}\n\n', "unknown fields: .'x'"),
    ],
)
def test_each_broken_frame_is_named(body: bytes, match: str) -> None:
    with pytest.raises(NonConforming, match=match):
        check(body)


def test_the_published_schema_is_current() -> None:
    published = Path(__file__).parents[2] / "docs" / "protocol.schema.json"
    assert json.loads(published.read_text()) == json_schema(), "run `make schema`"


def test_the_schema_requires_what_is_always_sent() -> None:
    definitions: dict[str, Any] = json_schema()["$defs"]
    assert set(definitions["Progress"]["required"]) == {"type", "progress"}
    assert "cost_usd" in definitions["Usage"]["required"]
