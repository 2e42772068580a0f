"""Runs: lists, one with its result, and exports."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from results import cursors
from results.analytics import scores_of
from results.export import CONTENT_TYPES, MAX_RUNS, line, table
from results.models import Run, RunDetail, RunPage, State
from results.periods import period
from results.reading import MAX_EVALUATED, collect, with_results
from results.responses import MAX_ANSWER_BYTES, check_size, documented, sent, tagged, unchanged
from results.sessions import CursorParameter, Limit
from results.stores import StoresParameter
from rill.errors import BadRequest, NotFound
from rill.stores.queries import RunFilter
from rill.stores.runs import RunRecord
from rill.transcripts import SessionId

WorkflowName = Annotated[str, Query(min_length=1, max_length=64)]
From = Annotated[
    str | None, Query(alias="from", description="First date or time, ISO 8601, in UTC by default.")
]
To = Annotated[str | None, Query(description="Last date (all of it), or the time at which the period ends.")]

_NARROW = "narrow `from` and `to`"

router = APIRouter(tags=["runs"])
"""The routes under `/runs`."""


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
    stores: StoresParameter,
    session_id: SessionId | None = None,
    workflow: WorkflowName | None = None,
    state: State | None = None,
    limit: Limit = 50,
    cursor: CursorParameter = None,
) -> Response:
    if session_id is None and workflow is None:
        raise BadRequest("session_id, workflow: one of them has to be there.")
    wanted = RunFilter(session_id=session_id, workflow=workflow, state=state)
    in_list = f"session {session_id}" if session_id is not None else f"workflow {workflow}"
    page = await stores.runs.page(wanted, limit=limit, start=cursors.decode(in_list, cursor))
    found = [Run.model_validate(asdict(run)) for run in page.items]
    return tagged(request, RunPage(runs=found, next_cursor=cursors.encode(in_list, page.next)))


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
    stores: StoresParameter,
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
        message = f"An export takes at most {MAX_RUNS} runs, of {MAX_EVALUATED} in the period"
        raise BadRequest(f"{message}; {_NARROW}.")
    records = with_results(stores.runs, list(reversed(found)))
    text = await (_table(records) if format == "csv" else _lines(records))
    body = text.encode()
    check_size(body, _NARROW)
    headers = {
        "Content-Disposition": f'attachment; filename="runs.{format}"',
        "Cache-Control": "no-store",
    }
    return Response(body, media_type=CONTENT_TYPES[format], headers=headers)


@router.get(
    "/runs/{run_id}",
    response_model=RunDetail,
    responses=documented(304, 400, 404),
    summary="Read a run with its result",
    description="Line ratings are not part of it: see `/sessions/{session_id}/line-ratings`. "
    "To follow a run, send the `ETag` as `If-None-Match`: that is answered without reading the result.",
)
async def read_run(request: Request, run_id: SessionId, stores: StoresParameter) -> Response:
    if "if-none-match" in request.headers:
        standing = await stores.runs.standing(run_id)
        if standing is None:
            raise _no_run(run_id)
        if (answer := unchanged(request, _tag(standing))) is not None:
            return answer
    record = await stores.runs.get(run_id)
    if record is None:
        raise _no_run(run_id)
    body = detail(record).model_dump_json().encode()
    return sent(body, _tag(record), hint="its workflow's own address streams it")


async def _table(records: AsyncIterator[RunRecord]) -> str:
    return table(
        [(detail(replace(record, result=None)), scores_of(record.result)) async for record in records]
    )


async def _lines(records: AsyncIterator[RunRecord]) -> str:
    lines: list[str] = []
    size = 0
    async for record in records:
        lines.append(line(detail(record)))
        size += len(lines[-1])
        if size > MAX_ANSWER_BYTES:
            break  # it is too large to send, and what is still to come need not be read to know
    return "".join(lines)


def detail(record: RunRecord) -> RunDetail:
    """The run as it is shown; who holds its lease and such is nobody's business."""
    known = asdict(record)
    return RunDetail.model_validate({name: known.get(name) for name in RunDetail.model_fields})


def _tag(record: RunRecord) -> str:
    # Weak, for it is not made of the bytes: it stands for all that is shown but the result, which changes
    # with the state and the epoch only. So an unchanged run is known without reading its result, and a
    # result that never changes is not sent again because another release writes its JSON another way.
    shown = detail(replace(record, result=None)).model_dump_json()
    return f'W/"{hashlib.sha256(f"{record.epoch} {shown}".encode()).hexdigest()[:32]}"'


def _no_run(run_id: str) -> NotFound:
    return NotFound(f"There is no run {run_id!r}.")
