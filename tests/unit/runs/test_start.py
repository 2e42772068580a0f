"""Starting: once however often it is asked for, now or later, in one invocation or in two."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from rill import follow, runs
from rill.conformance import check, check_order
from rill.pipeline import Execution
from rill.service import LEISURE_SECONDS
from rill.stores.runs import now_ms
from tests.support.asgi import call
from tests.support.client import view
from tests.support.document import RESULT, STREAM, Document, attach, get, post, started

KEY = {"idempotency-key": "k-1"}


async def test_the_same_key_and_body_give_the_same_run() -> None:
    document = Document()
    app = document.app()
    first = await post(app, headers=KEY)
    again = await post(app, headers=KEY)
    assert again.headers["x-run-id"] == first.headers["x-run-id"]
    assert view(again.body) == view(first.body)
    assert sorted(document.ran) == ["list", "review", "write"]


async def test_a_repeated_start_joins_a_run_that_is_on() -> None:
    document = Document()
    document.gates["review"].clear()
    app = document.app()
    run_id, running = await started(app, headers=KEY)
    again = asyncio.create_task(post(app, headers=KEY))
    waiting = asyncio.create_task(call(app, "POST", "/runs", body=b"{}", headers=KEY))
    await asyncio.sleep(0)
    document.gates["review"].set()
    assert view((await again).body) == view((await running).body)
    assert (await waiting).json()["data"] == RESULT
    assert (await waiting).headers["x-run-id"] == run_id


async def test_a_start_that_left_no_run_behind_is_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process died between the key and the run."""
    monkeypatch.setattr(follow, "BEGIN_SECONDS", 0.1)
    document = Document()
    app = document.app()
    first = await post(app, headers=KEY)
    run_id = first.headers["x-run-id"]
    del document.memory.runs[run_id]
    again = await post(app, headers=KEY)
    assert again.headers["x-run-id"] == run_id
    assert check(again.body).terminal.data == RESULT


