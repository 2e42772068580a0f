import dataclasses
import json

import pytest

from rill.events import (
    EVENTS,
    Chunk,
    Citation,
    Complete,
    Progress,
    Section,
    Start,
    StepInfo,
    Usage,
    UsageTotal,
)
from rill.sse import encode, to_dict


def test_a_frame_has_id_and_data_and_no_event_field() -> None:
    assert encode(7, Chunk(step="answer", content="hé\n")) == (
        'id: 7\ndata: {"type":"chunk","step":"answer","content":"hé\\n"}\n\n'.encode()
    )


def test_optional_fields_are_left_out_and_unknown_cost_is_null() -> None:
    assert to_dict(Progress(progress=5)) == {"type": "progress", "progress": 5}
    usage = Usage(step="s", model="m", input_tokens=1, output_tokens=2, cost_usd=None, certainty="unknown")
    assert to_dict(usage)["cost_usd"] is None
    assert "cached_tokens" not in to_dict(usage)
    assert to_dict(Citation(step="s", index=0, title="t", source="d", url="u"))["url"] == "u"


def test_nested_dataclasses_become_objects() -> None:
    total = UsageTotal(input_tokens=1, output_tokens=2, cached_tokens=0, calls=1, certainty="exact")
    data = encode(1, Complete(data={"a": 1}, duration=1.5, usage=total, cost_usd=0.1)).split(b"data: ")[1]
    assert json.loads(data)["usage"]["certainty"] == "exact"
    start = Start(
        run_id="r",
        workflow="w",
        request_id="q",
        mode="multi",
        steps=[StepInfo(step="a", label="A", weight=1)],
    )
    assert json.loads(encode(1, start).split(b"data: ")[1])["steps"] == [
        {"step": "a", "label": "A", "weight": 1}
    ]


@pytest.mark.parametrize(
    "text", ["a\u2028b", "a\u2029b", "a\x85b", "\r\n\r\n", "data: x\n\nid: 9", "\x00\x1f"]
)
def test_no_text_breaks_a_line(text: str) -> None:
    sent = encode(1, Chunk(step="s", content=text))
    assert len(sent.decode().rstrip("\n").splitlines()) == 2
    assert json.loads(sent.split(b"data: ", 1)[1])["content"] == text


def test_a_lone_surrogate_goes_out_escaped() -> None:
    assert b"\\ud800" in encode(1, Chunk(step="s", content="é\ud800"))


def test_what_is_not_json_is_an_error() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        encode(1, Section(step="s", section="x", data=float("nan")))
    with pytest.raises(TypeError, match="set does not go on the wire"):
        encode(1, Section(step="s", section="x", data={1}))
    with pytest.raises(TypeError, match="type does not go on the wire"):
        encode(1, Section(step="s", section="x", data=Chunk))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: str(event.__name__))
def test_events_are_frozen_and_slotted(event: type) -> None:
    assert dataclasses.is_dataclass(event)
    assert event.__dataclass_params__.frozen  # type: ignore[attr-defined]  # dataclass internals
    assert not hasattr(event, "__dict__") or "__slots__" in vars(event)
