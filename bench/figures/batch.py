"""How many sessions one core could grade at once, by what one costs at a model's real pace."""

import asyncio
import json
import re
from contextlib import AsyncExitStack
from statistics import median

from bench.answer import answer, request
from bench.heard import AnswerError
from bench.peers_list import FASTAPI, FLOOR, PYDANTIC_AI, PYDANTIC_AI_EACH, versions_of
from bench.places import MissingError
from bench.processes import cpu_seconds
from bench.report import Figure, Part
from bench.serving import RillServer, Server, body, grading, model, rill, serve, services

PACE, QUICK_PACE = 100.0, 1000.0
RILL, WORKER = "rill", "rill's worker"
PEERS = (PYDANTIC_AI, PYDANTIC_AI_EACH)
ALSO = (FASTAPI,)


async def measure(*, quick: bool) -> Part:
    """Derived: nobody starts so many here."""
    pace, rounds = (QUICK_PACE, 1) if quick else (PACE, 3)
    missing: dict[str, str] = {}
    spent = await _all(pace, rounds, missing)
    seconds = len(answer().deltas) / PACE
    sessions = {name: seconds / cpu for name, cpu in spent.items()}
    deltas = len(answer().deltas)
    paced = Figure(
        name="CPU of a delta at a pace, structured",
        unit="µs per delta",
        rill=spent[RILL] / deltas * 1e6,
        floor=spent[FLOOR.name] / deltas * 1e6,
        peers={peer.name: spent[peer.name] / deltas * 1e6 for peer in (*PEERS, *ALSO) if peer.name in spent},
        note="each delta arrives alone; what a run writes meanwhile is in it",
    )
    figure = Figure(
        name="sessions graded at once on one core",
        unit="sessions, derived",
        rill=sessions[WORKER],
        peers={peer.name: sessions.get(peer.name) for peer in PEERS},
        reach=8,
        better="higher",
        note=(
            f"CPU of one session: Rill's worker {spent[WORKER] * 1000:.0f} ms in {seconds:.0f} s, and"
            f" {spent[RILL] * 1000:.0f} ms where somebody watches; the worker reads four times a second"
        ),
    )
    return Part(
        name="batch",
        title="Batch",
        method=(
            f"One grading of 16 KB in each warm process, its deltas {pace:g} a second, its events logged by"
            f" Rill. The session's CPU time against the {seconds:.0f} s that it takes at {PACE:g} tokens a"
            f" second says how many fit on a core: derived, not tried. {rounds} rounds."
        ),
        figures=[figure, paced],
        missing=missing,
        versions=versions_of(*PEERS, *ALSO),
        quick=quick,
    )


async def _all(pace: float, rounds: int, missing: dict[str, str]) -> dict[str, float]:
    """CPU seconds of a session by server. All at once: at this pace they leave each other room."""
    async with AsyncExitStack() as stack:
        around, source = await stack.enter_async_context(services()), await stack.enter_async_context(model())
        url = source.url(pace=pace)
        graded = json.dumps(request(answer().lines)).encode()
        servers: dict[str, tuple[Server, bytes]] = {
            RILL: (await stack.enter_async_context(rill(grading(), around, url)), graded),
            FLOOR.name: (await stack.enter_async_context(serve(FLOOR, url)), body("text")),
        }
        for peer in (*PEERS, *ALSO):
            try:
                served = await stack.enter_async_context(serve(peer, url, around))
            except MissingError as error:
                missing[peer.name] = str(error)
            else:
                servers[peer.name] = (served, body("structured"))
        worker = await stack.enter_async_context(rill(grading(), around, url))
        *found, worked = await asyncio.gather(
            *(_sessions(*server, rounds) for server in servers.values()), _worked(worker, graded, rounds)
        )
    return {**dict(zip(servers, found, strict=True)), WORKER: worked}


async def _worked(worker: RillServer, given: bytes, rounds: int) -> float:
    """The same of runs that a batch worker takes from its queue."""
    spent = []
    for _ in range(rounds + 1):
        queued = await worker.request("POST", "/runs", given, prefer="respond-async")
        (run_id,) = re.findall(rb'"run_id":"([0-9a-f]+)"', queued.body)
        message = {"version": 1, "run_id": run_id.decode()}
        record = {"messageId": "1", "eventSource": "aws:sqs", "body": json.dumps(message)}
        before = cpu_seconds(worker.pid)
        done = await worker.api.invoke({"Records": [record]})
        await worker.api.idle.wait()
        spent.append(cpu_seconds(worker.pid) - before)
        if json.loads(done.body) != {"batchItemFailures": []}:
            raise AnswerError(f"the worker answered {done.body!r}")
        read = await worker.request("GET", f"/runs/{run_id.decode()}")
        if b'"state":"complete"' not in read.body:
            raise AnswerError(f"the run is not complete: {read.body[-300:]!r}")
    return median(spent[1:])


async def _sessions(server: Server, given: bytes, rounds: int) -> float:
    """The median of a few sessions, after one that loads things."""
    spent = []
    for _ in range(rounds + 1):
        before = cpu_seconds(server.pid)
        if len((await server.run(given)).check().pieces) < 2:
            raise AnswerError("the answer came in one piece")
        spent.append(cpu_seconds(server.pid) - before)
    return median(spent[1:])
