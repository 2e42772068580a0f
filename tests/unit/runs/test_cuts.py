"""Wherever a connection is cut, a client that reattaches ends where an uncut one does."""

import asyncio
import itertools

from rill.errors import UpstreamError
from tests.support.client import view
from tests.support.cuts import (
    attach_to,
    boundaries,
    bytes_between,
    check_cuts,
    check_cuts_while_it_runs,
    check_two_cuts,
    without_comments,
)
from tests.support.document import Document, post

WORDS = {"words": [f"word-{number} \u2028 é" for number in range(12)]}


def document() -> Document:
    """With a step that fails once, so that the stream holds a reset."""
    made = Document()
    made.errors = {"write": [UpstreamError()]}
    return made


async def test_a_replay_is_the_stream_byte_for_byte() -> None:
    made = document()
    app = made.app()
    answer = await post(app, body=WORDS)
    replay = await attach_to(app, answer.headers["x-run-id"])(0)
    assert replay == without_comments(answer.body)


async def test_cuts_at_every_byte_of_a_run_that_ended_unattended() -> None:
    made = document()
    app = made.app()
    answer = await post(app, body=WORDS)
    attach = attach_to(app, answer.headers["x-run-id"])
    assert await check_cuts(answer.body, boundaries(answer.body), attach) > 40
    await check_cuts(answer.body, bytes_between(answer.body, 400), attach)


async def test_two_cuts() -> None:
    made = document()
    app = made.app()
    answer = await post(app, body=WORDS)
    attach = attach_to(app, answer.headers["x-run-id"])
    pairs = itertools.product(boundaries(answer.body), (0.0, 0.3, 0.71))
    assert await check_two_cuts(answer.body, pairs, attach) > 120


async def test_cuts_while_it_runs() -> None:
    made = document()
    made.gates["list"].clear()
    app = made.app()

    async def open_later() -> None:
        await made.done["review"].wait()
        made.gates["list"].set()

    opening = asyncio.create_task(open_later())
    stream, cuts = await check_cuts_while_it_runs(app, WORDS)
    await opening
    assert cuts > 40
    assert view(stream)["terminal"]["type"] == "complete"
