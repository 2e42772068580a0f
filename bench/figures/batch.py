"""How many sessions one core grades at once, and what a delta costs that comes alone."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median

from bench.answer import answer, request
from bench.heard import AnswerError
from bench.peers_list import FASTAPI, FLOOR, PYDANTIC_AI, PYDANTIC_AI_EACH, versions_of
from bench.places import MissingError
from bench.processes import cpu_seconds
from bench.report import Figure, Part
from bench.serving import Peer, RillServer, Server, body, far_dynamodb, grading, model, rill, serve, services

PACE, QUICK_PACE = 100.0, 1000.0
RILL, WORKER = "rill", "rill's worker"
PEERS = (PYDANTIC_AI, PYDANTIC_AI_EACH)
ALSO = (FASTAPI,)
WORKER_SESSIONS, PEER_SESSIONS = 150, 15
"""At once in one process. All contestants run beside each other, and two cores have to have room for them."""

QUICK_FEWER = 15
"""So many times fewer of them, where the pace is ten times as high: for a peer that is the one alone."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """One process and how many sessions it gets at once; `run` returns when they are over."""

    pid: int
    sessions: int
    run: Callable[[], Awaitable[None]]


async def measure(*, quick: bool) -> Part:
    """CPU of a session: of many at once, and of one alone."""
    pace, rounds, fewer = (QUICK_PACE, 1, QUICK_FEWER) if quick else (PACE, 3, 1)
    missing: dict[str, str] = {}
    spent = await _all(pace, rounds, fewer, missing)
    deltas = len(answer().deltas)
    seconds = deltas / pace
    many = Figure(
        name="sessions graded at once on one core",
        unit="sessions",
        rill=seconds / spent[WORKER],
        floor=seconds / spent[FLOOR.name],
        peers={peer.name: _sessions(seconds, spent.get(_many(peer), spent.get(peer.name))) for peer in PEERS},
        reach=8,
        better="higher",
        note=(
            f"{WORKER_SESSIONS // fewer} at once took Rill's worker {spent[WORKER] * 1000:.0f} ms of CPU"
            f" each; each of the peers had {PEER_SESSIONS // fewer} at once. The worker reads four times a"
            " second, since nobody watches; the floor, a socket and jiter, wakes up for every delta"
        ),
    )
    alone = Figure(
        name="CPU of a delta at a pace, structured",
        unit="µs per delta",
        rill=spent[RILL] / deltas * 1e6,
        floor=spent[FLOOR.name] / deltas * 1e6,
        peers={peer.name: spent[peer.name] / deltas * 1e6 for peer in (*PEERS, *ALSO) if peer.name in spent},
        note="one session, watched; each delta arrives alone, and what a run writes meanwhile is in it",
    )
    return Part(
        name="batch",
        title="Batch",
        method=(
            f"Gradings of 16 KB in warm processes, the deltas of each {pace:g} a second: many at once in one"
            " process, as a batch worker has them, and one alone. How many a core can do is how many there"
            " were over the share of it that they took. Rill's log goes to a stand-in for DynamoDB that"
            " computes nothing, everything else to moto; the peers keep nothing."
            f" {rounds} rounds, all processes at the same time."
        ),
        figures=[many, alone],
        missing=missing,
        versions=versions_of(*PEERS, *ALSO),
        quick=quick,
    )


def _many(peer: Peer) -> str:
    """What a peer is called that has many at once."""
    return f"{peer.name}, at once"


def _sessions(seconds: float, cpu: float | None) -> float | None:
    return None if cpu is None else seconds / cpu


async def _all(pace: float, rounds: int, fewer: int, missing: dict[str, str]) -> dict[str, float]:
    """CPU seconds of a session by contestant."""
    async with AsyncExitStack() as stack:
        around = await stack.enter_async_context(services())
        far = await stack.enter_async_context(far_dynamodb(around, stores=True))
        source = await stack.enter_async_context(model())
        url, graded = source.url(pace=pace), json.dumps(request(answer().lines)).encode()
        contestants: dict[str, Contestant] = {}

        async def enter(name: str, server: Server, given: bytes, sessions: int = 1) -> None:
            contestants[name] = Contestant(server.pid, sessions, lambda: _watched(server, given, sessions))

        worker = await stack.enter_async_context(rill(grading(), far, url))
        many = WORKER_SESSIONS // fewer
        contestants[WORKER] = Contestant(worker.pid, many, lambda: _worked(worker, graded, many))
        await enter(RILL, await stack.enter_async_context(rill(grading(), far, url)), graded)
        await enter(FLOOR.name, await stack.enter_async_context(serve(FLOOR, url)), body("text"))
        for peer in (*PEERS, *ALSO):
            try:
                server = await stack.enter_async_context(serve(peer, url, around))
                await enter(peer.name, server, body("structured"))
                if peer in PEERS and fewer < PEER_SESSIONS:
                    server = await stack.enter_async_context(serve(peer, url, around))
                    await enter(_many(peer), server, body("structured"), PEER_SESSIONS // fewer)
            except MissingError as error:
                missing[peer.name] = str(error)
        return await _spent(contestants, rounds)


async def _spent(contestants: Mapping[str, Contestant], rounds: int) -> dict[str, float]:
    """CPU seconds of a session, the median of the rounds after one that loads things."""
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds + 1):
        before = {name: cpu_seconds(contestant.pid) for name, contestant in contestants.items()}
        await asyncio.gather(*(contestant.run() for contestant in contestants.values()))
        for name, contestant in contestants.items():
            found[name].append((cpu_seconds(contestant.pid) - before[name]) / contestant.sessions)
    return {name: median(values[1:]) for name, values in found.items()}


async def _watched(server: Server, given: bytes, sessions: int) -> None:
    """So many sessions at once, each with a client of its own."""
    for heard in await asyncio.gather(*(server.run(given) for _ in range(sessions))):
        if len(heard.check().pieces) < 2:
            raise AnswerError("the answer came in one piece")


async def _worked(worker: RillServer, given: bytes, sessions: int) -> None:
    """So many runs that a batch worker takes from its queue at once, from their queueing on."""
    queued = [await worker.request("POST", "/runs", given, prefer="respond-async") for _ in range(sessions)]
    runs = [
        found.decode() for heard in queued for found in re.findall(rb'"run_id":"([0-9a-f]+)"', heard.body)
    ]
    records = [
        {
            "messageId": run_id,
            "eventSource": "aws:sqs",
            "body": json.dumps({"version": 1, "run_id": run_id}),
        }
        for run_id in runs
    ]
    done = await worker.api.invoke({"Records": records})
    await worker.api.idle.wait()
    if len(runs) != sessions or json.loads(done.body) != {"batchItemFailures": []}:
        raise AnswerError(
            f"of {sessions} runs {len(runs)} were queued, and the worker answered {done.body!r}"
        )
    for run_id in (runs[0], runs[-1]):
        read = await worker.request("GET", f"/runs/{run_id}")
        if b'"state":"complete"' not in read.body:
            raise AnswerError(f"the run is not complete: {read.body[-300:]!r}")
