"""Medians of interleaved rounds. Pure."""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from statistics import median


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of the values do not exceed (nearest rank).

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("a percentile of nothing")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def order(names: Sequence[str], turn: int) -> list[str]:
    """The names, begun one further each round: nobody always runs after the same neighbour."""
    start = turn % len(names) if names else 0
    return [*names[start:], *names[:start]]


class Rounds:
    """Collects what each contestant measured, round by round."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self.values: dict[str, list[float]] = {name: [] for name in names}

    def add(self, name: str, value: float) -> None:
        self.values[name].append(value)

    def medians(self) -> dict[str, float]:
        """By contestant; those without a value are left out."""
        return {name: median(values) for name, values in self.values.items() if values}


def interleave(measures: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Each measure once a round, so that a slow minute of the machine hits them all; the medians."""
    kept = Rounds(list(measures))
    for turn in range(rounds):
        for name in order(kept.names, turn):
            kept.add(name, measures[name]())
    return kept.medians()


async def interleave_async(
    measures: Mapping[str, Callable[[], Awaitable[Mapping[str, float]]]], rounds: int
) -> dict[str, dict[str, float]]:
    """The same for measures that give several values each: medians by measure and value."""
    kept: dict[str, dict[str, list[float]]] = {name: {} for name in measures}
    for turn in range(rounds):
        for name in order(list(measures), turn):
            for what, value in (await measures[name]()).items():
                kept[name].setdefault(what, []).append(value)
    return {name: {what: median(values) for what, values in by.items()} for name, by in kept.items()}
