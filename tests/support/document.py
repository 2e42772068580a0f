"""A workflow of three steps, for tests of what happens to runs: a text, its review, and a list."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

from pydantic import BaseModel
from starlette.applications import Starlette

from rill import web
from rill.conformance import Report, check
from rill.errors import RillError
from rill.events import Chunk, Item, Section, Usage
from rill.models.client import LEISURE
from rill.pipeline import Execution, Output, Step, StepEvent, Task, Workflow
from rill.runs import Run
from rill.stores.runs import RunRecord, RunStore
from tests.support.asgi import Answer, call
from tests.support.memory_store import MemoryIdempotency, MemoryQueue, MemoryStore

STREAM = {"accept": "text/event-stream"}


class Subject(BaseModel):
    words: list[str] = ["one", "two", "three"]


class Document:
    """The service; every step waits at its gate, and raises what is put under its name.

    Attributes:
        gates: by step; open unless a test closes them.
        errors: by step: what its next attempts raise, before they end.
        ran: the steps that began, in order.
        leisure: how long a model client would wait between two reads, of each step that began.
        done: by step; set once an attempt has ended, or what it had opened was closed.
    """

    def __init__(self, store: RunStore | None = None) -> None:
        self.store = store or MemoryStore()
        self.queue = MemoryQueue()
        self.gates = {name: asyncio.Event() for name in ("write", "review", "list")}
        for gate in self.gates.values():
            gate.set()
        self.errors: dict[str, list[Exception]] = {}
        self.ran: list[str] = []
        self.leisure: list[float] = []
        self.done = {name: asyncio.Event() for name in self.gates}

    @property
    def memory(self) -> MemoryStore:
        """The store, where it is in memory."""
        assert isinstance(self.store, MemoryStore)
        return self.store

    def app(self, **changes: Any) -> Starlette:
        settings: dict[str, Any] = {
            "name": "document",
            "request_model": Subject,
            "describe": lambda _: {"session_id": "s", "mode": "live"},
            "start": self._start,
            "store": self.store,
            "result": self._result,
            "explain": lambda detail, _: f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}",
            "idempotency": MemoryIdempotency(),
            "queue": self.queue,
        }
        return web.create_app(web.Definition(**{**settings, **changes}))

    def _start(self, subject: Subject, record: RunRecord, invocation: web.Invocation) -> Run[Subject]:
        steps = [
            Step(name="write", label="Write", run=self._write, weight=3, attempts=2),
            Step(name="review", label="Review", run=self._review, after=("write",)),
            Step(name="list", label="List", run=self._list),
        ]
        return Run(
            record=record,
            execution=Execution(Workflow("document", steps), subject, keep_alive=0.05),
            assemble=lambda outputs: {name: outputs[name] for name in ("write", "review", "list")},
            store=self.store,
            deadline_ms=invocation.deadline_ms,
        )

    @staticmethod
    async def _result(record: RunRecord) -> dict[str, Any]:
        return record.result or {}

    async def _gated(self, task: Task[Subject]) -> None:
        self.leisure.append(LEISURE.get())
        try:
            await self.gates[task.step].wait()
        finally:
            self.done[task.step].set()
        if waiting := self.errors.get(task.step):
            raise waiting.pop(0)

    async def _write(self, task: Task[Subject]) -> AsyncGenerator[StepEvent, None]:
        self.ran.append(task.step)
        for word in task.context.words:
            yield Chunk(step=task.step, content=word)
        yield _usage(task.step)
        await self._gated(task)
        yield Output(" ".join(task.context.words))

    async def _review(self, task: Task[Subject]) -> AsyncGenerator[StepEvent, None]:
        self.ran.append(task.step)
        verdict = {"length": len(task.outputs["write"])}
        yield Section(step=task.step, section="verdict", data=verdict)
        yield _usage(task.step)
        await self._gated(task)
        yield Output(verdict)

    async def _list(self, task: Task[Subject]) -> AsyncGenerator[StepEvent, None]:
        self.ran.append(task.step)
        for index, word in enumerate(task.context.words):
            yield Item(step=task.step, section="words", index=index, data=word)
        yield _usage(task.step)
        await self._gated(task)
        yield Output(task.context.words)


def _usage(step: str) -> Usage:
    return Usage(step=step, model="m", input_tokens=10, output_tokens=1, cost_usd=0.25, certainty="exact")


def fails(error: type[RillError] = RillError) -> list[Exception]:
    """One failure."""
    return [error()]


async def post(app: Starlette, path: str = "/runs", body: Any = None, **kwargs: Any) -> Answer:
    """A request for a stream, unless its headers say otherwise."""
    headers = {**STREAM, **kwargs.pop("headers", {})}
    return await call(app, "POST", path, body=json.dumps(body or {}).encode(), headers=headers, **kwargs)


async def started(app: Starlette, **kwargs: Any) -> "tuple[str, asyncio.Task[Answer]]":
    """Starts a run and leaves it running; returns its id as soon as its first event is there."""
    first: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def on_piece(piece: bytes) -> None:
        if not first.done():
            first.set_result(json.loads(piece.split(b"data: ", 1)[1].split(b"\n", 1)[0])["run_id"])

    task = asyncio.create_task(post(app, on_piece=on_piece, **kwargs))
    return await first, task


async def get(app: Starlette, run_id: str) -> Any:
    """The run as `GET /runs/{id}` shows it."""
    return (await call(app, "GET", f"/runs/{run_id}")).json()


async def attach(app: Starlette, run_id: str, after: int = 0, *, gaps: bool = False) -> Report:
    """The events after one of them; checked."""
    answer = await call(app, "GET", f"/runs/{run_id}/events?after={after}", headers=STREAM)
    assert answer.status == 200, answer.body
    return check(answer.body, after=after, gaps=gaps)


RESULT = {"write": "one two three", "review": {"length": 13}, "list": ["one", "two", "three"]}
"""What a complete run of the default subject gives."""
