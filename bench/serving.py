"""What is measured, running: the model, Rill's functions, and the peers' servers."""

import asyncio
import json
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from bench.counting import query
from bench.heard import AnswerError, Heard, ask
from bench.model import HOST
from bench.places import APPS, PEERS, ROOT, TOOLS, own_python, peer_python
from bench.processes import clean_env, cpu_seconds, process
from bench.runtime_api import RuntimeApi
from local.functions import payload
from local.functions.environment import REGION, command, variables
from local.functions.template import Function, Template, read
from local.provider import choose_provider
from local.stack import TEMPLATE, Stack

DYNAMODB = "AWS_ENDPOINT_URL_DYNAMODB"
"""Where functions find DynamoDB. https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html"""


@dataclass(frozen=True, slots=True)
class Model:
    """Where the model of the benchmarks listens."""

    port: int

    def url(self, **options: float) -> str:
        """As `bench.model` reads it: pace, deltas, stamps, lanes, places."""
        path = "".join(f"/{name}/{value:g}" for name, value in options.items())
        return f"http://{HOST}:{self.port}{path}/v1"

    async def read(self, url: str) -> Heard:
        """The answer itself, with nothing between."""
        return await ask(HOST, self.port, f"{urlsplit(url).path}/chat/completions", b"{}")


@asynccontextmanager
async def model() -> AsyncIterator[Model]:
    """The model in a process of its own."""
    async with _listening("bench.model") as port:
        yield Model(port)


@asynccontextmanager
async def far_dynamodb(around: Mapping[str, str], *, stores: bool = False) -> AsyncIterator[dict[str, str]]:
    """`around` with a DynamoDB that takes no time of this machine's processors for a run's log.

    Args:
        stores: whether everything but the log goes to the DynamoDB of `around`; otherwise it goes nowhere.
    """
    behind = [around[DYNAMODB]] if stores else []
    async with _listening("bench.far_dynamodb", *behind) as port:
        yield {**around, DYNAMODB: f"http://{HOST}:{port}"}


@asynccontextmanager
async def _listening(module: str, *arguments: str) -> AsyncIterator[int]:
    """A module of the benchmarks in a process of its own; yields the port that it prints."""
    env = clean_env(PYTHONPATH=str(ROOT))
    command = [own_python(), "-m", module, *arguments]
    async with process(command, env, cwd=ROOT, listen=True) as started:
        assert started.stdout is not None
        yield int(await started.stdout.readline())


@asynccontextmanager
async def services() -> AsyncIterator[dict[str, str]]:
    """DynamoDB with the tables, and SQS; yields what functions have to know of them."""
    with tempfile.TemporaryDirectory(prefix="rill-bench-") as state:
        provider = choose_provider({}, scripted=True)
        async with Stack(template(), provider, only="", state=Path(state)) as stack:
            yield stack.variables


def template() -> Template:
    """The deployed template, as the local stack reads it."""
    return read(TEMPLATE)


def logs(name: str) -> Path:
    """Where a measured process writes what it says."""
    (TOOLS / "logs").mkdir(parents=True, exist_ok=True)
    return TOOLS / "logs" / f"{name}.log"


QUESTION = json.dumps({"session_id": "bench", "question": "Grade this call."}).encode()
"""What `text_function` takes as a request."""


class Server(Protocol):
    """Something that answers runs."""

    pid: int

    async def ready(self) -> None:
        """Returns when it waits for requests, with everything that its start loads."""

    async def run(self, body: bytes, **headers: str) -> Heard:
        """Start a run and hear it to its end; returns when the server has nothing left to do for it."""


async def cost(server: Server, body: bytes) -> float:
    """CPU seconds that a run takes in the server's process."""
    before = cpu_seconds(server.pid)
    (await server.run(body)).check()
    return cpu_seconds(server.pid) - before


# -- Rill ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class RillServer:
    """A function behind the smallest Runtime API."""

    pid: int
    api: RuntimeApi

    async def ready(self) -> None:
        await self.api.idle.wait()

    async def run(self, body: bytes, **headers: str) -> Heard:
        return await self.request("POST", "/runs", body, **headers)

    async def request(self, method: str, target: str, body: bytes = b"", **headers: str) -> Heard:
        """Any request, as an invocation of the function's URL."""
        heard = await self.api.invoke(url_event(method, target, body, headers))
        await self.api.idle.wait()
        return heard


