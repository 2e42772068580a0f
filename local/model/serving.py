"""Runs the scripted model: in the foreground for the command, in a thread for tests."""

import asyncio
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn

from local.model.log import RequestLog, RequestRecord
from local.model.server import ModelApp

HOST = "127.0.0.1"


class ModelServer(uvicorn.Server):
    """A server that says when it listens and does not wait for answers that stall when it stops."""

    def __init__(self, app: ModelApp, listening: Callable[[], object]) -> None:
        # Dropped connections are this server's business, not news: uvicorn's log stays out of it.
        super().__init__(uvicorn.Config(app, lifespan="off", access_log=False, log_level="critical"))
        self._app = app
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.cancel_all()
        await super().shutdown(sockets)


def bind(port: int = 0, host: str = HOST) -> tuple[socket.socket, str]:
    """A bound socket and the base URL it will have; port 0 for any free one.

    Raises:
        OSError: the port is taken.
    """
    bound = socket.create_server((host, port))
    return bound, f"http://{host}:{bound.getsockname()[1]}"


class ScriptedModel:
    """The scripted model on a free port, for a test: `with ScriptedModel(pace=0) as model: ...`.

    It keeps the bodies of its requests, so that a test can look at the prompts.
    """

    def __init__(self, *, pace: float = 0.0, faults: str = "", log: Path | None = None) -> None:
        self._log = RequestLog(log, keep_bodies=True)
        self._socket, self.base_url = bind()
        self.app = ModelApp(pace=pace, faults=faults, log=self._log)
        ready = threading.Event()
        self._ready = ready
        self._server = ModelServer(self.app, ready.set)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="scripted-model", daemon=True)

    @property
    def openai_base_url(self) -> str:
        """What the openai SDK takes as `base_url`."""
        return f"{self.base_url}/v1"

    @property
    def requests(self) -> list[RequestRecord]:
        """The requests whose answers have ended, oldest first."""
        return self._log.records()

    def wait_for(
        self, wanted: Callable[[RequestRecord], bool] = lambda _: True, *, timeout: float = 10.0
    ) -> RequestRecord:
        """The first request in the log that fits, waited for; raises TimeoutError."""
        return self._log.wait_for(wanted, timeout)

    def set_faults(self, faults: str) -> None:
        self._call(lambda: self.app.faults.set(faults))

    def set_pace(self, pace: float) -> None:
        self.app.pace = pace

    def release(self) -> None:
        """Lets every answer that stalls now go on."""
        self._call(self.app.release)

    def clear(self) -> None:
        """Forgets faults and requests, so that a server can be shared by tests."""
        self.set_faults("")
        self._log.clear()

    def start(self) -> Self:
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the scripted model did not start")
        return self

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            runner.run(self._server.serve(sockets=[self._socket]))

    def _call(self, action: Callable[[], object]) -> None:
        """Does it on the server's loop and waits for it, so that the next request meets the change."""
        if self._loop is None or not self._thread.is_alive():
            action()
            return

        async def run() -> None:
            action()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)
