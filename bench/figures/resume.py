"""Reattaching to a run: from the request to the last of its events, and the queries that it takes."""

import asyncio
import json
import math
import time
import uuid
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import jiter

from bench.counting import CountingProxy, query
from bench.heard import AnswerError
from bench.places import APPS, PEERS, MissingError, own_python, peer_python, source_path, versions
from bench.processes import clean_env
from bench.report import Figure, Part
from bench.serving import DYNAMODB, RillServer, grading, rill, services, template, text_function
from local.functions.environment import REGION

EACH = "event by event"
MEGABYTE = 1024 * 1024


@dataclass(slots=True)
class _Resumed:
    """Of one length of log."""

    ms: float
    floor_ms: float
    queries: int
    log_bytes: int
    each_ms: float | None


async def measure(*, quick: bool) -> Part:
    """Logs of 100, 1,000 and 10,000 events."""
    rounds = 1 if quick else 9
    sizes = (100, 1000) if quick else (100, 1000, 10_000)
    missing: dict[str, str] = {}
    if quick:
        missing["10,000 events"] = "left out with QUICK=1: reading event by event takes half a minute"
    figures: list[Figure] = []
    async with AsyncExitStack() as stack:
        around = {**await stack.enter_async_context(services()), **grading().environment}
        proxy = await stack.enter_async_context(CountingProxy(around[DYNAMODB], template().tables))
        url = "http://127.0.0.1:9/v1"  # no model is asked
        direct = await stack.enter_async_context(rill(text_function(), around, url))
        counted = await stack.enter_async_context(rill(text_function(), {**around, DYNAMODB: proxy.url}, url))
        for size in sizes:
            found = await _resumed(size, rounds, around, direct, (counted, proxy), missing)
            figures += _figures(size, found)
    return Part(
        name="resume",
        title="Resume",
        method=(
            "A run that has ended, its log in batches of 25 events as at 100 tokens a second; from the"
            " request for all of its events to the last one, warm. The peer keeps an item per event and gets"
            f" them one after the other. Both from the local DynamoDB. {rounds} rounds."
        ),
        figures=figures,
        missing=missing,
        versions=versions("fastapi", "boto3"),
        quick=quick,
    )


def _figures(size: int, found: _Resumed) -> list[Figure]:
    fewest = math.ceil(found.log_bytes / MEGABYTE)
    return [
        Figure(
            name=f"resume, {size:,} events, to caught up",
            unit="ms",
            rill=found.ms,
            floor=found.floor_ms,
            peers={EACH: found.each_ms},
            note="the floor is a query for the whole log from a socket, its answer decoded by jiter",
        ),
        Figure(
            name=f"resume, {size:,} events, queries",
            unit="queries",
            rill=found.queries,
            floor=fewest,
            peers={EACH: size},
            reach=fewest / size,
            note=f"one query per MB: the log has {found.log_bytes:,} bytes",
        ),
    ]


async def _resumed(
    size: int,
    rounds: int,
    around: Mapping[str, str],
    direct: RillServer,
    through: tuple[RillServer, CountingProxy],
    missing: dict[str, str],
) -> _Resumed:
    run_id = uuid.uuid4().hex
    await _script(own_python(), APPS / "log.py", around, run_id, str(size))
    counted, proxy = through
    await _attach(counted, run_id, size)
    proxy.take()
    log_bytes, _ = await _attach(counted, run_id, size)
    queries = proxy.take().calls["Query"]
    await _attach(direct, run_id, size)
    took, bare = [], []
    for _ in range(rounds):
        took.append((await _attach(direct, run_id, size))[1])
        bare.append(await _queried(around, run_id))
    each_ms = None
    try:
        each = PEERS / "each.py"
        said = await _script(
            str(peer_python("fastapi")),
            each,
            around,
            uuid.uuid4().hex,
            str(size),
            str(rounds if size <= 1000 else 1),
        )
        each_ms = median(json.loads(said)["ms"])
    except MissingError as error:
        missing[EACH] = str(error)
    return _Resumed(median(took), median(bare), queries, log_bytes, each_ms)


async def _attach(server: RillServer, run_id: str, size: int) -> tuple[int, float]:
    """The bytes of the log, and milliseconds to the terminal event."""
    heard = (await server.request("GET", f"/runs/{run_id}/events?after=0")).check()
    events = heard.body.count(b'"type":"chunk"')
    if events != size:
        raise AnswerError(f"{events} of {size} events came")
    return len(heard.body), (heard.first(b'"type":"complete"') - heard.asked) / 1e6


async def _queried(around: Mapping[str, str], run_id: str) -> float:
    """Milliseconds of a query for a run's log."""
    asked = {
        "TableName": around["RILL_RUNS_TABLE"],
        "KeyConditionExpression": "run_id = :run AND begins_with(sk, :event)",
        "ExpressionAttributeValues": {":run": {"S": run_id}, ":event": {"S": "EVENT#"}},
    }
    began = time.perf_counter()
    found = jiter.from_json(await query(around[DYNAMODB], asked))
    if not found["Items"] or "LastEvaluatedKey" in found:
        raise AnswerError(f"the log is not in one answer: {len(found['Items'])} items")
    return (time.perf_counter() - began) * 1e3


async def _script(python: str, script: Path, around: Mapping[str, str], *arguments: str) -> str:
    """What a script printed.

    Raises:
        MissingError: it failed.
    """
    path = ":".join(map(str, source_path()))
    env = clean_env(**{**around, "PYTHONPATH": path, "AWS_DEFAULT_REGION": REGION, "AWS_REGION": REGION})
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        python, str(script), *arguments, env=env, stdout=pipe, stderr=pipe
    )
    said, wrong = await process.communicate()
    if process.returncode:
        lines = wrong.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise MissingError(f"{script.stem} failed: {lines[-1]}")
    return said.decode()