def url_event(method: str, target: str, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """A request as a function URL hands it over."""
    given = {"content-type": "application/json", "accept": "text/event-stream"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    return payload.event(
        method=method,
        target=target,
        headers=[(name.encode(), value.encode()) for name, value in given.items()],
        body=body,
        peer=HOST,
        request_id="bench",
        trace_id="Root=1-0-0;Parent=0;Sampled=0",
        iam=False,
    )


def grading() -> Function:
    """The grading function as it is deployed."""
    return template().functions["grading"]


def text_function() -> Function:
    """A workflow of one step that passes the model's text on, built of Rill's public parts."""
    return replace(grading(), name="text", handler="text.app", code=APPS)


@asynccontextmanager
async def rill(
    function: Function, around: Mapping[str, str], model_url: str, *, ahead: bool = False
) -> AsyncIterator[RillServer]:
    """A function's process; returns when it is started, not when it is ready.

    Args:
        ahead: start it as Lambda does with provisioned concurrency.
    """
    api = RuntimeApi()
    await api.start()
    env = variables(function, {**around, **rill_model(model_url)}, api.address)
    if ahead:
        env["AWS_LAMBDA_INITIALIZATION_TYPE"] = "provisioned-concurrency"
    log = logs(f"rill-{function.name}")
    try:
        async with process(command(function), env, cwd=function.code, log=log) as started:
            yield RillServer(started.pid, api)
    finally:
        await api.close()


def rill_model(model_url: str) -> dict[str, str]:
    """Points a function at the model of the benchmarks."""
    return {"RILL_MODEL_PROVIDER": "scripted", "RILL_MODEL_URL": model_url, "RILL_MODEL_SECRET_ARN": ""}


async def run_of(session: str, around: Mapping[str, str]) -> str:
    """The id of the run that was started just now for a session of its own.

    Raises:
        AnswerError: nothing of it was written for some seconds.
    """
    asked = {
        "TableName": around["RILL_RUNS_TABLE"],
        "IndexName": "by_session",
        "KeyConditionExpression": "session_id = :session",
        "ExpressionAttributeValues": {":session": {"S": session}},
    }
    for _ in range(500):
        if found := json.loads(await query(around[DYNAMODB], asked))["Items"]:
            return str(found[0]["run_id"]["S"])
        await asyncio.sleep(0.01)
    raise AnswerError("the run was not written in time")


# -- peers -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer: what tables call it, its environment, its script, and what the script is told.

    `environment` is "" for a script that runs in Rill's own.
    """

    name: str
    environment: str
    script: str
    settings: Mapping[str, str]


@dataclass(slots=True)
class PeerServer:
    """A peer's process on a port."""

    pid: int
    port: int

    async def ready(self) -> None:
        # An address that it does not have: only a server that is up says so.
        await ask(HOST, self.port, "/ready", b"", Connection="close")

    async def run(self, body: bytes, **headers: str) -> Heard:
        return await ask(HOST, self.port, "/runs", body, **headers)


def peer_command(peer: Peer) -> tuple[list[str], dict[str, str]]:
    """How a peer is started, and what it is told.

    Raises:
        MissingError: it is not installed.
    """
    python = str(peer_python(peer.environment)) if peer.environment else own_python()
    path = os.pathsep.join(map(str, (PEERS, ROOT / "functions", ROOT / "layers" / "shared" / "python")))
    env = clean_env(
        PYTHONPATH=path,
        OPENAI_API_KEY="none",
        AWS_REGION=REGION,
        AWS_DEFAULT_REGION=REGION,
        AWS_ACCESS_KEY_ID="local",
        AWS_SECRET_ACCESS_KEY="local",  # noqa: S106 - what answers here takes any
        **peer.settings,
    )
    return [python, str(PEERS / f"{peer.script}.py")], env


@asynccontextmanager
async def serve(
    peer: Peer, model_url: str, around: Mapping[str, str] | None = None
) -> AsyncIterator[PeerServer]:
    """A peer's server on a socket that listens already, so that nobody has to ask when it is ready.

    Raises:
        MissingError: it is not installed.
    """
    started_with, env = peer_command(peer)
    with socket.create_server((HOST, 0), backlog=64) as listening:
        port = listening.getsockname()[1]
        fd = listening.fileno()
        env |= {**(around or {}), "OPENAI_BASE_URL": model_url}
        log = logs(peer.script)
        async with process([*started_with, str(fd)], env, fds=[fd], log=log) as started:
            yield PeerServer(started.pid, port)


def body(mode: str) -> bytes:
    """What the peers take as a request."""
    return json.dumps({"mode": mode}).encode()
