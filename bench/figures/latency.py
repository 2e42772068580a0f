"""What a delta loses between the model and the client at a model's real pace."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack

from bench.peers_list import FASTAPI, FLOOR, SSE_STARLETTE, versions_of
from bench.places import MissingError
from bench.report import Figure, Part
from bench.serving import (
    QUESTION,
    Peer,
    Server,
    body,
    far_dynamodb,
    model,
    peer_command,
    rill,
    serve,
    services,
    text_function,
)
from bench.stats import Values, medians, side_by_side

PACE = 100.0
RILL, DIRECT = "rill", "direct"
PEERS = (FASTAPI, SSE_STARLETTE)


async def measure(*, quick: bool) -> Part:
    """p50 and p99 of the time that each server adds."""
    rounds, deltas = (15 if quick else 33), 100
    missing: dict[str, str] = {}
    found = await _all(rounds, deltas, missing)
    figures = [
        _figure(what, {name: values[what] for name, values in found.items()}) for what in ("p50", "p99")
    ]
    return Part(
        name="latency",
        title="Latency added to a delta",
        method=(
            f"Every delta says when the model sent it; {deltas} of them in a round at {PACE:g} a second, to"
            " all servers side by side, each with its deltas at another moment of those 10 ms, and in another"
            " order each round. The percentiles of each round, less the same of a client that reads the model"
            f" directly beside them, and of these the median of {rounds} rounds. Rill logs its events"
            " meanwhile, to a stand-in for DynamoDB that answers after 5 ms and computes nothing: on AWS"
            " others do that."
        ),
        figures=figures,
        missing=missing,
        versions=versions_of(*PEERS),
        quick=quick,
    )


def _figure(what: str, added: Mapping[str, float]) -> Figure:
    return Figure(
        name=f"latency added to a delta at 100 tokens/s, {what}",
        unit="µs",
        rill=_known(added[RILL]),
        floor=_known(added.get(FLOOR.name)),
        peers={peer.name: _known(added.get(peer.name)) for peer in PEERS},
        reach=0.4,
        note=f"reading the model directly takes {added[DIRECT]:.0f} µs, which is taken off; what is not above"
        " it is lost in the noise of the machine and left out",
    )


def _known(added: float | None) -> float | None:
    """Nobody is faster than reading directly: such a value is noise."""
    return added if added is not None and added > 0 else None


async def _all(rounds: int, deltas: int, missing: dict[str, str]) -> dict[str, dict[str, float]]:
    """What each adds to reading directly, by percentile, and what that takes itself."""
    peers = [peer for peer in (FLOOR, *PEERS) if _installed(peer, missing)]
    async with AsyncExitStack() as stack:
        around, source = await stack.enter_async_context(services()), await stack.enter_async_context(model())
        lanes = 2 + len(peers)
        url = source.url(pace=PACE, deltas=deltas, stamps=1, lanes=lanes)
        # Rill writes its log soon after a delta.
        wide = source.url(pace=PACE, deltas=deltas, stamps=1, lanes=lanes, places=2)

        async def direct() -> dict[str, float]:
            return (await source.read(url)).percentiles(deltas)

        def of(server: Server, given: bytes) -> Callable[[], Awaitable[dict[str, float]]]:
            async def run() -> dict[str, float]:
                return (await server.run(given)).check().percentiles(deltas)

            return run

        far = await stack.enter_async_context(far_dynamodb(around))
        ours = await stack.enter_async_context(rill(text_function(), far, wide))
        measures: dict[str, Callable[[], Awaitable[Values]]] = {DIRECT: direct, RILL: of(ours, QUESTION)}
        for peer in peers:
            server = await stack.enter_async_context(serve(peer, url, around))
            measures[peer.name] = of(server, body("text"))
        return medians(map(_added, await side_by_side(measures, rounds)))


def _added(values: Mapping[str, Values]) -> dict[str, Values]:
    """A round with what everybody adds to reading directly in the same one."""
    direct = values[DIRECT]
    added = {name: {what: value - direct[what] for what, value in of.items()} for name, of in values.items()}
    return {**added, DIRECT: direct}


def _installed(peer: Peer, missing: dict[str, str]) -> bool:
    try:
        peer_command(peer)
    except MissingError as error:
        missing[peer.name] = str(error)
        return False
    return True
