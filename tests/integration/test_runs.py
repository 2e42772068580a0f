"""Grading's runs on a real DynamoDB: cut anywhere, slowed, throttled, unplugged, crashed at every call."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from grading.models import GradingResult
from local.model import ScriptedModel
from rill import run_log, runs
from rill.conformance import check
from tests.support import asgi
from tests.support.client import view
from tests.support.cuts import (
    HEADERS,
    attach_to,
    boundaries,
    bytes_between,
    check_cuts,
    check_cuts_while_it_runs,
    check_two_cuts,
    without_comments,
)
from tests.support.dynamodb import dynamodb_server, make_tables
from tests.support.dynamodb_proxy import Answer, Call, DynamoProxy, breaks, error, loses, passes
from tests.support.grading import CALLS, app, variables

pytestmark = pytest.mark.dynamodb

CALL = CALLS[0]
REP_LINES = [line["line_number"] for line in CALL["transcript"] if line["speaker"] == "rep"]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with dynamodb_server() as url:
        yield url


@pytest.fixture
def dynamodb(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Any]]:
    """Empty tables for each test: moto copies a whole table for each transaction."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    client = make_tables(server)
    yield server, client
    client.close()


@pytest.fixture(scope="module")
def model() -> Iterator[ScriptedModel]:
    with ScriptedModel() as started:
        yield started


@pytest.fixture(autouse=True)
def faultless(model: ScriptedModel) -> None:
    """No test has the faults of another one."""
    model.clear()


@pytest.fixture
async def proxy(dynamodb: tuple[str, Any]) -> AsyncIterator[DynamoProxy]:
    async with DynamoProxy(dynamodb[0]) as started:
        yield started


