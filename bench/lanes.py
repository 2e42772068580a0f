"""Answers of a model side by side: who is measured in one of them has the machine in the state of all."""

import asyncio
import random
from dataclasses import dataclass, field

LEAD_SECONDS = 0.05
"""From the last request to the answers: what a request makes everybody do is over by then."""

WAIT_SECONDS = 30.0
"""For the others, who may be loading things at first."""


@dataclass(slots=True)
class _Waiter:
    places: int
    begin: asyncio.Future[float] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Lanes:
    """Lets answers begin together, each delta of one at a moment of its own between two of another's.

    With five lanes and 10 ms between two deltas, everybody has 2 ms for itself, and what the machine does
    meanwhile meets all of them. Who comes behind whom is another matter each time.
    """

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._waiting: list[_Waiter] = []

    async def join(self, lanes: int, tick: float, places: int = 1) -> float:
        """Wait for the others; when to begin, in the event loop's seconds.

        Args:
            lanes: how many answers there are to be.
            tick: seconds between two deltas of one.
            places: for how many deltas there is to be room from this one to the next one's: who still has
                something to do after a delta should not take the time of whoever comes next.

        Raises:
            TimeoutError: the others did not come.
        """
        mine = _Waiter(places)
        self._waiting.append(mine)
        if len(self._waiting) == lanes:
            self._begin(tick)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                return await mine.begin
        finally:
            if mine in self._waiting:
                self._waiting.remove(mine)

    def _begin(self, tick: float) -> None:
        first = asyncio.get_running_loop().time() + LEAD_SECONDS
        room = sum(waiter.places for waiter in self._waiting)
        place = 0
        for waiter in self._random.sample(self._waiting, len(self._waiting)):
            waiter.begin.set_result(first + place * tick / room)
            place += waiter.places
        self._waiting.clear()
