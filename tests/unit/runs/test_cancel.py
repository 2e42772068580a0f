"""Stop means stop: before a run begins, while it runs, after it; by anybody who may."""

import asyncio

import pytest

from rill import run_log, runs
from rill.conformance import check
from rill.runs import new_run_id
from tests.support.asgi import call
from tests.support.document import RESULT, STREAM, Document, attach, get, post, started


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "LOOK_SECONDS", 0.05)


async def test_a_running_run_ends_and_keeps_what_there_is() -> None:
    document = Document()
    document.gates["review"].clear()
    app = document.app()
    run_id, running = await started(app)
    await document.done["list"].wait()
    answer = await call(app, "POST", f"/runs/{run_id}/cancel")
    assert (answer.status, answer.json()["cancel"]) == (202, True)
    stream = await running
    report = check(stream.body)
    assert report.terminal.type == "cancelled"
    assert report.terminal.data["words"] == ["one", "two", "three"]
    assert report.terminal.data["write"] == "onetwothree"
    assert (report.terminal.cost_usd, report.terminal.usage.calls) == (0.75, 3)
    assert document.done["review"].is_set(), "what the step had opened is closed"
    shown = await get(app, run_id)
    assert (shown["state"], shown["cost_usd"]) == ("cancelled", 0.75)
    assert shown["result"] == report.terminal.data
    assert (await attach(app, run_id, 2)).terminal == report.terminal


async def test_a_cancel_that_comes_before_the_run_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    document = Document()
    document.gates["write"].clear()
    app = document.app()
    run_id = new_run_id()
    monkeypatch.setattr("rill.web.new_run_id", lambda: run_id)
    answer = await call(app, "POST", f"/runs/{run_id}/cancel")
    assert (answer.status, answer.json()) == (202, {"run_id": run_id, "state": "running", "cancel": True})
    report = check((await post(app)).body)
    assert report.terminal.type == "cancelled"
    assert (await get(app, run_id))["state"] == "cancelled"
    assert "review" not in document.ran


async def test_a_queued_run_is_cancelled_at_once_and_never_begins() -> None:
    document = Document()
    app = document.app()
    queued = await call(app, "POST", "/runs", body=b"{}", headers={"prefer": "respond-async"})
    run_id = queued.json()["run_id"]
    answer = await call(app, "POST", f"/runs/{run_id}/cancel")
    assert (answer.status, answer.json()["state"]) == (200, "cancelled")
    shown = await get(app, run_id)
    assert (shown["state"], shown["result"]) == ("cancelled", {})
    answer = await call(app, "GET", f"/runs/{run_id}/events", headers=STREAM)
    assert b'"type":"cancelled"' in answer.body
    assert document.ran == []


@pytest.mark.parametrize("times", [1, 2])
async def test_a_run_that_is_over_stays_as_it_is(times: int) -> None:
    document = Document()
    app = document.app()
    run_id = (await post(app)).headers["x-run-id"]
    for _ in range(times):
        answer = await call(app, "POST", f"/runs/{run_id}/cancel")
        assert (answer.status, answer.json()) == (
            200,
            {"run_id": run_id, "state": "complete", "cancel": False},
        )
    assert (await get(app, run_id))["result"] == RESULT


async def test_cancelling_twice_is_cancelling_once() -> None:
    document = Document()
    document.gates["review"].clear()
    app = document.app()
    run_id, running = await started(app)
    answers = await asyncio.gather(*(call(app, "POST", f"/runs/{run_id}/cancel") for _ in range(3)))
    assert {answer.status for answer in answers} <= {200, 202}
    assert check((await running).body).terminal.type == "cancelled"


async def test_a_cancelled_run_can_be_resumed() -> None:
    document = Document()
    document.gates["review"].clear()
    app = document.app()
    run_id, running = await started(app)
    await document.done["list"].wait()
    await call(app, "POST", f"/runs/{run_id}/cancel")
    before = await running
    document.gates["review"].set()
    after = check(before.body).events
    answer = await post(app, f"/runs/{run_id}/resume")
    report = check(answer.body, after=len(after) - 1)
    assert report.terminal.data == RESULT
    assert sorted(document.ran) == ["list", "review", "review", "write"]
    assert report.terminal.cost_usd == 1.0


async def test_a_client_that_leaves_does_not_cancel() -> None:
    """On Lambda the function is told nothing; an ASGI server that does tell ends its own stream only."""
    document = Document()
    document.gates["review"].clear()
    app = document.app()
    run_id, running = await started(app)
    follower = asyncio.create_task(attach(app, run_id))
    await asyncio.sleep(0)
    follower.cancel()
    document.gates["review"].set()
    assert check((await running).body).terminal.data == RESULT


async def test_the_model_is_let_go_while_the_database_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    document = Document()
    document.gates["review"].clear()
    document.memory.delay = 0.1
    monkeypatch.setattr(runs, "LEASE_MS", 60_000)
    app = document.app()
    run_id, running = await started(app)
    await call(app, "POST", f"/runs/{run_id}/cancel")
    assert check((await running).body).terminal.type == "cancelled"
