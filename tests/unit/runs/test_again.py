"""A run that has ended is taken up again: one step of it, or what had not finished."""

import asyncio
from dataclasses import replace

import pytest

from rill.conformance import check, check_order
from rill.errors import UpstreamError
from rill.stores.runs import now_ms
from tests.support.asgi import call
from tests.support.client import Client, view
from tests.support.document import RESULT, STREAM, Document, attach, get, post, started


async def failed(document: Document) -> tuple[str, bytes]:
    """A run that failed in `review`."""
    document.errors["review"] = [UpstreamError()]
    document.gates["review"].clear()
    run_id, running = await started(document.app())
    await document.done["list"].wait()
    await document.memory.until(lambda: (run_id, "list") in document.memory.steps)
    document.gates["review"].set()
    answer = await running
    assert check(answer.body).terminal.step == "review"
    return answer.headers["x-run-id"], answer.body


async def test_only_the_step_and_what_depends_on_it_run_again() -> None:
    document = Document()
    run_id, first = await failed(document)
    document.ran.clear()
    app = document.app()
    answer = await post(app, f"/runs/{run_id}/steps/review/retry")
    report = check(answer.body, after=len(check(first).events) - 1)
    assert document.ran == ["review"]
    assert [event.step for event in report.of("reset")] == ["review"]
    assert [event.attempt for event in report.of("step_start")] == [2]
    assert report.terminal.data == RESULT
    assert (report.terminal.cost_usd, report.terminal.usage.calls) == (1.0, 4), "costs add up"
    assert (await get(app, run_id))["epoch"] == 2


async def test_a_retry_of_an_early_step_runs_its_dependants_too() -> None:
    document = Document()
    app = document.app()
    run_id = (await post(app)).headers["x-run-id"]
    document.ran.clear()
    answer = await post(app, f"/runs/{run_id}/steps/write/retry")
    assert sorted(document.ran) == ["review", "write"]
    assert b'"type":"complete"' in answer.body
    whole = await attach(app, run_id)
    assert [event.attempt for event in whole.of("step_start") if event.step == "write"] == [1, 2]
    check_order(whole.events)


async def test_who_had_seen_the_failure_sees_the_rest_from_a_follower_or_the_retry() -> None:
    document = Document()
    run_id, first = await failed(document)
    app = document.app()
    retried = await post(app, f"/runs/{run_id}/steps/review/retry")
    whole = await call(app, "GET", f"/runs/{run_id}/events", headers=STREAM)
    client = Client()
    client.feed(first)
    assert client.terminal is not None
    rest = await call(app, "GET", f"/runs/{run_id}/events?after={client.after}", headers=STREAM)
    client.feed(rest.body)
    assert client.view == view(whole.body)
    assert retried.status == 200


async def test_resume_runs_what_had_not_finished() -> None:
    document = Document()
    run_id, _ = await failed(document)
    document.ran.clear()
    answer = await call(document.app(), "POST", f"/runs/{run_id}/resume")
    assert answer.json()["data"] == RESULT
    assert document.ran == ["review"]


async def test_what_cannot_be_taken_up_is_said() -> None:
    document = Document()
    document.gates["review"].clear()
    app = document.app()
    run_id, running = await started(app)
    answer = await call(app, "POST", f"/runs/{run_id}/resume")
    assert (answer.status, answer.json()["message"]) == (409, "The run has not ended.")
    document.gates["review"].set()
    await running
    answer = await call(app, "POST", f"/runs/{run_id}/resume")
    assert (answer.status, answer.json()["code"]) == (409, "conflict")
    answer = await call(app, "POST", f"/runs/{run_id}/steps/fly/retry")
    assert answer.status == 404
    assert answer.json()["message"] == "The run has no step 'fly'; it has write, review, list."
    document.memory.inputs.clear()
    answer = await call(app, "POST", f"/runs/{run_id}/steps/list/retry")
    assert (answer.status, "no longer kept" in answer.json()["message"]) == (409, True)


async def test_one_of_two_that_resume_at_once_gets_it() -> None:
    document = Document()
    run_id, _ = await failed(document)
    app = document.app()
    answers = await asyncio.gather(*(post(app, f"/runs/{run_id}/resume") for _ in range(4)))
    assert sorted(answer.status for answer in answers) == [200, 409, 409, 409]
    assert document.ran.count("review") == 2


@pytest.mark.parametrize("logged", [0, 3, 9])
async def test_a_lost_run_goes_on_after_numbers_nobody_can_have_seen(logged: int) -> None:
    """The process died with events delivered that its log never got."""
    document = Document()
    run_id, stream = await failed(document)
    store = document.memory
    kept = store.runs[run_id]
    store.runs[run_id] = replace(kept, state="running", error=None, lease_until=now_ms() - 1, last_seq=logged)
    frames = stream.split(b"\n\n", 1)[1].split(b"\n\n")
    store.logs[run_id] = [
        replace(store.logs[run_id][0], last=logged, frames=b"".join(f + b"\n\n" for f in frames[:logged]))
    ] * (logged > 0)
    store.steps.pop((run_id, "list"))
    app = document.app()

    seen = Client()
    seen.feed(stream[: stream.index(b'"type":"error"')])
    seen.drop()
    first = await call(app, "GET", f"/runs/{run_id}/events?after={seen.after}", headers=STREAM)
    assert check(first.body, after=seen.after, gaps=True).terminal.code == "internal"

    document.ran.clear()
    answer = await post(app, f"/runs/{run_id}/resume")
    assert sorted(document.ran) == ["list", "review"]
    report = check(answer.body, after=10_000)
    assert {event.step for event in report.of("reset")} == {"review", "list"}
    seen.feed(answer.body)
    assert seen.terminal is not None
    assert seen.terminal["data"] == RESULT
    # Somebody who comes now sees all that is left, and the same result.
    late = await call(app, "GET", f"/runs/{run_id}/events?after={logged}", headers=STREAM)
    check(late.body, after=logged, gaps=True)
    assert view(late.body)["terminal"] == seen.terminal


async def test_a_process_that_was_thought_dead_writes_nothing_any_more() -> None:
    """It stood still for longer than its lease; another one has taken the run up meanwhile."""
    document = Document()
    document.gates["review"].clear()
    app = document.app()
    run_id, running = await started(app)
    await document.done["list"].wait()
    store = document.memory
    store.runs[run_id] = replace(store.runs[run_id], lease_until=now_ms() - 1)
    other = Document(store)
    other_app = other.app()
    assert (await get(other_app, run_id))["state"] == "failed"
    answer = await post(other_app, f"/runs/{run_id}/resume")
    document.gates["review"].set()
    late = await running
    assert late.body.rstrip().rsplit(b"\n", 1)[1].startswith(b'data: {"type":"handoff"')
    shown = await get(app, run_id)
    assert (shown["state"], shown["result"], shown["epoch"]) == ("complete", RESULT, 2)
    assert (await attach(app, run_id, gaps=True)).terminal.data == RESULT
    assert check(answer.body, after=10_000).terminal.data == RESULT
