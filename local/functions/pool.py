"""All execution environments of one function: reuse, cold starts and the concurrency limit."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from local.functions.environment import Environment
from local.functions.invocation import Invocation, Outcome
from local.functions.runtime_api import InitFailed
from local.functions.template import Function

# Every environment is a Python process of some 100 MB here; Lambda's own limit is 1,000 for an account.
DEFAULT_CONCURRENCY = 20

SETTLE_SECONDS = 0.25

THROTTLED = "TooManyRequestsException"


class Pool:
    """Runs invocations of one function, each in an environment of its own.

    Attributes:
        cold_starts: how many environments were started.
    """

    def __init__(
        self,
        function: Function,
        overrides: Mapping[str, str],
        *,
        log: IO[bytes] | None = None,
        reload: bool = False,
    ) -> None:
        self.function = function
        self.cold_starts = 0
        self._overrides = overrides
        self._log = log
        self._reload = reload
        self._limit = DEFAULT_CONCURRENCY if function.concurrency is None else function.concurrency
        self._idle: list[tuple[Environment, float]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy: dict[str, tuple[Invocation, asyncio.Event]] = {}

    def submit(self, invocation: Invocation) -> None:
        """Begin an invocation; `invocation.outcome` is done when its response is.

        It runs on by itself, whatever becomes of the one who waits for the outcome.
        """
        invocation.outcome.add_done_callback(lambda done: self._report(invocation.request_id, done.result()))
        task = asyncio.ensure_future(self._run(invocation))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, invocation: Invocation) -> None:
        try:
            await self._settle()
            if len(self._busy) >= self._limit:
                invocation.end(Outcome(error_type=THROTTLED, error_body=b'{"message":"Rate Exceeded."}'))
                return
            done = self._busy[invocation.request_id] = (invocation, asyncio.Event())
            try:
                await self._invoke(invocation)
            finally:
                del self._busy[invocation.request_id]
                done[1].set()
        finally:
            invocation.end(Outcome(error_type="Sandbox.Stopped"))

    async def _settle(self) -> None:
        """Give an environment that has just answered a moment to ask for its next invocation.

        Without it a client that sends one request after the other would meet a cold start, or a limit
        of one, by chance.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + SETTLE_SECONDS
        while not self._idle or len(self._busy) >= self._limit:
            settling = [event for invocation, event in self._busy.values() if invocation.outcome.done()]
            if not settling or loop.time() >= until:
                return
            waits = [asyncio.ensure_future(event.wait()) for event in settling]
            try:
                await asyncio.wait(waits, timeout=until - loop.time(), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()

    async def _invoke(self, invocation: Invocation) -> None:
        version = newest(self.function) if self._reload else 0.0
        try:
            environment = await self._take(version)
        except InitFailed as failure:
            invocation.end(failure.outcome)
            return
        await environment.invoke(invocation)
        if environment.alive:
            self._idle.append((environment, version))
        else:  # it may have died just after it had answered
            await environment.stop()

    async def _take(self, version: float) -> Environment:
        # The one used last first, as Lambda does it: the others may then go cold.
        while self._idle:
            environment, of = self._idle.pop()
            if environment.alive and of == version:
                return environment
            await environment.stop()
        self.cold_starts += 1
        try:
            return await Environment.start(self.function, self._overrides, self._log)
        except TimeoutError:
            raise InitFailed("Sandbox.Timedout", b"the runtime did not ask for work in time") from None

    def _report(self, request_id: str, outcome: Outcome) -> None:
        """A failure goes to the log, where Lambda puts it too: the client sees only a 502."""
        if outcome.error_type is None:
            return
        said = outcome.error_body.decode(errors="replace")
        line = f"[{self.function.name}] {request_id} {outcome.error_type} {said}\n"
        if self._log is None:
            print(line, end="", file=sys.stderr, flush=True)
        elif not self._log.closed:
            self._log.write(line.encode())
            self._log.flush()

    async def close(self) -> None:
        """End every environment, those at work too."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        idle, self._idle = self._idle, []
        await asyncio.gather(*(environment.stop() for environment, _ in idle))


def newest(function: Function) -> float:
    """When the function's or its layers' code last changed."""
    return max((_newest(path) for path in (function.code, *function.layers)), default=0.0)


def _newest(directory: Path) -> float:
    return max((path.stat().st_mtime for path in directory.rglob("*.py") if path.is_file()), default=0.0)
