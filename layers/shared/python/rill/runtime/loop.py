"""The process's life: start the app, take one invocation after the other, stop on SIGTERM."""

import asyncio
import gc
import os
import signal
from collections.abc import Coroutine
from typing import Any

from rill.runtime import bridge, snapstart
from rill.runtime.app import App, CannotStart, Lifespan, load
from rill.runtime.client import RuntimeApi
from rill.runtime.connection import ApiError
from rill.runtime.failure import Failure
from rill.runtime.invocation import Runner
from rill.runtime.log import log
from rill.runtime.settings import Settings

# Where X-Ray's SDK, and everything that follows it, looks for the trace.
TRACE_VARIABLE = "_X_AMZN_TRACE_ID"


class CannotRestore(Exception):
    """A hook after the restore raised."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def run(settings: Settings) -> int:
    """Run until SIGTERM or a failure that a new process must mend. Returns the exit code."""
    try:
        # Outside the event loop, since a module may want one of its own while it is imported.
        app = load(settings.handler)
    except CannotStart as error:
        return _run(_report_start(RuntimeApi(settings.api), error.failure))
    gc.freeze()  # what is imported stays: it is not looked through again
    return _run(_main(settings, app))


def _run(main: Coroutine[Any, Any, int]) -> int:
    """On uvloop, which takes half the time for a piece that comes alone; on asyncio's own loop without it."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        with asyncio.Runner() as runner:
            return runner.run(main)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)


async def _main(settings: Settings, app: App) -> int:
    api = RuntimeApi(settings.api)
    lifespan = Lifespan(app)
    serving = asyncio.create_task(_serve(settings, api, app, lifespan), name="rill.runtime serve")
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
    try:
        await asyncio.wait([serving])
        return await _exit_code(serving, api)
    finally:
        await lifespan.stop()
        await api.close()


async def _exit_code(serving: "asyncio.Task[None]", api: RuntimeApi) -> int:
    if serving.cancelled():
        return 0
    error = serving.exception()
    if isinstance(error, CannotStart):
        return await _report_start(api, error.failure)
    if isinstance(error, CannotRestore):
        return await _report_restore(api, error.failure)
    if isinstance(error, ApiError):
        log("ERROR", f"no invocation to be had, the process ends: {error}")
        return 1
    raise error or AssertionError("serving never returns")


async def _report_start(api: RuntimeApi, failure: Failure) -> int:
    log("ERROR", "the function cannot start", failure=failure)
    try:
        await api.init_error(failure)
    except ApiError as error:
        log("ERROR", f"the failure could not be reported: {error}")
    return 1


async def _report_restore(api: RuntimeApi, failure: Failure) -> int:
    log("ERROR", "the function cannot be restored", failure=failure)
    try:
        await api.restore_error(failure)
    except ApiError as error:
        log("ERROR", f"the failure could not be reported: {error}")
    return 1


async def _serve(settings: Settings, api: RuntimeApi, app: App, lifespan: Lifespan) -> None:
    if settings.ahead:
        bridge.load()
    await lifespan.start()
    gc.freeze()  # and what the app's start-up has made
    if settings.snap_start:
        await _snapshot(api)
    runner = Runner(settings, api, app, lifespan.state)
    while True:
        invocation = await api.next()
        if invocation.trace_id is None:
            os.environ.pop(TRACE_VARIABLE, None)
        else:
            os.environ[TRACE_VARIABLE] = invocation.trace_id
        await runner.run(invocation)


async def _snapshot(api: RuntimeApi) -> None:
    """Everything from here to the answer may lie months back when it comes: no connection outlives it."""
    try:
        snapstart.before_snapshot()
    except Exception as error:
        raise CannotStart(Failure.of(error, "Runtime.BeforeSnapshotError")) from error
    await api.close()
    await api.restore()
    await api.close()
    try:
        snapstart.after_restore()
    except Exception as error:
        raise CannotRestore(Failure.of(error, "Runtime.AfterRestoreError")) from error
