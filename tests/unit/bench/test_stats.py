"""Medians, percentiles and the order of rounds."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bench.stats import interleave, interleave_async, medians, order, percentile, side_by_side


def test_percentile_is_a_value_that_was_measured() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [percentile(values, percent) for percent in (0, 1, 50, 80, 99, 100)] == [1, 1, 3, 4, 5, 5]


def test_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 50)


def test_each_round_begins_one_further() -> None:
    assert [order(["a", "b", "c"], turn) for turn in (0, 1, 3)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["a", "b", "c"],
    ]
    assert order([], 2) == []


def test_rounds_are_interleaved_and_one_stall_does_not_count() -> None:
    ran: list[str] = []

    def measure(name: str, values: list[float]) -> float:
        ran.append(name)
        return values.pop(0)

    slow, fast = [10.0, 900.0, 12.0], [1.0, 2.0, 3.0]
    found = interleave({"slow": lambda: measure("slow", slow), "fast": lambda: measure("fast", fast)}, 3)
    assert found == {"slow": 12, "fast": 2}
    assert ran == ["slow", "fast", "fast", "slow", "slow", "fast"]


async def test_several_values_of_a_measure_have_their_own_medians() -> None:
    given = iter([{"p50": 1.0, "p99": 5.0}, {"p50": 3.0, "p99": 4.0}, {"p50": 2.0}])

    async def measure() -> dict[str, float]:
        return next(given)

    assert await interleave_async({"rill": measure}, 3) == {"rill": {"p50": 2, "p99": 4.5}}


async def test_side_by_side_all_of_a_round_run_at_once_and_the_first_round_does_not_count() -> None:
    here = asyncio.Barrier(2)
    given = {"rill": iter([900.0, 1, 3, 2]), "peer": iter([900.0, 4, 5, 6])}

    def of(name: str) -> Callable[[], Awaitable[dict[str, float]]]:
        async def measure() -> dict[str, float]:
            async with asyncio.timeout(5):
                await here.wait()
            return {"p50": next(given[name])}

        return measure

    rounds = await side_by_side({"rill": of("rill"), "peer": of("peer")}, 3)
    assert rounds == [
        {"rill": {"p50": 1}, "peer": {"p50": 4}},
        {"rill": {"p50": 3}, "peer": {"p50": 5}},
        {"rill": {"p50": 2}, "peer": {"p50": 6}},
    ]
    assert medians(rounds) == {"rill": {"p50": 2}, "peer": {"p50": 5}}


def test_no_rounds_have_no_medians() -> None:
    assert interleave({"rill": lambda: 1.0}, 0) == {}
