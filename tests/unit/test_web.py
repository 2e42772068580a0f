import asyncio
import json
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import pytest
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rill import runs, web
from rill.conformance import check
from rill.errors import RateLimited, UpstreamError
from rill.events import Chunk, Usage
from rill.pipeline import Execution, Output, Step, StepEvent, Task, Workflow
from rill.runs import Run
from rill.stores.runs import RunRecord, now_ms
from tests.support.asgi import Answer, call
from tests.support.memory_store import MemoryStore


class Question(BaseModel):
    text: str


class Echo:
    """A workflow of one step, that says the text back; a gate holds it after the first word."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.invalid = False

    def app(self) -> Starlette:
        return web.create_app(
            web.Definition(
                name="echo",
                request_model=Question,
                describe=lambda _: {"session_id": "s", "mode": "live"},
                start=self.start,
                store=self.store,
                result=self.result,
                explain=lambda detail, _: f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}",
            )
        )

    async def say(self, task: Task[Question]) -> AsyncGenerator[StepEvent, None]:
        for word in task.context.text.split():
            yield Chunk(step="say", content=word)
            await self.gate.wait()
        yield Usage(step="say", model="m", input_tokens=3, output_tokens=2, cost_usd=0.5, certainty="exact")
        if self.error is not None:
            raise self.error
        yield Output(task.context.text)

    def assemble(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        if self.invalid:
            raise UpstreamError
        return {"text": outputs["say"]}

    def start(self, question: Question, record: RunRecord, invocation: web.Invocation) -> Run[Question]:
        return Run(
            record=record,
            execution=Execution(
                Workflow("echo", [Step(name="say", label="Say", run=self.say)]), question, keep_alive=0.01
            ),
            assemble=self.assemble,
            store=self.store,
            deadline_ms=invocation.deadline_ms,
        )

    async def result(self, record: RunRecord) -> dict[str, Any]:
        return record.result or {}


async def ask(echo: Echo, accept: str = "text/event-stream", **kwargs: Any) -> Answer:
    body = json.dumps({"text": "one two"}).encode()
    return await call(echo.app(), "POST", "/runs", body=body, headers={"Accept": accept}, **kwargs)


async def test_a_run_streams_and_is_kept() -> None:
    echo = Echo()
    answer = await ask(echo, rill={"request_id": "q-1", "deadline_ms": now_ms() + 60_000})
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    report = check(answer.body)
    assert report.events[0].type == "start"
    assert report.events[0].request_id == "q-1"
    assert report.terminal.data == {"text": "one two"}
    assert (report.terminal.cost_usd, report.terminal.usage.calls) == (0.5, 1)
    kept = echo.store.runs[answer.headers["x-run-id"]]
    assert (kept.state, kept.result, kept.cost_usd) == ("complete", {"text": "one two"}, 0.5)


async def test_each_event_is_sent_before_the_next_is_made() -> None:
    echo = Echo()
    echo.gate.clear()
    seen: list[bytes] = []

    async def on_piece(piece: bytes) -> None:
        seen.append(piece)
        if b"keep-alive" in piece:
            assert b'"content":"one"' in b"".join(seen)
            assert b'"content":"two"' not in b"".join(seen)
            echo.gate.set()

    report = check((await ask(echo, on_piece=on_piece)).body)
    assert report.comments >= 1
    assert [chunk.content for chunk in report.of("chunk")] == ["one", "two"]


async def test_an_added_middleware_sees_every_piece() -> None:
    class Loud:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            async def louder(message: Message) -> None:
                if message["type"] == "http.response.body":
                    message = {**message, "body": message["body"].upper()}
                await send(message)

            await self.app(scope, receive, louder)

    app = Echo().app()
    app.add_middleware(Loud)
    body, accept = json.dumps({"text": "one two"}).encode(), {"Accept": "text/event-stream"}
    answer = await call(app, "POST", "/runs", body=body, headers=accept)
    assert answer.body == answer.body.upper()
    assert answer.body.count(b'"CONTENT":') == 2


async def test_a_stream_that_cannot_be_sent_leaves_no_step_running() -> None:
    echo = Echo()
    echo.gate.clear()
    gone = ConnectionResetError("nobody takes it")

    async def on_piece(piece: bytes) -> None:
        if b'"content":"one"' in piece:
            raise gone

    before = asyncio.all_tasks()
    with pytest.raises(ConnectionResetError) as raised:
        await ask(echo, on_piece=on_piece)
    assert raised.value is gone
    assert asyncio.all_tasks() == before


async def test_json_mode_waits_for_the_result() -> None:
    answer = await ask(Echo(), accept="application/json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json()["data"] == {"text": "one two"}
    assert answer.json()["usage"]["input_tokens"] == 3
    assert answer.json()["run_id"] == answer.headers["x-run-id"]


async def test_a_failed_run_is_an_event_or_a_status() -> None:
    echo = Echo()
    echo.error = RateLimited(retry_after=7)
    report = check((await ask(echo)).body)
    assert (report.terminal.code, report.terminal.step, report.terminal.retryable) == (
        "rate_limited",
        "say",
        True,
    )
    answer = await ask(echo, accept="application/json")
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")
    assert answer.json()["code"] == "rate_limited"
    kept = echo.store.runs[answer.headers["x-run-id"]]
    assert kept.state == "failed"
    assert kept.cost_usd == 0.5


async def test_a_result_that_does_not_fit_together_fails_the_run() -> None:
    echo = Echo()
    echo.invalid = True
    assert check((await ask(echo)).body).terminal.code == "upstream_error"


async def test_a_run_ends_at_its_deadline() -> None:
    echo = Echo()
    echo.gate.clear()
    rill = {"request_id": "q", "deadline_ms": int(time.time() * 1000)}
    report = check((await ask(echo, rill=rill)).body)
    assert (report.terminal.code, report.terminal.retryable) == ("deadline", True)


async def test_the_client_gets_its_result_when_the_database_is_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runs, "LAST_TRIES_SECONDS", 0.2)
    echo = Echo()
    echo.store.down = True
    report = check((await ask(echo)).body)
    assert report.terminal.data == {"text": "one two"}
    assert "could not be kept" in report.of("status")[-1].message
    echo.error = UpstreamError()
    assert check((await ask(echo)).body).terminal.code == "upstream_error"


async def test_a_run_can_be_read_and_an_unknown_one_is_named() -> None:
    echo = Echo()
    run_id = (await ask(echo)).headers["x-run-id"]
    found = await call(echo.app(), "GET", f"/runs/{run_id}")
    assert (
        found.json().items() >= {"run_id": run_id, "state": "complete", "result": {"text": "one two"}}.items()
    )
    assert "owner" not in found.json()
    missing = await call(echo.app(), "GET", "/runs/nope")
    assert (missing.status, missing.json()["code"]) == (404, "not_found")
    assert "'nope'" in missing.json()["message"]


async def test_health() -> None:
    assert (await call(Echo().app(), "GET", "/health")).json()["workflow"] == "echo"


@pytest.mark.parametrize(
    ("body", "status", "match"),
    [
        (b"", 400, "empty"),
        (b"  ", 400, "empty"),
        (b"{", 400, "not JSON"),
        (b"\xff", 400, "not JSON"),
        (b"[" * 100_000, 400, "nested too deep"),
        (b"[]", 400, "valid dictionary"),
        (b"{}", 400, "text: Field required"),
        (b'{"text": 1}', 400, "text: Input should be a valid string"),
        (b" " * (web.MAX_BODY_BYTES + 1), 413, "over 6291456 bytes"),
    ],
)
async def test_bad_input_is_named(body: bytes, status: int, match: str) -> None:
    answer = await call(Echo().app(), "POST", "/runs", body=body, headers={"X-Request-Id": "q-9"})
    assert answer.status == status
    assert answer.json()["code"] == "bad_request"
    assert match in answer.json()["message"]
    assert answer.json()["request_id"] == "q-9"


async def test_wrong_addresses_and_methods_are_named() -> None:
    wrong = await call(Echo().app(), "GET", "/nowhere")
    assert (wrong.status, wrong.json()["message"]) == (404, "There is no /nowhere here.")
    method = await call(Echo().app(), "DELETE", "/runs")
    assert (method.status, method.headers["allow"]) == (405, "POST")


async def test_a_direct_event_runs_buffered_and_is_closed_to_http() -> None:
    body = b'{"text": "one"}'
    app = Echo().app()
    direct = {"request_id": "q", "deadline_ms": now_ms() + 60_000, "invoked_directly": True}
    answer = await call(app, "POST", "/events", body=body, rill=direct)
    assert answer.json()["data"] == {"text": "one"}
    assert (await call(app, "POST", "/events", body=body)).status == 404
