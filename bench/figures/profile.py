"""Where the time of a delta goes in Rill, by samples of a running function."""

import asyncio
import json
import signal
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from bench.answer import answer, request
from bench.figures.delta import DELTAS
from bench.places import TOOLS, MissingError, peer_python, versions
from bench.places_of_time import shares
from bench.processes import clean_env, cpu_seconds, process
from bench.report import Figure, Part
from bench.serving import QUESTION, RillServer, grading, logs, model, rill, services, text_function
from local.functions.template import Function

SAMPLES_A_SECOND = 500
PACE = 1000.0


async def measure(*, quick: bool) -> Part:
    """The three ways that a delta goes."""
    runs, paced_runs = (5, 0) if quick else (60, 4)
    graded = json.dumps(request(answer().lines)).encode()
    figures: list[Figure] = []
    missing: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        around, source = await stack.enter_async_context(services()), await stack.enter_async_context(model())
        ways = (
            ("structured", grading(), graded, source.url(), runs),
            ("text", text_function(), QUESTION, source.url(), runs),
            (f"structured, {PACE:g} a second", grading(), graded, source.url(pace=PACE), paced_runs),
        )
        for name, function, given, url, count in ways:
            if not count:
                continue
            try:
                found = await _profiled(function, around, url, given, count)
            except MissingError as error:
                missing["py-spy"] = str(error)
                break
            figures += [
                Figure(name=f"time of a delta, {name}: {part}", unit="µs per delta", rill=us, peers={})
                for part, us in found.items()
            ]
    return Part(
        name="profile",
        title="Where a delta's time goes",
        method=(
            f"Samples of a warm function's Python stacks by py-spy, {SAMPLES_A_SECOND} a second; each part's"
            " share of those that do not wait, of the CPU time of the same runs."
        ),
        figures=figures,
        missing=missing,
        versions=versions("profiler", "py-spy"),
        quick=quick,
    )


async def _profiled(
    function: Function, around: Mapping[str, str], url: str, given: bytes, runs: int
) -> dict[str, float]:
    """CPU µs of a delta by part."""
    peer_python("profiler")
    async with rill(function, around, url) as server:
        (await server.run(given)).check()
        with tempfile.TemporaryDirectory(prefix="rill-bench-") as directory:
            samples = Path(directory) / "samples"
            spent = await _sampled(server, given, runs, samples)
            lines = samples.read_text().splitlines() if samples.is_file() else []
    if not lines:
        raise MissingError("py-spy may not look into other processes here")
    return {part: share * spent / runs / DELTAS * 1e6 for part, share in shares(lines).items()}


async def _sampled(server: RillServer, given: bytes, runs: int, samples: Path) -> float:
    """CPU seconds of the runs, sampled meanwhile."""
    command = [str(TOOLS / "profiler" / "bin" / "py-spy"), "record", "--rate", str(SAMPLES_A_SECOND)]
    command += ["--format", "raw", "--output", str(samples), "--pid", str(server.pid)]
    async with process(command, clean_env(), log=logs("py-spy")) as spy:
        before = cpu_seconds(server.pid)
        for _ in range(runs):
            (await server.run(given)).check()
        spent = cpu_seconds(server.pid) - before
        if spy.returncode is None:
            spy.send_signal(signal.SIGINT)
        await asyncio.wait_for(spy.wait(), 20)
    return spent
