"""Answers side by side: together, each at a place of its own."""

import asyncio

import pytest

from bench import lanes as module
from bench.lanes import Lanes


async def begun(lanes: Lanes, count: int, tick: float) -> list[float]:
    return await asyncio.gather(*(lanes.join(count, tick) for _ in range(count)))


async def test_each_has_a_place_of_its_own_within_a_tick() -> None:
    first, *others = sorted(await begun(Lanes(), 5, 0.01))
    assert [round(begin - first, 6) for begin in others] == [0.002, 0.004, 0.006, 0.008]


async def test_who_needs_more_room_gets_it() -> None:
    lanes = Lanes()
    wide, *others = await asyncio.gather(
        lanes.join(3, 0.012, places=2), lanes.join(3, 0.012), lanes.join(3, 0.012)
    )
    behind = [(begin - wide) % 0.012 for begin in others]
    assert sorted(round(gap, 6) for gap in behind) == [0.006, 0.009]


async def test_who_comes_behind_whom_changes() -> None:
    lanes, orders = Lanes(), set()
    for _ in range(10):
        begins = await begun(lanes, 3, 0.01)
        orders.add(tuple(sorted(range(3), key=lambda one: begins[one])))
    assert len(orders) > 3


async def test_one_that_waits_in_vain_is_told_and_counts_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.01)
    lanes = Lanes()
    with pytest.raises(TimeoutError):
        await lanes.join(2, 0.01)
    monkeypatch.setattr(module, "WAIT_SECONDS", 10.0)
    alone = asyncio.create_task(lanes.join(2, 0.01))
    await asyncio.sleep(0)
    assert not alone.done()
    assert len({await lanes.join(2, 0.01), await alone}) == 2
