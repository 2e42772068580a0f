"""The AWS Lambda Web Adapter with FastAPI and uvicorn behind it, beside Rill's runtime."""

import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from bench.emulated import emulated
from bench.figures.delta import DELTAS
from bench.peers_list import FASTAPI, versions_of
from bench.places import ADAPTER, ADAPTER_CRATE, APPS, PEERS, MissingError
from bench.report import Figure, Part
from bench.serving import (
    QUESTION,
    Model,
    body,
    grading,
    logs,
    model,
    peer_command,
    rill_model,
    services,
    text_function,
)
from bench.stats import interleave_async
from local.functions.template import Function

RILL, FLOOR, PEER = "rill", "floor", "Lambda Web Adapter + FastAPI + uvicorn"
START, FIRST_BYTE, DELTA, MEMORY = "start", "first byte", "delta", "memory"
REACH = 1.0

Measure = Callable[[], Awaitable[dict[str, float]]]


async def measure(*, quick: bool) -> Part:
    """The four figures that an adapter is chosen by."""
    rounds = 1 if quick else 9
    missing: dict[str, str] = {}
    async with services() as around, model() as source:
        measures = _measures(around, source, missing)
        for run in measures.values():
            await run()
        found = await interleave_async(measures, rounds)
    ours, floor, theirs = found[RILL], found[FLOOR], found.get(PEER, {})
    names = {
        START: ("adapter: start-up to the first byte", "ms"),
        FIRST_BYTE: ("adapter: first byte, warm", "ms"),
        DELTA: ("adapter: CPU of a delta, text", "µs per delta"),
        MEMORY: ("adapter: resident memory", "MB"),
    }
    return Part(
        name="adapter",
        title="The AWS Lambda Web Adapter",
        method=(
            f"Both in an environment of the same local emulator, heard where it takes the response. CPU over"
            f" {DELTAS:,} deltas at full speed and memory are those of all processes of the environment."
            " The floor is a runtime of nothing but a socket and jiter."
            f" {rounds} rounds, each with new environments."
        ),
        figures=[
            Figure(
                name=name,
                unit=unit,
                rill=ours[key],
                floor=floor[key],
                peers={PEER: theirs.get(key)},
                reach=REACH,
            )
            for key, (name, unit) in names.items()
        ],
        missing=missing,
        versions={**versions_of(FASTAPI), ADAPTER_CRATE[0]: ADAPTER_CRATE[1]},
        quick=quick,
    )


def _measures(around: Mapping[str, str], source: Model, missing: dict[str, str]) -> dict[str, Measure]:
    url = source.url()

    async def ours() -> dict[str, float]:
        return await _life(text_function(), {**around, **rill_model(url)}, QUESTION)

    async def theirs() -> dict[str, float]:
        return await _life(adapted(), {**around, **adapter_variables(url)}, body("text"))

    async def least() -> dict[str, float]:
        return await _life(bare(), {"OPENAI_BASE_URL": url}, body("text"))

    measures: dict[str, Measure] = {RILL: ours, FLOOR: least}
    try:
        peer_command(FASTAPI)
        if not ADAPTER.is_file():
            raise MissingError("it is not built: `make bench-setup` builds it with cargo")
    except MissingError as error:
        missing[PEER] = str(error)
    else:
        measures[PEER] = theirs
    return measures


def adapted() -> Function:
    """FastAPI behind the adapter as a function of the emulator's."""
    return replace(grading(), name="adapter", handler="run", code=PEERS, wrapper=APPS / "adapter.sh")


def bare() -> Function:
    """The smallest runtime as a function of the emulator's."""
    return replace(grading(), name="floor", handler="run", code=PEERS, wrapper=APPS / "floor.sh")


def adapter_variables(url: str) -> dict[str, str]:
    """What the adapter and the server behind it are told.

    Source: https://github.com/awslabs/aws-lambda-web-adapter#configurations
    """
    command, env = peer_command(FASTAPI)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return {
        "PYTHONPATH": env["PYTHONPATH"],
        "OPENAI_API_KEY": "none",
        "OPENAI_BASE_URL": url,
        "BENCH_ADAPTER": str(ADAPTER),
        "BENCH_PYTHON": command[0],
        "PORT": str(port),
        "AWS_LWA_INVOKE_MODE": "response_stream",
        "AWS_LWA_READINESS_CHECK_PATH": "/health",
        "RUST_LOG": "warn",
    }


async def _life(function: Function, variables: Mapping[str, str], given: bytes) -> dict[str, float]:
    """One environment: cold, then warm."""
    began = time.monotonic_ns()
    async with emulated(function, variables, str(logs(f"emulated-{function.name}"))) as environment:
        cold = await environment.run(given)
        warm = await environment.run(given)
        before = environment.cpu_seconds()
        await environment.run(given)
        spent = environment.cpu_seconds() - before
        return {
            START: (cold.first(rb"data: ") - began) / 1e6,
            FIRST_BYTE: (warm.first(rb"data: ") - warm.asked) / 1e6,
            DELTA: spent / DELTAS * 1e6,
            MEMORY: environment.resident_mb(),
        }
