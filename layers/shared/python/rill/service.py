"""What can be done with the runs of one workflow: start, follow, cancel, take up again. No HTTP."""

import asyncio
import json
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from rill import sse
from rill.errors import BadRequest, Conflict, NotFound, RillError
from rill.events import Error
from rill.follow import Follower
from rill.models.client import LEISURE
from rill.pipeline import Workflow
from rill.queue import Queue
from rill.runs import Run, new_run_id
from rill.stores.dynamo import ConditionFailed
from rill.stores.idempotency import IdempotencyStore
from rill.stores.run_records import ENDED, RunRecord, now_ms
from rill.stores.runs import RunStore

R = TypeVar("R", bound=BaseModel)
logger = logging.getLogger(__name__)

LEISURE_SECONDS = 0.25
"""How often a worker reads what a model has said: as often as its log is written for somebody who follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """What the runtime says of the invocation a request came in."""

    request_id: str
    deadline_ms: int | None
    direct: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition(Generic[R]):
    """What makes a service out of a workflow.

    Args:
        name: the workflow's.
        request_model: what `POST /runs` takes.
        describe: what of a request stands in the run's record: `session_id`, `mode`, `rep`.
        start: makes a run, not yet started, of a request and its record.
        store: where runs are kept.
        result: the whole result of a complete run, as its `complete` event had it.
        explain: makes a sentence of one validation error of pydantic's.
        idempotency: where repeated starts are remembered, or None.
        queue: whose worker does runs that nobody waits for, or None.
        load: loads at start-up what the first run would; None where a request waits for the start-up.
        close: closes what is kept open; called when the process ends.
    """

    name: str
    request_model: type[R]
    describe: Callable[[R], dict[str, Any]]
    start: Callable[[R, RunRecord, Invocation], Run[Any]]
    store: RunStore
    result: Callable[[RunRecord], Awaitable[dict[str, Any]]]
    explain: Callable[[Any, Any], str]
    idempotency: IdempotencyStore | None = None
    queue: Queue | None = None
    load: Callable[[], Awaitable[None]] | None = None
    close: Callable[[], Awaitable[None]] | None = None


class Service(Generic[R]):
    """The runs of one workflow."""

    def __init__(self, definition: Definition[R]) -> None:
        self.definition = definition
        self.store = definition.store
        self.follower = Follower(definition.store, definition.result)

    # -- starting ------------------------------------------------------------------------------

    def validate(self, body: bytes) -> R:
        """The request in a body.

        Raises:
            BadRequest: naming what is wrong with it.
        """
        if not body.strip():
            raise BadRequest("The request body is empty; it has to be a JSON object.")
        try:
            document = json.loads(body)
        except ValueError as error:
            raise BadRequest(f"The request body is not JSON: {error}.") from error
        except RecursionError as error:
            raise BadRequest("The request body is nested too deep.") from error
        try:
            return self.definition.request_model.model_validate(document)
        except ValidationError as error:
            explain = self.definition.explain
            sentences = [explain(detail, document) for detail in error.errors(include_url=False)[:5]]
            more = f" ({error.error_count() - 5} more)" if error.error_count() > 5 else ""
            raise BadRequest("; ".join(sentences) + more) from error

    async def known(self, key: str | None, body: bytes, run_id: str) -> tuple[str, bool]:
        """The run that this `Idempotency-Key` stands for, and whether it was started before.

        Where the process that was to start it died before it could, it is started now, under its own id.

        Raises:
            Conflict: the key was used with another request.
            BadRequest: it is no usable key.
        """
        if key is None or self.definition.idempotency is None:
            return run_id, False
        if not 0 < len(key) <= 256 or not key.isprintable():
            raise BadRequest("The Idempotency-Key has to be 1 to 256 printable characters.")
        found = await self.definition.idempotency.remember(self.definition.name, key, body, run_id)
        if found == run_id:
            return run_id, False
        try:
            await self.follower.find(found)
        except NotFound:
            return found, False
        return found, True

    def start(self, request: R, body: bytes, run_id: str, invocation: Invocation) -> Run[Any]:
        """A run that is not started yet."""
        record = self._record(request, run_id, invocation)
        run = self.definition.start(request, record, invocation)
        run.request = body.decode()
        return self._with_queue(run)

    async def enqueue(self, request: R, body: bytes, run_id: str, invocation: Invocation) -> RunRecord:
        """Leave a run to the queue's worker.

        Raises:
            BadRequest: this workflow has no queue.
        """
        if self.definition.queue is None:
            raise BadRequest(f"{self.definition.name} has no queue: leave out `Prefer: respond-async`.")
        record = replace(self._record(request, run_id, invocation), state="queued", owner="queue", epoch=0)
        await self.store.begin(record, body.decode())
        try:
            await self.definition.queue.send(run_id)
        except RillError as error:
            failed = Error(
                code=error.code,
                message=error.message,
                retryable=error.retryable,
                request_id=invocation.request_id,
            )
            ended = replace(record, state="failed", error=sse.to_dict(failed), ended_at=now_ms())
            await self.store.change(record, ended)
            raise
        return record

    def _record(self, request: R, run_id: str, invocation: Invocation) -> RunRecord:
        return RunRecord(
            run_id=run_id,
            workflow=self.definition.name,
            request_id=invocation.request_id,
            state="running",
            created_at=now_ms(),
            owner=uuid.uuid4().hex,
            **self.definition.describe(request),
        )

    def _with_queue(self, run: Run[Any]) -> Run[Any]:
        if self.definition.queue is not None:
            run.hand_over = self.definition.queue.send
        return run

    # -- what exists ---------------------------------------------------------------------------

    async def read(self, run_id: str) -> dict[str, Any]:
        """A run as `GET /runs/{id}` shows it: while it runs, with the outputs of its finished steps.

        Raises:
            NotFound: there is none.
        """
        record = await self.follower.find(run_id)
        await self.follower.say_followed(record)  # whoever asks may ask again
        shown = {name: getattr(record, name) for name in _SHOWN}
        if record.state == "complete":
            shown["result"] = await self.definition.result(record)
        elif record.result is None:
            shown["result"] = await self.store.outputs(run_id, await self.store.finished(run_id))
        return shown

    async def cancel(self, run_id: str) -> dict[str, Any]:
        """Ask for a run's end; the answer says how it stands.

        Raises:
            NotFound: there is none, and none was made just now.
        """
        if not self.follower.may_come(run_id) and await self.store.get(run_id) is None:
            raise NotFound(f"There is no run {run_id!r}.")
        found = await self.store.cancel(run_id)
        state = "running" if found is None else found.state
        return {"run_id": run_id, "state": state, "cancel": state not in ENDED}

    # -- taking up again -----------------------------------------------------------------------

    async def again(self, run_id: str, step: str | None, invocation: Invocation) -> Run[Any]:
        """A run that has ended, to run a step and those that depend on it again; or all unfinished ones.

        Raises:
            NotFound: there is no such run or step.
            Conflict: it is running, or complete, or what it was started with has expired.
        """
        found = await self.follower.find(run_id)
        if found.state not in ENDED:
            raise Conflict("The run has not ended.")
        if step is None and found.state == "complete":
            raise Conflict("The run is complete; nothing of it is left to resume.")
        return await self._take_up(found, step, invocation)

    async def _take_up(self, found: RunRecord, step: str | None, invocation: Invocation) -> Run[Any]:
        text = await self.store.request(found.run_id)
        if text is None:
            raise Conflict("What the run was started with is no longer kept; start a new one.")
        request = self.validate(text.encode())
        planned = self.definition.start(request, found, invocation)
        workflow = planned.execution.workflow
        names = [each.name for each in workflow.steps]
        if step is not None and step not in names:
            raise NotFound(f"The run has no step {step!r}; it has {', '.join(names)}.")
        chosen = set() if step is None else dependants(workflow, step)
        outputs = await self.store.outputs(found.run_id, [name for name in names if name not in chosen])
        # A step rests on outputs that may be missing: then it runs again with what it rests on.
        rerun = [name for name in names if name not in outputs]
        try:
            claimed = await self.store.claim(found, uuid.uuid4().hex)
        except ConditionFailed as error:
            raise Conflict("The run was taken up by somebody else just now.") from error
        await self.store.forget_steps(found.run_id, sorted(chosen))
        run = self.definition.start(request, replace(claimed, request_id=invocation.request_id), invocation)
        run.request = text
        run.ledger.carry(found.usage, found.cost_usd)
        # What a lost run had begun may not have reached its record.
        again = rerun if _lost(found) else [name for name in rerun if found.attempts.get(name)]
        run.take_up(outputs, again, begun=await self._begun(found))
        return self._with_queue(run)

    async def _begun(self, found: RunRecord) -> bool:
        """Whether the log holds the run's beginning: not of one that never began, nor once it has expired."""
        if found.last_seq:
            async for batch in self.store.events(found.run_id, 0):
                return batch.first == 1
        return False

    async def work(self, event: Mapping[str, Any], invocation: Invocation) -> dict[str, Any]:
        """Do the runs of a batch of queue messages; returns Lambda's partial batch response.

        Source: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
        """
        records = event["Records"]
        done = await asyncio.gather(*(self._work_one(record, invocation) for record in records))
        failures = [
            {"itemIdentifier": record["messageId"]}
            for record, ok in zip(records, done, strict=True)
            if not ok
        ]
        return {"batchItemFailures": failures}

    async def _work_one(self, message: Mapping[str, Any], invocation: Invocation) -> bool:
        """Whether the message is done with."""
        try:
            run_id = str(json.loads(message["body"])["run_id"])
        except (ValueError, KeyError, TypeError):
            logger.exception("a message of the queue names no run: %.200r", message.get("body"))
            return False
        try:
            found = await self.store.get(run_id)
            if found is None:
                logger.error("run %s of the queue does not exist", run_id)
                return False
            found = await self.follower.settle(found)
            if found.state in ENDED and not _lost(found):
                return True
            if found.state == "running":  # perhaps delivered twice: look again when it must be over
                return False
            run = await self._take_up(found, None, invocation)
            LEISURE.set(LEISURE_SECONDS)
            async for _ in run.frames():
                pass
        except RillError:
            logger.exception("run %s of the queue could not be done", run_id)
            return False
        return True


_SHOWN = (
    "run_id",
    "session_id",
    "workflow",
    "request_id",
    "mode",
    "rep",
    "state",
    "created_at",
    "ended_at",
    "duration",
    "result",
    "error",
    "usage",
    "cost_usd",
    "line_ratings_count",
    "epoch",
    "last_seq",
)


def _lost(found: RunRecord) -> bool:
    """Whether the run has failed because its lease ran out."""
    return found.state == "failed" and found.owner.startswith("lost by ")


def dependants(workflow: Workflow[Any], step: str) -> set[str]:
    """The step and those that come after it, directly or not."""
    found = {step}
    while more := {s.name for s in workflow.steps if found.intersection(s.after)} - found:
        found |= more
    return found


__all__ = ["Definition", "Invocation", "Service", "dependants", "new_run_id"]
