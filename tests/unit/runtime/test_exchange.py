"""`receive` and `send` for one invocation: order, completion and a response that breaks."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from rill.runtime.connection import ApiError
from rill.runtime.exchange import Exchange, OutOfOrder
from rill.runtime.failure import Failure
from rill.runtime.response import Head

START = {"type": "http.response.start", "status": 200, "headers": [[b"a", b"b"]]}
MORE = {"type": "http.response.body", "body": b"x", "more_body": True}
LAST = {"type": "http.response.body"}


class Recorder:
    """A response that keeps what it is given, or does something else first."""

    def __init__(self, before: Callable[[], Any] | None = None) -> None:
        self.seen: list[Any] = []
        self._before = before

    async def write(self, head: Head, data: bytes, *, last: bool) -> None:
        if self._before is not None:
            await self._before()
        self.seen.append((head, data, last))

    async def fail(self, failure: Failure) -> None:
        self.seen.append(failure.kind)

    async def close(self) -> None:
        pass


async def test_whole_response() -> None:
    response = Recorder()
    exchange = Exchange(b"body", response)
    assert await exchange.receive() == {"type": "http.request", "body": b"body", "more_body": False}
    told = asyncio.create_task(exchange.receive())
    for message in (START, MORE, LAST):
        assert not exchange.complete
        assert not told.done()
        await exchange.send(message)
    assert exchange.complete
    assert await told == {"type": "http.disconnect"}
    head = (200, [(b"a", b"b")])
    assert response.seen == [(head, b"x", False), (head, b"", True)]


@pytest.mark.parametrize(
    "messages", [[MORE], [START, START], [START, LAST, LAST], [START, {"type": "http.response.trailers"}]]
)
async def test_out_of_order(messages: list[dict[str, Any]]) -> None:
    exchange = Exchange(b"", Recorder())
    for message in messages[:-1]:
        await exchange.send(message)
    with pytest.raises(OutOfOrder, match=messages[-1]["type"]):
        await exchange.send(messages[-1])


async def test_broken_response_holds_the_app_until_it_is_cancelled() -> None:
    async def refuse() -> None:
        raise ApiError("gone")

    exchange = Exchange(b"", Recorder(refuse))
    await exchange.send(START)
    sending = [asyncio.create_task(exchange.send(MORE)) for _ in range(2)]
    assert str(await exchange.broken) == "gone"
    for task in sending:
        assert not task.done()
        task.cancel()
    assert all(
        isinstance(ended, asyncio.CancelledError)
        for ended in await asyncio.gather(*sending, return_exceptions=True)
    )
    assert not exchange.complete


async def test_response_whose_last_send_was_cancelled_is_not_complete() -> None:
    begun = asyncio.Event()

    async def wait() -> None:
        begun.set()
        await asyncio.Event().wait()

    response = Recorder(wait)
    exchange = Exchange(b"", response)
    await exchange.send(START)
    sending = asyncio.create_task(exchange.send(LAST))
    await begun.wait()
    sending.cancel()
    await asyncio.wait([sending])
    assert not exchange.complete
    await exchange.fail(Failure.runtime("Runtime.Stopped", "over"))
    assert response.seen == ["Runtime.Stopped"]
    await exchange.receive()
    assert await exchange.receive() == {"type": "http.disconnect"}


async def test_disconnect() -> None:
    exchange = Exchange(b"", Recorder())
    await exchange.receive()
    exchange.disconnect()
    assert await exchange.receive() == {"type": "http.disconnect"}
