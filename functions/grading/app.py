"""Composition root: settings, clients, and the app that Lambda's handler names."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette

from grading.models import GradingRequest
from grading.problems import explain
from grading.workflow import Grading, result, workflow
from rill.models.client import ModelClient
from rill.models.settings import ModelSettings
from rill.observability import Metrics, set_up_logging
from rill.pipeline import Execution
from rill.runs import Ledger, Run, new_run_id
from rill.stores.dynamo import Dynamo
from rill.stores.line_ratings import LineRatingRecord, LineRatingStore
from rill.stores.runs import RunRecord, RunStore, now_ms
from rill.web import Definition, Invocation, create_app


def build(env: Mapping[str, str]) -> Starlette:
    """The app over the tables and the model that `env` names."""
    set_up_logging(env)
    models = ModelClient(ModelSettings.from_env(env))
    metrics = Metrics(env)
    dynamo = Dynamo()
    runs = RunStore(dynamo, env["RILL_RUNS_TABLE"])
    ratings = LineRatingStore(dynamo, env["RILL_LINE_RATINGS_TABLE"])

    def start(request: GradingRequest, invocation: Invocation) -> Run[Grading]:
        ledger = Ledger()
        speakers = {line.line_number: line for line in request.transcript}

        async def keep(record: RunRecord, whole: dict[str, Any]) -> tuple[dict[str, Any], int]:
            rated = [
                LineRatingRecord(
                    **data,
                    speaker=speakers[data["line_number"]].speaker,
                    text=speakers[data["line_number"]].text,
                    created_at=now_ms(),
                )
                for data in whole["line_ratings"]
            ]
            await ratings.put(record.session_id, record.run_id, rated)
            return {k: v for k, v in whole.items() if k != "line_ratings"}, len(rated)

        return Run(
            record=RunRecord(
                run_id=new_run_id(),
                session_id=request.session_id,
                workflow="grading",
                request_id=invocation.request_id,
                mode=request.mode,
                state="running",
                created_at=now_ms(),
            ),
            execution=Execution(workflow(request), Grading(request, models, ledger.add)),
            assemble=result,
            store=runs,
            keep=keep,
            deadline_ms=invocation.deadline_ms,
            ledger=ledger,
            observe=metrics.run_ended,
        )

    async def read(run_id: str) -> dict[str, Any] | None:
        record = await runs.get(run_id)
        if record is None:
            return None
        found = asdict(record)
        if record.result is not None:
            rated = await ratings.of_run(record.session_id, run_id)
            found["result"]["line_ratings"] = [asdict(rating) for rating in rated]
        return found

    return create_app(
        Definition(
            name="grading",
            request_model=GradingRequest,
            start=start,
            read=read,
            explain=explain,
            close=models.close,
        )
    )


app = build(os.environ)
