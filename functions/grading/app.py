"""Composition root: settings, clients, and the app that Lambda's handler names."""

import os
from collections.abc import Mapping

from starlette.applications import Starlette

from grading.models import GradingRequest
from grading.problems import explain
from grading.storage import Storage
from grading.workflow import Grading, load_forms, result, workflow
from rill.initialization import Initialization
from rill.ledger import Ledger
from rill.models.client import ModelClient
from rill.models.settings import ModelSettings
from rill.observability import Metrics, set_up_logging
from rill.pipeline import Execution
from rill.queue import Queue
from rill.runs import Run
from rill.service import Definition, Invocation
from rill.stores.dynamo import Dynamo
from rill.stores.idempotency import IdempotencyStore
from rill.stores.line_ratings import LineRatingStore
from rill.stores.runs import RunRecord, RunStore
from rill.web import create_app


def build(env: Mapping[str, str]) -> Starlette:
    """The app over the tables, the queue and the model that `env` names."""
    set_up_logging(env)
    models = ModelClient(ModelSettings.from_env(env))
    metrics = Metrics(env)
    dynamo = Dynamo(env)
    runs = RunStore(dynamo, env["RILL_RUNS_TABLE"])
    storage = Storage(LineRatingStore(dynamo, env["RILL_LINE_RATINGS_TABLE"]))
    queue = Queue(env["RILL_QUEUE_URL"]) if env.get("RILL_QUEUE_URL") else None
    initialization = Initialization.from_env(env)

    def start(request: GradingRequest, record: RunRecord, invocation: Invocation) -> Run[Grading]:
        ledger = Ledger()
        return Run(
            record=record,
            execution=Execution(workflow(request), Grading(request, models, ledger.add)),
            assemble=result,
            store=runs,
            keep=storage.keep(request),
            deadline_ms=invocation.deadline_ms,
            ledger=ledger,
            observe=metrics.run_ended,
            prepare=models.ready,
        )

    async def load() -> None:
        await models.load(key=not initialization.snapshot)
        load_forms()
        await dynamo.load()
        await metrics.load()
        if queue is not None:
            await queue.load()

    async def close() -> None:
        await models.close()
        await dynamo.close()

    return create_app(
        Definition(
            name="grading",
            request_model=GradingRequest,
            describe=lambda r: {"session_id": r.session_id, "mode": r.mode, "rep": r.rep},
            start=start,
            store=runs,
            result=storage.result,
            explain=explain,
            idempotency=IdempotencyStore(dynamo, env["RILL_IDEMPOTENCY_TABLE"]),
            queue=queue,
            load=load if initialization.ahead else None,
            close=close,
        )
    )


app = build(os.environ)
