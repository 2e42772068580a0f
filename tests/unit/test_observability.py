"""Logs and metrics as CloudWatch reads them."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest

from rill.observability import JsonHandler, Metrics, RunMetrics, add_log_keys, set_up_logging

RUN = RunMetrics(
    workflow="grading",
    run_id="r1",
    request_id="q1",
    outcome="complete",
    duration=12.5,
    sections=6,
    line_ratings=9,
    input_tokens=100,
    output_tokens=50,
    cost_usd=0.01,
)


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    root.handlers[:] = [handler for handler in handlers if not isinstance(handler, JsonHandler)]
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


def test_lines_are_json_and_carry_the_keys_of_their_task() -> None:
    stream = io.StringIO()
    logger = logging.Logger("test")
    logger.addHandler(JsonHandler("grading", stream))

    async def run(name: str) -> None:
        add_log_keys(run_id=name)
        await asyncio.gather(inner(), inner())

    async def inner() -> None:
        logger.warning("é %s", "said")

    async def both() -> None:
        await asyncio.gather(run("a"), run("b"))

    asyncio.run(both())
    logger.error("none", extra={"run_id": "own"})
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert sorted(line.get("run_id") for line in lines) == ["a", "a", "b", "b", "own"]
    assert {line["service"] for line in lines} == {"grading"}
    assert lines[0]["message"] == "é said"


def test_logging_is_set_up_once(root: logging.Logger) -> None:
    set_up_logging({"POWERTOOLS_LOG_LEVEL": "DEBUG"})
    set_up_logging({})
    assert [type(handler) for handler in root.handlers].count(JsonHandler) == 1
    assert root.level == logging.DEBUG
    assert logging.getLogger("httpx2").level == logging.WARNING


def test_a_run_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    Metrics({"POWERTOOLS_SERVICE_NAME": "grading"}).run_ended(RUN)
    line = json.loads(capsys.readouterr().out)
    assert line["duration"] == [12.5]
    assert line["sections_completed"] == [6]
    assert line["line_ratings"] == [9]
    assert line["cost_usd"] == [0.01]
    assert line["run_id"] == "r1"
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "Rill"
    assert sorted(directive["Dimensions"][0]) == ["outcome", "service", "workflow"]


def test_an_unknown_cost_is_no_metric(capsys: pytest.CaptureFixture[str]) -> None:
    from dataclasses import replace

    Metrics({}).run_ended(replace(RUN, cost_usd=None, failed_step="scores", code="internal"))
    line = json.loads(capsys.readouterr().out)
    assert "cost_usd" not in line
    assert (line["failed_step"], line["code"]) == ("scores", "internal")
