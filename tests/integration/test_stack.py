"""The local stack: what it starts answers, what it started is gone afterwards."""

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import httpx2
import pytest

from local.functions.template import Template, read
from local.provider import Provider, choose_provider
from local.stack import Stack, StackError, run
from local.tables import TablesError
from tests.support.dynamodb import moto_server
from tests.support.queues.failing import failing

WHOLE = read(Path(__file__).parents[1] / "support/functions/template.yaml")
SCRIPTED = Provider(name="scripted", why="test")


def only(*names: str) -> Template:
    return replace(WHOLE, functions={name: WHOLE.functions[name] for name in names})


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def dynamodb(url: str) -> Any:
    return boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )


@pytest.fixture(autouse=True)
def _no_other_dynamodb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_DYNAMODB", raising=False)


async def get(url: str) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        return await client.get(url)


async def test_tables_are_made_where_nothing_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = "com.amazonaws.dynamodb.v20120810#UnknownOperationException"
    with moto_server() as moto, failing(moto, {"UpdateTimeToLive": 1}, 400, unknown) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", url)
        async with Stack(WHOLE, SCRIPTED, only="", state=tmp_path):
            client = dynamodb(url)
            (table,) = WHOLE.tables
            ttl = client.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
            assert ttl == {"TimeToLiveStatus": "DISABLED"}
            client.close()


async def test_a_dynamodb_that_refuses_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with moto_server() as moto, failing(moto, {"UpdateTimeToLive": 9}, 400, "LimitExceededException") as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", url)
        with pytest.raises(TablesError, match=f"DynamoDB at {url}: .*LimitExceeded.*UpdateTimeToLive"):
            await Stack(WHOLE, SCRIPTED, only="", state=tmp_path).__aenter__()


async def test_starts_publishes_and_stops(tmp_path: Path) -> None:
    stack = Stack(only("identity", "echo"), SCRIPTED, publish=True, state=tmp_path)
    async with stack:
        published = json.loads((tmp_path / "urls.json").read_text())
        assert published == stack.urls
        assert sorted(published) == ["echo", "identity"]
        assert stack.broken == {}
        identity = (await get(published["identity"])).json()
        assert stack.dynamodb is not None
        pids = [identity["pid"], stack.dynamodb.pid]
        assert all(map(is_running, pids))
        client = dynamodb(stack.dynamodb.url)
        (table,) = WHOLE.tables
        assert client.list_tables()["TableNames"] == [table]
        ttl = client.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
        assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}
        client.close()
        assert (await get(stack.variables["RILL_MODEL_URL"] + "/models")).status_code == 200
    assert not any(map(is_running, pids))
    assert not (tmp_path / "urls.json").exists()
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == [
        "dynamodb.log",
        "echo.log",
        "identity.log",
    ]
    for url in published.values():
        with pytest.raises(httpx2.ConnectError):
            await get(url)


async def test_another_dynamodb_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Stack(only("identity"), SCRIPTED, state=tmp_path / "a") as first:
        assert first.dynamodb is not None
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", first.dynamodb.url)
        async with Stack(only("identity"), SCRIPTED, state=tmp_path / "b") as second:
            assert second.dynamodb is None
            assert second.variables["AWS_ENDPOINT_URL_DYNAMODB"] == first.dynamodb.url


async def test_urls_of_another_stack_stay(tmp_path: Path) -> None:
    async with Stack(only("identity"), SCRIPTED, publish=True, state=tmp_path):
        (tmp_path / "urls.json").write_text("{}")
    assert (tmp_path / "urls.json").read_text() == "{}"


async def test_broken_function_is_named(tmp_path: Path) -> None:
    async with Stack(only("identity", "broken"), SCRIPTED, state=tmp_path) as stack:
        assert list(stack.broken) == ["broken"]
        assert "Runtime.ImportError" in stack.broken["broken"]


async def test_dead_child_ends_the_work(tmp_path: Path) -> None:
    pids: list[int] = []

    async def work(stack: Stack) -> int:
        assert stack.dynamodb is not None
        pids.append((await get(stack.urls["identity"])).json()["pid"])
        os.kill(stack.dynamodb.pid, signal.SIGKILL)
        await asyncio.Event().wait()
        return 0

    with pytest.raises(StackError, match=r"the local DynamoDB \(moto\) ended by itself, by SIGKILL"):
        await run(Stack(only("identity"), SCRIPTED, publish=True, state=tmp_path), work)
    assert not is_running(pids[0])
    assert not (tmp_path / "urls.json").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_signal_stops_it(tmp_path: Path, number: signal.Signals) -> None:
    pids: list[int] = []

    async def work(stack: Stack) -> int:
        assert stack.dynamodb is not None
        pids.append(stack.dynamodb.pid)
        os.kill(os.getpid(), number)
        await asyncio.Event().wait()
        return 0

    assert await run(Stack(only("identity"), SCRIPTED, state=tmp_path), work, interrupted=7) == 7
    assert not is_running(pids[0])


@pytest.mark.parametrize("failing", [True, False])
async def test_work_ends_it(tmp_path: Path, failing: bool) -> None:
    pids: list[int] = []

    async def work(stack: Stack) -> int:
        assert stack.dynamodb is not None
        pids.append(stack.dynamodb.pid)
        if failing:
            raise ValueError("no")
        return 3

    running: Callable[[], Awaitable[int]] = lambda: run(  # noqa: E731
        Stack(only("identity"), SCRIPTED, state=tmp_path), work
    )
    if failing:
        with pytest.raises(ValueError, match="no"):
            await running()
    else:
        assert await running() == 3
    assert not is_running(pids[0])


async def test_ports_count_up_past_taken_ones(tmp_path: Path) -> None:
    async with Stack(only("identity"), SCRIPTED, state=tmp_path / "a") as first:
        port = int(first.urls["identity"].rstrip("/").rpartition(":")[2])
        async with Stack(only("identity", "echo"), SCRIPTED, first_port=port, state=tmp_path / "b") as second:
            ports = [int(url.rstrip("/").rpartition(":")[2]) for url in second.urls.values()]
    assert port < ports[0] < ports[1]


@pytest.mark.parametrize(
    ("env", "scripted", "name"),
    [
        ({}, False, "scripted"),
        ({"OPENAI_API_KEY": "k"}, False, "openai"),
        ({"OPENAI_API_KEY": ""}, False, "scripted"),
        ({"GROQ_API_KEY": "k"}, False, "groq"),
        ({"OPENAI_API_KEY": "k"}, True, "scripted"),
        ({"OPENAI_API_KEY": "k", "RILL_MODEL_PROVIDER": "ollama"}, False, "ollama"),
        ({"OPENAI_API_KEY": "k", "RILL_MODEL_PROVIDER": "scripted"}, False, "scripted"),
    ],
)
def test_choice_of_provider(env: dict[str, str], scripted: bool, name: str) -> None:
    assert choose_provider(env, scripted=scripted).name == name


def test_provider_passes_its_key_and_settings_on() -> None:
    env = {"GEMINI_API_KEY": "g", "GROQ_API_KEY": "q", "RILL_MODEL_SMALL": "s", "HOME": "h"}
    provider = choose_provider(env)
    assert provider.variables == {
        "RILL_MODEL_URL": "",
        "RILL_MODEL_PROVIDER": "gemini",
        "GEMINI_API_KEY": "g",
        "RILL_MODEL_SMALL": "s",
    }
    assert "GEMINI_API_KEY" in provider.sentence
    assert "'g'" not in repr(provider)
