"""Medians of interleaved rounds. Pure."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
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


def interleave(measures: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Each measure once a round, so that a slow minute of the machine hits them all; the medians."""
    kept: dict[str, list[float]] = {name: [] for name in measures}
    for turn in range(rounds):
        for name in order(list(measures), turn):
            kept[name].append(measures[name]())
    return {name: median(values) for name, values in kept.items() if values}


Values = Mapping[str, float]
Measures = Mapping[str, Callable[[], Awaitable[Values]]]


async def interleave_async(measures: Measures, rounds: int) -> dict[str, dict[str, float]]:
    """The same for measures that give several values each: medians by measure and value."""
    found: list[dict[str, Values]] = []
    for turn in range(rounds):
        found.append({name: await measures[name]() for name in order(list(measures), turn)})
    return medians(found)


async def side_by_side(measures: Measures, rounds: int) -> list[dict[str, Values]]:
    """Rounds of all measures at once, by measure; a first round, which loads things, is left out."""
    found: list[dict[str, Values]] = []
    for _ in range(rounds + 1):
        values = await asyncio.gather(*(measure() for measure in measures.values()))
        found.append(dict(zip(measures, values, strict=True)))
    return found[1:]


def medians(rounds: Iterable[Mapping[str, Values]]) -> dict[str, dict[str, float]]:
    """By measure and value."""
    kept: dict[str, dict[str, list[float]]] = {}
    for found in rounds:
        for name, values in found.items():
            for what, value in values.items():
                kept.setdefault(name, {}).setdefault(what, []).append(value)
    return {name: {what: median(values) for what, values in by.items()} for name, by in kept.items()}
