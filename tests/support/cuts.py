"""The cut test: wherever a connection is cut, a client that reattaches ends where an uncut one does.

The same harness for every workflow: it needs a stream, and a way to attach to its run after an event.
"""

import asyncio
import json
import random
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from rill.conformance import check
from tests.support import asgi
from tests.support.client import Client, view

Attach = Callable[[int], Awaitable[bytes]]
"""Opens the run's events after one of them, and reads to the end."""

HEADERS = {"accept": "text/event-stream"}


def without_comments(stream: bytes) -> bytes:
    """The stream without keep-alives, of which each connection has its own."""
    return stream.replace(b": keep-alive\n\n", b"")


def boundaries(stream: bytes) -> list[int]:
    """Byte positions after each frame, the stream's beginning and end included."""
    return [0, *(found.end() for found in re.finditer(rb"\n\n", stream))]


def bytes_between(stream: bytes, count: int) -> list[int]:
    """Positions anywhere in the stream, the same ones in every run of the tests."""
    return sorted(random.Random(7).sample(range(len(stream)), min(count, len(stream))))


def attach_to(app: asgi.App, run_id: str) -> Attach:
    """Attaches through `GET /runs/{id}/events`, by turns in both of its ways."""

    async def attach(after: int) -> bytes:
        path = f"/runs/{run_id}/events"
        if after % 2:
            answer = await asgi.call(app, "GET", f"{path}?after={after}", headers=HEADERS)
        else:
            answer = await asgi.call(app, "GET", path, headers={**HEADERS, "last-event-id": str(after)})
        assert answer.status == 200, answer.body
        return answer.body

    return attach


async def resumed(stream: bytes, at: int, attach: Attach) -> tuple[Client, bytes]:
    """A client that lost its connection at a byte, and reattached; and what it got then."""
    client = Client()
    client.feed(stream[:at])
    client.drop()
    rest = b""
    if client.terminal is None:
        rest = await attach(client.after)
        client.feed(rest)
    return client, rest


async def check_cuts(stream: bytes, positions: Iterable[int], attach: Attach) -> int:
    """Cut at each position, reattach, compare; returns how many cuts there were."""
    whole, count = view(stream), 0
    for at in positions:
        client, rest = await resumed(stream, at, attach)
        assert client.view == whole, f"cut at byte {at}"
        if rest:
            before = Client()
            before.feed(stream[:at])
            check(rest, after=before.after)
        count += 1
    return count


async def check_two_cuts(stream: bytes, positions: Iterable[tuple[int, float]], attach: Attach) -> int:
    """Cut at a byte, and the second connection at a share of it; returns how many pairs there were."""
    whole, count = view(stream), 0
    for at, share in positions:
        client = Client()
        client.feed(stream[:at])
        client.drop()
        if client.terminal is None:
            second = await attach(client.after)
            client.feed(second[: int(len(second) * share)])
            client.drop()
        if client.terminal is None:
            client.feed(await attach(client.after))
        assert client.view == whole, f"cut at byte {at}, and at {share} of the rest"
        count += 1
    return count


async def check_cuts_while_it_runs(
    app: asgi.App, request: Mapping[str, Any], *, every: int = 1
) -> tuple[bytes, int]:
    """Start a run; after each event (or every so many) another client attaches while the run goes on.

    Returns the uncut stream, and the number of cuts.
    """
    sent = bytearray()
    clients: list[asyncio.Task[Client]] = []
    done = 0

    async def cut(at: int, prefix: bytes, attach: Attach) -> Client:
        client, _ = await resumed(prefix, at, attach)
        return client

    async def on_piece(piece: bytes) -> None:
        nonlocal done
        sent.extend(piece)
        run_id = re.search(rb'"run_id":"([0-9a-f]+)"', sent)
        assert run_id is not None, "the first piece has the start event"
        attach = attach_to(app, run_id[1].decode())
        for at in boundaries(bytes(sent)):
            if at > len(sent) - len(piece):
                done += 1
                if done % every == 0:
                    clients.append(asyncio.create_task(cut(at, bytes(sent), attach)))

    body = json.dumps(request).encode()
    answer = await asgi.call(app, "POST", "/runs", body=body, headers=HEADERS, on_piece=on_piece)
    whole = view(answer.body)
    for client in await asyncio.gather(*clients):
        assert client.view == whole
    return answer.body, len(clients)
