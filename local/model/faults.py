"""The faults the scripted model shows on demand, and the small language they are written in. Pure.

    faults   = fault *("," fault)
    fault    = [schema "="] kind ["@" deltas] *(":" modifier)
    kind     = HTTP status 400-599 | hang | stall | cut | error | malformed | truncated | refusal
             | filtered | broken | wrong
    modifier = times | "once" | "skip=" requests | "retry=" seconds

`schema` is the name of the response format (globs allowed), `text` for a request without one. Without `times`
a fault stays. Examples: `429:2`, `500:once`, `stall@20`, `scores=cut@5:once`, `line_ratings*=503:retry=0.1`.

| kind | what the client sees |
|---|---|
| a status | an error answer before the first byte; `retry=` sets Retry-After (429, 503: 1 by default) |
| hang | the connection stays open, no answer comes |
| stall | the answer starts and stops after `deltas`; `/release` lets it go on |
| cut | the connection drops after `deltas` |
| error | an error object as an event after `deltas`, and the end |
| malformed | an event after `deltas` that is not JSON, and the end |
| truncated | the answer ends after `deltas` with finish_reason `length` |
| filtered | the answer ends after `deltas` with finish_reason `content_filter` |
| refusal | after `deltas` (none by default) a refusal instead of content |
| broken | sound events, but the text they carry is no JSON from `deltas` on |
| wrong | sound JSON, but one value has the wrong type for the schema |
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, get_args

Kind = Literal[
    "status",
    "hang",
    "stall",
    "cut",
    "error",
    "malformed",
    "truncated",
    "filtered",
    "refusal",
    "broken",
    "wrong",
]
KINDS: frozenset[str] = frozenset(get_args(Kind)) - {"status"}
PLAIN_TEXT = "text"
DEFAULT_AT = 8
_MAX_TEXTS = 256

_FAULT = re.compile(
    r"(?:(?P<schema>[^=@:,\s]+)=)?(?P<kind>[a-z]+|\d{3})(?:@(?P<at>\d+))?(?P<modifiers>(?::[^:]*)*)"
)


class BadFault(ValueError):
    """A fault that is not written in the language above."""


@dataclass(frozen=True, slots=True)
class Fault:
    kind: Kind
    at: int
    status: int = 200
    retry_after: float | None = None
    text: str = ""
    """As it was written, for the log."""


@dataclass(slots=True)
class _Rule:
    """A fault with the count of requests it still applies to."""

    fault: Fault
    schema: str | None
    times: int | None = None
    skip: int = 0

    def take(self, schema: str) -> Fault | None:
        if self.schema is not None and not fnmatchcase(schema, self.schema):
            return None
        if self.skip:
            self.skip -= 1
            return None
        if self.times is None:
            return self.fault
        if self.times == 0:
            return None
        self.times -= 1
        return self.fault


class FaultBook:
    """Decides which fault, if any, meets a request; counts what it hands out.

    A fault that came with a request is counted by its text, so that `429:2` in a header means the first two
    requests that carry it, a client's retries included.
    """

    def __init__(self, faults: str = "") -> None:
        self._server = parse(faults)
        self._requests: dict[str, list[_Rule]] = {}
        self.text = faults

    def set(self, faults: str) -> None:
        """Replaces the server's faults and forgets all counts.

        Raises:
            BadFault: the text is no list of faults; nothing changes.
        """
        self._server = parse(faults)
        self._requests = {}
        self.text = faults

    def take(self, schema: str | None, *written: str | None) -> Fault | None:
        """The fault for this request: of its own texts the first that applies, else the server's."""
        name = schema if schema is not None else PLAIN_TEXT
        own = [rule for text in written if text for rule in self._counted(text)]
        return next((fault for rule in (*own, *self._server) if (fault := rule.take(name))), None)

    def _counted(self, text: str) -> list[_Rule]:
        if text not in self._requests:
            rules = parse(text)
            if len(self._requests) >= _MAX_TEXTS:
                self._requests.clear()
            self._requests[text] = rules
        return self._requests[text]


def parse(text: str) -> list[_Rule]:
    """Raises BadFault, naming the part that is wrong."""
    return [_parse_one(part.strip()) for part in text.split(",") if part.strip()]


def _parse_one(text: str) -> _Rule:
    match = _FAULT.fullmatch(text)
    if match is None:
        raise BadFault(f"not a fault: {text!r}")
    kind, at = match["kind"], match["at"]
    if kind.isdigit():
        status = int(kind)
        if not 400 <= status <= 599:
            raise BadFault(f"a fault's status is between 400 and 599, not {status}: {text!r}")
        default_retry = 1.0 if status in {429, 503} else None
        return _modified(
            match, lambda retry: Fault("status", 0, status, default_retry if retry is None else retry, text)
        )
    if kind not in KINDS:
        raise BadFault(f"no such fault: {kind!r}; there are a status and {', '.join(sorted(KINDS))}")
    position = int(at) if at else 0 if kind == "refusal" else DEFAULT_AT
    return _modified(match, lambda _: Fault(_as_kind(kind), position, text=text))


def _as_kind(word: str) -> Kind:
    found: Kind = next(kind for kind in get_args(Kind) if kind == word)
    return found


def _modified(match: re.Match[str], make: Callable[[float | None], Fault]) -> _Rule:
    times: int | None = None
    skip, retry = 0, None
    for modifier in match["modifiers"].split(":")[1:]:
        name, _, value = modifier.partition("=")
        try:
            if modifier == "once":
                times = 1
            elif name == "skip":
                skip = int(value)
            elif name == "retry":
                retry = float(value)
            else:
                times = int(modifier)
        except ValueError:
            raise BadFault(f"no such modifier: {modifier!r} in {match.string!r}") from None
    return _Rule(make(retry), match["schema"], times, skip)
