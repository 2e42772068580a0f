"""The fixed answer that all models of the benchmark give: a grading, cut into deltas. Pure."""

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

_SIZES = (4, 3, 5, 4, 2, 6, 3, 3)
"""Characters of a delta, over and over: 3.75 on average, as a tokenizer cuts JSON."""

SIZE = 16_462
"""Characters of the usual answer: 4,390 deltas."""

_REASON = "The rep answers the question but doesn't tie it to what the customer said about {topic} before. "
_SAID = "You said {topic} costs you {hours} hours a week; shall we look at that first?"
_SKILLS = (
    "overall",
    "rapport",
    "discovery",
    "product_knowledge",
    "objection_handling",
    "closing",
    "communication",
)
_TOPICS = ("reporting", "the rollout", "support at night", "the price per seat", "security reviews")


@dataclass(frozen=True, slots=True)
class Answer:
    """A grading as text; `lines` are the numbers of the rep's lines that it rates."""

    text: str
    lines: tuple[int, ...]

    @property
    def deltas(self) -> list[str]:
        return cut(self.text)


def cut(text: str) -> list[str]:
    """The text in pieces as a model's tokens would be, always the same."""
    pieces: list[str] = []
    start = 0
    while start < len(text):
        size = _SIZES[len(pieces) % len(_SIZES)]
        pieces.append(text[start : start + size])
        start += size
    return pieces


def _parts() -> dict[str, Any]:
    return {
        "session_analysis": {
            "summary": "A discovery call about reporting. " * 6,
            "call_type": "discovery",
            "customer_needs": ["less work by hand", "one place for figures", "a price they can plan"],
            "outcome": "A second call with the head of operations is agreed.",
            "talk_ratio": 0.56,
            "questions_asked": 14,
        },
        "scores": {name: 60 + 3 * place for place, name in enumerate(_SKILLS)},
        "feedback": {
            "strengths": [{"point": "Asks open questions early.", "evidence_line": 3}] * 3,
            "improvements": [
                {"point": "Talks over a pause.", "evidence_line": 9, "suggestion": "Count to three first."}
            ]
            * 4,
        },
        "objection_handling": {
            "objections": [
                {
                    "line_number": 12,
                    "objection": "It costs more than what we have.",
                    "response_line": 13,
                    "handled": True,
                    "rating": 70,
                    "better_response": "What does an hour of your analysts cost you?",
                }
            ]
            * 3,
            "summary": "Price came up twice and was met once.",
        },
        "coaching": {
            "focus": "Tie each answer to a need that was said.",
            "priorities": [{"title": "Needs", "why": "They close.", "practice": "Repeat each in one line."}]
            * 3,
            "next_call_goal": "Agree on who decides, and when.",
        },
    }


def _rating(place: int) -> dict[str, Any]:
    topic = _TOPICS[place % len(_TOPICS)]
    return {
        "line_number": 2 * place + 1,
        "effectiveness": ("excellent", "good", "poor", "missed_opportunity")[place % 4],
        "reason": _REASON.format(topic=topic) * 2,
        "alternative_lines": [_SAID.format(topic=topic, hours=place + 2)] * 2,
    }


@cache
def answer(size: int = SIZE) -> Answer:
    """A valid answer of exactly `size` characters: as many line ratings as fit, then a longer summary."""
    parts, ratings = _parts(), [_rating(0)]
    while len(_text(parts, [*ratings, _rating(len(ratings))])) <= size:
        ratings.append(_rating(len(ratings)))
    left = size - len(_text(parts, ratings))
    if left < 0:
        raise ValueError(f"no grading is as short as {size} characters")
    parts["session_analysis"]["summary"] += "m" * left
    return Answer(_text(parts, ratings), tuple(rating["line_number"] for rating in ratings))


def _text(parts: dict[str, Any], ratings: list[dict[str, Any]]) -> str:
    return json.dumps({**parts, "line_ratings": ratings}, separators=(",", ": "))


def request(lines: tuple[int, ...], mode: str = "single") -> dict[str, Any]:
    """A grading request whose rep lines are those that the answer rates."""
    spoken = "We could start with the part that hurts most and look at the rest in a second step."
    transcript = []
    for line in lines:
        transcript.append({"line_number": line, "speaker": "rep", "text": spoken})
        transcript.append(
            {"line_number": line + 1, "speaker": "customer", "text": "What would that cost us?"}
        )
    return {"session_id": "bench", "transcript": transcript, "mode": mode}
