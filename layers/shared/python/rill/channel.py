"""A bounded channel: many producers that wait their turn, one consumer that takes all there is."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Channel(Generic[T]):
    """First come, first served in both directions.

    A producer waits while `size` values are queued and takes its place behind those that wait already,
    so that a fast one cannot starve a slow one. Not thread-safe; one consumer.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError("a channel holds at least one value")
        self._size = size
        self._values: deque[T] = deque()
        self._waiting: deque[tuple[asyncio.Future[None], T]] = deque()
        self._consumer: asyncio.Future[None] | None = None
        self._closed = False

    async def put(self, value: T) -> None:
        """Queue `value`; returns once there is room for it."""
        if len(self._values) < self._size:
            self._values.append(value)
            self._wake()
            return
        turn = asyncio.get_running_loop().create_future()
        entry = (turn, value)
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
        self._wake()

    async def take(self, timeout: float | None = None) -> list[T] | None:
        """All queued values, waiting for the first.

        Returns:
            An empty list after `timeout` seconds without one; None when the channel is closed and empty.
        """
        if not self._values and not self._closed:
            await self._wait(timeout)
        if not self._values:
            return None if self._closed else []
        taken = list(self._values)
        self._values.clear()
        while self._waiting and len(self._values) < self._size:
            turn, value = self._waiting.popleft()
            self._values.append(value)
            if not turn.done():
                turn.set_result(None)
        return taken

    async def _wait(self, timeout: float | None) -> None:
        loop = asyncio.get_running_loop()
        self._consumer = loop.create_future()
        timer = None if timeout is None else loop.call_later(timeout, self._wake)
        try:
            await self._consumer
        finally:
            self._consumer = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._consumer is not None and not self._consumer.done():
            self._consumer.set_result(None)
