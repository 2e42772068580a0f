"""Rill's runtime under AWS's own emulator, which decides whether it speaks the protocol."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.runtime.emulator import Emulator, start
from tests.support.runtime.fake_api import http_event

Begin = Callable[..., Awaitable[Emulator]]


@pytest.fixture
async def begin(tmp_path: Path) -> AsyncIterator[Begin]:
    async with AsyncExitStack() as stack:

        async def launch(handler: str = "probe.app") -> Emulator:
            return await start(stack, tmp_path, handler)

        yield launch


def split(answer: bytes) -> tuple[dict[str, Any], bytes]:
    """Prelude and payload of a streamed answer."""
    prelude, delimiter, payload = answer.partition(bytes(8))
    assert delimiter == bytes(8)
    value = json.loads(prelude)
    assert isinstance(value, dict)
    return value, payload


async def test_streamed_answer(begin: Begin) -> None:
    emulator = await begin()
    prelude, payload = split(await emulator.invoke(http_event("/headers")))
    assert prelude == {
        "statusCode": 203,
        "headers": {"x-two": "a, b", "x-latin": "é"},
        "cookies": ["c=1; Path=/", "d=2"],
    }
    assert payload == b"ok"
    assert split(await emulator.invoke(http_event("/binary")))[1] == bytes(range(256)) + bytes(16)
    prelude, payload = split(await emulator.invoke(http_event("/empty")))
    assert (prelude["statusCode"], payload) == (204, b"")


async def test_one_process_takes_every_invocation(begin: Begin) -> None:
    emulator = await begin()
    answers = [json.loads(split(await emulator.invoke(http_event("/")))[1]) for _ in range(3)]
    assert [answer["invoked"] for answer in answers] == [1, 2, 3]
    assert {answer["started"] for answer in answers} == {1}


async def test_failure_before_the_first_byte(begin: Begin) -> None:
    emulator = await begin()
    error = json.loads(await emulator.invoke(http_event("/raise")))
    assert (error["errorType"], error["errorMessage"]) == ("ValueError", "before the first byte ☃")
    assert "on_raise" in "".join(error["stackTrace"])
    assert json.loads(split(await emulator.invoke(http_event("/")))[1])["invoked"] == 2


async def test_failure_after_the_first_byte(begin: Begin) -> None:
    """The longest trailers there are: Go's HTTP server refuses what is too long for its buffer."""
    emulator = await begin()
    event = http_event("/raise-late", rawQueryString="depth=400")
    assert split(await emulator.invoke(event))[1] == b"half"
    assert json.loads(split(await emulator.invoke(http_event("/")))[1])["invoked"] == 2
    assert "the invocation failed" in emulator.log
    assert "could not be reported" not in emulator.log


async def test_direct_event(begin: Begin) -> None:
    emulator = await begin()
    answer = await emulator.invoke({"a": "ä"})
    assert json.loads(answer) == {"got": {"a": "ä"}, "method": "POST", "direct": True}
    error = json.loads(await emulator.invoke({"status": 409, "body": {"code": "conflict", "message": "No."}}))
    assert (error["errorType"], error["errorMessage"]) == ("conflict", "No.")


@pytest.mark.parametrize(
    ("handler", "error_type", "said"),
    [
        ("nowhere.app", "ModuleNotFoundError", "nowhere"),
        ("no_startup.app", "Runtime.StartupFailed", "no database"),
    ],
)
async def test_app_that_cannot_start(begin: Begin, handler: str, error_type: str, said: str) -> None:
    emulator = await begin(handler)
    error = json.loads(await emulator.invoke({}))
    assert error["errorType"] == error_type
    assert said in error["errorMessage"]