@pytest.fixture(params=["few", "many"])
def writes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The fewest calls of a run: it is written as it is while nobody follows, or with every event."""
    if request.param == "few":
        return 4
    monkeypatch.setattr(run_log, "ALONE_SECONDS", 0.0)
    monkeypatch.setattr(run_log, "ASIDE_SECONDS", 0.0)
    monkeypatch.setattr(run_log, "OUTPUT_BYTES", 0)
    return 10


@pytest.fixture
async def grading(model: ScriptedModel, proxy: DynamoProxy) -> AsyncIterator[asgi.App]:
    """The function, with its DynamoDB behind the proxy."""
    async with app(variables(model, proxy.url)) as made:
        yield made


async def post(grading: asgi.App, path: str = "/runs", **kwargs: Any) -> asgi.Answer:
    body = json.dumps(CALL).encode()
    answer = await asgi.call(grading, "POST", path, body=body, headers=HEADERS, **kwargs)
    assert answer.status == 200, answer.body
    return answer


async def read(grading: asgi.App, run_id: str) -> Any:
    return (await asgi.call(grading, "GET", f"/runs/{run_id}")).json()


def expire_lease(client: Any, run_id: str) -> None:
    """Lets the time pass after which a run counts as lost."""
    client.update_item(
        TableName="Runs",
        Key={"run_id": {"S": run_id}, "sk": {"S": "META"}},
        UpdateExpression="SET lease_until = :past",
        ConditionExpression="attribute_exists(run_id)",
        ExpressionAttributeValues={":past": {"N": "1"}},
    )


def ratings(client: Any, run_id: str) -> list[int]:
    """The numbers of the lines that are rated in the table, of one run."""
    found = client.query(
        TableName="LineRatings",
        KeyConditionExpression="session_id = :s AND begins_with(line_key, :r)",
        ExpressionAttributeValues={":s": {"S": CALL["session_id"]}, ":r": {"S": run_id}},
    )
    return [int(item["line_number"]["N"]) for item in found["Items"]]


# -- cuts ----------------------------------------------------------------------------------------


async def test_wherever_a_finished_run_was_cut(grading: asgi.App) -> None:
    answer = await post(grading)
    attach = attach_to(grading, answer.headers["x-run-id"])
    assert await attach(0) == without_comments(answer.body)
    assert await check_cuts(answer.body, boundaries(answer.body), attach) > 50
    await check_cuts(answer.body, bytes_between(answer.body, 25), attach)
    pairs = itertools.product(bytes_between(answer.body, 6), (0.0, 0.4, 0.8))
    assert await check_two_cuts(answer.body, pairs, attach) == 18


async def test_wherever_a_running_run_is_cut(grading: asgi.App) -> None:
    stream, cuts = await check_cuts_while_it_runs(grading, CALL, every=4)
    assert cuts > 10
    assert view(stream)["terminal"]["type"] == "complete"


# -- a DynamoDB that is slow, busy, or away ------------------------------------------------------


async def test_no_event_waits_for_the_database(grading: asgi.App, proxy: DynamoProxy) -> None:
    """No call is answered before the client has everything but the end."""
    answered = asyncio.Event()

    async def held(call: Call) -> Answer | None:
        await answered.wait()
        return await call.forward()

    proxy.rule = held
    seen = bytearray()

    async def on_piece(piece: bytes) -> None:
        seen.extend(piece)
        if b'"progress":100' in seen:
            answered.set()

    answer = await post(grading, on_piece=on_piece)
    assert check(answer.body).terminal.type == "complete"
    assert (await read(grading, answer.headers["x-run-id"]))["state"] == "complete"
    attach = attach_to(grading, answer.headers["x-run-id"])
    assert await attach(0) == without_comments(answer.body)


@pytest.mark.parametrize(
    "answer",
    [
        error("ProvisionedThroughputExceededException"),
        error("ThrottlingException"),
        error("InternalServerError", 500),
        error("ServiceUnavailable", 503),
        None,
    ],
    ids=lambda answer: (
        "broken connection" if answer is None else json.loads(answer[1])["__type"].split("#")[1]
    ),
)
async def test_what_fails_for_a_while_is_tried_again(
    grading: asgi.App, proxy: DynamoProxy, dynamodb: tuple[str, Any], answer: Answer | None
) -> None:
    async def every_second(call: Call) -> Answer | None:
        return answer if call.number % 2 else await call.forward()

    proxy.rule = every_second
    stream = await post(grading)
    run_id = stream.headers["x-run-id"]
    assert check(stream.body).terminal.type == "complete"
    proxy.rule = passes
    assert await attach_to(grading, run_id)(0) == without_comments(stream.body)
    assert ratings(dynamodb[1], run_id) == REP_LINES


async def test_a_write_whose_answer_is_lost_is_not_done_twice(
    grading: asgi.App, proxy: DynamoProxy, dynamodb: tuple[str, Any], writes: int
) -> None:
    """Each call in turn is done, but its caller hears nothing of it, and does it again."""
    await post(grading)
    assert len(proxy.calls) >= writes
    for number in range(1, len(proxy.calls) + 1):
        proxy.calls.clear()

        async def lost_once(call: Call, number: int = number) -> Answer | None:
            return await (loses(call) if call.number == number else call.forward())

        proxy.rule = lost_once
        stream = await post(grading)
        proxy.rule = passes
        run_id = stream.headers["x-run-id"]
        report = check(stream.body)
        assert report.terminal.type in ("complete", "handoff"), f"call {number}"
        rest = await attach_to(grading, run_id)(len(report.events) - 1)
        terminal = view(rest)["terminal"]
        assert terminal["type"] == "complete", f"call {number}"
        assert ratings(dynamodb[1], run_id) == REP_LINES
        assert (await read(grading, run_id))["result"] == terminal["data"]


@pytest.mark.parametrize("after", [0, 3])
async def test_a_database_that_stays_away_costs_the_result_not_the_stream(
    grading: asgi.App, proxy: DynamoProxy, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr(runs, "LAST_TRIES_SECONDS", 0.5)

    async def away(call: Call) -> Answer | None:
        return await call.forward() if call.number <= after else None

    proxy.rule = away
    report = check((await post(grading)).body)
    GradingResult.model_validate(report.terminal.data)
    assert "could not be kept" in report.of("status")[-1].message


@pytest.mark.parametrize("ends", ["complete", "cancelled", "failed"])
async def test_a_run_counts_more_than_its_log(
    grading: asgi.App,
    proxy: DynamoProxy,
    model: ScriptedModel,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    ends: str,
) -> None:
    """A DynamoDB without transactions, as dynalite is."""
    monkeypatch.setattr(runs, "LAST_TRIES_SECONDS", 0.5)
    monkeypatch.setattr(run_log, "LOOK_SECONDS", 0.02)
    if ends != "complete":
        model.set_faults("scores=stall@3" if ends == "cancelled" else "scores=refusal")
    asked = asyncio.Event()

    async def refused(call: Call) -> Answer | None:
        known = call.operation != "TransactWriteItems"
        return await call.forward() if known else error("UnknownOperationException")

    async def on_piece(piece: bytes) -> None:
        if ends == "cancelled" and b'"type":"step_complete"' in piece and not asked.is_set():
            asked.set()
            run_id = next(call.body["Item"]["run_id"]["S"] for call in proxy.calls)
            await asgi.call(grading, "POST", f"/runs/{run_id}/cancel")

    proxy.rule = refused
    stream = await post(grading, on_piece=on_piece)
    report, run_id = check(stream.body), stream.headers["x-run-id"]
    assert report.terminal.type == ("error" if ends == "failed" else ends)
    found = await read(grading, run_id)
    assert found["state"] == ends
    if ends != "failed":
        assert found["result"] == report.terminal.data
    assert "the log of the run is left without its end" in caplog.text
    attached = await attach_to(grading, run_id)(0)
    assert view(attached)["terminal"] == view(stream.body)["terminal"]
    assert attached.count(b"data: ") == 1
    if ends == "cancelled":
        finished = {event.step for event in report.of("step_complete")}
        assert finished
        proxy.rule = passes
        model.clear()
        resumed = view((await post(grading, f"/runs/{run_id}/resume")).body)
        assert resumed["terminal"]["type"] == "complete"
        assert not finished & {record.schema for record in model.requests}


async def test_ratings_that_cannot_be_kept_cost_no_step(
    grading: asgi.App, proxy: DynamoProxy, dynamodb: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their table is away, that of runs is not: nothing that the models did has to be done again."""
    monkeypatch.setattr(runs, "LAST_TRIES_SECONDS", 0.5)

    async def refused(call: Call) -> Answer | None:
        return error("AccessDeniedException") if call.operation == "BatchWriteItem" else await call.forward()

    proxy.rule = refused
    stream = await post(grading)
    report, run_id = check(stream.body), stream.headers["x-run-id"]
    assert "could not be kept" in report.of("status")[-1].message
    proxy.rule = passes
    expire_lease(dynamodb[1], run_id)
    lost = await read(grading, run_id)
    assert (lost["state"], sorted(lost["result"])) == ("failed", sorted(report.terminal.data))
    resumed = await post(grading, f"/runs/{run_id}/resume")
    events = check(resumed.body, after=lost["last_seq"])
    assert events.of("step_start") == []
    assert events.terminal.data == report.terminal.data
    assert ratings(dynamodb[1], run_id) == REP_LINES


