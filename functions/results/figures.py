"""The route of the analytics."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from results.analytics import Graded, by_rep, by_week, in_all, missed, scores_of
from results.models import Analytics
from results.periods import period
from results.reading import collect, each
from results.responses import documented, tagged
from results.runs import From, To, WorkflowName
from results.stores import Stores, StoresParameter
from rill.stores.queries import RunFilter, RunSummary

MAX_RUNS = 500
"""Each run takes two more reads: its result and its line ratings."""

router = APIRouter(tags=["analytics"])
"""The route `/analytics`."""


@router.get(
    "/analytics",
    response_model=Analytics,
    responses=documented(304, 400),
    summary="Average scores, weekly trend, line ratings and missed opportunities",
    description=f"Over the complete runs of a period, the newest {MAX_RUNS} at most: `runs` says of how "
    "many, `limited` whether there are more.",
)
async def read_analytics(
    request: Request,
    stores: StoresParameter,
    workflow: WorkflowName = "grading",
    rep: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
    from_: From = None,
    to: To = None,
) -> Response:
    within = period(from_, to)
    wanted = RunFilter(
        workflow=workflow, state="complete", rep=rep, from_ms=within.from_ms, to_ms=within.to_ms
    )
    found, more = await collect(stores.runs, wanted, MAX_RUNS)
    graded = await each(partial(_graded, stores), found)
    answer = Analytics(
        workflow=workflow,
        rep=rep,
        from_ms=within.from_ms,
        to_ms=within.to_ms,
        limited=more,
        **in_all(graded).model_dump(),
        weeks=by_week(graded),
        reps=by_rep(graded),
        missed_opportunities=missed(graded),
    )
    return tagged(request, answer, hint="narrow `from` and `to`")


async def _graded(stores: Stores, run: RunSummary) -> Graded:
    # Of the result, which may be large, only the scores are kept: there may be hundreds of runs.
    record = await stores.runs.get(run.run_id)
    ratings = await stores.ratings.of_run(run.session_id, run.run_id)
    return Graded(run, scores_of(None if record is None else record.result), ratings)
