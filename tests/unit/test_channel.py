import asyncio

import pytest

from rill.channel import Channel


async def test_takes_all_there_is_in_order() -> None:
    channel: Channel[int] = Channel(4)
    for number in range(3):
        await channel.put(number)
    assert await channel.take() == [0, 1, 2]


async def test_a_full_lane_does_not_hold_up_another() -> None:
    channel: Channel[str] = Channel(1)
    await channel.put("a1", "a")
    stalled = asyncio.create_task(channel.put("a2", "a"))
    await asyncio.sleep(0)
    await channel.put("b1", "b")
    assert not stalled.done()
    assert [await channel.take(), await channel.take()] == [["a1", "b1"], ["a2"]]
    await stalled


async def test_a_full_lane_stalls_producers_first_come_first_served() -> None:
    channel: Channel[str] = Channel(1)
    await channel.put("first")
    producers = [asyncio.create_task(channel.put(name)) for name in "abc"]
    await asyncio.sleep(0)
    assert [await channel.take() for _ in range(4)] == [["first"], ["a"], ["b"], ["c"]]
    await asyncio.gather(*producers)


async def test_a_cancelled_producer_leaves_its_place() -> None:
    channel: Channel[str] = Channel(1)
    await channel.put("first")
    gone, stays = (asyncio.create_task(channel.put(name)) for name in ("gone", "stays"))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert [await channel.take(), await channel.take()] == [["first"], ["stays"]]
    await stays


async def test_a_producer_that_is_just_being_cancelled_has_left_its_place() -> None:
    channel: Channel[str] = Channel(1)
    await channel.put("first")
    gone, stays = (asyncio.create_task(channel.put(name)) for name in ("gone", "stays"))
    await asyncio.sleep(0)
    gone.cancel()
    assert [await channel.take(), await channel.take()] == [["first"], ["stays"]]
    with pytest.raises(asyncio.CancelledError):
        await gone
    await stays


async def test_a_producer_cancelled_after_its_turn_has_still_delivered() -> None:
    channel: Channel[str] = Channel(1)
    await channel.put("first")
    producer = asyncio.create_task(channel.put("second"))
    await asyncio.sleep(0)
    await channel.take()
    producer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await producer
    assert await channel.take() == ["second"]


async def test_silence_gives_an_empty_list_and_closing_gives_none() -> None:
    channel: Channel[int] = Channel(1)
    assert await channel.take(0.001) == []
    waiting = asyncio.create_task(channel.take(60))
    await asyncio.sleep(0)
    await channel.put(1)
    assert await waiting == [1]
    waiting = asyncio.create_task(channel.take())
    await asyncio.sleep(0)
    channel.close()
    assert await waiting is None
    assert await channel.take() is None


def test_a_channel_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Channel(0)


async def test_who_waits_has_a_value_before_its_producer_goes_on() -> None:
    channel: Channel[str] = Channel(8)
    order: list[str] = []

    async def produce() -> None:
        for value in "abc":
            await channel.put(value)
            order.append(f"put {value}")

    async def consume() -> None:
        while (values := await channel.take()) is not None:
            order.extend(f"took {value}" for value in values)

    consumer = asyncio.create_task(consume())
    await asyncio.sleep(0)
    await produce()
    channel.close()
    await consumer
    assert order == ["took a", "put a", "took b", "put b", "took c", "put c"]
