"""Runs that the queue's worker does, in the whole local stack: later, and past an invocation's deadline."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import httpx2
import pytest

from grading.models import GradingResult
from local.functions.template import read
from local.provider import Provider
from local.stack import ROOT, Stack
from rill.conformance import check
from tests.support.client import Client
from tests.support.cuts import HEADERS
from tests.support.grading import CALLS

TEMPLATE = read(ROOT / "template.yaml")
SCRIPTED = Provider(name="scripted", why="test")
CALL = json.dumps(CALLS[0]).encode()

Start = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Starts the stack with grading and its worker; gives a client of grading's URL."""
    monkeypatch.delenv("AWS_ENDPOINT_URL_DYNAMODB", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL_SQS", raising=False)

    @asynccontextmanager
    async def running(*, timeout: int = 60, faults: str = "") -> AsyncIterator[httpx2.AsyncClient]:
        functions = {
            name: replace(function, timeout=timeout if name == "grading" else function.timeout)
            for name, function in TEMPLATE.functions.items()
        }
        template = replace(TEMPLATE, functions=functions)
        async with (
            Stack(template, SCRIPTED, pace=0, faults=faults, only="grading", state=tmp_path) as stack,
            httpx2.AsyncClient(base_url=stack.urls["grading"], trust_env=False, timeout=60) as client,
        ):
            client.headers["x-sqs"] = stack.variables["AWS_ENDPOINT_URL_SQS"]
            yield client

    return running


async def until(client: httpx2.AsyncClient, run_id: str, *states: str) -> dict[str, Any]:
    """The run, once it is in one of these states."""
    while True:
        found: dict[str, Any] = (await client.get(f"runs/{run_id}")).json()
        if found["state"] in states:
            return found
        await asyncio.sleep(0.1)


async def test_a_run_is_left_to_the_worker(start: Start) -> None:
    async with start() as client:
        headers = {"prefer": "respond-async", "idempotency-key": "k"}
        answer = await client.post("runs", content=CALL, headers=headers)
        assert (answer.status_code, answer.json()["state"]) == (202, "queued")
        run_id = answer.json()["run_id"]
        followed = await client.get(f"{answer.headers['location']}/events", headers=HEADERS)
        report = check(followed.content)
        GradingResult.model_validate(report.terminal.data)
        assert [event.attempt for event in report.of("step_start")] == [1] * 6
        found = await until(client, run_id, "complete")
        assert (found["result"], found["epoch"]) == (report.terminal.data, 1)
        again = await client.post("runs", content=CALL, headers=headers)
        assert again.json() == {"run_id": run_id, "state": "complete"}


async def test_a_second_delivery_runs_nothing(start: Start) -> None:
    async with start() as client:
        answer = await client.post("runs", content=CALL, headers={"prefer": "respond-async"})
        run_id = answer.json()["run_id"]
        first = await until(client, run_id, "complete")
        sqs: Any = boto3.client(
            "sqs",
            endpoint_url=client.headers["x-sqs"],
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
        urls = sqs.list_queues()["QueueUrls"]
        url = next(url for url in urls if "DeadLetter" not in url)
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"version": 1, "run_id": run_id}))

        def left() -> int:
            names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
            return sum(
                int(number)
                for queue in urls
                for number in sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)[
                    "Attributes"
                ].values()
            )

        while True:
            if not await asyncio.to_thread(left):
                break
            await asyncio.sleep(0.1)
        sqs.close()
        assert await until(client, run_id, "complete") == first


async def test_past_the_deadline_the_worker_goes_on_and_the_client_follows(start: Start) -> None:
    async with start(timeout=8, faults="scores=stall@3:once") as client:
        answer = await client.post("runs", content=CALL, headers=HEADERS)
        report = check(answer.content)
        assert report.terminal.type == "handoff"
        run_id = answer.headers["x-run-id"]
        person = Client()
        person.feed(answer.content)
        rest = await client.get(f"runs/{run_id}/events?after={report.terminal.after}", headers=HEADERS)
        person.feed(rest.content)
        assert person.terminal is not None
        GradingResult.model_validate(person.terminal["data"])
        later = check(rest.content, after=report.terminal.after)
        assert [event.step for event in later.of("step_start")] == ["scores"], "the others were finished"
        assert [event.attempt for event in later.of("step_start")] == [2]
        found = await until(client, run_id, "complete")
        assert (found["result"], found["epoch"]) == (person.terminal["data"], 2)
