"""Sentences for what is wrong with a request, naming the parameter or the line of the call."""

from typing import Any

from rill.transcripts import MAX_LINE_CHARS, MAX_LINES


def explain(detail: Any, body: Any) -> str:
    """A sentence of one of pydantic's error details.

    Args:
        detail: as in `ValidationError.errors()`: `loc`, `msg`, `type`, `input`.
        body: the request's body as it came.
    """
    where = detail["loc"][1:]  # the first is "body" or "query"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "json_invalid" or (detail["loc"][0] == "body" and not where):
        return f"The request body has to be a JSON object, sent as application/json: {message}"
    if detail["type"] == "too_long" and where == ("transcript",):
        return f"transcript: {len(detail['input'])} lines are over the limit of {MAX_LINES}"
    if len(where) >= 2 and where[0] == "transcript" and isinstance(where[1], int):
        line = body["transcript"][where[1]] if isinstance(body, dict) else None
        number = line.get("line_number") if isinstance(line, dict) else None
        entry = f"line {number}" if isinstance(number, int) else f"entry {where[1] + 1}"
        if detail["type"] == "string_too_long":
            message = f"{len(detail['input'])} characters are over the limit of {MAX_LINE_CHARS}"
        return ": ".join([f"transcript {entry}", *map(str, where[2:]), message])
    return f"{'.'.join(map(str, where))}: {message}"
