"""Somebody who waits to be woken, at most so long, very often."""

import asyncio
import math


class Waiter:
    """One waits at a time; not thread-safe.

    A timer for each of many short waits costs more than they do: there is one, which looks whether the wait
    that is on has lasted too long, and sleeps on until it would have.
    """

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None
        self._deadline = math.inf
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, timeout: float | None) -> None:
        """Return when woken, or after so many seconds; None waits for ever."""
        loop = asyncio.get_running_loop()
        self._future = loop.create_future()
        self._deadline = math.inf if timeout is None else loop.time() + timeout
        if self._timer is None:
            self._set_timer(loop)
        elif self._timer.when() > self._deadline:
            self._timer.cancel()
            self._set_timer(loop)
        try:
            await self._future
        finally:
            self._future = None

    def wake(self) -> bool:
        """Let the one who waits go on; returns whether somebody waits, or was woken and had no turn yet."""
        future = self._future
        if future is None:
            return False
        if not future.done():
            future.set_result(None)
        return True

    def close(self) -> None:
        """Stop the timer. Another wait starts it again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        late = self._deadline < math.inf
        self._timer = loop.call_at(self._deadline, self._look, loop) if late else None

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._future is None:
            return
        if loop.time() < self._deadline:
            self._set_timer(loop)
        else:
            self.wake()
