"""A workflow of one step that passes a model's text on: what a coach or a tutor does, and nothing more."""

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from pydantic import BaseModel

from rill import run_log
from rill.events import Chunk
from rill.initialization import Initialization
from rill.ledger import Ledger
from rill.models.client import ModelClient
from rill.models.settings import ModelSettings
from rill.observability import Metrics, set_up_logging
from rill.pipeline import Execution, Output, Step, StepEvent, Task, Workflow
from rill.runs import Run
from rill.service import Definition, Invocation
from rill.stores.dynamo import Dynamo
from rill.stores.idempotency import IdempotencyStore
from rill.stores.runs import RunRecord, RunStore
from rill.web import create_app


class Question(BaseModel):
    """What is asked."""

    session_id: str
    question: str


if alone := os.environ.get("BENCH_ALONE_SECONDS"):
    run_log.ALONE_SECONDS = float(alone)
set_up_logging(os.environ)
models = ModelClient(ModelSettings.from_env(os.environ))
metrics = Metrics(os.environ)
dynamo = Dynamo(os.environ)
store = RunStore(dynamo, os.environ["RILL_RUNS_TABLE"])


async def _answer(task: Task[Question]) -> AsyncGenerator[StepEvent, None]:
    said: list[str] = []
    messages = [{"role": "user", "content": task.context.question}]
    async with models.open(tier="large", messages=messages) as call, aclosing(call.__aiter__()) as pieces:
        async for text in pieces:
            said.append(text)
            yield Chunk(step=task.step, content=text)
        yield call.usage(task.step)
    yield Output("".join(said))


WORKFLOW = Workflow("text", [Step(name="answer", label="Answer", run=_answer)])


def _result(outputs: Mapping[str, Any]) -> dict[str, Any]:
    return {"text": outputs["answer"]}


async def _stored(record: RunRecord) -> dict[str, Any]:
    return record.result or {}


async def _load() -> None:
    await models.load()
    await dynamo.load()
    await metrics.load()


async def _close() -> None:
    await models.close()
    await dynamo.close()


def _start(question: Question, record: RunRecord, invocation: Invocation) -> Run[Question]:
    return Run(
        record=record,
        execution=Execution(WORKFLOW, question),
        assemble=_result,
        store=store,
        deadline_ms=invocation.deadline_ms,
        ledger=Ledger(),
        observe=metrics.run_ended,
        prepare=models.ready,
    )


app = create_app(
    Definition(
        name="text",
        request_model=Question,
        describe=lambda asked: {"session_id": asked.session_id, "mode": "text"},
        start=_start,
        store=store,
        result=_stored,
        explain=lambda detail, document: str(detail["msg"]),
        idempotency=IdempotencyStore(dynamo, os.environ["RILL_IDEMPOTENCY_TABLE"]),
        load=_load if Initialization.from_env(os.environ).ahead else None,
        close=_close,
    )
)
