"""What a delta loses between the model and the client at a model's real pace."""

import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

from bench.heard import AnswerError, Heard, ask
from bench.peers_list import FASTAPI, FLOOR, SSE_STARLETTE, versions_of
from bench.places import MissingError
from bench.report import Figure, Part
from bench.serving import Server, body, far_dynamodb, model, rill, serve, services, text_function
from bench.stats import interleave_async, percentile

PACE = 100.0
RILL, MOTO, DIRECT = "rill", "rill and moto", "direct"
PEERS = (FASTAPI, SSE_STARLETTE)


async def measure(*, quick: bool) -> Part:
    """p50 and p99 of the time that each server adds."""
    # Fewer deltas would end before the run's log is written for the first time.
    rounds, deltas = (5, 50) if quick else (33, 100)
    missing: dict[str, str] = {}
    found = await _all(rounds, deltas, missing, moto=not quick)
    direct = found.pop(DIRECT)
    added = {
        name: {what: value - direct[what] for what, value in values.items()} for name, values in found.items()
    }
    figures = [
        figure
        for what in ("p50", "p99")
        for figure in _figures(what, {name: values[what] for name, values in added.items()}, direct[what])
    ]
    return Part(
        name="latency",
        title="Latency added to a delta",
        method=(
            f"Every delta says when the model sent it; {deltas} of them in a round at {PACE:g} a second, the"
            f" servers one after the other. The percentiles of each round, of these the median of {rounds}"
            " rounds, less the same of a client that reads the model directly. Rill logs its events"
            " meanwhile, to a stand-in for DynamoDB that answers after 5 ms and computes nothing: on AWS"
            " others do that."
            + ("" if quick else " Once more with moto, which computes on the same processors.")
        ),
        figures=figures,
        missing=missing,
        versions=versions_of(*PEERS),
        quick=quick,
    )


def _figures(what: str, added: Mapping[str, float], direct: float) -> list[Figure]:
    name = f"latency added to a delta at 100 tokens/s, {what}"
    peers = {peer.name: _known(added.get(peer.name)) for peer in PEERS}
    far = Figure(
        name=name,
        unit="µs",
        rill=_known(added[RILL]),
        floor=_known(added.get(FLOOR.name)),
        peers=peers,
        reach=0.4,
        note=f"reading the model directly takes {direct:.0f} µs, which is taken off; what is not above it"
        " is lost in the noise of the machine and left out",
    )
    if MOTO not in added:
        return [far]
    beside = Figure(
        name=f"{name}, with moto beside it",
        unit="µs",
        rill=_known(added[MOTO]),
        peers=peers,
        note="the peers keep nothing; moto's transactions of about 10 ms take a processor from one delta"
        " in 25",
    )
    return [far, beside]


def _known(added: float | None) -> float | None:
    """Nobody is faster than reading directly: such a value is noise."""
    return added if added is not None and added > 0 else None


async def _all(
    rounds: int, deltas: int, missing: dict[str, str], *, moto: bool
) -> dict[str, dict[str, float]]:
    async with AsyncExitStack() as stack:
        around, source = await stack.enter_async_context(services()), await stack.enter_async_context(model())
        url = source.url(pace=PACE, deltas=deltas, stamps=1)
        path = f"{urlsplit(url).path}/chat/completions"
        question = json.dumps({"session_id": "bench", "question": "Grade this call."}).encode()

        def of(server: Server, given: bytes) -> Callable[[], Awaitable[dict[str, float]]]:
            async def run() -> dict[str, float]:
                return _percentiles((await server.run(given)).check(), deltas)

            return run

        async def direct() -> dict[str, float]:
            return _percentiles(await ask("127.0.0.1", source.port, path, b"{}"), deltas)

        measures: dict[str, Callable[[], Awaitable[dict[str, float]]]] = {DIRECT: direct}
        databases = {RILL: await stack.enter_async_context(far_dynamodb(around))}
        if moto:
            databases[MOTO] = around
        for name, database in databases.items():
            ours = await stack.enter_async_context(rill(text_function(), database, url))
            measures[name] = of(ours, question)
        for peer in (FLOOR, *PEERS):
            try:
                server = await stack.enter_async_context(serve(peer, url, around))
            except MissingError as error:
                missing[peer.name] = str(error)
            else:
                measures[peer.name] = of(server, body("text"))
        for run in measures.values():
            await run()
        return await interleave_async(measures, rounds)


def _percentiles(heard: Heard, deltas: int) -> dict[str, float]:
    delays = heard.delays()
    if len(delays) < deltas:
        raise AnswerError(f"{len(delays)} of {deltas} deltas came")
    # Rill's last event has the whole text once more: what comes behind the deltas does not count.
    return {"p50": percentile(delays[:deltas], 50), "p99": percentile(delays[:deltas], 99)}
