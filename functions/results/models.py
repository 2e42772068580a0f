"""What the API takes and gives. Times are epoch milliseconds, costs US dollars."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from rill.transcripts import Line, SessionId, Transcript

State = Literal["queued", "running", "complete", "failed", "cancelled"]
Effectiveness = Literal["excellent", "good", "poor", "missed_opportunity"]
Cursor = Annotated[
    str | None, Field(description="Give it as `cursor` for the next page; null after the last one.")
]
Cost = Annotated[
    float | None,
    Field(description="Null where a price is unknown; in lists also until the run has ended."),
]


class Strict(BaseModel):
    """Unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NewSession(Strict):
    """A call's transcript to keep. Without a `session_id` one is made up."""

    session_id: SessionId | None = None
    title: str | None = Field(default=None, max_length=200)
    rep: str | None = Field(default=None, min_length=1, max_length=200)
    source: str | None = Field(default=None, max_length=500, description="Where the transcript comes from.")
    transcript: Transcript


class Session(Strict):
    """A session without its transcript; `lines` says how many there are."""

    session_id: str
    created_at: int
    lines: int
    title: str | None
    rep: str | None
    source: str | None


class SessionDetail(Session):
    """A session with its transcript."""

    transcript: list[Line]


class SessionPage(Strict):
    """Sessions, newest first."""

    sessions: list[Session]
    next_cursor: Cursor


class Run(Strict):
    """How a run stands, without what came out of it."""

    run_id: str
    session_id: str
    workflow: str
    mode: str
    state: State
    created_at: int
    ended_at: int | None
    rep: str | None
    cost_usd: Cost
    line_ratings_count: int


class RunDetail(Run):
    """A run with its result; line ratings are at `/sessions/{session_id}/line-ratings?run_id=`."""

    request_id: str
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    usage: dict[str, Any] | None


class RunPage(Strict):
    """Runs, newest first. A page may be short, or empty, and still have a next one."""

    runs: list[Run]
    next_cursor: Cursor


class LineRating(Strict):
    """How well a line of the rep worked, and what could have been said instead."""

    line_number: int
    speaker: str
    text: str
    effectiveness: Effectiveness
    reason: str
    alternative_lines: list[str]
    created_at: int


class LineRatings(Strict):
    """The ratings of one run, by line number."""

    session_id: str
    run_id: str
    line_ratings: list[LineRating]


class Figures(Strict):
    """What some runs come to. `scores` are averages over the `scored` runs that have scores."""

    runs: int
    scored: int
    scores: dict[str, float]
    lines: int
    effectiveness: dict[Effectiveness, int]


class Week(Figures):
    """The runs of one ISO week, in UTC; `starts` is its Monday."""

    week: str = Field(examples=["2026-W05"])
    starts: str = Field(examples=["2026-01-26"])


class Rep(Figures):
    """The runs of one rep; null for those that name none."""

    rep: str | None


class Place(Strict):
    """Where a line was said."""

    session_id: str
    run_id: str
    line_number: int


class MissedOpportunity(Strict):
    """A line that missed an opportunity, as often as it was said; the rest is of its newest use."""

    text: str
    count: int
    reason: str
    alternative_lines: list[str]
    latest: Place


class Analytics(Figures):
    """Figures over complete runs of a period, in all, by week and by rep."""

    workflow: str
    rep: str | None = Field(description="The only rep whose runs count; null for all.")
    from_ms: int | None
    to_ms: int | None = Field(description="The last millisecond of the period.")
    limited: bool = Field(description="True where there are more runs than are counted: the newest ones.")
    weeks: list[Week]
    reps: list[Rep]
    missed_opportunities: list[MissedOpportunity]


class Health(Strict):
    status: Literal["ok"]
    version: str


class Problem(Strict):
    """What went wrong; `message` is for people, `request_id` finds the log."""

    code: str
    message: str
    request_id: str
