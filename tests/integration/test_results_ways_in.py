"""The results API from outside: what it refuses, what it may call, Lambda's handler, the real function."""

import asyncio
import importlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from mangum import Mangum

from local.functions.template import read
from local.provider import Provider
from local.stack import Stack
from rill.stores.run_records import to_item
from tests.support.dynamodb import TEMPLATE, dynamodb_server
from tests.support.results import Api, allowed, invoke, rating, run, tables, transcript

pytestmark = pytest.mark.dynamodb

EVENTS = TEMPLATE.parent / "events/results"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with dynamodb_server() as url:
        yield url


@pytest.fixture
async def api(server: str) -> AsyncIterator[Api]:
    with tables(server):
        async with Api() as made:
            yield made


@pytest.fixture
def loop() -> Iterator[None]:
    """The event loop of a thread that Lambda's handler runs in."""
    made = asyncio.new_event_loop()
    asyncio.set_event_loop(made)
    yield
    made.run_until_complete(made.shutdown_default_executor())
    asyncio.set_event_loop(None)
    made.close()


@pytest.mark.parametrize(
    ("path", "query", "named"),
    [
        ("/runs", {}, "session_id, workflow: one of them has to be there."),
        ("/runs", {"workflow": "grading", "limit": 0}, "limit: "),
        ("/runs", {"workflow": "grading", "limit": 101}, "limit: "),
        ("/runs", {"workflow": "grading", "limit": "x"}, "limit: "),
        ("/runs", {"workflow": "grading", "state": "done"}, "state: "),
        ("/runs", {"workflow": "grading", "cursor": "x"}, "cursor: "),
        ("/runs", {"session_id": "a b"}, "session_id: "),
        ("/sessions", {"cursor": "x"}, "cursor: "),
        ("/sessions", {"limit": 101}, "limit: "),
        ("/sessions/s-1/line-ratings", {"effectiveness": "bad"}, "effectiveness: "),
        ("/analytics", {"from_": "yesterday"}, "from: "),
        ("/analytics", {"to": "1970-01-01T00:00:00Z"}, "to: "),
        ("/runs/export", {"to": "2026-02-30"}, "to: "),
        ("/runs/export", {"format": "xlsx"}, "format: "),
    ],
)
async def test_a_bad_parameter_is_named(api: Api, path: str, query: dict[str, Any], named: str) -> None:
    answer = await api.get(path, **query)
    assert answer.status_code == 400
    assert answer.json()["code"] == "bad_request"
    assert answer.json()["message"].startswith(named)
    assert api.dynamo.calls == []


async def test_what_is_not_there(api: Api) -> None:
    for path in ("/sessions/no", "/runs/no", "/runs/a%20b", "/sessions/%ff", "/nowhere", "/runs/no/x"):
        answer = await api.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    assert (await api.get("/runs/no", etag="*")).status_code == 404
    assert (await api.get("/runs/no")).json()["message"] == "There is no run 'no'."


async def test_the_code_calls_exactly_what_the_policy_allows(api: Api) -> None:
    """Every route once, each of which reaches what it can."""
    await api.keep(run("r-1", 1), rating(1))
    new = {"session_id": "s-1", "transcript": transcript()}
    assert (await api.post("/sessions", new)).status_code == 201
    for path in ("/sessions", "/sessions/s-1", "/sessions/s-1/line-ratings", "/runs?session_id=s-1"):
        assert (await api.request("GET", path)).status_code == 200
    for path in ("/runs?workflow=grading", "/runs/r-1", "/runs/export", "/analytics", "/health"):
        assert (await api.request("GET", path)).status_code == 200
    assert (await api.request("DELETE", "/sessions/s-1")).status_code == 204
    assert set(api.dynamo.calls) == allowed()


def test_through_the_handler(server: str, loop: None) -> None:
    with tables(server) as client:
        client.put_item(TableName="Runs", Item=to_item(run("r-1", 1)))
        # It reads its environment once, when it is imported, as Lambda has it.
        results = importlib.import_module("results.app")
        try:
            _through(results.handler)
        finally:
            asyncio.get_event_loop().run_until_complete(_end(results.app))


async def _end(app: FastAPI) -> None:
    """The end of the app's lifespan, which Lambda does not wait for."""
    async with app.router.lifespan_context(app):
        pass


def _through(handler: Mangum) -> None:
    def answer(name: str, request_id: str) -> httpx2.Response:
        return invoke(handler, json.loads((EVENTS / f"{name}.json").read_text()), request_id)

    assert answer("health", "q-1").json()["status"] == "ok"
    created = answer("create-session", "q-2")
    assert (created.status_code, created.headers["x-request-id"]) == (201, "q-2")
    assert created.headers["location"] == "/sessions/dlg-d6b72166-99c2-4c71-a653-c99b4b5141e8"
    again = answer("create-session", "q-3")
    assert (again.status_code, again.json()["request_id"]) == (409, "q-3")
    assert [run["run_id"] for run in answer("list-runs", "q-4").json()["runs"]] == ["r-1"]


async def test_through_the_deployed_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_DYNAMODB", raising=False)
    stack = Stack(read(TEMPLATE), Provider(name="scripted", why="test"), only="results", state=tmp_path)
    async with stack, httpx2.AsyncClient(base_url=stack.urls["results"], trust_env=False) as client:
        new = {"session_id": "s-1", "title": "é", "transcript": transcript(1200, "☕" * 200)}
        created = await client.post("/sessions", json=new, timeout=30)
        assert created.status_code == 201, created.text
        whole = await client.get("/sessions/s-1", timeout=30)
        assert whole.json()["transcript"] == new["transcript"]
        tag = {"if-none-match": whole.headers["etag"]}
        same = await client.get("/sessions/s-1", headers=tag, timeout=30)
        assert (same.status_code, same.content) == (304, b"")
        assert same.headers["x-request-id"] not in ("", "local", whole.headers["x-request-id"])
        assert (await client.delete("/sessions/s-1")).status_code == 204
        assert (await client.get("/sessions/s-1")).status_code == 404
