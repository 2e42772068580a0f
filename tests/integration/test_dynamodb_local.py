"""AWS's DynamoDB Local under the stack: one start keeps what the one before it stored."""

import asyncio
import os
import shutil
import signal
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import httpx2
import pytest

from local import dynamodb_local as built
from local.functions.template import read
from local.provider import Provider
from local.queues.client import local
from local.stack import ROOT, Stack, StackError, run
from local.tables import TablesError
from rill.stores.run_records import RunRecord, State, to_item
from tests.support.dynamodb_local import dynamodb_local

pytestmark = [
    pytest.mark.dynamodb,
    pytest.mark.skipif(
        os.environ.get("RILL_TEST_DYNAMODB") != "local", reason="make test-dynamodb-local runs it"
    ),
]
SCRIPTED = Provider(name="scripted", why="test")
TEMPLATE = read(ROOT / "tests/support/functions/template.yaml")
(TABLE,) = TEMPLATE.tables


def client(url: str) -> Any:
    return boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )


def key() -> dict[str, Any]:
    return {part["AttributeName"]: {"S": "k"} for part in TEMPLATE.tables[TABLE]["KeySchema"]}


def stack(tmp_path: Path) -> Stack:
    return Stack(TEMPLATE, SCRIPTED, only="", state=tmp_path, dynamodb_data=tmp_path / "data")


def meta(run_id: str, state: State) -> dict[str, Any]:
    return to_item(
        RunRecord(
            run_id=run_id,
            session_id="s",
            workflow="grading",
            request_id="q",
            mode="multi",
            state=state,
            created_at=1_700_000_000_000,
        )
    )


def texts(running: Stack) -> list[str]:
    """The messages in the queue of grading."""
    sqs = local(running.variables["AWS_ENDPOINT_URL_SQS"])
    try:
        found = sqs.receive_message(QueueUrl=running.queues["GradingQueue"], MaxNumberOfMessages=10)
        return [message["Body"] for message in found.get("Messages", [])]
    finally:
        sqs.close()


async def test_data_is_there_after_the_next_start(tmp_path: Path) -> None:
    async with stack(tmp_path) as first:
        assert first.dynamodb is not None
        client(first.dynamodb.url).put_item(TableName=TABLE, Item=key())
    with pytest.raises(ProcessLookupError):
        os.kill(first.dynamodb.pid, 0)
    async with stack(tmp_path) as second:
        url = second.variables["AWS_ENDPOINT_URL_DYNAMODB"]
        assert client(url).get_item(TableName=TABLE, Key=key())["Item"] == key()


async def test_data_outlives_a_kill(tmp_path: Path) -> None:
    async def work(running: Stack) -> int:
        assert running.dynamodb is not None
        client(running.dynamodb.url).put_item(TableName=TABLE, Item=key())
        os.kill(running.dynamodb.pid, signal.SIGKILL)
        await asyncio.Event().wait()
        return 0

    with pytest.raises(StackError, match="DynamoDB Local ended by itself, by SIGKILL"):
        await run(stack(tmp_path), work)
    with dynamodb_local(tmp_path / "data") as url:
        assert client(url).get_item(TableName=TABLE, Key=key())["Item"] == key()


async def test_it_is_used_where_another_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")
    async with stack(tmp_path) as started:
        assert started.dynamodb is not None
        assert client(started.dynamodb.url).list_tables()["TableNames"] == [TABLE]


async def test_one_stack_has_the_data(tmp_path: Path) -> None:
    async with stack(tmp_path):
        with pytest.raises(TablesError, match="did not start: another DynamoDB Local uses"):
            await stack(tmp_path).__aenter__()


async def test_tables_of_another_template_are_named(tmp_path: Path) -> None:
    async with stack(tmp_path):
        pass
    arguments = dict(TEMPLATE.tables[TABLE])
    arguments["AttributeDefinitions"] = [
        *arguments["AttributeDefinitions"],
        {"AttributeName": "owner", "AttributeType": "S"},
    ]
    arguments["GlobalSecondaryIndexes"] = [
        {
            "IndexName": "ByOwner",
            "KeySchema": [{"AttributeName": "owner", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }
    ]
    later = replace(TEMPLATE, tables={TABLE: arguments})
    data = tmp_path / "data"
    with pytest.raises(TablesError, match=f"the table {TABLE} was made for another template"):
        await Stack(later, SCRIPTED, only="", state=tmp_path, dynamodb_data=data).__aenter__()


async def test_queues_are_elsewhere(tmp_path: Path) -> None:
    whole = read(ROOT / "template.yaml")
    assert whole.queues
    data = tmp_path / "data"
    async with Stack(whole, SCRIPTED, only="", state=tmp_path, dynamodb_data=data) as started:
        assert sorted(started.queues) == sorted(whole.queues)
        assert started.variables["AWS_ENDPOINT_URL_SQS"] != started.variables["AWS_ENDPOINT_URL_DYNAMODB"]


async def test_runs_that_wait_are_in_the_new_queue(tmp_path: Path) -> None:
    whole = read(ROOT / "template.yaml")

    def started() -> Stack:
        return Stack(whole, SCRIPTED, only="", state=tmp_path, dynamodb_data=tmp_path / "data")

    async with started() as first:
        put = client(first.variables["AWS_ENDPOINT_URL_DYNAMODB"]).put_item
        put(TableName="RunsTable", Item=meta("waits", "queued"))
        put(TableName="RunsTable", Item=meta("done", "complete"))
        assert texts(first) == []
    for _ in range(2):  # nobody works here, so it waits on
        async with started() as later:
            assert texts(later) == ['{"version": 1, "run_id": "waits"}']


async def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(built, "HOME", tmp_path)
    with pytest.raises(StackError, match=r"not built yet: make \.tools/dynamodb-local/\.made"):
        await stack(tmp_path).__aenter__()
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(StackError, match="needs Java"):
        await stack(tmp_path).__aenter__()


def test_it_is_for_programs_of_this_machine() -> None:
    with dynamodb_local() as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(OSError, match=r".+"):  # what listens on all addresses answers here too
            socket.create_connection(("127.0.0.2", port), timeout=10).close()
        asked = {"Origin": "http://elsewhere.example", "Access-Control-Request-Method": "POST"}
        answer = httpx2.options(url, headers=asked, trust_env=False)
        assert "access-control-allow-origin" not in answer.headers
