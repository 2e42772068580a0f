"""Samples of stacks and the parts that they count for."""

import re
from pathlib import Path

import pytest

import rill
from bench.places_of_time import ELSE, PARTS, part_of, shares

LOOP = "_run (asyncio/events.py:80)"


@pytest.mark.parametrize(
    ("frames", "part"),
    [
        (["main", "EpollSelector.select (selectors.py:468)"], None),
        (["Thread.run", "_worker (concurrent/futures/thread.py:81)"], None),
        (["_call (rill/stores/dynamo.py:50)", "SocketIO.readinto (socket.py:706)"], None),
        (["_call (rill/stores/dynamo.py:50)", "urlopen (urllib3/pool.py:1)"], "log and DynamoDB"),
        ([LOOP, "_read (rill/models/client.py:9)", "feed (rill/chunked.py:1)"], "HTTP from the model"),
        ([LOOP, "data_received (rill/transport.py:9)", "wake (rill/waiter.py:1)"], "HTTP from the model"),
        (
            [LOOP, "_read (rill/models/client.py:9)", "delta (rill/models/wire.py:9)"],
            "the model's events: split and decoded",
        ),
        (
            [LOOP, "sections (rill/models/structured.py:98)", "put (rill/channel.py:3)"],
            "steps and their events' way",
        ),
        (
            [LOOP, "sections (rill/models/structured.py:98)", "feed (rill/sections.py:3)"],
            "sections: parsed and validated",
        ),
        ([LOOP, "frames (rill/runs.py:1)", "encode (json/encoder.py:1)"], "steps and their events' way"),
        ([LOOP, "_encode (rill/runs.py:1)", "encode (json/encoder.py:1)"], "events: numbered and encoded"),
        ([LOOP, "call (rill/stores/dynamo.py:9)", "read (rill/transport.py:1)"], "log and DynamoDB"),
        ([LOOP, "stream_response (starlette/responses.py:1)"], "HTTP to the client"),
        ([LOOP], ELSE),
    ],
)
def test_the_innermost_known_frame_has_the_sample(frames: list[str], part: str | None) -> None:
    assert part_of(frames) == part


def test_the_files_that_parts_name_are_there() -> None:
    package = Path(rill.__file__).parent
    patterns = " ".join(pattern for _, pattern in PARTS)
    groups = re.sub(r"rill/(\w+/)?\(([^)]*)\)", _each, patterns)
    named = set(re.findall(r"rill/([\w/]+)", groups))
    assert named
    assert [name for name in named if not [*package.glob(f"{name}*")]] == []


def _each(found: re.Match[str]) -> str:
    return " ".join(f"rill/{found[1] or ''}{name}" for name in found[2].split("|"))


def test_shares_are_of_the_samples_that_work() -> None:
    lines = [
        "main;EpollSelector.select (selectors.py:468) 90",
        "main;feed (rill/sections.py:3) 3",
        "main;_run (asyncio/events.py:80) 1",
        "",
    ]
    assert shares(lines) == {"sections: parsed and validated": 0.75, ELSE: 0.25}
