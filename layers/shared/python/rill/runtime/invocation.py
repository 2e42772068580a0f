"""One invocation: event in, the app run, its response out, and nothing left running behind it."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

from rill.runtime import bridge
from rill.runtime.app import App
from rill.runtime.client import RuntimeApi
from rill.runtime.connection import ApiError
from rill.runtime.context import Invocation, LambdaContext
from rill.runtime.exchange import Exchange
from rill.runtime.failure import Failure
from rill.runtime.log import log
from rill.runtime.response import Buffered, Response, Streamed, direct_result, http_object
from rill.runtime.settings import Settings

# How long something that was cancelled may take to clean up after itself.
CLEAN_UP_SECONDS = 1.0

# How long an app that was told of a shutdown has to end by itself. Lambda's shutdown phase is 2 s in all.
NOTICE_SECONDS = 0.3


class Runner:
    """Runs the app for one invocation after the other."""

    def __init__(self, settings: Settings, api: RuntimeApi, app: App, state: dict[str, Any] | None) -> None:
        self._settings = settings
        self._api = api
        self._app = app
        self._state = state

    async def run(self, invocation: Invocation) -> None:
        """Run one invocation and report how it went. Raises nothing but cancellation."""
        request_id = invocation.request_id
        before = asyncio.all_tasks()
        response: Response = Streamed(self._api, request_id)
        try:
            event, scope, body = self._request(invocation)
            response = self._response(request_id, event)
            await self._call(scope, Exchange(body, response), request_id)
        except _BadEvent as error:
            failure = Failure.of(error.__cause__ or error, "Runtime.UnmarshalError")
            await _report(failure, response, request_id)
        finally:
            await response.close()
            await _end(asyncio.all_tasks() - before, request_id)

    def _request(self, invocation: Invocation) -> tuple[Any, bridge.Scope, bytes]:
        context = LambdaContext(invocation, self._settings)
        try:
            event = json.loads(invocation.event)
            return event, *bridge.request(event, invocation, context, self._state)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise _BadEvent from error

    def _response(self, request_id: str, event: Any) -> Response:
        if not bridge.is_http(event):
            return Buffered(self._api, request_id, direct_result)
        if self._settings.sam_local:
            return Buffered(self._api, request_id, http_object)
        return Streamed(self._api, request_id)

    async def _call(self, scope: bridge.Scope, exchange: Exchange, request_id: str) -> None:
        task = asyncio.create_task(_as_coroutine(self._app, scope, exchange), name=f"invocation {request_id}")
        try:
            ends: list[asyncio.Future[Any]] = [task, exchange.broken]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            exchange.disconnect()
            await asyncio.wait([task], timeout=NOTICE_SECONDS)
            await _cancel([task])
            stopped = Failure.runtime("Runtime.Stopped", "The environment was shut down.")
            await _settle(task, exchange, request_id, stopped)
            raise
        if exchange.broken.done():
            await _cancel([task])
        await _settle(
            task, exchange, request_id, Failure.runtime("Runtime.Cancelled", "The app was cancelled.")
        )


class _BadEvent(Exception):
    """The event cannot be read."""


async def _as_coroutine(app: App, scope: bridge.Scope, exchange: Exchange) -> None:
    await app(scope, exchange.receive, exchange.send)


async def _settle(
    task: "asyncio.Task[None]", exchange: Exchange, request_id: str, if_cancelled: Failure
) -> None:
    """Log and report how the app ended."""
    failure = _failure(task, if_cancelled)
    if exchange.broken.done():
        log("ERROR", f"the response was not taken: {exchange.broken.result()}", request_id=request_id)
        if failure is None or failure is if_cancelled:
            return
    if failure is None and not exchange.complete:
        failure = Failure.runtime("Runtime.IncompleteResponse", "The app ended before its response did.")
    if failure is None:
        return
    if exchange.complete or exchange.broken.done():
        # As Starlette does after it has answered 500: the client has its response, the log the reason.
        log("ERROR", "the app failed after its response", request_id=request_id, failure=failure)
    else:
        await _report(failure, exchange, request_id)


def _failure(task: "asyncio.Task[None]", if_cancelled: Failure) -> Failure | None:
    if not task.done() or task.cancelled():
        return if_cancelled
    error = task.exception()
    return None if error is None else Failure.of(error)


async def _report(failure: Failure, to: Exchange | Response, request_id: str) -> None:
    log("ERROR", "the invocation failed", request_id=request_id, failure=failure)
    try:
        await to.fail(failure)
    except ApiError as error:
        log("ERROR", f"the failure could not be reported: {error}", request_id=request_id)


async def _cancel(tasks: Iterable["asyncio.Task[Any]"]) -> set["asyncio.Task[Any]"]:
    """Cancel tasks and wait for them; returns those that would not end."""
    listed = list(tasks)
    for task in listed:
        task.cancel()
    if not listed:
        return set()
    _, pending = await asyncio.wait(listed, timeout=CLEAN_UP_SECONDS)
    return pending


async def _end(left: set["asyncio.Task[Any]"], request_id: str) -> None:
    """End what the app left running: Lambda would freeze it in mid-air, and thaw it in another's time."""
    running = [task for task in left if not task.done()]
    if not running:
        return
    names = ", ".join(sorted(f"{task.get_name()} ({_where(task)})" for task in running))
    log("WARN", f"cancelled what the app left running: {names}", request_id=request_id)
    if pending := await _cancel(running):
        names = ", ".join(sorted(_where(task) for task in pending))
        log("ERROR", f"still running after its cancellation: {names}", request_id=request_id)


def _where(task: "asyncio.Task[Any]") -> str:
    return getattr(task.get_coro(), "__qualname__", "?")
