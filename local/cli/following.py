"""A run from whatever asks for it to its terminal event, over as many connections as that takes."""

import asyncio
import json
import random
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from local.cli.client import Ask, Client, Conflict, Dropped, NotFound
from local.cli.problems import Problem, Unreachable
from local.cli.render import Event, Renderer
from local.cli.text import clean

TERMINAL = frozenset({"complete", "cancelled", "error"})
LONGEST_WAIT = 30.0
"""Seconds of a `Retry-After` that a person at a terminal sits out."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a connection is tried again, and after how many seconds, with nothing new in between.

    Each pause is shortened by up to a half at random, so that the clients of a function that was away do
    not come back all at once. What the function has never taken is given up sooner: nothing is lost yet.
    """

    pauses: Sequence[float] = (0.2, 0.5, 1, 2, 4, 8, 8, 8)
    before_stream: int = 4

    def pause(self, failures: int, wait: float) -> float:
        pause = self.pauses[min(failures, len(self.pauses)) - 1]
        return max(pause * random.uniform(0.5, 1), wait)  # noqa: S311 - spreads load, keeps no secret


class Following:
    """One run. Call one of `start`, `attach` and `again`, once.

    Attributes:
        run_id: of the run, once it is known.
        ended: whether its terminal event has come.
    """

    def __init__(self, client: Client, renderer: Renderer, patience: Patience | None = None) -> None:
        self.run_id = ""
        self.ended = False
        self._client = client
        self._renderer = renderer
        self._patience = patience or Patience()
        self._last = 0
        self._after = 0
        self._reached = False
        self._streamed = False

    async def start(self, request: Mapping[str, Any]) -> Event:
        """Start a run; returns its terminal event.

        Raises:
            BadInput: the function refuses the request, with its own words.
            Unreachable: nobody answers, or the connection was lost and did not come back.
            Problem: the function failed before it sent anything.
        """
        ask = starting(request)
        return await self._to_the_end(lambda: ask if not self.run_id else self._events())

    async def attach(self, run_id: str, after: int = 0) -> Event:
        """Follow a run from the event after `after` on; raises as `start` does."""
        self.run_id, self._last, self._after = run_id, after, after
        return await self._to_the_end(self._events)

    async def again(self, run_id: str, step: str | None = None) -> Event:
        """Resume a run that has ended, or retry one step of it; raises as `start` does.

        A request without an answer may have begun its work. The run's epoch tells: it grows with each
        beginning, and what a step did is not paid for twice.
        """
        self.run_id = run_id
        look = Ask(method="GET", path=f"runs/{run_id}")
        before = await self.document(look)
        self._last = self._after = int(before.get("last_seq") or 0)
        what = "resume" if step is None else f"steps/{step}/retry"
        ask = Ask(method="POST", path=f"runs/{run_id}/{what}")
        asked = False

        async def attempt() -> Event:
            nonlocal asked
            if not asked:
                asked = True
                return await self._connection(ask)
            if (await self._client.document(look)).get("epoch") == before.get("epoch"):
                with suppress(Conflict):  # what was asked before has begun just now
                    return await self._connection(ask)
            return await self._connection(self._events())

        return await self._until_terminal(attempt)

    def _events(self) -> Ask:
        return Ask(method="GET", path=f"runs/{self.run_id}/events?after={self._after}")

    async def _to_the_end(self, ask: Callable[[], Ask]) -> Event:
        return await self._until_terminal(lambda: self._connection(ask()))

    async def _until_terminal(self, attempt: Callable[[], Awaitable[Event]]) -> Event:
        idle = 0
        while True:
            before = self._last
            event = await self._patiently(attempt)
            if event["type"] in TERMINAL:
                self.ended = True
                return event
            # A handoff: the run goes on, here or elsewhere. At once, unless nothing at all comes of it.
            idle = 0 if self._last > before else idle + 1
            if idle > 1:
                await asyncio.sleep(self._patience.pause(idle, 0.0))

    async def _connection(self, ask: Ask) -> Event:
        """Show what one connection brings; returns the terminal event, or the handoff."""
        async with self._client.stream(ask) as (run_id, events), aclosing(events):
            self._reached = self._streamed = True
            self.run_id = self.run_id or run_id
            async for number, event in events:
                if event.get("type") == "handoff":
                    if not isinstance(event.get("after"), int):
                        raise _strange(number)
                    self._after = event["after"]
                    return event
                terminal = event.get("type") in TERMINAL
                if number is not None and number <= self._last and not terminal:
                    continue  # shown before
                self._show(number, event)
                if terminal:
                    return event
        raise Dropped("the stream has no end")

    def _show(self, number: int | None, event: Event) -> None:
        try:
            self._renderer.event(event)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise _strange(number) from error
        if number is not None:
            self._last = self._after = number
        if event.get("type") == "start" and not self.run_id:
            self.run_id = clean(event["run_id"])

    async def document(self, ask: Ask) -> dict[str, Any]:
        """The answer to what may be asked twice; raises as `start` does."""
        return await self._patiently(lambda: self._client.document(ask))

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Attempts until one is answered; whatever is new in between makes patience new."""
        failures, newest = 0, self._last
        while True:
            try:
                return await attempt()
            except NotFound as error:
                if not self._streamed:
                    raise
                raise Unreachable(f"{self._lost()}, and the function does not know it: {error}") from error
            except Dropped as dropped:
                if self._last > newest:
                    failures, newest = 0, self._last
                failures += 1
                if self._hopeless(dropped, failures):
                    raise self._given_up(dropped) from dropped
                self._reached = True
                if failures == 1:
                    self._renderer.note(_note(dropped, streamed=self._streamed))
                await asyncio.sleep(self._patience.pause(failures, dropped.wait))

    def _hopeless(self, dropped: Dropped, failures: int) -> bool:
        if not self._reached and not dropped.reached:
            return True  # nobody was ever there
        most = len(self._patience.pauses) if self._streamed else self._patience.before_stream
        return failures > most or dropped.wait > LONGEST_WAIT

    def _given_up(self, dropped: Dropped) -> Problem:
        url = self._client.target.url
        if not self._reached and not dropped.reached:
            return Unreachable(f"nobody answers at {url}: {dropped}")
        if not self._streamed:
            return dropped.problem or Unreachable(f"{url} does not answer: {dropped}")
        follow = self._client.target.command("attach", self.run_id)
        hint = f".\nIt may go on without you; follow it with:\n  {follow}" if follow and self.run_id else ""
        return Unreachable(f"{self._lost()} and did not come back: {dropped}{hint}")

    def _lost(self) -> str:
        return f"the connection to run {self.run_id or '(of no id)'} was lost before its end"


def starting(request: Mapping[str, Any], *, wait: bool = True) -> Ask:
    """Asks for a new run, under a key that makes it safe to ask again."""
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    if not wait:
        headers["Prefer"] = "respond-async"
    return Ask(method="POST", path="runs", body=json.dumps(request).encode(), headers=headers)


def _strange(number: int | None) -> Unreachable:
    return Unreachable(f"event {number or '?'} of the stream is not of the protocol")


def _note(dropped: Dropped, *, streamed: bool) -> str:
    if dropped.problem is not None:
        return f"{dropped}; trying again…"
    return "connection lost, reattaching…" if streamed else "connection lost, asking again…"
