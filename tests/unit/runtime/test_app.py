"""The app's lifespan, as the ASGI specification has it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette

from rill.runtime.app import CannotStart, Lifespan, load


def app_that(*said: dict[str, Any], raises: Exception | None = None, seen: list[Any] | None = None) -> Any:
    """An app that says these things, each after a `receive`, and then ends."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["set"] = True
        for message in said:
            received = await receive()
            if seen is not None:
                seen.append(received["type"])
            await send(message)
        if raises is not None:
            raise raises

    return app


COMPLETE = {"type": "lifespan.startup.complete"}


async def test_start_and_stop() -> None:
    seen: list[str] = []
    lifespan = Lifespan(app_that(COMPLETE, {"type": "lifespan.shutdown.complete"}, seen=seen))
    await lifespan.start()
    assert (lifespan.state, seen) == ({"set": True}, ["lifespan.startup"])
    await lifespan.stop()
    assert seen == ["lifespan.startup", "lifespan.shutdown"]


@pytest.mark.parametrize("raises", [None, AssertionError("http only")])
async def test_app_without_a_lifespan(raises: Exception | None) -> None:
    lifespan = Lifespan(app_that(raises=raises))
    await lifespan.start()
    assert lifespan.state is None
    await lifespan.stop()


@pytest.mark.parametrize(
    ("said", "message"), [({"message": "no database"}, "no database"), ({}, "the app's start-up failed")]
)
async def test_failed_start(said: dict[str, str], message: str) -> None:
    failed = {"type": "lifespan.startup.failed", **said}
    # As Starlette does it: the word first, then the error itself.
    lifespan = Lifespan(app_that(failed, raises=ValueError("the same")))
    with pytest.raises(CannotStart) as caught:
        await lifespan.start()
    assert (caught.value.failure.kind, caught.value.failure.message) == ("Runtime.StartupFailed", message)
    await lifespan.stop()


async def test_starlettes_traceback_is_told_by_its_end() -> None:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise OSError("no database\nat db.example") from error
        yield

    started = Lifespan(Starlette(lifespan=lifespan))
    with pytest.raises(CannotStart) as caught:
        await started.start()
    failure = caught.value.failure
    assert (failure.kind, failure.error_type) == ("Runtime.StartupFailed", "Runtime.StartupFailed")
    assert failure.message == "OSError: no database\nat db.example"
    assert failure.trace[0].startswith("Traceback ")
    assert "KeyError: 'inner'\n" in failure.trace
    await started.stop()


async def test_failed_shutdown_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    failed = {"type": "lifespan.shutdown.failed", "message": "stuck"}
    lifespan = Lifespan(app_that(COMPLETE, failed, raises=ValueError("boom")))
    await lifespan.start()
    await lifespan.stop()
    said = capsys.readouterr().err
    assert "the app's shutdown failed: stuck" in said
    assert "boom" in said


async def test_stop_before_start_is_nothing() -> None:
    lifespan = Lifespan(app_that())
    await lifespan.stop()
    assert lifespan.state == {}


def test_load() -> None:
    loaded: Any = load("json.encoder.JSONEncoder")
    assert loaded is json.JSONEncoder
    with pytest.raises(CannotStart) as caught:
        load("app")
    assert caught.value.failure.kind == "Runtime.MalformedHandlerName"
