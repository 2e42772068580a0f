"""Medians, percentiles and the order of rounds."""

import pytest

from bench.stats import Rounds, interleave, interleave_async, order, percentile


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
    medians = interleave({"slow": lambda: measure("slow", slow), "fast": lambda: measure("fast", fast)}, 3)
    assert medians == {"slow": 12, "fast": 2}
    assert ran == ["slow", "fast", "fast", "slow", "slow", "fast"]


async def test_several_values_of_a_measure_have_their_own_medians() -> None:
    given = iter([{"p50": 1.0, "p99": 5.0}, {"p50": 3.0, "p99": 4.0}, {"p50": 2.0}])

    async def measure() -> dict[str, float]:
        return next(given)

    assert await interleave_async({"rill": measure}, 3) == {"rill": {"p50": 2, "p99": 4.5}}


def test_who_measured_nothing_has_no_median() -> None:
    rounds = Rounds(["a", "b"])
    rounds.add("a", 2.0)
    assert rounds.medians() == {"a": 2}
