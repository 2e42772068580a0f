"""Following a run that is on: how soon there is what it says now, and how far behind it that stays."""

import asyncio
import json
import re
import uuid
from collections.abc import Mapping
from contextlib import AsyncExitStack
from statistics import median

from bench.heard import AnswerError, Heard
from bench.report import Figure, Part
from bench.serving import RillServer, grading, model, rill, run_of, services, text_function
from bench.stats import percentile

PACE, DELTAS = 100.0, 500
AFTER = (1.3, 0.6, 2.0, 2.7, 3.4)
"""Seconds from a run's start to when somebody attaches."""

OFTEN = "a log every 250 ms for everybody"
_ID = re.compile(rb"(?:^|\n)id: (\d+)\n")


async def measure(*, quick: bool) -> Part:
    """One process runs, another one follows; by turns with one that writes as if it were always followed."""
    moments = AFTER[:1] if quick else AFTER
    soon: dict[str, list[float]] = {"": [], OFTEN: []}
    behind: dict[str, list[float]] = {"": [], OFTEN: []}
    async with AsyncExitStack() as stack:
        around = {**await stack.enter_async_context(services()), **grading().environment}
        source = await stack.enter_async_context(model())
        url = source.url(pace=PACE, deltas=DELTAS)
        often = {**around, "BENCH_ALONE_SECONDS": "0.25"}
        runs = {
            "": await stack.enter_async_context(rill(text_function(), around, url)),
            OFTEN: await stack.enter_async_context(rill(text_function(), often, url)),
        }
        follows = await stack.enter_async_context(rill(text_function(), around, url))
        await follows.request("GET", "/health")
        for seconds in moments:
            for name, server in runs.items():
                first, later = await _followed(server, follows, around, seconds)
                soon[name].append(first)
                behind[name] += later
    figures = [
        Figure(
            name="attach to a run that is on, to what it says now",
            unit="ms",
            rill=median(soon[""]),
            peers={OFTEN: median(soon[OFTEN])},
            note="from the request to the first event that was sent after it",
        )
    ]
    figures += [
        Figure(
            name=f"follower behind the run, p{percent}",
            unit="ms",
            rill=percentile(behind[""], percent),
            peers={OFTEN: percentile(behind[OFTEN], percent)},
        )
        for percent in (50, 99)
    ]
    return Part(
        name="follow",
        title="Following a run that is on",
        method=(
            f"A text at {PACE:g} tokens a second, which nobody follows at first, so that its log is"
            f" written every 3 s. {', '.join(map(str, moments))} s after its start another process attaches"
            " to it, from its first event on, and reads to its end. Beside it the same, by turns, with a log"
            " that is written every 250 ms whether somebody follows or not. DynamoDB is moto."
        ),
        figures=figures,
        quick=quick,
    )


async def _followed(
    runs: RillServer, follows: RillServer, around: Mapping[str, str], seconds: float
) -> tuple[float, list[float]]:
    """Milliseconds to the first event sent after the request, and of each later one between the two."""
    session = uuid.uuid4().hex
    asked = json.dumps({"session_id": session, "question": "Grade this call."}).encode()
    run = asyncio.create_task(runs.run(asked))
    await asyncio.sleep(seconds)
    follower = await follows.request("GET", f"/runs/{await run_of(session, around)}/events?after=0")
    sent, had = _moments((await run).check()), _moments(follower.check())
    new = [seq for seq, at in sent.items() if at > follower.asked and seq in had]
    first = min((had[seq] for seq in new), default=None)
    if first is None:
        raise AnswerError("nothing was left to follow")
    return (first - follower.asked) / 1e6, [(had[n] - sent[n]) / 1e6 for n in new if sent[n] > first]


def _moments(heard: Heard) -> dict[int, int]:
    """When each event was whole, by its number: nanoseconds of the monotonic clock."""
    found: dict[int, int] = {}
    rest = b""
    for at, data in heard.pieces:
        *frames, rest = (rest + data).split(b"\n\n")
        for frame in frames:
            if number := _ID.search(frame):
                found[int(number[1])] = at
    return found
