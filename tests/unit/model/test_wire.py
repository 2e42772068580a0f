import json

import pytest

from local.model.log import RequestLog, RequestRecord
from local.model.wire import Frames, whole


def sent(frame: bytes) -> dict[str, object]:
    assert frame.startswith(b"data: ")
    assert frame.endswith(b"\n\n")
    value: dict[str, object] = json.loads(frame.removeprefix(b"data: "))
    return value


@pytest.mark.parametrize("with_usage", [True, False])
def test_events(with_usage: bool) -> None:
    frames = Frames("id", "m", 1, with_usage)
    for frame in (
        frames.first(),
        frames.delta("ü\u2028"),
        frames.delta("no", "refusal"),
        frames.last("stop"),
    ):
        value = sent(frame)
        assert (value["id"], value["model"], value["system_fingerprint"]) == ("id", "m", "scripted")
        assert ("usage" in value) == with_usage
    assert sent(frames.usage({"total_tokens": 3}))["choices"] == []


def test_a_whole_answer() -> None:
    value = json.loads(whole(Frames("id", "m", 1, False), None, "no", "stop", {"total_tokens": 3}))
    assert value["choices"][0]["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": "no",
        "annotations": [],
    }


def test_the_log_keeps_bodies_only_where_asked_for() -> None:
    for kept in (True, False):
        log = RequestLog(keep_bodies=kept)
        log.add(RequestRecord(schema="a", body={"x": 1}))
        assert (log.wait_for(lambda record: record.schema == "a", 0).body is not None) == kept
        with pytest.raises(TimeoutError):
            log.wait_for(lambda record: record.schema == "b", 0)
        log.clear()
        assert log.records() == []
