"""What a delta costs: CPU time of the whole serving process, model bytes in to events out."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack

from bench.answer import answer, request
from bench.heard import AnswerError
from bench.peers_list import FLOOR, SSE_STARLETTE, STRUCTURED, TEXT, versions_of
from bench.places import MissingError
from bench.report import Figure, Part
from bench.serving import (
    QUESTION,
    Peer,
    Server,
    body,
    cost,
    grading,
    model,
    rill,
    serve,
    services,
    text_function,
)
from bench.stats import Measures, interleave_async

RILL, DELTAS = "rill", 4390

QUICK_ROUNDS = 1
SLOW = 2
"""A quick benchmark has no time for a second run of all: who takes so many times what the best peer takes in
its first one keeps that, with what it loads in it. The ratio is to the best."""


async def measure(*, quick: bool) -> Part:
    """Structured answers and plain text."""
    rounds = QUICK_ROUNDS if quick else 7
    missing: dict[str, str] = {}
    structured, text = await _all(rounds, missing)
    return Part(
        name="delta",
        title="CPU of a delta",
        method=(
            f"A 16 KB grading in {DELTAS:,} deltas, sent at full speed; CPU time of the serving process over"
            f" a whole run, by its deltas, after a first run that loads things. {rounds} rounds. Rill's runs"
            " are logged to DynamoDB as they are in production, and what arrives together may be read"
            " together; the peers keep nothing."
            " Rill joins the text of one read, so that a text at full speed is a handful of events where the"
            " peers send one for each delta."
        ),
        figures=[
            _figure("CPU of a delta, structured", structured, STRUCTURED, 0.12),
            _figure("CPU of a delta, text", text, TEXT, 0.10),
            _figure("CPU of a delta, text, beside sse-starlette", text, [SSE_STARLETTE], None),
        ],
        missing=missing,
        versions=versions_of(*STRUCTURED, *TEXT, SSE_STARLETTE),
        quick=quick,
    )


def _figure(name: str, values: Mapping[str, float], peers: Sequence[Peer], reach: float | None) -> Figure:
    return Figure(
        name=name,
        unit="µs per delta",
        rill=values.get(RILL),
        floor=values.get(FLOOR.name),
        peers={peer.name: values.get(peer.name) for peer in peers},
        reach=reach,
        note="the floor is a socket, jiter, and an event out for each delta" if FLOOR.name in values else "",
    )


async def _all(rounds: int, missing: dict[str, str]) -> tuple[dict[str, float], dict[str, float]]:
    async with AsyncExitStack() as stack:
        around, source = await stack.enter_async_context(services()), await stack.enter_async_context(model())
        url = source.url()
        graded = json.dumps(request(answer().lines)).encode()
        floor = await stack.enter_async_context(serve(FLOOR, url))
        structured: dict[str, tuple[Server, bytes]] = {
            RILL: (await stack.enter_async_context(rill(grading(), around, url)), graded),
            FLOOR.name: (floor, body("text")),
        }
        text: dict[str, tuple[Server, bytes]] = {
            RILL: (await stack.enter_async_context(rill(text_function(), around, url)), QUESTION),
            FLOOR.name: (floor, body("text")),
        }
        started: dict[str, Server] = {}
        for peer in (*STRUCTURED, *TEXT, SSE_STARLETTE):
            if peer.name not in started:
                try:
                    started[peer.name] = await stack.enter_async_context(serve(peer, url, around))
                except MissingError as error:
                    missing[peer.name] = str(error)
        for peers, mode, into in (
            (STRUCTURED, "structured", structured),
            ((*TEXT, SSE_STARLETTE), "text", text),
        ):
            names = [peer.name for peer in peers if peer.name in started]
            into.update({name: (started[name], body(mode)) for name in names})
        await asyncio.gather(*(server.ready() for server in started.values()))
        found = [await _rounds(servers, rounds, missing) for servers in (structured, text)]
        return found[0], found[1]


async def _rounds(
    servers: Mapping[str, tuple[Server, bytes]], rounds: int, missing: dict[str, str]
) -> dict[str, float]:
    """CPU µs of a delta by server; who fails at first is missing."""

    def of(server: Server, given: bytes) -> Callable[[], Awaitable[dict[str, float]]]:
        async def run() -> dict[str, float]:
            return {"cpu": await cost(server, given) / DELTAS * 1e6}

        return run

    measures = {name: of(*served) for name, served in servers.items()}
    first = await _first(measures, missing)
    measures = {name: measure for name, measure in measures.items() if name in first}
    if rounds <= QUICK_ROUNDS:
        best = min((cpu for name, cpu in first.items() if name not in (RILL, FLOOR.name)), default=0.0)
        measures = {name: measure for name, measure in measures.items() if first[name] <= SLOW * best}
    medians = await interleave_async(measures, rounds)
    return {**first, **{name: found["cpu"] for name, found in medians.items()}}


async def _first(measures: Measures, missing: dict[str, str]) -> dict[str, float]:
    """A first run of each, as many at once as there are processors; who fails is missing."""
    processors = asyncio.Semaphore(os.cpu_count() or 1)
    found = {}

    async def run(name: str) -> None:
        async with processors:
            try:
                found[name] = (await measures[name]())["cpu"]
            except (AnswerError, OSError) as error:
                if name == RILL:
                    raise
                missing[name] = str(error)

    await asyncio.gather(*map(run, measures))
    return found
