"""The whole stack on this machine: DynamoDB, SQS, a model, every function behind its URL or its queue.

::

    async with Stack(template, provider) as stack:
        stack.urls["grading"]   # http://127.0.0.1:…/
"""

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import httpx2

from local import dynamodb_local
from local.functions.front import Front
from local.functions.pool import Pool
from local.functions.template import Function, Template
from local.model import ScriptedModel
from local.model.log import RequestLog
from local.provider import Provider
from local.queues.client import QueueProblem
from local.queues.making import make_queues
from local.queues.mapping import EventSourceMapping
from local.queues.waiting import RUNS, send_again
from local.queues.wiring import queues_of_functions, with_queues, works_for
from local.tables import CREDENTIALS, LocalDynamoDB, make_tables

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = ROOT / "template.yaml"

DEFAULT_PACE = 100.0
HEALTH_SECONDS = 60.0

_ENDPOINT = "AWS_ENDPOINT_URL_DYNAMODB"
_SQS_ENDPOINT = "AWS_ENDPOINT_URL_SQS"


def state_directory() -> Path:
    """Where stacks leave what others have to find: `.rill` in the checkout, or RILL_STATE_DIR."""
    return Path(os.environ.get("RILL_STATE_DIR") or ROOT / ".rill")


class StackError(Exception):
    """Something of the stack did not start, or ended by itself; the message is for the person at it."""


class Stack:
    """Starts everything on entry and stops it in reverse order on exit.

    Args:
        template: its functions with a URL are served, its tables made.
        provider: who answers as the model.
        pace: of the scripted model, in tokens a second.
        faults: of the scripted model, as `local.model.faults` writes them.
        first_port: functions listen on free ports from here on; 0 for any.
        publish: write `urls.json` and `stack.json` for other commands to find.
        reload: start functions again when their code has changed.
        dynamodb_data: where AWS's DynamoDB Local keeps its data; None takes moto, or another one that
            AWS_ENDPOINT_URL_DYNAMODB names.
        only: the one function to serve, with the workers of its queues; "" for none, with the services alone.
        state: where `urls.json`, `stack.json` and the logs go.

    Attributes:
        urls: the functions' URLs by name.
        queues: the queues' URLs by name.
        broken: functions that do not answer, with what their log says last.
    """

    def __init__(
        self,
        template: Template,
        provider: Provider,
        *,
        pace: float = DEFAULT_PACE,
        faults: str = "",
        first_port: int = 0,
        publish: bool = False,
        reload: bool = False,
        dynamodb_data: Path | None = None,
        only: str | None = None,
        state: Path | None = None,
    ) -> None:
        self.urls: dict[str, str] = {}
        self.queues: dict[str, str] = {}
        self.broken: dict[str, str] = {}
        self.dynamodb: LocalDynamoDB | None = None
        self._sqs: LocalDynamoDB | None = None
        self.variables: dict[str, str] = {}
        self._template = template
        self._provider = provider
        self._pace = pace
        self._faults = faults
        self._port = first_port
        self._publish = publish
        self._reload = reload
        self._dynamodb_data = dynamodb_data
        self._only = only
        self._state = state or state_directory()
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._open.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def _start(self) -> None:
        await self._start_services()
        if self._only == "":
            return
        served = [
            function
            for function in self._template.functions.values()
            if function.url is not None and self._only in (None, function.name)
        ]
        if not served:
            raise StackError("the template has no function with a URL")
        for function in served:
            await self._serve(function)
        for function in self._template.functions.values():
            if self._only is None or works_for(self._template, function, served):
                await self._work(function)
        async with httpx2.AsyncClient(timeout=HEALTH_SECONDS, trust_env=False) as client:
            await asyncio.gather(*(self._greet(client, name) for name in self.urls))
        if self._publish:
            self._write(
                "stack",
                {
                    "sqs": self.variables.get(_SQS_ENDPOINT),
                    "queues": queues_of_functions(self._template, self.queues),
                },
            )
            self._write("urls", self.urls)

    async def _start_services(self) -> None:
        """DynamoDB with the tables, and the scripted model: what a function needs around it."""
        (self._state / "logs").mkdir(parents=True, exist_ok=True)
        endpoint = os.environ.get(_ENDPOINT)
        if self._dynamodb_data or not endpoint:
            self.dynamodb = await self._start_dynamodb()
            self._open.push_async_callback(self.dynamodb.stop)
            endpoint = self.dynamodb.url
        await asyncio.to_thread(make_tables, self._template, endpoint)
        self.variables = {**CREDENTIALS, _ENDPOINT: endpoint, **self._provider.variables}
        if self._template.queues:
            await self._start_queues()
            await self._send_again()
        if self._provider.scripted:
            model = ScriptedModel(pace=self._pace, faults=self._faults)
            # The model alone keeps every prompt, for tests; a stack runs for days.
            model.app.log = RequestLog(self.log_path("model"))
            await asyncio.to_thread(model.start)
            self._open.callback(model.stop)
            self.variables |= {
                "RILL_MODEL_PROVIDER": "scripted",
                "RILL_MODEL_URL": model.openai_base_url,
                "RILL_MODEL_SECRET_ARN": "",
            }

    async def _start_dynamodb(self) -> LocalDynamoDB:
        log = self._log("dynamodb")
        if self._dynamodb_data is None:
            return await LocalDynamoDB.start(log)
        try:
            command = dynamodb_local.command(self._dynamodb_data)
        except dynamodb_local.NotBuiltError as error:
            raise StackError(str(error)) from error
        return await LocalDynamoDB.start(log, command, "DynamoDB Local")

    async def _start_queues(self) -> None:
        endpoint = os.environ.get(_SQS_ENDPOINT)
        if not endpoint:
            # moto serves both; where another DynamoDB is used, it still has to serve this.
            if (server := self.dynamodb) is None or self._dynamodb_data:
                server = self._sqs = await LocalDynamoDB.start(self._log("sqs"))
                self._open.push_async_callback(server.stop)
            endpoint = server.url
        try:
            self.queues = await asyncio.to_thread(make_queues, self._template.queues, endpoint)
        except QueueProblem as problem:
            raise StackError(str(problem)) from problem
        self.variables[_SQS_ENDPOINT] = endpoint

    async def _send_again(self) -> None:
        """Give the runs that a kept database has waiting to a queue that is new."""
        if self._sqs is None or not self._dynamodb_data or RUNS not in self._template.tables:
            return
        urls = queues_of_functions(self._template, self.queues)
        endpoint = self.variables[_ENDPOINT]
        try:
            await asyncio.to_thread(send_again, endpoint, self._sqs.url, urls)
        except QueueProblem as problem:
            raise StackError(str(problem)) from problem

    def log_path(self, name: str) -> Path:
        return self._state / "logs" / f"{name}.log"

    def _log(self, name: str) -> IO[bytes]:
        return self._open.enter_context(self.log_path(name).open("ab"))

    async def _serve(self, function: Function) -> None:
        front = Front(self._pool(function))
        self._open.push_async_callback(front.close)
        if not self._port:
            self.urls[function.name] = await front.start()
            return
        self.urls[function.name], port = await first_free(front.start, self._port)
        self._port = port + 1

    def _pool(self, function: Function) -> Pool:
        """The pool of a function that knows the queues by the URLs that they have here."""
        here = with_queues(self._template, function, self.queues)
        pool = Pool(here, self.variables, log=self._log(function.name), reload=self._reload)
        self._open.push_async_callback(pool.close)
        return pool

    async def _work(self, function: Function) -> None:
        """Poll the queues of a function."""
        if not function.sources:
            return
        pool, log = self._pool(function), self._log(function.name)
        for source in function.sources:
            if (queue := self._template.queues.get(source.queue)) is None:
                raise StackError(
                    f"{function.logical_id} reads a queue that the template has not: {source.queue}"
                )
            mapping = EventSourceMapping(
                pool,
                source,
                arn=queue.arn,
                queue_url=self.queues[queue.name],
                endpoint=self.variables[_SQS_ENDPOINT],
                log=log,
            )
            self._open.push_async_callback(mapping.close)
            await mapping.start()

    async def _greet(self, client: httpx2.AsyncClient, name: str) -> None:
        """Any answer will do but the one that Lambda gives for a function that did not start."""
        try:
            answer = await client.get(f"{self.urls[name]}health")
        except httpx2.HTTPError as error:
            self.broken[name] = str(error)
            return
        if answer.status_code == 502:
            self.broken[name] = self._last_words(name)

    def _last_words(self, name: str) -> str:
        lines = self.log_path(name).read_text(errors="replace").strip().splitlines()
        return "\n".join(lines[-8:])

    def _write(self, name: str, value: object) -> None:
        path, text = self._state / f"{name}.json", json.dumps(value, indent=2) + "\n"
        fresh = path.with_name(f".{name}.{os.getpid()}")
        fresh.write_text(text)
        fresh.replace(path)

        def remove() -> None:
            # Another stack may have written its own meanwhile.
            if path.is_file() and path.read_text() == text:
                path.unlink()

        self._open.callback(remove)

    async def child_gone(self) -> str:
        """Waits until something the stack needs has ended by itself; returns what, as a sentence."""
        children = {"dynamodb": self.dynamodb, "sqs": self._sqs}
        exits = {child.exit: (name, child) for name, child in children.items() if child is not None}
        if not exits:
            await asyncio.Event().wait()
        done, _ = await asyncio.wait(exits, return_when=asyncio.FIRST_COMPLETED)
        ended = done.pop()
        name, child = exits[ended]
        return f"{child.name} ended by itself, {_how(ended.result())}; its log is {self.log_path(name)}"


