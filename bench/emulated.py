"""A function in an environment of the local emulator, heard at the emulator's own end."""

import json
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bench.heard import AnswerError, Heard
from bench.processes import children, cpu_seconds, resident_mb
from bench.serving import url_event
from local.functions.environment import Environment
from local.functions.invocation import Invocation
from local.functions.template import Function


@dataclass(slots=True)
class _Ear:
    """The sink of an invocation: notes every piece and its time."""

    heard: Heard = field(default_factory=Heard)

    async def start(self, content_type: str, *, streaming: bool) -> None:
        if not streaming:
            raise AnswerError(f"the function did not stream: {content_type}")

    async def write(self, data: bytes) -> None:
        self.heard.pieces.append((time.monotonic_ns(), data))


@dataclass(slots=True)
class Emulated:
    """One environment, with all processes that it has."""

    environment: Environment
    pid: int

    @property
    def pids(self) -> list[int]:
        """The process that the emulator started, and what that one started."""
        return [self.pid, *children(self.pid)]

    def cpu_seconds(self) -> float:
        """Of all its processes."""
        return sum(map(cpu_seconds, self.pids))

    def resident_mb(self) -> float:
        """Of all its processes."""
        return sum(map(resident_mb, self.pids))

    async def run(self, body: bytes) -> Heard:
        """One run; returns when the environment is frozen again."""
        ear = _Ear()
        event = json.dumps(url_event("POST", "/runs", body, {})).encode()
        invocation = Invocation(event=event, sink=ear)
        await self.environment.invoke(invocation)
        outcome = await invocation.outcome
        if outcome.error_type is not None:
            raise AnswerError(f"{outcome.error_type}: {outcome.error_body.decode(errors='replace')}")
        return ear.heard.check()


@asynccontextmanager
async def emulated(function: Function, overrides: Mapping[str, str], log: str) -> AsyncIterator[Emulated]:
    """A started environment."""
    mine = os.getpid()
    before = set(children(mine))
    with open(log, "ab") as output:  # noqa: ASYNC230 - opening a log takes no time
        environment = await Environment.start(function, overrides, output)
        try:
            started = [pid for pid in children(mine) if pid not in before]
            yield Emulated(environment, started[0])
        finally:
            await environment.stop()
