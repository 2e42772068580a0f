"""From a process's start to its first byte and to the model's first token, and its memory."""

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager

from bench.answer import answer, request
from bench.peers_list import FASTAPI, FLOOR, versions_of
from bench.places import MissingError, peer_python
from bench.processes import resident_mb
from bench.report import Figure, Part
from bench.serving import (
    QUESTION,
    Model,
    Peer,
    Server,
    body,
    grading,
    model,
    rill,
    serve,
    services,
    text_function,
)
from bench.stats import interleave_async

RILL = "rill"
FIRST_BYTE, FIRST_TOKEN, MEMORY = "first byte", "first token", "memory"
WITH_CALLS = "first byte after DynamoDB"
AHEAD = "first token of a process made ahead"

Start = Callable[[], AbstractAsyncContextManager[Server]]
Measure = Callable[[], Awaitable[dict[str, float]]]


async def measure(*, quick: bool) -> Part:
    """Start-up and memory, everything from a cold process."""
    rounds = 2 if quick else 9
    missing: dict[str, str] = {}
    async with services() as around, model() as source:
        medians = await interleave_async(_measures(around, source, missing, ahead=not quick), rounds)
    ours, theirs = medians[RILL], medians.get(FASTAPI.name, {})
    floor = medians.get(FLOOR.name, {})
    reaches: dict[str, tuple[str, str, float | None]] = {
        FIRST_BYTE: ("start-up to the first byte", "ms", 0.30),
        WITH_CALLS: ("start-up to the first byte, with DynamoDB before it", "ms", 0.45),
        FIRST_TOKEN: ("start-up to the model's first token", "ms", 0.60),
        MEMORY: ("resident memory after one grading", "MB", 0.65),
    }
    if not quick:
        reaches[AHEAD] = ("request to the model's first token, process made ahead", "ms", None)
    figures = [
        Figure(
            name=name,
            unit=unit,
            rill=ours.get(key),
            floor=floor.get(key),
            peers={"FastAPI + openai + boto3 + Powertools": theirs.get(key)},
            reach=reach,
        )
        for key, (name, unit, reach) in reaches.items()
    ]
    return Part(
        name="startup",
        title="Start-up and memory",
        method=(
            "From before the process is made to the byte at the client, the request waiting for it, byte code"
            " and files in their caches; with DynamoDB: an idempotency key for Rill, one put for the others."
            " The floor is Python with a socket and jiter. A process made ahead, as with provisioned"
            " concurrency, has started before its first request comes."
            f" {rounds} rounds, each with new processes."
        ),
        figures=figures,
        missing=missing,
        versions=versions_of(FASTAPI),
        quick=quick,
    )


def _measures(
    around: Mapping[str, str], source: Model, missing: dict[str, str], *, ahead: bool
) -> dict[str, Measure]:
    url, whole = source.url(pace=100, deltas=5, stamps=1), source.url()
    graded = json.dumps(request(answer().lines)).encode()
    count = iter(range(1_000_000))

    async def ours() -> dict[str, float]:
        def text() -> AbstractAsyncContextManager[Server]:
            return rill(text_function(), around, url)

        found = await _started(text, QUESTION)
        key = f"bench-{time.time_ns()}-{next(count)}"
        found[WITH_CALLS] = (await _started(text, QUESTION, Idempotency_Key=key))[FIRST_BYTE]
        if ahead:
            found[AHEAD] = await _asked(lambda: rill(text_function(), around, url, ahead=True), QUESTION)
        return {**found, **await _memory(lambda: rill(grading(), around, whole), graded)}

    def of(peer: Peer, mode: str) -> Measure:
        table = {"BENCH_TABLE": grading().environment["RILL_RUNS_TABLE"]}
        noting = Peer(peer.name, peer.environment, peer.script, table)

        async def run() -> dict[str, float]:
            found = await _started(lambda: serve(peer, url, around), body("text"))
            with_calls = await _started(lambda: serve(noting, url, around), body("text"))
            found[WITH_CALLS] = with_calls[FIRST_BYTE]
            if ahead:
                found[AHEAD] = await _asked(lambda: serve(peer, url, around), body("text"))
            return {**found, **await _memory(lambda: serve(peer, whole, around), body(mode))}

        return run

    measures: dict[str, Measure] = {RILL: ours, FLOOR.name: of(FLOOR, "text")}
    try:
        peer_python(FASTAPI.environment)
    except MissingError as error:
        missing[FASTAPI.name] = str(error)
    else:
        measures[FASTAPI.name] = of(FASTAPI, "structured")
    return measures


async def _started(start: Start, given: bytes, **headers: str) -> dict[str, float]:
    """Milliseconds to the first byte of an event and to the first token."""
    began = time.monotonic_ns()
    async with start() as server:
        heard = (await server.run(given, **headers)).check()
    return {
        FIRST_BYTE: (heard.first(rb"data: ") - began) / 1e6,
        FIRST_TOKEN: (heard.first(rb"t\d{9,};") - began) / 1e6,
    }


async def _asked(start: Start, given: bytes) -> float:
    """Milliseconds from the first request of a process that waits for it to the first token."""
    async with start() as server:
        await server.ready()
        heard = (await server.run(given)).check()
    return (heard.first(rb"t\d{9,};") - heard.asked) / 1e6


async def _memory(start: Start, given: bytes) -> dict[str, float]:
    """What is resident when a run has ended."""
    async with start() as server:
        (await server.run(given)).check()
        return {MEMORY: resident_mb(server.pid)}
