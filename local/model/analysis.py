"""Plain rules that rate a call: the scripted model's opinion, without its words. Pure.

A rep line starts at 52 points. Each rule it meets adds or takes points and leaves its reason; the sum
decides between excellent (72 and more), good (55 and more) and poor. A line that passes over a need, an
objection or a buying signal of the customer is a missed opportunity instead of merely poor or plain.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from local.model.signals import Line, Objection, Signals, read

Effectiveness = Literal["excellent", "good", "poor", "missed_opportunity"]

START, EXCELLENT, GOOD = 52, 72, 55
LONG_LINE = 70  # words; about half a minute of speech without a pause for the customer


@dataclass(frozen=True, slots=True)
class LineRating:
    line: Line
    effectiveness: Effectiveness
    points: int
    reasons: tuple[str, ...]
    customer_line: Line | None
    """The customer's words it answers, when it comes right after them."""


@dataclass(frozen=True, slots=True)
class ObjectionRating:
    line: Line
    kind: Objection
    response: Line | None
    handled: bool
    rating: int


@dataclass(frozen=True, slots=True)
class Scores:
    overall: int
    rapport: int
    discovery: int
    product_knowledge: int
    objection_handling: int
    closing: int
    communication: int


@dataclass(frozen=True, slots=True)
class Analysis:
    lines: tuple[Line, ...]
    ratings: tuple[LineRating, ...]
    objections: tuple[ObjectionRating, ...]
    needs: tuple[Line, ...]
    scores: Scores
    talk_ratio: float
    questions: int
    bought: bool


@lru_cache(maxsize=16)
def analyse(lines: tuple[Line, ...]) -> Analysis:
    """Rates a whole call. The six sections are asked for one by one, so the last few calls are kept."""
    ratings = tuple(_rate_lines(lines))
    objections = tuple(_rate_objections(lines))
    customer = [line for line in lines if not line.is_rep]
    rep_words = sum(read(line.text).words for line in lines if line.is_rep)
    all_words = sum(read(line.text).words for line in lines)
    talk_ratio = round(rep_words / all_words, 2) if all_words else 0.0
    bought = any(read(line.text).buying for line in customer[-6:])
    return Analysis(
        lines=lines,
        ratings=ratings,
        objections=objections,
        needs=tuple(line for line in customer if read(line.text).need),
        scores=_score(ratings, objections, talk_ratio, bought),
        talk_ratio=talk_ratio,
        questions=sum(read(line.text).asks for line in lines if line.is_rep),
        bought=bought,
    )


def _rate_lines(lines: Sequence[Line]) -> list[LineRating]:
    ratings: list[LineRating] = []
    before: Line | None = None
    for line in lines:
        if line.is_rep:
            answered = before if before is not None and not before.is_rep else None
            ratings.append(_rate_line(line, answered))
        before = line
    return ratings


def _rate_line(line: Line, customer: Line | None) -> LineRating:
    signals = read(line.text)
    heard = read(customer.text) if customer else Signals(words=0)
    points, reasons = START, list[str]()
    for given, reason in (*_own_rules(signals), *_reply_rules(signals, heard)):
        points += given
        reasons.append(reason)
    points = max(0, min(100, points))
    missed = _passes_over(signals, heard)
    if missed and points < EXCELLENT:
        return LineRating(line, "missed_opportunity", min(points, 45), (missed, *reasons), customer)
    effectiveness: Effectiveness = (
        "excellent" if points >= EXCELLENT else "good" if points >= GOOD else "poor"
    )
    return LineRating(line, effectiveness, points, tuple(reasons), customer)


def _own_rules(signals: Signals) -> list[tuple[int, str]]:
    """What the line shows by itself, whatever came before it."""
    rules: list[tuple[int, str]] = []
    if signals.asks_openly:
        rules.append((14, "asks an open question"))
    elif signals.asks:
        rules.append((6, "asks a question"))
    if signals.benefits:
        rules.append((10 + 4 * min(len(signals.benefits), 3), f"names a benefit ({signals.benefits[0]})"))
        if signals.figures:
            rules.append((4, "backs it with a figure"))
    if signals.empathy:
        rules.append((10, "shows empathy"))
    elif signals.warm:
        rules.append((4, "is friendly"))
    if signals.closes:
        rules.append((10, "moves towards a next step"))
    if signals.fillers:
        rules.append((-8 * min(len(signals.fillers), 4), f"uses fillers ({', '.join(signals.fillers[:3])})"))
    if signals.negative:
        rules.append((-25 * min(len(signals.negative), 2), f"puts the customer off ({signals.negative[0]})"))
    if signals.refuses and not signals.benefits:
        rules.append((-22, "says no and offers nothing instead"))
    if signals.words > LONG_LINE:
        rules.append((-12, f"talks for {signals.words} words without a pause"))
    return rules