async def test_another_body_under_the_same_key_is_refused() -> None:
    app = Document().app()
    await post(app, headers=KEY)
    answer = await post(app, body={"words": ["other"]}, headers=KEY)
    assert (answer.status, answer.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize("key", ["", "x" * 257, "a\tb"])
async def test_a_key_that_cannot_be_one_is_named(key: str) -> None:
    answer = await post(Document().app(), headers={"idempotency-key": key})
    assert (answer.status, "Idempotency-Key" in answer.json()["message"]) == (400, True)


def queue_event(*run_ids: str) -> bytes:
    records = [
        {"messageId": f"m-{number}", "eventSource": "aws:sqs", "body": json.dumps({"run_id": run_id})}
        for number, run_id in enumerate(run_ids)
    ]
    return json.dumps({"Records": records}).encode()


async def work(app: Any, *run_ids: str, **rill: Any) -> Any:
    """What the queue's worker answers."""
    invoked = {"request_id": "w", "invoked_directly": True, **rill}
    return (await call(app, "POST", "/events", body=queue_event(*run_ids), rill=invoked)).json()


DONE: dict[str, Any] = {"batchItemFailures": []}


async def queued(document: Document, app: Any, **headers: str) -> str:
    answer = await call(app, "POST", "/runs", body=b"{}", headers={"prefer": "respond-async", **headers})
    run_id: str = answer.json()["run_id"]
    assert (answer.status, answer.json()) == (202, {"run_id": run_id, "state": "queued"})
    assert answer.headers["location"] == f"/runs/{run_id}"
    assert answer.headers["preference-applied"] == "respond-async"
    return run_id


async def test_a_queued_run_is_done_by_the_worker_and_can_be_followed() -> None:
    document = Document()
    app = document.app()
    run_id = await queued(document, app)
    assert document.queue.sent == [run_id]
    assert (await get(app, run_id))["state"] == "queued"
    following = asyncio.create_task(attach(app, run_id))
    assert await work(app, run_id) == DONE
    assert (await get(app, run_id))["result"] == RESULT
    report = await following
    assert report.events[0].type == "start"
    assert report.of("reset") == []
    assert report.terminal.data == RESULT


async def test_a_worker_reads_at_leisure_and_nobody_else_does() -> None:
    document = Document()
    app = document.app()
    assert await work(app, await queued(document, app)) == DONE
    assert document.leisure == [LEISURE_SECONDS] * 3
    await post(app)
    assert document.leisure[3:] == [0.0] * 3


async def test_a_message_that_comes_twice_does_not_run_it_twice() -> None:
    document = Document()
    app = document.app()
    run_id = await queued(document, app)
    assert await work(app, run_id) == DONE
    assert await work(app, run_id, run_id) == DONE
    assert sorted(document.ran) == ["list", "review", "write"]


async def test_two_deliveries_at_once_run_it_once() -> None:
    document = Document()
    app = document.app()
    run_id = await queued(document, app)
    answers = await asyncio.gather(work(app, run_id), work(app, run_id))
    assert sorted(document.ran) == ["list", "review", "write"]
    assert DONE in answers
    assert await work(app, run_id) == DONE


async def test_what_cannot_be_done_stays_in_the_queue_and_holds_up_nothing() -> None:
    document = Document()
    app = document.app()
    run_id = await queued(document, app)
    event = json.loads(queue_event("nobody", run_id))
    event["Records"].append({"messageId": "m-9", "eventSource": "aws:sqs", "body": "{"})
    invoked = {"request_id": "w", "invoked_directly": True}
    answer = await call(app, "POST", "/events", body=json.dumps(event).encode(), rill=invoked)
    assert answer.json() == {"batchItemFailures": [{"itemIdentifier": "m-0"}, {"itemIdentifier": "m-9"}]}
    assert (await get(app, run_id))["state"] == "complete"


async def test_a_worker_takes_up_what_another_one_lost() -> None:
    document = Document()
    app = document.app()
    run_id = await queued(document, app)
    store = document.memory
    store.runs[run_id] = replace(store.runs[run_id], state="running", lease_until=now_ms() - 1)
    assert await work(app, run_id) == DONE
    assert (await get(app, run_id))["result"] == RESULT


async def test_a_worker_leaves_alone_what_another_one_does() -> None:
    document = Document()
    app = document.app()
    run_id = await queued(document, app)
    store = document.memory
    store.runs[run_id] = replace(store.runs[run_id], state="running", lease_until=now_ms() + 60_000)
    assert await work(app, run_id) == {"batchItemFailures": [{"itemIdentifier": "m-0"}]}
    assert document.ran == []


async def test_a_repeated_start_of_a_queued_run_sends_it_once() -> None:
    document = Document()
    app = document.app()
    first = await queued(document, app, **KEY)
    assert await queued(document, app, **KEY) == first
    assert document.queue.sent == [first]


async def test_a_queue_that_is_away_is_an_error_and_leaves_a_failed_run() -> None:
    document = Document()
    document.queue.down = True
    app = document.app()
    answer = await call(app, "POST", "/runs", body=b"{}", headers={"prefer": "respond-async"})
    assert (answer.status, answer.json()["message"]) == (502, "The queue could not be reached.")
    [kept] = document.memory.runs.values()
    assert (kept.state, kept.error is not None) == ("failed", True)


async def test_without_a_queue_there_is_no_later() -> None:
    app = Document().app(queue=None)
    answer = await call(app, "POST", "/runs", body=b"{}", headers={"prefer": "respond-async, wait=5"})
    assert (answer.status, "respond-async" in answer.json()["message"]) == (400, True)


async def test_near_the_deadline_the_worker_goes_on_and_nobody_notices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document = Document()
    document.gates["write"].clear()
    app = document.app()
    monkeypatch.setattr(runs, "DEADLINE_MARGIN", 0.0)
    drain = Execution.drain

    def drained(execution: Execution[Any]) -> None:
        drain(execution)
        document.gates["write"].set()

    monkeypatch.setattr(Execution, "drain", drained)
    # No step begins in the second half of what is left.
    first = await post(app, rill={"request_id": "q", "deadline_ms": now_ms() + 600})
    report = check(first.body)
    assert (report.terminal.type, report.terminal.after) == ("handoff", len(report.events) - 1)
    run_id = first.headers["x-run-id"]
    assert document.queue.sent == [run_id]
    assert "review" not in document.ran
    following = asyncio.create_task(attach(app, run_id, report.terminal.after))
    assert await work(app, run_id) == DONE
    rest = await following
    assert rest.terminal.data == RESULT
    assert document.ran.count("write") == 1
    assert rest.terminal.cost_usd == 0.75
    both = view(
        first.body,
        (await call(app, "GET", f"/runs/{run_id}/events?after={report.terminal.after}", headers=STREAM)).body,
    )
    assert both == view((await call(app, "GET", f"/runs/{run_id}/events", headers=STREAM)).body)
    check_order([*report.events[:-1], *rest.events])


async def test_a_run_that_cannot_be_handed_over_fails_and_can_be_resumed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document = Document()
    document.gates["review"].clear()
    document.queue.down = True
    app = document.app()
    report = check((await post(app, rill={"request_id": "q", "deadline_ms": now_ms() + 5300})).body)
    assert (report.terminal.type, report.terminal.code) == ("error", "upstream_error")
    run_id = report.events[0].run_id  # type: ignore[union-attr]  # the first event is start
    assert (await get(app, run_id))["state"] == "failed"
    document.gates["review"].set()
    answer = await call(app, "POST", f"/runs/{run_id}/resume")
    assert answer.json()["data"] == RESULT


async def test_a_step_longer_than_an_invocation_fails_and_is_not_begun_for_ever() -> None:
    document = Document()
    for gate in document.gates.values():
        gate.clear()
    app = document.app()
    near = {"request_id": "q", "deadline_ms": now_ms() + 5200}
    report = check((await post(app, rill=near)).body)
    assert (report.terminal.type, report.terminal.code) == ("error", "deadline")
    assert document.queue.sent == []
