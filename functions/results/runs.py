"""Runs: lists, one with its result, and exports."""

from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from results import cursors
from results.export import CONTENT_TYPES, MAX_RUNS, rendered
from results.models import Run, RunDetail, RunPage, State
from results.periods import period
from results.reading import collect, with_results
from results.responses import check_size, documented, tagged
from results.sessions import CursorParameter, Limit
from results.stores import Stores
from rill.errors import BadRequest, NotFound
from rill.stores.queries import RunFilter
from rill.stores.runs import RunRecord
from rill.transcripts import SessionId

WorkflowName = Annotated[str, Query(min_length=1, max_length=64)]
From = Annotated[
    str | None, Query(alias="from", description="First date or time, ISO 8601, in UTC by default.")
]
To = Annotated[str | None, Query(description="Last date (all of it), or the time at which the period ends.")]


def routes(stores: Stores) -> APIRouter:
    """The routes under `/runs`."""
    router = APIRouter(tags=["runs"])

    @router.get(
        "/runs",
        response_model=RunPage,
        responses=documented(304, 400),
        summary="List runs of a session or a workflow, newest first",
        description="One of `session_id` and `workflow` has to be there. "
        "Follow `next_cursor` until it is null: a page may be short, since its work is limited.",
    )
    async def list_runs(
        request: Request,
        session_id: SessionId | None = None,
        workflow: WorkflowName | None = None,
        state: State | None = None,
        limit: Limit = 50,
        cursor: CursorParameter = None,
    ) -> Response:
        if session_id is None and workflow is None:
            raise BadRequest("session_id, workflow: one of them has to be there.")
        wanted = RunFilter(session_id=session_id, workflow=workflow, state=state)
        page = await stores.runs.page(wanted, limit=limit, start=cursors.decode(cursor))
        found = [Run.model_validate(asdict(run)) for run in page.items]
        return tagged(request, RunPage(runs=found, next_cursor=cursors.encode(page.next)))

    # Before /runs/{run_id}, which would take it for a run's id.
    @router.get(
        "/runs/export",
        response_class=Response,
        responses={
            **documented(400),
            200: {
                "description": "The runs, oldest first.",
                "content": {name: {"schema": {"type": "string"}} for name in CONTENT_TYPES.values()},
            },
        },
        summary="Download the runs of a period as JSON lines or CSV",
        description=f"At most {MAX_RUNS} runs: narrow the period where there are more. JSON lines carry "
        "whole results, CSV the scores. Line ratings are at `/sessions/{session_id}/line-ratings`.",
    )
    async def export_runs(
        format: Literal["jsonl", "csv"] = "jsonl",
        workflow: WorkflowName = "grading",
        state: State | None = None,
        from_: From = None,
        to: To = None,
    ) -> Response:
        within = period(from_, to)
        wanted = RunFilter(workflow=workflow, state=state, from_ms=within.from_ms, to_ms=within.to_ms)
        found, more = await collect(stores.runs, wanted, MAX_RUNS)
        if more:
            message = f"There are more than {MAX_RUNS} runs, the limit of an export; narrow `from` and `to`."
            raise BadRequest(message)
        records = await with_results(stores.runs, list(reversed(found)))
        body = rendered(format, [detail(record) for record in records]).encode()
        check_size(body, "narrow `from` and `to`")
        headers = {
            "Content-Disposition": f'attachment; filename="runs.{format}"',
            "Cache-Control": "no-store",
        }
        return Response(body, media_type=CONTENT_TYPES[format], headers=headers)

    @router.get(
        "/runs/{run_id}",
        response_model=RunDetail,
        responses=documented(304, 404),
        summary="Read a run with its result",
        description="Line ratings are not part of it: see `/sessions/{session_id}/line-ratings`.",
    )
    async def read_run(request: Request, run_id: SessionId) -> Response:
        record = await stores.runs.get(run_id)
        if record is None:
            raise NotFound(f"There is no run {run_id!r}.")
        return tagged(request, detail(record))

    return router


def detail(record: RunRecord) -> RunDetail:
    """The run as it is shown; who holds its lease and such is nobody's business."""
    known = asdict(record)
    return RunDetail.model_validate({name: known.get(name) for name in RunDetail.model_fields})
