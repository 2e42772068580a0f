"""Following runs: finished, running, failed, expired, unknown."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from rill import follow, run_log, sse
from rill.conformance import check
from rill.errors import UpstreamError
from rill.events import Status
from rill.follow import Follower
from rill.runs import new_run_id
from rill.stores.dynamo import ConditionFailed, StoreError
from rill.stores.runs import FOLLOWED_MS, Batch, RunRecord, State, now_ms
from tests.support import clock
from tests.support.asgi import call
from tests.support.document import RESULT, STREAM, Document, attach, get, post, started
from tests.support.memory_store import MemoryStore

RUNNING = RunRecord(
    run_id="r", session_id="s", workflow="w", request_id="q", mode="m", state="running", created_at=1
)


async def test_a_finished_run_is_replayed_from_anywhere() -> None:
    document = Document()
    app = document.app()
    answer = await post(app)
    run_id = answer.headers["x-run-id"]
    whole = await attach(app, run_id)
    assert whole.events[0].type == "start"
    assert whole.terminal.data == RESULT
    assert (await attach(app, run_id, 5)).events == whole.events[5:]
    # The client has it all: the terminal event says so once more.
    assert [event.type for event in (await attach(app, run_id, len(whole.events) - 1)).events] == ["complete"]


async def test_a_running_run_is_followed_to_its_end() -> None:
    document = Document()
    document.gates["review"].clear()
    app = document.app()
    run_id, running = await started(app)
    following = asyncio.create_task(attach(app, run_id, 2))
    shown = await get(app, run_id)
    assert (shown["state"], shown["run_id"]) == ("running", run_id)
    document.gates["review"].set()
    assert (await following).terminal.data == RESULT
    await running


async def test_a_log_that_nobody_needs_is_written_for_who_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "ALONE_SECONDS", 3600)
    document = Document()
    document.gates["review"].clear()
    app = document.app()
    run_id, running = await started(app)
    seen = bytearray()

    async def on_piece(piece: bytes) -> None:
        seen.extend(piece)
        if b'"section":"verdict"' in seen:
            document.gates["review"].set()

    await document.memory.until(lambda: run_id in document.memory.runs)
    assert document.memory.runs[run_id].followed_until == 0
    assert run_id not in document.memory.logs
    path = f"/runs/{run_id}/events"
    answer = await call(app, "GET", path, headers=STREAM, on_piece=on_piece)
    assert check(answer.body).terminal.data == RESULT
    await running


@pytest.mark.parametrize("refused", [ConditionFailed, StoreError])
async def test_a_run_that_cannot_be_told_is_followed_all_the_same(
    refused: type[StoreError], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(self: MemoryStore, run_id: str) -> None:
        raise refused

    monkeypatch.setattr(MemoryStore, "follow", fails)
    document = Document()
    document.gates["review"].clear()
    app = document.app()
    run_id, running = await started(app)
    following = asyncio.create_task(attach(app, run_id))
    assert (await get(app, run_id))["state"] == "running"
    document.gates["review"].set()
    assert (await following).terminal.data == RESULT
    await running


@pytest.mark.parametrize(
    ("state", "left_ms", "said"),
    [
        ("running", -5, True),
        ("running", FOLLOWED_MS * 0.4, True),
        ("running", FOLLOWED_MS * 0.9, False),
        ("queued", -5, False),
        ("complete", -5, False),
    ],
)
async def test_that_it_is_followed_is_said_of_a_running_run_and_again_in_time(
    state: State, left_ms: float, said: bool
) -> None:
    store = MemoryStore()
    record = replace(RUNNING, state=state, followed_until=now_ms() + int(left_ms))
    store.runs["r"] = record
    await Follower(store, Document._result).say_followed(record)
    assert (store.runs["r"].followed_until > record.followed_until) == said


async def test_while_it_runs_the_outputs_of_finished_steps_can_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_log, "ALONE_SECONDS", 3600)
    document = Document()
    document.gates["review"].clear()
    app = document.app()
    run_id, running = await started(app)
    assert (await get(app, run_id))["result"] == {}
    await document.memory.until(lambda: len(document.memory.steps) == 2)
    assert (await get(app, run_id))["result"] == {"write": RESULT["write"], "list": RESULT["list"]}
    document.gates["review"].set()
    await running
    assert (await get(app, run_id))["result"] == RESULT


async def test_a_failed_run_ends_in_its_error_again() -> None:
    document = Document()
    document.errors = {"review": [UpstreamError()]}
    app = document.app()
    answer = await post(app)
    report = await attach(app, answer.headers["x-run-id"], 3)
    assert (report.terminal.type, report.terminal.code, report.terminal.step) == (
        "error",
        "upstream_error",
        "review",
    )


@pytest.mark.parametrize("after", [0, 4])
async def test_of_an_expired_log_the_terminal_event_is_left(after: int) -> None:
    document = Document()
    app = document.app()
    run_id = (await post(app)).headers["x-run-id"]
    document.memory.logs.clear()
    answer = await call(app, "GET", f"/runs/{run_id}/events?after={after}", headers=STREAM)
    assert answer.body.count(b"data: ") == 1
    assert b'"type":"complete"' in answer.body


async def test_a_log_with_a_hole_is_not_shown_after_it() -> None:
    document = Document()
    app = document.app()
    run_id = (await post(app)).headers["x-run-id"]
    whole = await attach(app, run_id)
    last = len(whole.events)
    frames = b"".join(batch.frames for batch in document.memory.logs[run_id]).split(b"\n\n")
    document.memory.logs[run_id] = [
        Batch(first=1, last=3, frames=b"\n\n".join(frames[:3]) + b"\n\n"),
        Batch(first=6, last=last - 1, frames=b"\n\n".join(frames[5:])),
    ]
    answer = await call(app, "GET", f"/runs/{run_id}/events", headers=STREAM)
    ids = [line for line in answer.body.split(b"\n") if line.startswith(b"id: ")]
    assert ids == [b"id: 1", b"id: 2", b"id: 3", b"id: %d" % last]


async def test_an_unknown_run_is_named_at_once() -> None:
    app = Document().app()
    for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/resume")):
        answer = await call(app, method, f"/runs/nobody{path}", headers=STREAM)
        assert (answer.status, answer.json()["code"]) == (404, "not_found")
        assert "nobody" in answer.json()["message"]


async def test_a_run_that_is_about_to_begin_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "BEGIN_SECONDS", 0.2)
    app = Document().app()
    assert (await call(app, "GET", f"/runs/{new_run_id()}/events", headers=STREAM)).status == 404


@pytest.mark.parametrize("text", ["-1", "x", "1.5", "99999999999", "\u0663"])
async def test_where_to_go_on_has_to_be_an_id(text: str) -> None:
    document = Document()
    app = document.app()
    run_id = (await post(app)).headers["x-run-id"]
    headers = {**STREAM, "last-event-id": text} if text.isascii() else STREAM
    path = f"/runs/{run_id}/events" + ("" if text.isascii() else f"?after={text}")
    answer = await call(app, "GET", path, headers=headers)
    assert (answer.status, answer.json()["code"]) == (400, "bad_request")


async def test_the_header_counts_where_both_are_given() -> None:
    app = Document().app()
    run_id = (await post(app)).headers["x-run-id"]
    answer = await call(app, "GET", f"/runs/{run_id}/events?after=1", headers={"last-event-id": "6"})
    assert answer.body.split(b"\n\n")[1].startswith(b"id: 7\n")


async def test_a_follower_says_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "KEEP_ALIVE_SECONDS", 0.05)
    document = Document()
    document.gates["review"].clear()
    app = document.app()
    run_id, running = await started(app)
    seen = asyncio.Event()

    async def on_piece(piece: bytes) -> None:
        if b"keep-alive" in piece:
            document.gates["review"].set()
            seen.set()

    await call(app, "GET", f"/runs/{run_id}/events?after=3", headers=STREAM, on_piece=on_piece)
    await running
    assert seen.is_set()


async def test_a_follower_near_its_own_deadline_hands_over() -> None:
    document = Document()
    document.gates["review"].clear()
    app = document.app()
    run_id, running = await started(app)
    await document.memory.until(lambda: document.memory.logs.get(run_id))
    near = {"request_id": "q", "deadline_ms": now_ms() + 3000}
    answer = await call(app, "GET", f"/runs/{run_id}/events", headers=STREAM, rill=near)
    last = answer.body.rstrip().rsplit(b"\n", 1)[1]
    after = document.memory.logs[run_id][-1].last
    assert last == b'data: {"type":"handoff","after":%d}' % after
    document.gates["review"].set()
    assert (await attach(app, run_id, after)).terminal.data == RESULT
    await running


async def test_a_run_whose_lease_ran_out_has_failed_for_whoever_looks() -> None:
    document = Document()
    app = document.app()
    run_id = (await post(app)).headers["x-run-id"]
    kept = document.memory.runs[run_id]
    lost = replace(kept, state="running", lease_until=now_ms() - 1, result=None, ended_at=None)
    document.memory.runs[run_id] = lost
    shown = await get(app, run_id)
    assert (shown["state"], shown["error"]["code"], shown["error"]["retryable"]) == (
        "failed",
        "internal",
        True,
    )
    report = await attach(app, run_id, 3, gaps=True)
    assert "interrupted" in report.terminal.message


def test_a_log_is_read_when_there_is_something_new_in_it() -> None:
    class Counting(MemoryStore):
        looks = reads = follows = 0

        async def follow(self, run_id: str) -> None:
            self.follows += 1
            self.runs[run_id] = replace(self.runs[run_id], followed_until=now_ms() + FOLLOWED_MS)

        async def get(self, run_id: str) -> RunRecord | None:
            self.looks += 1
            return await super().get(run_id)

        async def events(self, run_id: str, after: int) -> AsyncIterator[Batch]:
            self.reads += 1
            async for batch in super().events(run_id, after):
                yield batch

    def frame(seq: int) -> bytes:
        return sse.encode(seq, Status(message="x"))

    async def main() -> tuple[Counting, bytes]:
        store = Counting()
        running = replace(RUNNING, lease_until=now_ms() + 3_600_000, last_seq=1)
        store.runs["r"], store.logs["r"] = running, [Batch(first=1, last=1, frames=frame(1))]

        async def goes_on() -> None:
            await asyncio.sleep(30)
            store.logs["r"].append(Batch(first=2, last=3, frames=frame(2) + frame(3)))
            store.runs["r"] = replace(store.runs["r"], last_seq=3)
            await asyncio.sleep(30)
            store.runs["r"] = replace(store.runs["r"], state="cancelled")

        task = asyncio.create_task(goes_on())
        heard = b"".join([piece async for piece in Follower(store, nothing).frames("r", 0)])
        await task
        return store, heard

    async def nothing(record: RunRecord) -> dict[str, Any]:
        return {}

    store, heard = clock.run(main())
    heard = heard.replace(sse.KEEP_ALIVE, b"")
    assert heard.startswith(sse.RETRY + frame(1) + frame(2) + frame(3) + b"id: 4\n")
    assert heard.count(b"id: ") == 4
    assert (store.reads, store.follows) == (2, 1)
    assert 50 < store.looks < 80, "one a second"
