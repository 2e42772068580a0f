"""Waiting with one timer, in virtual time."""

import asyncio

import pytest

from rill.waiter import Waiter
from tests.support import clock


def _now() -> float:
    return asyncio.get_running_loop().time()


def test_a_wait_ends_when_it_is_woken() -> None:
    async def main() -> float:
        waiter = Waiter()
        asyncio.get_running_loop().call_later(1, waiter.wake)
        await waiter.wait(10)
        return _now()

    assert clock.run(main()) == 1


def test_a_wait_ends_after_its_time() -> None:
    async def main() -> float:
        await Waiter().wait(10)
        return _now()

    assert clock.run(main()) == pytest.approx(10)


def test_every_wait_has_its_own_time() -> None:
    async def main() -> list[float]:
        waiter, loop, ends = Waiter(), asyncio.get_running_loop(), []
        for seconds, wake in ((10.0, 4.0), (10.0, 9.0), (10.0, None), (2.0, None), (50.0, 1.0), (3.0, None)):
            if wake is not None:
                loop.call_later(wake, waiter.wake)
            began = _now()
            await waiter.wait(seconds)
            ends.append(round(_now() - began, 6))
        return ends

    assert clock.run(main()) == [4, 9, 10, 2, 1, 3]


def test_a_wait_without_an_end_is_not_ended_by_the_time_of_another_one() -> None:
    async def main() -> float:
        waiter = Waiter()
        asyncio.get_running_loop().call_later(1, waiter.wake)
        await waiter.wait(10)
        asyncio.get_running_loop().call_later(100, waiter.wake)
        await waiter.wait(None)
        return _now()

    assert clock.run(main()) == pytest.approx(101)


def test_many_waits_share_a_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> int:
        waiter, loop, timers = Waiter(), asyncio.get_running_loop(), 0
        real = loop.call_at

        def counted(*arguments: object, **more: object) -> asyncio.TimerHandle:
            nonlocal timers
            timers += 1
            return real(*arguments, **more)  # type: ignore[arg-type]  # handed on as they came

        for _ in range(1000):
            loop.call_later(0.01, waiter.wake)
            monkeypatch.setattr(loop, "call_at", counted)
            await waiter.wait(5)
            monkeypatch.undo()
        waiter.close()
        return timers

    assert clock.run(main()) <= 1000 * 0.01 / 5 + 1


def test_who_is_not_there_is_not_woken_later() -> None:
    async def main() -> float:
        waiter = Waiter()
        assert waiter.wake() is False
        await waiter.wait(1)
        return _now()

    assert clock.run(main()) == pytest.approx(1)


def test_woken_twice_is_woken_once() -> None:
    async def main() -> float:
        waiter = Waiter()
        task = asyncio.create_task(waiter.wait(5))
        await asyncio.sleep(1)
        assert waiter.wake() is True
        assert waiter.wake() is True  # until it has its turn
        await task
        assert waiter.wake() is False
        return _now()

    assert clock.run(main()) == 1


def test_a_cancelled_wait_leaves_a_timer_that_finds_nobody() -> None:
    async def main() -> bool:
        waiter = Waiter()
        task = asyncio.create_task(waiter.wait(5))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(10)
        return waiter.wake()

    assert clock.run(main()) is False


def test_closed_nothing_is_left_behind() -> None:
    async def main() -> float:
        waiter = Waiter()
        asyncio.get_running_loop().call_later(1, waiter.wake)
        await waiter.wait(10)
        waiter.close()
        waiter.close()
        await waiter.wait(3)  # and it works again
        return _now()

    assert clock.run(main()) == pytest.approx(4)