# -- crashes -------------------------------------------------------------------------------------


class Crash:
    """The process is gone at one of its calls to the database: none that follows arrives."""

    def __init__(self, number: int, *, done: bool) -> None:
        self.happened = asyncio.Event()
        self._number = number
        self._done = done

    async def __call__(self, call: Call) -> Answer | None:
        if call.number < self._number:
            return await call.forward()
        if call.number == self._number and self._done:
            await call.forward()
        self.happened.set()
        return await breaks(call)


async def crashed(grading: asgi.App, proxy: DynamoProxy, crash: Crash) -> tuple[str, bytes]:
    """A run whose process dies; its id, and what its client had got."""
    seen = bytearray()

    async def on_piece(piece: bytes) -> None:
        seen.extend(piece)

    proxy.calls.clear()
    proxy.rule = crash
    run = asyncio.create_task(post(grading, on_piece=on_piece))
    await asyncio.wait([run, asyncio.create_task(crash.happened.wait())], return_when="FIRST_COMPLETED")
    run.cancel()
    await asyncio.wait([run])
    run_id = json.loads(bytes(seen).split(b"data: ", 1)[1].split(b"\n", 1)[0])["run_id"]
    return run_id, bytes(seen)


@pytest.mark.parametrize("done", [False, True], ids=["call lost", "call done"])
async def test_a_run_whose_process_died_at_any_call_is_resumed(
    model: ScriptedModel, dynamodb: tuple[str, Any], proxy: DynamoProxy, done: bool, writes: int
) -> None:
    url, client = dynamodb
    async with app(variables(model, proxy.url)) as first:
        await post(first)
    last = len(proxy.calls)
    assert last >= writes
    resumed = 0
    for number in range(2, last + 1):
        async with app(variables(model, proxy.url)) as dying:
            run_id, seen = await crashed(dying, proxy, Crash(number, done=done))
        async with app(variables(model, url)) as living:
            resumed += await recovered(living, client, run_id, seen, f"call {number} of {last}")
    assert resumed >= last / 2


async def recovered(living: asgi.App, client: Any, run_id: str, seen: bytes, where: str) -> int:
    """Takes a lost run up and checks what comes of it; how many there were to take up."""
    key = {"run_id": {"S": run_id}, "sk": {"S": "META"}}
    item = client.get_item(TableName="Runs", Key=key).get("Item")
    if item is None:  # it died before anything was written: nobody can know of it
        return 0
    if item["state"]["S"] == "running":
        expire_lease(client, run_id)
        lost = await read(living, run_id)
        assert (lost["state"], lost["error"]["code"], lost["error"]["retryable"]) == (
            "failed",
            "internal",
            True,
        ), where
        assert not lost["result"] or "line_ratings" not in lost["result"] or lost["result"]["line_ratings"]
        assert lost["line_ratings_count"] == 0, where
        if client.get_item(TableName="Runs", Key={**key, "sk": {"S": "INPUT#0001"}}).get("Item") is None:
            return 0  # what it was started with had not arrived either
        answer = await post(living, f"/runs/{run_id}/resume")
        assert view(seen, answer.body)["terminal"]["type"] == "complete", where
    found = await read(living, run_id)
    assert found["state"] == "complete", where
    GradingResult.model_validate(found["result"])
    assert ratings(client, run_id) == REP_LINES, where
    assert found["line_ratings_count"] == len(REP_LINES), where
    return 1
