"""Whether events wait for their log: their delay with a DynamoDB that takes half a second for each call."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack

from bench.counting import CountingProxy
from bench.heard import AnswerError
from bench.report import Figure, Part
from bench.serving import DYNAMODB, Server, model, rill, services, text_function
from bench.stats import interleave_async, percentile

PACE, SLOW_SECONDS = 100.0, 0.5
AS_IT_IS, SLOWED = "DynamoDB as it is", "slowed"


class SlowProxy(CountingProxy):
    """Stands before a DynamoDB and lets every call wait."""

    async def _pass(self, name: str, head: bytes, body: bytes) -> bytes:
        await asyncio.sleep(SLOW_SECONDS)
        return await self._ask(head, body)


async def measure(*, quick: bool) -> Part:
    """The delay of deltas, both ways."""
    rounds, deltas = (2, 50) if quick else (33, 100)
    async with AsyncExitStack() as stack:
        around, source = await stack.enter_async_context(services()), await stack.enter_async_context(model())
        slow = await stack.enter_async_context(SlowProxy(around[DYNAMODB], {}))
        url = source.url(pace=PACE, deltas=deltas, stamps=1)
        measures = {}
        for name, variables in ((AS_IT_IS, around), (SLOWED, {**around, DYNAMODB: slow.url})):
            server = await stack.enter_async_context(rill(text_function(), variables, url))
            measures[name] = _of(server, deltas)
        for run in measures.values():
            await run()
        found = await interleave_async(measures, rounds)
    return Part(
        name="delivery",
        title="Delivery while DynamoDB is slow",
        method=(
            "The same function twice, one of them behind a proxy that holds each call to DynamoDB for"
            f" {SLOW_SECONDS * 1000:g} ms; {deltas} deltas in a round at {PACE:g} a second, {rounds} rounds"
            " by turns. The time from the model's sending a delta to its reading by the client."
        ),
        figures=[_figure(what, found) for what in ("p50", "p99")],
        quick=quick,
    )


def _figure(what: str, found: Mapping[str, Mapping[str, float]]) -> Figure:
    return Figure(
        name=f"delay of a delta with DynamoDB slowed, {what}",
        unit="µs",
        rill=found[SLOWED][what],
        peers={AS_IT_IS: found[AS_IT_IS][what]},
        reach=1.2 if what == "p50" else None,
        note="one that waited for the log would come half a second late",
    )


def _of(server: Server, deltas: int) -> Callable[[], Awaitable[dict[str, float]]]:
    given = json.dumps({"session_id": "bench", "question": "Grade this call."}).encode()

    async def run() -> dict[str, float]:
        delays = (await server.run(given)).check().delays()[:deltas]
        if len(delays) < deltas:
            raise AnswerError(f"{len(delays)} of {deltas} deltas came")
        return {"p50": percentile(delays, 50), "p99": percentile(delays, 99)}

    return run
