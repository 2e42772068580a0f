"""Sessions: the transcripts that come in, and the line ratings of their runs."""

import uuid
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from results import cursors
from results.models import (
    Effectiveness,
    LineRating,
    LineRatings,
    NewSession,
    Session,
    SessionDetail,
    SessionPage,
)
from results.responses import documented, fits, tagged
from results.stores import Stores, StoresParameter
from rill.errors import BodyTooLarge, Conflict, NotFound
from rill.stores.dynamo import ConditionFailed
from rill.stores.queries import RunFilter
from rill.stores.runs import now_ms
from rill.stores.sessions import SessionRecord, SessionSummary
from rill.transcripts import SessionId

Limit = Annotated[int, Query(ge=1, le=100, description="Entries on a page.")]
CursorParameter = Annotated[str | None, Query(description="`next_cursor` of the page before.")]

_LIST = "sessions"
"""What cursors call the list of sessions."""

router = APIRouter(tags=["sessions"])
"""The routes under `/sessions`."""


@router.post(
    "/sessions",
    status_code=201,
    response_model=Session,
    responses=documented(400, 409, 413),
    summary="Keep a call's transcript as a new session",
)
async def create_session(new: NewSession, stores: StoresParameter) -> Response:
    summary = SessionSummary(
        session_id=new.session_id or uuid.uuid4().hex,
        created_at=now_ms(),
        lines=len(new.transcript),
        title=new.title,
        rep=new.rep,
        source=new.source,
    )
    record = SessionRecord(summary=summary, transcript=[line.model_dump() for line in new.transcript])
    if not fits(_detail(record).model_dump_json().encode()):
        raise BodyTooLarge("transcript: it is so large that its session could not be read back whole.")
    try:
        await stores.sessions.put(record)
    except ConditionFailed as error:
        raise Conflict(f"There is a session {summary.session_id!r} already.") from error
    return JSONResponse(
        asdict(summary), status_code=201, headers={"Location": f"/sessions/{summary.session_id}"}
    )


@router.get(
    "/sessions",
    response_model=SessionPage,
    responses=documented(304, 400),
    summary="List sessions, newest first",
)
async def list_sessions(
    request: Request, stores: StoresParameter, limit: Limit = 50, cursor: CursorParameter = None
) -> Response:
    page = await stores.sessions.page(limit=limit, start=cursors.decode(_LIST, cursor))
    found = [Session(**asdict(session)) for session in page.items]
    return tagged(request, SessionPage(sessions=found, next_cursor=cursors.encode(_LIST, page.next)))


@router.get(
    "/sessions/{session_id}",
    response_model=SessionDetail,
    responses=documented(304, 404),
    summary="Read a session with its transcript",
)
async def read_session(request: Request, session_id: SessionId, stores: StoresParameter) -> Response:
    record = await stores.sessions.get(session_id)
    if record is None:
        raise _no_session(session_id)
    return tagged(request, _detail(record))


@router.delete(
    "/sessions/{session_id}",
    status_code=204,
    responses=documented(404),
    summary="Delete a session's transcript",
    description="Its runs and their line ratings stay: they are the record of what was graded.",
)
async def delete_session(session_id: SessionId, stores: StoresParameter) -> Response:
    if not await stores.sessions.delete(session_id):
        raise _no_session(session_id)
    return Response(status_code=204)


@router.get(
    "/sessions/{session_id}/line-ratings",
    response_model=LineRatings,
    responses=documented(304, 400, 404, 409),
    summary="Read how well each line of the rep worked",
    description="Of one run; by default of the session's newest complete grading.",
)
async def read_line_ratings(
    request: Request,
    session_id: SessionId,
    stores: StoresParameter,
    run_id: SessionId | None = None,
    effectiveness: Effectiveness | None = None,
) -> Response:
    rated = await _rated_run(stores, session_id, run_id)
    ratings = await stores.ratings.of_run(session_id, rated)
    shown = [
        LineRating.model_validate(asdict(rating))
        for rating in ratings
        if effectiveness in (None, rating.effectiveness)
    ]
    answer = LineRatings(session_id=session_id, run_id=rated, line_ratings=shown)
    return tagged(request, answer, hint="ask for one `effectiveness` at a time")


async def _rated_run(stores: Stores, session_id: str, run_id: str | None) -> str:
    """The run whose ratings are asked for; ratings count once it is complete.

    Raises:
        NotFound: there is none.
        Conflict: it is not complete.
    """
    if run_id is None:
        wanted = RunFilter(session_id=session_id, workflow="grading", state="complete")
        newest = await stores.runs.newest(wanted)
        if newest is None:
            raise NotFound(f"There is no complete grading of session {session_id!r}.")
        return newest.run_id
    run = await stores.runs.get(run_id)
    if run is None or run.session_id != session_id:
        raise NotFound(f"There is no run {run_id!r} of session {session_id!r}.")
    if run.state != "complete":
        raise Conflict(f"Run {run_id!r} is {run.state}; only complete runs have line ratings.")
    return run_id


def _detail(record: SessionRecord) -> SessionDetail:
    return SessionDetail.model_validate({**asdict(record.summary), "transcript": record.transcript})


def _no_session(session_id: str) -> NotFound:
    return NotFound(f"There is no session {session_id!r}.")
