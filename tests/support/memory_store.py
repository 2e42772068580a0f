"""The tables of runs in dicts, and the queue in a list: what a service needs, without a network."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from typing import Any

from rill.errors import Conflict
from rill.queue import Queue, QueueError
from rill.stores.dynamo import ConditionFailed, StoreError
from rill.stores.idempotency import IdempotencyStore
from rill.stores.runs import (
    FOLLOWED_MS,
    LEASE_MS,
    NOTHING,
    Batch,
    RunRecord,
    RunStore,
    Unwritten,
    now_ms,
)


class MemoryStore(RunStore):
    """Keeps runs as long as the test runs.

    Attributes:
        runs: as stored.
        logs: the batches of each run.
        down: whether the database is away.
        delay: seconds that every call takes.
        writes: how many writes there were.
    """

    def __init__(self) -> None:
        self.runs: dict[str, RunRecord] = {}
        self.logs: dict[str, list[Batch]] = {}
        self.inputs: dict[str, str] = {}
        self.steps: dict[tuple[str, str], Any] = {}
        self.announced: set[str] = set()
        self.down = False
        self.delay = 0.0
        self.writes = 0
        self._changed = asyncio.Event()

    async def until(self, holds: Callable[[], object]) -> None:
        """Waits for writes until something holds."""
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    async def _call(self, *, write: bool = True) -> None:
        await asyncio.sleep(self.delay)
        if self.down:
            raise StoreError(detail="down")
        self.writes += write
        asyncio.get_running_loop().call_soon(self._changed.set)

    async def begin(self, record: RunRecord, request: str = "{}") -> None:
        await self._call()
        self.inputs[record.run_id] = request
        if record.run_id in self.runs or record.run_id in self.announced:
            raise ConditionFailed
        self.runs[record.run_id] = record

    async def end_early(self, record: RunRecord) -> None:
        await self._call()
        if record.run_id in self.runs or record.run_id not in self.announced:
            raise ConditionFailed
        self.runs[record.run_id] = record

    async def append(self, record: RunRecord, new: Unwritten, *, heed_cancel: bool = True) -> None:
        await self._call()
        found = self.runs.get(record.run_id)
        if found is None or found.owner != record.owner or (heed_cancel and found.cancel):
            raise ConditionFailed
        self.runs[record.run_id] = replace(
            found,
            lease_until=now_ms() + LEASE_MS,
            last_seq=record.last_seq,
            usage=record.usage,
            cost_usd=record.cost_usd,
            attempts=record.attempts,
            progress=record.progress,
        )
        self.add(record.run_id, new)

    def add(self, run_id: str, new: Unwritten) -> None:
        """What a write brings beside the run itself."""
        if new.batch is not None:
            self.logs.setdefault(run_id, []).append(new.batch)
        for step, output in new.outputs.items():
            self.steps[run_id, step] = json.loads(output)

    async def follow(self, run_id: str) -> None:
        await self._call()
        found = self.runs.get(run_id)
        if found is None or found.state != "running":
            raise ConditionFailed
        self.runs[run_id] = replace(found, followed_until=now_ms() + FOLLOWED_MS)

    async def finish(self, record: RunRecord, new: Unwritten = NOTHING) -> None:
        await self._call()
        found = self.runs.get(record.run_id)
        if record.run_id in self.announced and found is None:
            raise ConditionFailed
        if found is not None and (found.state != "running" or found.owner != record.owner):
            raise ConditionFailed
        self.runs[record.run_id] = record
        self.add(record.run_id, new)

    async def change(self, found: RunRecord, changed: RunRecord) -> None:
        await self._call()
        now = self.runs.get(found.run_id)
        same = ("owner", "state", "epoch", "lease_until")
        if now is None or any(getattr(now, name) != getattr(found, name) for name in same):
            raise ConditionFailed
        self.runs[found.run_id] = changed

    async def _flag(self, found: RunRecord) -> None:
        await self._call()
        self.runs[found.run_id] = replace(self.runs[found.run_id], cancel=True)

    async def _announce_cancel(self, run_id: str) -> None:
        await self._call()
        if run_id in self.runs:
            raise ConditionFailed
        self.announced.add(run_id)

    async def get(self, run_id: str) -> RunRecord | None:
        await self._call(write=False)
        return self.runs.get(run_id)

    async def request(self, run_id: str) -> str | None:
        await self._call(write=False)
        return self.inputs.get(run_id)

    async def events(self, run_id: str, after: int) -> AsyncIterator[Batch]:
        await self._call(write=False)
        for batch in list(self.logs.get(run_id, [])):
            if batch.last > after:
                yield batch

    async def save_step(self, run_id: str, step: str, output: str) -> None:
        await self._call()
        self.steps[run_id, step] = json.loads(output)

    async def forget_steps(self, run_id: str, steps: Iterable[str]) -> None:
        await self._call()
        for step in steps:
            self.steps.pop((run_id, step), None)

    async def finished(self, run_id: str) -> list[str]:
        await self._call(write=False)
        return [step for run, step in self.steps if run == run_id]

    async def outputs(self, run_id: str, steps: Iterable[str]) -> dict[str, Any]:
        await self._call(write=False)
        return {step: self.steps[run_id, step] for step in steps if (run_id, step) in self.steps}


class MemoryIdempotency(IdempotencyStore):
    """Keys in a dict."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], tuple[bytes, str]] = {}

    async def remember(self, scope: str, given: str, body: bytes, run_id: str) -> str:
        known_body, known = self.known.setdefault((scope, given), (body, run_id))
        if known_body != body:
            raise Conflict
        return known


class MemoryQueue(Queue):
    """Messages in a list; `down` makes sending fail."""

    def __init__(self) -> None:
        super().__init__("memory")
        self.sent: list[str] = []
        self.down = False

    async def send(self, run_id: str, delay: int = 0) -> None:
        if self.down:
            raise QueueError
        self.sent.append(run_id)
