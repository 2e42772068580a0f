"""Grading as a whole: real calls, every fault of the model, both modes; model and DynamoDB over sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from grading.models import GradingResult
from local.model import ScriptedModel
from rill.conformance import Report
from rill.events import Complete, Error, Item, Progress, Reset, Section, Status, StepError, Usage
from tests.support import asgi
from tests.support.dynamodb import dynamodb_server, make_tables
from tests.support.grading import CALLS, app, stream, variables

pytestmark = pytest.mark.dynamodb

CALL = CALLS[0]
SECTIONS = list(GradingResult.model_fields)


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[tuple[str, Any]]:
    with pytest.MonkeyPatch.context() as patch, dynamodb_server() as url:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        yield url, make_tables(url)


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedModel]:
    with ScriptedModel() as model:
        yield model


@pytest.fixture
def model(server: ScriptedModel) -> ScriptedModel:
    server.clear()
    return server


@pytest.fixture
async def grading(model: ScriptedModel, dynamodb: tuple[str, Any]) -> AsyncIterator[asgi.App]:
    async with app(variables(model, dynamodb[0])) as made:
        yield made


def stored(client: Any, run_id: str, session_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The run's item, and the ratings under it."""
    key = {"run_id": {"S": run_id}, "sk": {"S": "META"}}
    ratings = client.query(
        TableName="LineRatings",
        KeyConditionExpression="session_id = :s AND begins_with(line_key, :r)",
        ExpressionAttributeValues={":s": {"S": session_id}, ":r": {"S": run_id}},
    )
    return client.get_item(TableName="Runs", Key=key)["Item"], ratings["Items"]


def complete(report: Report) -> Complete:
    assert isinstance(report.terminal, Complete), report.terminal
    return report.terminal


def of(report: Report, kind: type[Any]) -> list[Any]:
    return [event for event in report.events if isinstance(event, kind)]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: str(call["session_id"]))
@pytest.mark.parametrize("mode", ["multi", "single"])
async def test_a_real_call_is_graded_and_stored(
    grading: asgi.App, dynamodb: tuple[str, Any], call: dict[str, Any], mode: str
) -> None:
    report = await stream(grading, {**call, "mode": mode})
    result = GradingResult.model_validate(complete(report).data)
    rep_lines = [line["line_number"] for line in call["transcript"] if line["speaker"] == "rep"]
    assert [rating.line_number for rating in result.line_ratings] == rep_lines
    assert sorted(event.section for event in of(report, Section)) == sorted(SECTIONS)
    assert sorted(event.index for event in of(report, Item)) == list(range(len(rep_lines)))
    assert of(report, Progress)[-1].progress == 100
    assert complete(report).usage.calls == len(of(report, Usage))
    item, ratings = stored(dynamodb[1], report.events[0].run_id, call["session_id"])  # type: ignore[union-attr]
    assert item["state"] == {"S": "complete"}
    assert len(ratings) == len(rep_lines)
    first = call["transcript"][rep_lines[0] - 1]
    assert ratings[0]["text"] == {"S": first["text"]}
    assert {
        "line_number",
        "speaker",
        "text",
        "effectiveness",
        "alternative_lines",
        "created_at",
    } <= ratings[0].keys()


async def test_json_mode_and_reading_a_run_give_the_same_result(grading: asgi.App) -> None:
    posted = await asgi.call(grading, "POST", "/runs", body=json.dumps(CALL).encode())
    assert posted.status == 200
    run = posted.json()
    read = await asgi.call(grading, "GET", f"/runs/{run['run_id']}")
    found = read.json()
    assert found["state"] == "complete"
    assert {key: found["result"][key] for key in SECTIONS[:-1]} == {
        key: run["data"][key] for key in SECTIONS[:-1]
    }
    for kept, given in zip(found["result"]["line_ratings"], run["data"]["line_ratings"], strict=True):
        assert given.items() <= kept.items()


async def test_knowledge_reaches_every_model_call(grading: asgi.App, model: ScriptedModel) -> None:
    knowledge = [{"title": "Price list", "text": "The zebra plan costs 12."}]
    complete(await stream(grading, {**CALL, "knowledge": knowledge}))
    await asyncio.to_thread(model.wait_for, lambda _: len(model.requests) >= 6)
    bodies = [json.dumps(record.body) for record in model.requests]
    assert all("zebra plan" in body for body in bodies)


