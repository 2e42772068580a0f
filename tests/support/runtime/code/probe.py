"""An ASGI app whose paths do one thing each. A gate is a FIFO: reading it waits until the test writes it."""

import asyncio
import contextlib
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]

TEXT = [(b"content-type", b"text/plain")]
JSON = [(b"content-type", b"application/json")]

started = 0
invoked = 0
left: "list[asyncio.Task[None]]" = []


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    global invoked
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
        return
    invoked += 1
    query = dict(parse_qsl(scope["query_string"].decode()))
    name = scope["path"].strip("/").replace("-", "_") or "identity"
    await globals()[f"on_{name}"](scope, query, receive, send)


async def lifespan(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    global started
    assert (await receive())["type"] == "lifespan.startup"
    started += 1
    scope["state"]["started"] = started
    await send({"type": "lifespan.startup.complete"})
    await receive()
    print("lifespan over", flush=True)
    await send({"type": "lifespan.shutdown.complete"})


async def start(send: Send, status: int = 200, headers: list[tuple[bytes, bytes]] = TEXT) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def piece(send: Send, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def answer(send: Send, value: Any, status: int = 200) -> None:
    await start(send, status, JSON)
    await piece(send, json.dumps(value).encode(), more=False)


async def on_identity(scope: Any, query: Any, receive: Receive, send: Send) -> None:
    await answer(
        send,
        {
            "pid": os.getpid(),
            "invoked": invoked,
            "started": scope["state"]["started"],
            "trace": os.environ.get("_X_AMZN_TRACE_ID"),
        },
    )


async def on_events(scope: Any, query: Any, receive: Receive, send: Send) -> None:
    """What an event that was no HTTP request comes to; it says itself how to be answered."""
    event = json.loads((await receive())["body"])
    rill = scope["extensions"]["rill"]
    if isinstance(event, dict) and "status" in event:
        await answer(send, event["body"], event["status"])
    elif isinstance(event, dict) and event.get("do") == "text":
        await start(send)
        await piece(send, b"plain ", more=True)
        await piece(send, b"text", more=False)
    elif isinstance(event, dict) and event.get("do") == "raise":
        raise ValueError("not this event")
    else:
        await answer(send, {"got": event, "method": scope["method"], "direct": rill["invoked_directly"]})


async def on_scope(scope: Any, query: Any, receive: Receive, send: Send) -> None:
    """What came in, as far as JSON can say it."""
    message = await receive()
    context = scope["aws.context"]
    await answer(
        send,
        {
            "method": scope["method"],
            "query": scope["query_string"].decode(),
            "headers": [
                [name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]
            ],
            "body": message["body"].hex(),
            "more": message["more_body"],
            "rill": scope["extensions"]["rill"],
            "remaining": context.get_remaining_time_in_millis(),
            "function": context.function_name,
        },
    )


async def on_gated(scope: Any, query: dict[str, str], receive: Receive, send: Send) -> None:
    """A piece, and the next one only when the gate opens; then a mark that the app got to its end."""
    await start(send, headers=[(b"content-type", b"text/event-stream")])
    await piece(send, b"first\n")
    await asyncio.to_thread(Path(query["gate"]).read_bytes)
    await piece(send, b"second\n", more=False)
    if "mark" in query:
        message = await receive()
        while message["type"] == "http.request":
            message = await receive()
        await asyncio.to_thread(Path(query["mark"]).write_text, message["type"])


async def on_head_alone(scope: Any, query: dict[str, str], receive: Receive, send: Send) -> None:
    """Status and headers go out with an empty piece; the payload waits for the gate."""
    await start(send, 201, [(b"x-early", b"1")])
    await piece(send, b"")
    await asyncio.to_thread(Path(query["gate"]).read_bytes)
    await piece(send, b"late", more=False)


async def on_flood(scope: Any, query: dict[str, str], receive: Receive, send: Send) -> None:
    """More than any buffer holds, with the number of pieces sent so far in a file."""
    await start(send)
    sent = Path(query["count"])
    for number in range(1, 2001):
        await piece(send, bytes(64 * 1024))
        sent.write_text(str(number))  # noqa: ASYNC240  # the number has to be there before the next piece
    await piece(send, b"", more=False)


async def on_headers(scope: Any, query: Any, receive: Receive, send: Send) -> None:
    headers = [
        (b"X-Two", b"a"),
        (b"set-cookie", b"c=1; Path=/"),
        (b"x-two", b"b"),
        (b"Set-Cookie", b"d=2"),
        (b"content-length", b"2"),
        (b"x-latin", "é".encode("latin-1")),
    ]
    await start(send, 203, headers)
    await piece(send, b"ok", more=False)


async def on_binary(scope: Any, query: Any, receive: Receive, send: Send) -> None:
    await start(send, 200, [(b"content-type", b"application/octet-stream")])
    await piece(send, bytes(range(256)))
    await piece(send, bytes(16), more=False)


async def on_empty(scope: Any, query: Any, receive: Receive, send: Send) -> None:
    await start(send, 204, [])
    await piece(send, b"", more=False)


async def on_raise(scope: Any, query: Any, receive: Receive, send: Send) -> None:
    await start(send)  # not on the wire yet: nothing of the body is there
    raise ValueError("before the first byte ☃")


async def on_raise_late(scope: Any, query: dict[str, str], receive: Receive, send: Send) -> None:
    await start(send)
    await piece(send, b"half")
    deep(int(query.get("depth", "1")))


def deep(depth: int) -> None:
    if depth > 1:
        deep2(depth - 1)
    raise ValueError("after the first byte " + "☃" * 500)


def deep2(depth: int) -> None:
    deep(depth)


async def on_raise_after(scope: Any, query: Any, receive: Receive, send: Send) -> None:
    await answer(send, {"ok": False}, 500)
    raise ValueError("after the response")


async def on_incomplete(scope: Any, query: Any, receive: Receive, send: Send) -> None:
    await start(send)
    await piece(send, b"half")


async def on_silent(scope: Any, query: Any, receive: Receive, send: Send) -> None:
    return


async def on_out_of_order(scope: Any, query: Any, receive: Receive, send: Send) -> None:
    await piece(send, b"x", more=False)


async def on_leave_running(scope: Any, query: Any, receive: Receive, send: Send) -> None:
    left.append(asyncio.create_task(asyncio.Event().wait(), name="straggler"))  # type: ignore[arg-type]
    await answer(send, {})


async def on_leave_stubborn(scope: Any, query: Any, receive: Receive, send: Send) -> None:
    """Leaves a task that takes no notice of its cancellation."""
    begun = asyncio.Event()

    async def stay() -> None:
        begun.set()
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    left.append(asyncio.create_task(stay()))
    await begun.wait()
    await answer(send, {})


async def on_left_running(scope: Any, query: Any, receive: Receive, send: Send) -> None:
    await answer(send, [task.cancelled() for task in left])


async def on_wait_for_disconnect(scope: Any, query: dict[str, str], receive: Receive, send: Send) -> None:
    """Streams one piece, then waits to be told that it is over."""
    await start(send)
    await piece(send, b"first")
    await receive()
    try:
        print(f"told {(await receive())['type']}", flush=True)
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        print("cancelled", flush=True)
        raise
