"""Sentences for what is wrong with a request, naming the line of the call where there is one."""

from typing import Any


def explain(detail: Any, document: Any) -> str:
    """A sentence of one of pydantic's error details.

    Args:
        detail: as in `ValidationError.errors()`: `loc`, `msg`, `type`, `input`.
        document: the request as it came.
    """
    location = detail["loc"]
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "too_long" and location == ("transcript",):
        return f"transcript: {len(document['transcript'])} lines are over the limit of 2000"
    if detail["type"] == "too_short" and location == ("transcript",):
        return "transcript: it is empty; a call has at least one line"
    if len(location) >= 2 and location[0] == "transcript" and isinstance(location[1], int):
        return _line(location, detail, document, message)
    where = ".".join(map(str, location))
    return f"{where}: {message}" if where else message


def _line(location: Any, detail: Any, document: Any, message: str) -> str:
    line = document["transcript"][location[1]]
    number = line.get("line_number") if isinstance(line, dict) else None
    where = f"transcript line {number}" if isinstance(number, int) else f"transcript entry {location[1] + 1}"
    if location[2:] == ("speaker",) and detail["type"] == "literal_error":
        return f"{where}: speaker {str(detail['input'])[:40]!r} is neither 'rep' nor 'customer'"
    if location[2:] == ("text",) and detail["type"] == "string_too_long":
        return f"{where}: its text has {len(line['text'])} characters, over the limit of 4000"
    return ": ".join([where, *map(str, location[2:]), message])