def _how(status: int) -> str:
    return f"with status {status}" if status >= 0 else f"by {signal.Signals(-status).name}"


async def first_free(start: Callable[[int], Awaitable[str]], port: int) -> tuple[str, int]:
    """Listen on `port` or the next free one; returns the URL and the port.

    Raises:
        StackError: a hundred ports in a row are taken.
    """
    for candidate in range(port, min(port + 100, 65536)):
        try:
            return await start(candidate), candidate
        except OSError:
            continue
    raise StackError(f"no port is free from {port} to {min(port + 99, 65535)}")


async def run(stack: Stack, work: Callable[[Stack], Awaitable[int]], *, interrupted: int = 130) -> int:
    """Start the stack, do the work and stop it all: also by Ctrl-C, SIGTERM, or when a child has died.

    Returns:
        what `work` returns, or `interrupted` where a signal ended it.

    Raises:
        StackError: the stack did not start, or a part of it ended by itself.
    """
    main, loop = asyncio.current_task(), asyncio.get_running_loop()
    asked: list[int] = []

    def ask(number: int) -> None:
        # Once: a second Ctrl-C must not cut the stopping short and leave processes behind.
        asked.append(number)
        if len(asked) == 1 and main is not None:
            main.cancel()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, ask, number)
    try:
        async with stack:
            return await _guarded(stack, work)
    except asyncio.CancelledError:
        if not asked:
            raise
        return interrupted
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _guarded(stack: Stack, work: Callable[[Stack], Awaitable[int]]) -> int:
    working, gone = asyncio.ensure_future(work(stack)), asyncio.ensure_future(stack.child_gone())
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            raise StackError(gone.result())
        return working.result()
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)
