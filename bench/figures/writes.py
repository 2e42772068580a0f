"""What a run writes to DynamoDB, beside a log that writes every event by itself."""

import asyncio
import json
import zlib
from collections.abc import Mapping
from contextlib import AsyncExitStack

from bench.counting import CountingProxy, Counts, units
from bench.figures.grading import LINES, PACE, call
from bench.heard import Heard
from bench.report import Figure, Part
from bench.serving import (
    DYNAMODB,
    QUESTION,
    grading,
    model,
    rill,
    run_of,
    services,
    template,
    text_function,
)
from local.functions.template import Function
from local.model.serving import ScriptedModel

USD_PER_MILLION, USD_PER_MILLION_READS = 0.625, 0.125
PRICED = (
    "on-demand in us-east-1 at 0.625 USD per million write units and 0.125 USD per million read units, the"
    " prices since 1 November 2024 (https://aws.amazon.com/dynamodb/pricing/on-demand/)"
)
UNITS = (
    "Rill's are those of everything it stores, with outputs, results, ratings and the lease; the peer's and"
    " the floor's those of the stream alone, the floor's written in one piece, compressed"
)
START_AND_END, REACH = 2, 1 / 20
FOLLOWED, SESSION = "followed from its start", "bench-followed"
EACH, EACH_DELTA = "one write per event", "one write per delta"


async def measure(*, quick: bool) -> Part:
    """A grading and a text, both at the pace of a real model: batches are by time."""
    deltas = 700 if quick else 4390
    async with AsyncExitStack() as stack:
        around = await stack.enter_async_context(services())
        source = await stack.enter_async_context(model())
        scripted = stack.enter_context(ScriptedModel(pace=PACE))
        asked = {"transcript": call(), "mode": "multi"}
        request, followed = (
            json.dumps({"session_id": name, **asked}).encode() for name in ("bench", SESSION)
        )
        text, graded, shown = await asyncio.gather(
            _run(text_function(), source.url(pace=PACE, deltas=deltas), QUESTION, around),
            _run(grading(), scripted.openai_base_url, request, around),
            _run(grading(), scripted.openai_base_url, followed, around, SESSION),
        )
        figures = [
            *_figures(f"text of {deltas:,} deltas", *text, REACH),
            _beside_deltas(f"grading of {LINES} lines", *graded),
            *_figures(f"grading of {LINES} lines, beside its own events", *graded, REACH),
            *_figures(f"grading of {LINES} lines, {FOLLOWED}", *shown, None),
        ]
    return Part(
        name="writes",
        title="DynamoDB writes of a run",
        method=(
            f"Calls and write units that pass through a counting proxy, at {PACE:g} tokens a second, with the"
            " units of the indexes, and those of transactions counted twice as they are billed. The peer is"
            " arithmetic: a put of each event of the same stream, or of each delta of the models, which is an"
            " event where a structured answer is parsed again at each. Nobody follows the run but who started"
            " it, so that the log is written every 3 s and with the run's end; whether it is cancelled or"
            " followed is read twice a second. One is followed by somebody else from its start on, and its"
            f" figures have the follower's calls in them. Cost, with what is read: {PRICED}."
        ),
        figures=figures,
        quick=quick,
    )


async def _run(
    function: Function, model_url: str, given: bytes, around: Mapping[str, str], followed: str = ""
) -> tuple[Heard, Counts]:
    """A run of a function, a counter of its own before DynamoDB; `followed`: by which session, if at all."""
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(CountingProxy(around[DYNAMODB], template().tables))
        counted = {**around, DYNAMODB: proxy.url}
        server = await stack.enter_async_context(rill(function, counted, model_url))
        if followed:
            other = await stack.enter_async_context(rill(function, counted, model_url))
            await asyncio.gather(server.ready(), other.ready())
            run = asyncio.create_task(server.run(given))
            run_id = await run_of(followed, {**function.environment, **around})
            (await other.request("GET", f"/runs/{run_id}/events?after=0")).check()
            heard = await run
        else:
            heard = await server.run(given)
        return heard.check(), proxy.take()


def _figures(what: str, heard: Heard, counts: Counts, reach: float | None) -> list[Figure]:
    events = [event for event in heard.body.split(b"\n\n") if b"data: " in event]
    each, together = sum(units(len(event)) for event in events), units(len(zlib.compress(heard.body, 9)))
    return [
        _calls(what, counts, {EACH: len(events)}, reach),
        Figure(
            name=f"DynamoDB write units, {what}",
            unit="units a run",
            rill=counts.write_units,
            floor=together,
            peers={EACH: each},
            note=UNITS,
        ),
        Figure(
            name=f"DynamoDB cost of 1,000 runs, {what}",
            unit="USD",
            rill=(counts.write_units * USD_PER_MILLION + counts.read_units * USD_PER_MILLION_READS) / 1000,
            floor=together * USD_PER_MILLION / 1000,
            peers={EACH: each * USD_PER_MILLION / 1000},
        ),
    ]


def _beside_deltas(what: str, heard: Heard, counts: Counts) -> Figure:
    deltas = {EACH_DELTA: sum(heard.output_tokens())}
    return _calls(f"{what}, beside its deltas", counts, deltas, REACH)


def _calls(what: str, counts: Counts, peers: Mapping[str, float], reach: float | None) -> Figure:
    calls = ", ".join(f"{name} {count}" for name, count in sorted(counts.calls.items()))
    return Figure(
        name=f"DynamoDB write calls, {what}",
        unit="calls a run",
        rill=counts.writes,
        floor=START_AND_END,
        peers=peers,
        reach=reach,
        note=f"all calls of the run: {calls}; the floor is a start and an end",
    )
