"""What an answer will be, delta by delta, with its fault already in it. Pure."""

import json
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from local.model.analysis import analyse
from local.model.answer import fill, spoil
from local.model.faults import Fault
from local.model.grading import sections
from local.model.prose import plain_answer, sentences
from local.model.request import CompletionRequest
from local.model.wire import FinishReason, pieces

REFUSAL = "Scripted model: I'm sorry, but I can't help with that request."
# Invalid wherever it lands: inside a string it ends it before a stray mark, outside one it opens a string
# with a raw line end in it, after a backslash the line end is the error.
NOISE = '"!\n'

Interruption = Literal["hang", "stall", "cut", "error", "malformed"]


@dataclass(frozen=True, slots=True)
class Plan:
    content: tuple[str, ...]
    reason: FinishReason = "stop"
    refusal: tuple[str, ...] = ()
    """Deltas of a refusal, after the content's."""
    interruption: Interruption | None = None
    at: int = 0
    """How many deltas come before the interruption."""


def plan(request: CompletionRequest, fault: Fault | None) -> Plan:
    """The answer to a request under a fault of any kind but a status."""
    kind = fault.kind if fault else None
    if fault and kind == "refusal":
        content = tuple(islice(pieces(_text(request)), fault.at))
        return Plan(content, refusal=tuple(pieces(REFUSAL)))
    deltas = tuple(pieces(_text(request, spoiled=kind == "wrong")))
    reason: FinishReason = "stop"
    if fault and kind == "broken":
        at = max(1, min(fault.at, len(deltas) - 1))
        deltas = (*deltas[:at], NOISE, *deltas[at:])
    if fault and kind in {"truncated", "filtered"}:
        deltas, reason = deltas[: fault.at], "length" if kind == "truncated" else "content_filter"
    if request.limit is not None and len(deltas) > request.limit:
        deltas, reason = deltas[: request.limit], "length"
    if fault and fault.kind in {"hang", "stall", "cut", "error", "malformed"}:
        # An answer shorter than the fault's place is interrupted at its end: no fault asked for is left out.
        return Plan(deltas, reason, interruption=fault.kind, at=min(fault.at, len(deltas)))
    return Plan(deltas, reason)


def _text(request: CompletionRequest, *, spoiled: bool = False) -> str:
    prompt = request.prompt
    analysis = analyse(prompt.lines) if prompt.lines else None
    if not request.json_answer:
        return plain_answer(prompt.question, prompt.material, analysis)
    known = sections(analysis, prompt.only) if analysis else {}
    if request.schema:
        value = fill(request.schema, known, sentences(prompt.question))
    else:
        value = known or {"answer": plain_answer(prompt.question, prompt.material, None)}
    return json.dumps(spoil(value) if spoiled else value, ensure_ascii=False)
