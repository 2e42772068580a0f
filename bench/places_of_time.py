"""Which part of a function a stack sampled by py-spy was in. Pure."""

import re
from collections import Counter
from collections.abc import Iterable

STORED = "log and DynamoDB"
PARTS: tuple[tuple[str, str], ...] = (
    ("HTTP from the model", r"httpx2|openai/|rill/transport|rill/chunked"),
    ("the model's events: split and decoded", r"rill/models/wire"),
    ("sections: parsed and validated", r"rill/sections|rill/models/structured\.py:|pydantic"),
    ("events: numbered and encoded", r"rill/sse|rill/events|_encode \(rill/runs"),
    ("HTTP to the client", r"starlette/|rill/web|rill/runtime/(exchange|response|client|connection)"),
    (
        "steps and their events' way",
        r"rill/(pipeline|channel|runs|ledger|service|models)|grading/workflow|text\.py",
    ),
)
"""In this order for each frame, from the innermost one outward: the first that fits has the sample."""

ELSE = "event loop and the rest"
# Waiting is no work: for the selector, for work in a thread, for an answer of DynamoDB's.
_WAITING = re.compile(r"select \(selectors\.py:\d+\)$|_worker \(concurrent/futures/thread|readinto \(socket")
# A generator that passes on what it is given is in every stack: it counts only where it works itself.
_PASSING = re.compile(r"^(sections|_ask) ")
# DynamoDB is called by HTTP as well: what is on the way there is the store's, whatever is innermost.
_STORED = re.compile(r"rill/stores/|rill/run_log|botocore")
_COMPILED = tuple((name, re.compile(pattern)) for name, pattern in PARTS)


def part_of(frames: list[str]) -> str | None:
    """The part for a stack, outermost frame first; None for one that waits."""
    if _WAITING.search(frames[-1]):
        return None
    if any(map(_STORED.search, frames)):
        return STORED
    for depth, frame in enumerate(reversed(frames)):
        if depth and _PASSING.search(frame):
            continue
        for name, pattern in _COMPILED:
            if pattern.search(frame):
                return name
    return ELSE


def shares(lines: Iterable[str]) -> dict[str, float]:
    """Each part's share of the samples, largest first, out of py-spy's raw format: `a;b;c count`."""
    counted: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.strip().rpartition(" ")
        if stack and (part := part_of(stack.split(";"))) is not None:
            counted[part] += int(count)
    total = counted.total()
    return {part: count / total for part, count in counted.most_common()}