# What each fault comes to: the code of the failure that ends the run, or None where a retry helps.
FAULTS: dict[str, str | None] = {
    "scores=429:2:retry=0.01": None,
    "scores=500:2": None,
    "scores=503:1:retry=0.01": None,
    "scores=hang:once": None,
    "scores=stall@3:once": None,
    "scores=cut@0:once": None,
    "scores=cut@3:once": None,
    "line_ratings=cut@60:once": None,
    "scores=error@3:once": None,
    "scores=malformed@3:once": None,
    "scores=broken@3:once": None,
    "scores=truncated@3:once": None,
    "scores=wrong:once": None,
    "line_ratings=wrong:once": None,
    "scores=429:retry=0.01": "model_overloaded",
    "scores=503:retry=0.01": "model_overloaded",
    "scores=500:retry=0.01": "upstream_error",
    "scores=401": "upstream_error",
    "scores=404": "upstream_error",
    "scores=stall@3": "step_timeout",
    "scores=hang": "step_timeout",
    "scores=cut@3": "upstream_error",
    "scores=error@3": "upstream_error",
    "scores=malformed@3": "upstream_error",
    "scores=broken@3": "invalid_output",
    "scores*=wrong": "invalid_output",
    "scores=truncated@3": "model_truncated",
    "scores=filtered@3": "model_refused",
    "scores=refusal": "model_refused",
    "line_ratings=cut@60": "upstream_error",
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_fault_of_the_model_is_a_retry_or_a_typed_error(
    grading: asgi.App, model: ScriptedModel, dynamodb: tuple[str, Any], fault: str
) -> None:
    model.set_faults(fault)
    report = await stream(grading, CALL)
    code = FAULTS[fault]
    item, ratings = stored(dynamodb[1], report.events[0].run_id, CALL["session_id"])  # type: ignore[union-attr]
    if code is None:
        GradingResult.model_validate(complete(report).data)
        assert item["state"] == {"S": "complete"}
        return
    assert isinstance(report.terminal, Error)
    assert report.terminal.code == code
    assert report.terminal.step == fault.partition("=")[0].rstrip("*")
    assert item["state"] == {"S": "failed"}
    assert json.loads(item["error"]["S"])["code"] == code
    assert "result" not in item
    assert ratings == []
    failed = [event for event in of(report, StepError) if event.step == report.terminal.step]
    assert failed[-1].code == code
    assert not failed[-1].will_retry


async def test_a_step_that_starts_again_says_what_to_forget(grading: asgi.App, model: ScriptedModel) -> None:
    model.set_faults("line_ratings=cut@60:once")
    report = await stream(grading, CALL)
    resets = of(report, Reset)
    assert [(event.step, event.attempt) for event in resets] == [("line_ratings", 2)]
    assert of(report, StepError)[0].will_retry


async def test_a_section_that_is_not_valid_is_asked_for_once_more(
    grading: asgi.App, model: ScriptedModel
) -> None:
    model.set_faults("scores=wrong:once")
    report = await stream(grading, CALL)
    complete(report)
    assert "Checking scores again…" in [event.message for event in of(report, Status)]
    assert of(report, StepError) == []
    assert [event.section for event in of(report, Section)].count("scores") == 1
    assert "scores_repair" in {record.schema for record in model.requests}


async def test_usage_of_calls_that_were_given_up_is_counted(
    grading: asgi.App, model: ScriptedModel, dynamodb: tuple[str, Any]
) -> None:
    model.set_faults("scores=refusal,coaching=stall@20")
    report = await stream(grading, CALL)
    item, _ = stored(dynamodb[1], report.events[0].run_id, CALL["session_id"])  # type: ignore[union-attr]
    usage = json.loads(item["usage"]["S"])
    assert usage["certainty"] == "estimated"
    # The one that was refused, and each of the others that had begun to answer by then.
    assert usage["calls"] > len(of(report, Usage))


async def test_leaving_closes_the_connection_to_the_model(grading: asgi.App, model: ScriptedModel) -> None:
    model.set_faults("GradingResult=stall@300")
    shown = asyncio.Event()

    async def on_piece(piece: bytes) -> None:
        if b'"type":"section"' in piece:
            shown.set()

    task = asyncio.create_task(stream(grading, {**CALL, "mode": "single"}, on_piece=on_piece))
    await shown.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    record = await asyncio.to_thread(model.wait_for)
    assert record.disconnected
    assert record.fault == "GradingResult=stall@300"
