"""A call's transcript: what a line is, and how many and how long they may be."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MAX_LINES = 2000
MAX_LINE_CHARS = 4000

Speaker = Literal["rep", "customer"]
SessionId = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:-]+$")]


class Line(BaseModel):
    """One line of the call; `line_number` counts from 1 and may have gaps."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    line_number: int = Field(ge=1)
    speaker: Speaker
    text: str = Field(max_length=MAX_LINE_CHARS)


def _check(lines: list[Line]) -> list[Line]:
    seen: set[int] = set()
    for line in lines:
        if line.line_number in seen:
            raise ValueError(f"line {line.line_number} is there twice")
        seen.add(line.line_number)
    if not any(line.text.strip() for line in lines):
        raise ValueError("the transcript is empty: no line has any text")
    return lines


Transcript = Annotated[list[Line], Field(min_length=1, max_length=MAX_LINES), AfterValidator(_check)]
"""The lines of a whole call, in its order: each number once, and some text among them."""
