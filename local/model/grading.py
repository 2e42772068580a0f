"""Puts the analysis of a call into the words and shapes of the grading sections. Pure."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from local.model.analysis import Analysis, Effectiveness, LineRating, Scores
from local.model.signals import Objection, read

SCRIPTED = "Scripted model: "
Json = Any  # a decoded JSON value

_BETTER: Mapping[Objection, str] = MappingProxyType({
    "price": "I understand, it has to be worth it. What would it save you in a month?",
    "timing": "That makes sense. What would have to change for this to be worth your time, and by when?",
    "authority": "Of course. What will they want to know, and shall we set up a call with them together?",
    "competitor": "Good to hear you have something. What would you improve about it if you could?",
    "trust": "Fair question. What would you need to see to be sure, and may I show you a customer like you?",
    "no need": "I understand. How do you handle it today, and what does that take out of your week?",
})  # fmt: skip
_SKILL: Mapping[str, tuple[str, str, str]] = MappingProxyType({
    "rapport": ("Show that you heard it", "Few lines take up what the customer said.",
                "Repeat the customer's point in your own words before you answer."),
    "discovery": ("Ask more open questions", "The customer's reasons stay unknown without them.",
                  "Prepare three questions that start with what or how, and ask them in the first minutes."),
    "product_knowledge": ("Name the benefit", "Features were named without what they do for the customer.",
                          "End each feature with: which means that you…"),
    "objection_handling": ("Take up objections", "An objection that is passed over comes back at the close.",
                           "Acknowledge, ask one question, then answer with a benefit."),
    "closing": ("Close with a next step", "The call ends without an agreed step.",
                "Offer a date and a time before you say goodbye."),
    "communication": ("Speak shorter and plainer", "Fillers and long lines cost attention.",
                      "Pause instead of filling, and stop after two sentences."),
})  # fmt: skip


def sections(analysis: Analysis, only: frozenset[int] | None = None) -> dict[str, Json]:
    """All six sections by name; `only` limits the line ratings."""
    return {
        "session_analysis": _session(analysis),
        "scores": {name: getattr(analysis.scores, name) for name in Scores.__slots__},
        "feedback": {"strengths": _strengths(analysis), "improvements": _improvements(analysis)},
        "objection_handling": _objections(analysis),
        "coaching": _coaching(analysis),
        "line_ratings": [
            _rating(rating) for rating in analysis.ratings if only is None or rating.line.number in only
        ],
    }


def _quote(text: str, limit: int = 80) -> str:
    text = " ".join(text.split())
    return f"“{text}”" if len(text) <= limit else f"“{text[: limit - 1].rstrip()}…”"


def _session(analysis: Analysis) -> dict[str, Json]:
    scores, lines = analysis.scores, len(analysis.lines)
    outcome = "the customer agreed to go on" if analysis.bought else "no agreement on a next step"
    return {
        "summary": f"{SCRIPTED}a call of {lines} lines. The rep asked {analysis.questions} questions and met "
        f"{len(analysis.objections)} objections. It scores {scores.overall} of 100; {outcome}.",
        "call_type": _call_type(analysis),
        "customer_needs": [_quote(line.text, 160) for line in analysis.needs[:5]],
        "outcome": f"{outcome[0].upper()}{outcome[1:]}.",
        "talk_ratio": analysis.talk_ratio,
        "questions_asked": analysis.questions,
    }


def _call_type(analysis: Analysis) -> str:
    if len(analysis.lines) < 4:
        return "short contact"
    if analysis.objections:
        return "negotiation"
    return "closing call" if analysis.bought else "discovery call"


def _strengths(analysis: Analysis) -> list[Json]:
    best = sorted(analysis.ratings, key=lambda rating: (-rating.points, rating.line.number))
    return [
        {"point": f"{SCRIPTED}the line {_reasons(rating)}: {_quote(rating.line.text)}",
         "evidence_line": rating.line.number}
        for rating in best[:3] if rating.effectiveness in {"excellent", "good"}
    ]  # fmt: skip


def _improvements(analysis: Analysis) -> list[Json]:
    worst = sorted(analysis.ratings, key=lambda rating: (rating.points, rating.line.number))
    return [
        {"point": f"{SCRIPTED}the line {_reasons(rating)}: {_quote(rating.line.text)}",
         "evidence_line": rating.line.number,
         "suggestion": _alternatives(rating)[0]}
        for rating in worst[:3] if rating.effectiveness != "excellent"
    ]  # fmt: skip


def _objections(analysis: Analysis) -> dict[str, Json]:
    handled = sum(objection.handled for objection in analysis.objections)
    return {
        "objections": [
            {
                "line_number": objection.line.number,
                "objection": f"{objection.kind}: {_quote(objection.line.text)}",
                "response_line": objection.response.number if objection.response else None,
                "handled": objection.handled,
                "rating": objection.rating,
                "better_response": _BETTER[objection.kind],
            }
            for objection in analysis.objections
        ],
        "summary": f"{SCRIPTED}{handled} of {len(analysis.objections)} objections handled."
        if analysis.objections
        else f"{SCRIPTED}the customer raised no objection.",
    }


def _coaching(analysis: Analysis) -> dict[str, Json]:
    weakest = sorted(_SKILL, key=lambda name: getattr(analysis.scores, name))
    priorities = [dict(zip(("title", "why", "practice"), _SKILL[name], strict=True)) for name in weakest[:3]]
    return {
        "focus": f"{SCRIPTED}{weakest[0].replace('_', ' ')}, the lowest score of this call.",
        "priorities": priorities,
        "next_call_goal": _SKILL[weakest[0]][2],
    }


def _rating(rating: LineRating) -> dict[str, Json]:
    return {
        "line_number": rating.line.number,
        "effectiveness": rating.effectiveness,
        "reason": f"{SCRIPTED}{_reasons(rating)}.",
        "alternative_lines": [] if rating.effectiveness == "excellent" else _alternatives(rating),
    }


def _reasons(rating: LineRating) -> str:
    return ", ".join(rating.reasons) or "keeps the call going, no more"


def _alternatives(rating: LineRating) -> list[str]:
    """Lines to say instead, the most fitting first; never empty."""
    heard = read(rating.customer_line.text) if rating.customer_line else None
    lines: list[str] = []
    if heard and heard.objection:
        lines.append(_BETTER[heard.objection])
    if rating.customer_line and heard and heard.need:
        lines.append(
            f"You said {_quote(rating.customer_line.text)}: what would it change for you if that was solved?"
        )
    lines.append(_BY_EFFECTIVENESS[rating.effectiveness](rating))
    return lines[:2]


def _ask_on(rating: LineRating) -> str:
    if read(rating.line.text).asks:
        return "May I ask why that matters to you? Then I can name what fits best."
    text = rating.line.text.strip()
    if read(text).words < 8:
        return "Tell me what matters most to you, and I'll start there."
    return f"{text}{'' if text[-1] in '.!?' else '.'} What matters most to you here?"


def _say_better(rating: LineRating) -> str:
    signals = read(rating.line.text)
    if signals.negative:
        return "I understand. Tell me more about it, so that I can help you."
    if signals.refuses:
        return "That one I can't do. What I can do is look for another way: what matters most to you in it?"
    if signals.fillers:
        return "Let me put it plainly. What would help you most right now?"
    return _ask_on(rating)


_BY_EFFECTIVENESS: Mapping[Effectiveness, Callable[[LineRating], str]] = MappingProxyType({
    "excellent": _ask_on,
    "good": _ask_on,
    "poor": _say_better,
    "missed_opportunity": lambda _: "That sounds important. How do you deal with it today?",
})  # fmt: skip
