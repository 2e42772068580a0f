"""The pure path that is counted, and what is said where it cannot be."""

import pytest

from bench.answer import answer
from bench.apps import pure
from bench.figures import instructions
from bench.wire import chat


@pytest.mark.parametrize("way", instructions.WAYS)
def test_every_way_goes_over_every_delta(way: str) -> None:
    deltas = answer().deltas
    assert pure.WAYS[way]([chat(deltas).delta(delta) for delta in deltas]) == len(deltas)


def test_a_machine_without_valgrind_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    part = instructions.measure(quick=True)
    assert part.missing == {"callgrind": "valgrind is not installed: `apt install valgrind`"}
    assert [figure.rill for figure in part.figures] == [None, None]
