"""The wire events, version 1: one vocabulary for every workflow.

Each event is a small frozen dataclass; `Event` is the union of them, discriminated by `type`. A field
whose default is None may be absent on the wire; any other field is always there (`cost_usd` is null
where the price is unknown, never zero). Standard library only, since the first event of a stream is
built before anything heavy is imported; `rill.conformance` has the validating side.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from rill.errors import Code

Certainty = Literal["exact", "estimated", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepInfo:
    """A step as announced in `start`; `weight` is its share of the progress, in any unit."""

    step: str
    label: str
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageTotal:
    """Tokens of all model calls of a run, and the weakest certainty among them."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    calls: int
    certainty: Certainty


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The first event of every run."""

    type: Literal["start"] = "start"
    run_id: str
    workflow: str
    request_id: str
    steps: list[StepInfo]
    mode: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A sentence for the person waiting."""

    type: Literal["status"] = "status"
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Overall progress in percent, 0 to 100; never falls."""

    type: Literal["progress"] = "progress"
    progress: float
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStart:
    type: Literal["step_start"] = "step_start"
    step: str
    label: str
    attempt: int
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProgress:
    """Progress inside a long step in percent, 0 to 100."""

    type: Literal["step_progress"] = "step_progress"
    step: str
    progress: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepComplete:
    """A step has ended well; `duration` is in milliseconds."""

    type: Literal["step_complete"] = "step_complete"
    step: str
    duration: float
    data: Any = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepError:
    """An attempt of a step has failed; the run may go on."""

    type: Literal["step_error"] = "step_error"
    step: str
    attempt: int
    code: Code
    message: str
    retryable: bool
    will_retry: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One top-level part of a structured answer: complete, validated, sent once."""

    type: Literal["section"] = "section"
    step: str
    section: str
    data: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One element of a list section: complete, validated, sent once."""

    type: Literal["item"] = "item"
    step: str
    section: str
    index: int
    data: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of text, as the model gives it."""

    type: Literal["chunk"] = "chunk"
    step: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """Forget this step's chunks, sections and items: it starts again as `attempt`."""

    type: Literal["reset"] = "reset"
    step: str
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    type: Literal["citation"] = "citation"
    step: str
    index: int
    title: str
    source: str
    quote: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one model call used. `cost_usd` is None where the price is unknown."""

    type: Literal["usage"] = "usage"
    step: str
    model: str
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    certainty: Certainty
    cached_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    """Terminal: the whole result. `duration` is in milliseconds."""

    type: Literal["complete"] = "complete"
    data: Any
    duration: float
    usage: UsageTotal
    cost_usd: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """Terminal: the run was stopped; `data` is what there is."""

    type: Literal["cancelled"] = "cancelled"
    data: Any
    duration: float
    usage: UsageTotal
    cost_usd: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """Terminal: the run has failed."""

    type: Literal["error"] = "error"
    code: Code
    message: str
    retryable: bool
    request_id: str
    step: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Handoff:
    """Not terminal: this connection ends; reattach at once after event `after`."""

    type: Literal["handoff"] = "handoff"
    after: int


Event: TypeAlias = (
    Start
    | Status
    | Progress
    | StepStart
    | StepProgress
    | StepComplete
    | StepError
    | Section
    | Item
    | Chunk
    | Reset
    | Citation
    | Usage
    | Complete
    | Cancelled
    | Error
    | Handoff
)

EVENTS: tuple[type, ...] = get_args(Event)
TERMINAL: frozenset[str] = frozenset({"complete", "cancelled", "error"})

SKIP = 10_000
"""A run that was lost goes on at the next multiple of it: its client may hold events that no log has."""
