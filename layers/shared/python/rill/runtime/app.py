"""Loads the ASGI app that `_HANDLER` names and runs its lifespan: once, not once for each invocation.

Source: https://asgi.readthedocs.io/en/latest/specs/lifespan.html
"""

import asyncio
import gc
import importlib
from collections.abc import Awaitable, Callable, MutableMapping
from itertools import takewhile
from typing import Any

from rill.runtime.bridge import ASGI
from rill.runtime.failure import Failure
from rill.runtime.log import log

Message = MutableMapping[str, Any]
App = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]

# Lambda gives a process 2 s at most after its SIGTERM.
SHUTDOWN_SECONDS = 1.0


class CannotStart(Exception):
    """The app does not load, or says that it cannot start."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def load(handler: str) -> App:
    """The app of a handler such as `grading.app.app`: module path, then the attribute.

    Raises:
        CannotStart: there is no such module or attribute, or the module raised.
    """
    module, dot, name = handler.rpartition(".")
    if not dot:
        kind, message = "Runtime.MalformedHandlerName", f"{handler!r} has no dot between module and attribute"
        raise CannotStart(Failure.runtime(kind, message))
    # What is imported stays: looking through it for garbage, again and again, takes a tenth of the start.
    gc.disable()
    try:
        app: App = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise CannotStart(Failure.of(error, "Runtime.ImportModuleError")) from error
    except SyntaxError as error:
        raise CannotStart(Failure.of(error, "Runtime.UserCodeSyntaxError")) from error
    except AttributeError as error:
        raise CannotStart(Failure.of(error, "Runtime.HandlerNotFound")) from error
    except Exception as error:  # whatever the module raises is what is reported
        raise CannotStart(Failure.of(error, "Runtime.InitError")) from error
    finally:
        gc.enable()
    return app


class Lifespan:
    """The app's lifespan, in the one task that lives as long as the process.

    Attributes:
        state: what goes into every request's scope; None where the app knows no lifespan.
    """

    def __init__(self, app: App) -> None:
        self.state: dict[str, Any] | None = {}
        self._app = app
        self._begun = False
        self._started: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Run the app's start-up. An app that raises, or returns, knows no lifespan: that is no error.

        Raises:
            CannotStart: the app said so.
        """
        self._task = asyncio.create_task(self._run(), name="rill.runtime lifespan")
        said = await self._started
        if said is None:
            self.state = None
        elif said["type"] == "lifespan.startup.failed":
            raise CannotStart(_startup_failure(said.get("message", "") or "the app's start-up failed"))

    async def stop(self) -> None:
        """Run the app's shutdown, within the time that Lambda leaves for it."""
        if self._task is None:
            return
        self._stopping.set()
        await asyncio.wait([self._task], timeout=SHUTDOWN_SECONDS)
        self._task.cancel()
        await asyncio.wait([self._task], timeout=SHUTDOWN_SECONDS)

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": ASGI, "state": self.state}
        try:
            await self._app(scope, self._receive, self._send)
        except Exception as error:  # noqa: BLE001  # the specification: raising means it knows no lifespan
            if self._started.done():
                log("WARN", "the app's lifespan ended with an error", failure=Failure.of(error))
            else:
                log("INFO", f"the app has no lifespan: {type(error).__name__}: {error}")
        finally:
            self._say(None)

    async def _receive(self) -> Message:
        if not self._begun:
            self._begun = True
            return {"type": "lifespan.startup"}
        await self._stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "lifespan.shutdown.failed":
            log("WARN", f"the app's shutdown failed: {message.get('message', '')}")
        self._say(message)

    def _say(self, message: Message | None) -> None:
        if not self._started.done():
            self._started.set_result(message)


def _startup_failure(text: str) -> Failure:
    """Starlette says a whole traceback: what it ends with is the message, the rest is where it happened."""
    kind = "Runtime.StartupFailed"
    if not text.startswith("Traceback "):
        return Failure.runtime(kind, text)
    lines = text.splitlines(keepends=True)
    message = "".join(reversed(list(takewhile(lambda line: not line.startswith(" "), reversed(lines)))))
    return Failure(kind=kind, error_type=kind, message=message.strip(), trace=tuple(lines))
