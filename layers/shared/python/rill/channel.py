"""A bounded channel: many producers that wait their turn, one consumer that takes all there is."""

import asyncio
from collections import defaultdict, deque
from typing import Generic, TypeVar

from rill.waiter import Waiter

T = TypeVar("T")


class Channel(Generic[T]):
    """Values come out in the order in which they went in, over all producers.

    Each lane (one a producer) may have `size` values queued and then waits for the consumer, so a fast
    producer can lead a slow one by `size` and cannot starve it. Not thread-safe; one consumer.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError("a lane holds at least one value")
        self._size = size
        self._values: list[T] = []
        self._queued: defaultdict[str, int] = defaultdict(int)
        self._waiting: deque[tuple[asyncio.Future[None], T, str]] = deque()
        self._consumer = Waiter()
        self._closed = False

    async def put(self, value: T, lane: str = "") -> None:
        """Queue `value`; returns once its lane has room for it."""
        if (queued := self._queued[lane]) < self._size:
            self._queued[lane] = queued + 1
            self._values.append(value)
            if self._consumer.wake():
                await asyncio.sleep(0)  # the consumer's turn: somebody waits for the value
            return
        turn = asyncio.get_running_loop().create_future()
        entry = (turn, value, lane)
        self._waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if entry in self._waiting:
                self._waiting.remove(entry)
            raise

    def close(self) -> None:
        """No more values will come; what is queued can still be taken."""
        self._closed = True
        self._consumer.wake()
        self._consumer.close()

    async def take(self, timeout: float | None = None) -> list[T] | None:
        """All queued values, waiting for the first.

        Returns:
            An empty list after `timeout` seconds without one; None when the channel is closed and empty.
        """
        if not self._values and not self._closed:
            await self._consumer.wait(timeout)
        if not self._values:
            return None if self._closed else []
        taken, self._values = self._values, []
        self._queued.clear()
        if self._waiting:
            self._let_in()
        return taken

    def _let_in(self) -> None:
        """Those who wait for room, as far as there is some."""
        for entry in list(self._waiting):
            turn, value, lane = entry
            if self._queued[lane] < self._size and not turn.done():  # it is where its producer was cancelled
                self._waiting.remove(entry)
                self._queued[lane] += 1
                self._values.append(value)
                turn.set_result(None)
