"""What grading takes and gives: the request, the six sections, the whole result."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

MAX_LINES = 2000
MAX_LINE_CHARS = 4000
MAX_KNOWLEDGE_CHARS = 100_000

Speaker = Literal["rep", "customer"]
Effectiveness = Literal["excellent", "good", "poor", "missed_opportunity"]
Score = Annotated[int, Field(ge=0, le=100)]
Text = Annotated[str, Field(max_length=4000)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Line(_Strict):
    """One line of the call; `line_number` counts from 1 and may have gaps."""

    line_number: int = Field(ge=1)
    speaker: Speaker
    text: str = Field(max_length=MAX_LINE_CHARS)


class Document(_Strict):
    """Team knowledge the rep is expected to use: a price list, a playbook."""

    title: str = Field(min_length=1, max_length=200)
    text: str = Field(min_length=1, max_length=MAX_KNOWLEDGE_CHARS)


class GradingRequest(_Strict):
    """A call to grade.

    `mode` "multi" asks for the sections in parallel model calls, "single" for all of them in one.
    `source` may say where the transcript comes from, `rep` whose call it was; neither is sent to the model.
    """

    session_id: str = Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:-]+$")
    transcript: list[Line] = Field(min_length=1, max_length=MAX_LINES)
    knowledge: list[Document] = Field(default=[], max_length=20)
    mode: Literal["multi", "single"] = "multi"
    source: str | None = Field(default=None, max_length=500)
    rep: str | None = Field(default=None, min_length=1, max_length=128)

    @field_validator("transcript")
    @classmethod
    def _unique_lines(cls, lines: list[Line]) -> list[Line]:
        seen: set[int] = set()
        for line in lines:
            if line.line_number in seen:
                raise ValueError(f"line {line.line_number} is there twice")
            seen.add(line.line_number)
        return lines

    @model_validator(mode="after")
    def _limits(self) -> "GradingRequest":
        if not any(line.text.strip() for line in self.transcript):
            raise ValueError("the transcript is empty: no line has any text")
        if sum(len(document.text) for document in self.knowledge) > MAX_KNOWLEDGE_CHARS:
            raise ValueError(f"the knowledge documents together are over {MAX_KNOWLEDGE_CHARS} characters")
        return self

    @property
    def rep_lines(self) -> list[Line]:
        """The lines that are rated, in the order of the call."""
        return [line for line in self.transcript if line.speaker == "rep"]


class SessionAnalysis(_Strict):
    """What kind of call it was. `talk_ratio` is the rep's share of the words, 0 to 1."""

    summary: Text
    call_type: Text
    customer_needs: list[Text] = Field(max_length=20)
    outcome: Text
    talk_ratio: float = Field(ge=0, le=1)
    questions_asked: int = Field(ge=0, le=MAX_LINES * 10)


class Scores(_Strict):
    """0 is worst, 100 best."""

    overall: Score
    rapport: Score
    discovery: Score
    product_knowledge: Score
    objection_handling: Score
    closing: Score
    communication: Score


class Strength(_Strict):
    point: Text
    evidence_line: int | None


class Improvement(_Strict):
    point: Text
    evidence_line: int | None
    suggestion: Text


class Feedback(_Strict):
    strengths: list[Strength] = Field(max_length=20)
    improvements: list[Improvement] = Field(max_length=20)


class Objection(_Strict):
    line_number: int
    objection: Text
    response_line: int | None
    handled: bool
    rating: Score
    better_response: Text


class ObjectionHandling(_Strict):
    objections: list[Objection] = Field(max_length=50)
    summary: Text


class Priority(_Strict):
    title: Text
    why: Text
    practice: Text


class Coaching(_Strict):
    focus: Text
    priorities: list[Priority] = Field(max_length=10)
    next_call_goal: Text


class LineRating(_Strict):
    """How well one line of the rep worked, and what could have been said instead."""

    line_number: int = Field(ge=1)
    effectiveness: Effectiveness
    reason: Text
    alternative_lines: list[Text] = Field(max_length=5)


class GradingResult(_Strict):
    """The whole answer, and the schema the single-call mode asks for."""

    session_analysis: SessionAnalysis
    scores: Scores
    feedback: Feedback
    objection_handling: ObjectionHandling
    coaching: Coaching
    line_ratings: list[LineRating]
