"""Whether events wait for their log: their delay with a DynamoDB that takes half a second for each call."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack

from bench.counting import CountingProxy
from bench.report import Figure, Part
from bench.serving import DYNAMODB, QUESTION, model, rill, services, text_function
from bench.stats import Measures, medians, side_by_side

PACE, SLOW_SECONDS = 100.0, 0.5
AS_IT_IS, SLOWED, DIRECT = "DynamoDB as it is", "slowed", "direct"


class SlowProxy(CountingProxy):
    """Stands before a DynamoDB and lets every call wait."""

    async def _pass(self, name: str, head: bytes, body: bytes) -> bytes:
        await asyncio.sleep(SLOW_SECONDS)
        return await self._ask(head, body)


async def measure(*, quick: bool) -> Part:
    """The delay of deltas, both ways."""
    rounds, deltas = (5 if quick else 33), 100
    async with AsyncExitStack() as stack:
        around, source = await stack.enter_async_context(services()), await stack.enter_async_context(model())
        slow = await stack.enter_async_context(SlowProxy(around[DYNAMODB], {}))
        url = source.url(pace=PACE, deltas=deltas, stamps=1, lanes=3)

        async def of(variables: Mapping[str, str]) -> Callable[[], Awaitable[dict[str, float]]]:
            server = await stack.enter_async_context(rill(text_function(), variables, url))

            async def measure() -> dict[str, float]:
                return (await server.run(QUESTION)).check().percentiles(deltas)

            return measure

        async def direct() -> dict[str, float]:
            return (await source.read(url)).percentiles(deltas)

        measures: Measures = {DIRECT: direct}
        measures = {**measures, AS_IT_IS: await of(around), SLOWED: await of({**around, DYNAMODB: slow.url})}
        found = medians(await side_by_side(measures, rounds))
    return Part(
        name="delivery",
        title="Delivery while DynamoDB is slow",
        method=(
            "The same function twice, one of them behind a proxy that holds each call to DynamoDB for"
            f" {SLOW_SECONDS * 1000:g} ms; {deltas} deltas in a round at {PACE:g} a second, to both side by"
            f" side and to a client that reads the model directly, {rounds} rounds. The time from the"
            " model's sending a delta to its reading by the client."
        ),
        figures=[_figure(what, found) for what in ("p50", "p99")],
        quick=quick,
    )


def _figure(what: str, found: Mapping[str, Mapping[str, float]]) -> Figure:
    return Figure(
        name=f"delay of a delta with DynamoDB slowed, {what}",
        unit="µs",
        rill=found[SLOWED][what],
        floor=found[DIRECT][what],
        peers={AS_IT_IS: found[AS_IT_IS][what]},
        reach=1.2 if what == "p50" else None,
        note="one that waited for the log would come half a second late; the floor reads the model directly",
    )
