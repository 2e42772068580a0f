"""Figures over graded runs: averages, weeks, reps, missed opportunities. Pure."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, get_args

from results.models import Effectiveness, Figures, MissedOpportunity, Place, Rep, Week
from rill.stores.line_ratings import LineRatingRecord
from rill.stores.queries import RunSummary

MAX_MISSED = 20


@dataclass(frozen=True, slots=True)
class Graded:
    """A complete run: its scores, and how its lines were rated."""

    run: RunSummary
    scores: Mapping[str, float]
    ratings: Sequence[LineRatingRecord]


def scores_of(result: Mapping[str, Any] | None) -> dict[str, float]:
    """The scores in a result; none where its workflow gives none."""
    scores = (result or {}).get("scores")
    if not isinstance(scores, dict):
        return {}
    return {name: value for name, value in scores.items() if type(value) in (int, float)}


@dataclass(slots=True)
class _Sum:
    runs: int = 0
    scored: int = 0
    scores: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    effectiveness: Counter[str] = field(default_factory=Counter)

    def add(self, graded: Graded) -> None:
        self.runs += 1
        self.scored += bool(graded.scores)
        for name, value in graded.scores.items():
            self.scores[name].append(value)
        self.effectiveness.update(rating.effectiveness for rating in graded.ratings)

    def figures(self) -> dict[str, Any]:
        """The fields of `Figures`."""
        counts = {name: self.effectiveness[name] for name in get_args(Effectiveness)}
        return {
            "runs": self.runs,
            "scored": self.scored,
            "scores": {name: round(sum(values) / len(values), 2) for name, values in self.scores.items()},
            "lines": sum(counts.values()),
            "effectiveness": counts,
        }


def in_all(graded: Sequence[Graded]) -> Figures:
    """The figures over all of them."""
    total = _Sum()
    for one in graded:
        total.add(one)
    return Figures(**total.figures())


def by_week(graded: Sequence[Graded]) -> list[Week]:
    """The figures of each ISO week that has runs, in UTC, oldest first."""
    sums: defaultdict[date, _Sum] = defaultdict(_Sum)
    for one in graded:
        year, week, _ = datetime.fromtimestamp(one.run.created_at / 1000, UTC).isocalendar()
        sums[date.fromisocalendar(year, week, 1)].add(one)
    return [
        Week(
            week=f"{monday.isocalendar().year}-W{monday.isocalendar().week:02d}",
            starts=monday.isoformat(),
            **sums[monday].figures(),
        )
        for monday in sorted(sums)
    ]


def by_rep(graded: Sequence[Graded]) -> list[Rep]:
    """The figures of each rep by name; those of runs without one come last."""
    sums: defaultdict[str | None, _Sum] = defaultdict(_Sum)
    for one in graded:
        sums[one.run.rep].add(one)
    return [Rep(rep=rep, **sums[rep].figures()) for rep in sorted(sums, key=lambda rep: (rep is None, rep))]


def missed(graded: Sequence[Graded], most: int = MAX_MISSED) -> list[MissedOpportunity]:
    """The lines that missed an opportunity most often; of equally frequent ones the newest first.

    Lines are the same where they differ in case and space only.
    """
    uses: defaultdict[str, list[tuple[Graded, LineRatingRecord]]] = defaultdict(list)
    for one in sorted(graded, key=lambda graded: graded.run.created_at, reverse=True):
        for rating in one.ratings:
            if rating.effectiveness == "missed_opportunity":
                uses[" ".join(rating.text.casefold().split())].append((one, rating))
    # Sorting keeps the order of equals, which is newest first.
    frequent = sorted(uses.values(), key=len, reverse=True)[:most]
    return [_opportunity(found) for found in frequent]


def _opportunity(uses: Sequence[tuple[Graded, LineRatingRecord]]) -> MissedOpportunity:
    newest, rating = uses[0]
    return MissedOpportunity(
        text=rating.text,
        count=len(uses),
        reason=rating.reason,
        alternative_lines=rating.alternative_lines,
        latest=Place(
            session_id=newest.run.session_id, run_id=newest.run.run_id, line_number=rating.line_number
        ),
    )