def _reply_rules(signals: Signals, heard: Signals) -> list[tuple[int, str]]:
    """What the line shows as an answer to the customer's."""
    rules: list[tuple[int, str]] = []
    if heard.objection == "price":
        if signals.discount and not signals.benefits:
            rules.append((-15, "gives a discount before the value is clear"))
        elif signals.benefits or signals.asks:
            rules.append((8, "answers the price with value or a question"))
    elif heard.objection and (signals.asks or signals.empathy):
        rules.append((6, f"takes up the {heard.objection} objection"))
    if heard.buying and signals.closes:
        rules.append((8, "takes up the buying signal"))
    return rules


def _passes_over(signals: Signals, heard: Signals) -> str | None:
    """Which opening of the customer's the line leaves unused."""
    engaged = signals.asks or signals.empathy or signals.closes or bool(signals.benefits)
    if engaged:
        return None
    if heard.objection:
        return f"passes over the {heard.objection} objection"
    if heard.buying and signals.negative:
        return "passes over a buying signal"
    if heard.need and signals.words < 12:
        return "passes over a need the customer named"
    return None


def _rate_objections(lines: Sequence[Line]) -> list[ObjectionRating]:
    rated: list[ObjectionRating] = []
    for position, line in enumerate(lines):
        kind = None if line.is_rep else read(line.text).objection
        if kind is None:
            continue
        replies = _replies(lines, position)
        rating = _rate_replies(kind, [read(reply.text) for reply in replies])
        rated.append(ObjectionRating(line, kind, replies[0] if replies else None, rating >= 50, rating))
    return rated


def _replies(lines: Sequence[Line], position: int) -> list[Line]:
    """The rep's next turn: lines of the rep until the customer speaks again."""
    turn: list[Line] = []
    for line in lines[position + 1 :]:
        if line.is_rep:
            turn.append(line)
        elif turn:
            break
    return turn


def _rate_replies(kind: Objection, replies: Sequence[Signals]) -> int:
    if not replies:
        return 5
    points = 20
    points += 25 * any(reply.empathy for reply in replies)
    points += 25 * any(reply.asks for reply in replies)
    points += 30 * any(reply.benefits for reply in replies)
    if kind == "price" and any(reply.discount for reply in replies):
        points -= 15
    points -= 25 * any(reply.negative for reply in replies)
    return max(0, min(100, points))


def _score(
    ratings: Sequence[LineRating], objections: Sequence[ObjectionRating], talk_ratio: float, bought: bool
) -> Scores:
    if not ratings:
        return Scores(0, 0, 0, 0, 0, 0, 0)
    seen = [read(rating.line.text) for rating in ratings]
    average = sum(rating.points for rating in ratings) / len(ratings)
    missed = _share(rating.effectiveness == "missed_opportunity" for rating in ratings)
    put_off = _share(bool(signals.negative) for signals in seen)
    fillers = sum(len(signals.fillers) for signals in seen) / max(1, sum(signals.words for signals in seen))
    warm = _share(signals.warm or signals.empathy for signals in seen)
    empathy = _share(signals.empathy for signals in seen)
    asks, openly = _share(s.asks for s in seen), _share(s.asks_openly for s in seen)
    benefits = _share(bool(signals.benefits) for signals in seen)
    closes = any(signals.closes for signals in seen[-4:])
    balance = abs(talk_ratio - 0.5)
    parts = {
        "rapport": 45 + 60 * empathy + 35 * warm - 120 * put_off - 30 * missed,
        "discovery": 30 + 60 * asks + 60 * openly - 40 * missed - 30 * max(0.0, talk_ratio - 0.7),
        "product_knowledge": 40 + 110 * benefits + 15 * any(s.figures for s in seen) - 90 * put_off,
        "objection_handling": _mean([o.rating for o in objections]) if objections else average,
        "closing": 35 + 30 * closes + 25 * bought - 60 * put_off,
        "communication": 85 - 500 * fillers - 60 * balance - 80 * put_off,
    }
    whole = {name: _percent(value) for name, value in parts.items()}
    return Scores(overall=_percent(0.5 * average + 0.5 * _mean(list(whole.values()))), **whole)


def _share(flags: Iterable[bool]) -> float:
    values = list(flags)
    return sum(values) / len(values)


def _mean(values: Sequence[int]) -> float:
    return sum(values) / len(values)


def _percent(value: float) -> int:
    return max(0, min(100, round(value)))
