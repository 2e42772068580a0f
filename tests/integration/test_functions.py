"""The function-URL emulator over real sockets, with a runtime that shares no code with it or with Rill."""

import asyncio
import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import IO, Any

import httpx2
import pytest

from local.functions.front import Front
from local.functions.pool import Pool
from local.functions.template import read

TEMPLATE = read(Path(__file__).parents[1] / "support/functions/template.yaml")

Serve = Callable[..., Awaitable["Running"]]


class Running:
    """One function behind its URL."""

    def __init__(self, pool: Pool, url: str, log: Path) -> None:
        self.pool = pool
        self.url = url
        self.log = log


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def start(name: str, **options: Any) -> Running:
            log: IO[bytes] = stack.enter_context((tmp_path / "log").open("ab"))
            pool = Pool(TEMPLATE.functions[name], {}, log=log, **options)
            stack.push_async_callback(pool.close)
            front = Front(pool)
            stack.push_async_callback(front.close)
            return Running(pool, await front.start(), tmp_path / "log")

        yield start


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=30, trust_env=False) as client:
        yield client


def gate(tmp_path: Path, name: str = "gate") -> Path:
    path = tmp_path / name
    os.mkfifo(path)
    return path


def is_stopped(pid: int) -> bool:
    """Whether the process gets into the state that SIGSTOP leaves it in, within ten seconds."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        state = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, check=True)
        if state.stdout.strip() == b"T":
            return True
        time.sleep(0.01)
    return False


def stalled_at(count: Path) -> int:
    """The number in the file once it has not moved for a while."""
    before, since = 0, time.monotonic()
    while before == 0 or time.monotonic() - since < 0.5:
        if (now := int((count.exists() and count.read_text()) or 0)) != before:
            before, since = now, time.monotonic()
        time.sleep(0.02)
    return before


async def opened(path: Path) -> None:
    await asyncio.to_thread(path.write_bytes, b"go")


async def test_request_and_response(serve: Serve, client: httpx2.AsyncClient) -> None:
    running = await serve("echo")
    answer = await client.post(
        running.url + "a%20b?x=1&x=2&y=", json={"ä": 1}, headers={"Cookie": "k=v; l=w", "X-N": "1"}
    )
    event = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert event["rawPath"] == "/a%20b"
    assert event["rawQueryString"] == "x=1&x=2&y="
    assert event["queryStringParameters"] == {"x": "1,2", "y": ""}
    assert event["cookies"] == ["k=v", "l=w"]
    assert event["headers"]["x-n"] == "1"
    assert (json.loads(event["body"]), event["isBase64Encoded"]) == ({"ä": 1}, False)
    assert event["requestContext"]["http"]["method"] == "POST"


async def test_binary_body(serve: Serve, client: httpx2.AsyncClient) -> None:
    running = await serve("echo")
    event = (await client.post(running.url, content=b"\xff\x00")).json()
    assert (event["body"], event["isBase64Encoded"]) == ("/wA=", True)


async def test_one_environment_is_used_again(serve: Serve, client: httpx2.AsyncClient) -> None:
    running = await serve("identity")
    answers = [await client.get(running.url) for _ in range(3)]
    assert [answer.json()["calls"] for answer in answers] == [1, 2, 3]
    assert running.pool.cold_starts == 1
    assert answers[0].status_code == 201
    assert answers[0].headers.get_list("x-two") == ["a", "b"]
    assert answers[0].headers.get_list("set-cookie") == ["c=1; Path=/", "d=2"]


async def test_idle_environment_is_frozen(serve: Serve, client: httpx2.AsyncClient) -> None:
    running = await serve("identity")
    pid = (await client.get(running.url)).json()["pid"]
    assert await asyncio.to_thread(is_stopped, pid)


async def test_pieces_pass_through_at_once(serve: Serve, client: httpx2.AsyncClient, tmp_path: Path) -> None:
    running, path = await serve("gated"), gate(tmp_path)
    async with client.stream("GET", running.url, params={"gate": str(path)}) as answer:
        pieces = answer.aiter_raw()
        assert await anext(pieces) == b"first\n"
        await opened(path)
        assert b"".join([piece async for piece in pieces]) == b"second\n"


async def test_function_runs_on_without_its_client(
    serve: Serve, client: httpx2.AsyncClient, tmp_path: Path
) -> None:
    running, path, mark = await serve("gated"), gate(tmp_path), gate(tmp_path, "mark")
    async with client.stream("GET", running.url, params={"gate": str(path), "mark": str(mark)}) as answer:
        assert await anext(answer.aiter_raw()) == b"first\n"
    await opened(path)
    assert await asyncio.to_thread(mark.read_bytes) == b"done"


async def test_concurrency_limit(serve: Serve, client: httpx2.AsyncClient, tmp_path: Path) -> None:
    running, path = await serve("gated"), gate(tmp_path)
    async with client.stream("GET", running.url, params={"gate": str(path)}) as answer:
        await anext(answer.aiter_raw())
        assert (await client.get(running.url)).status_code == 429
        await opened(path)


async def test_timeout_cuts_the_stream(serve: Serve, client: httpx2.AsyncClient, tmp_path: Path) -> None:
    running, path = await serve("quick"), gate(tmp_path)
    with pytest.raises(httpx2.RemoteProtocolError):
        await client.get(running.url, params={"gate": str(path)})
    assert "Task timed out after 1.00 seconds" in running.log.read_text()


async def test_reader_that_stops_stalls_the_function(serve: Serve, tmp_path: Path) -> None:
    running, count = await serve("flood"), tmp_path / "count"
    host, _, port = running.url.removeprefix("http://").rstrip("/").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    writer.write(f"GET /?count={count} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await reader.readexactly(1024)
    assert await asyncio.to_thread(stalled_at, count) < 1000
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("name", "logged"),
    [
        ("early-error", "Function.Failed"),
        ("crash", "Runtime.ExitError"),
        ("bad-prelude", None),
        ("broken", "Runtime.ImportError"),
    ],
)
async def test_failure_before_the_first_byte(
    serve: Serve, client: httpx2.AsyncClient, name: str, logged: str | None
) -> None:
    running = await serve(name)
    answer = await client.get(running.url)
    assert (answer.status_code, answer.json()) == (502, {"Message": "Internal Server Error"})
    if logged:
        assert logged in running.log.read_text()
    assert (await client.get(running.url)).status_code == 502


async def test_failure_after_the_first_byte(serve: Serve, client: httpx2.AsyncClient) -> None:
    running = await serve("late-error")
    with pytest.raises(httpx2.RemoteProtocolError):
        await client.get(running.url)
    assert "half way" in running.log.read_text()


async def test_stream_without_prelude(serve: Serve, client: httpx2.AsyncClient) -> None:
    answer = await client.get((await serve("plain")).url)
    assert (answer.text, answer.headers["content-type"]) == ("plain", "text/plain")


async def test_buffered(serve: Serve, client: httpx2.AsyncClient) -> None:
    running = await serve("buffered")
    answer = await client.get(running.url)
    assert (answer.status_code, answer.content, answer.headers["x-a"]) == (202, b"hi", "1")
    bare = await client.get(running.url, params={"bare": "1"})
    assert (bare.status_code, bare.json()) == (200, {"just": "json"})


async def test_stream_collected_for_a_buffered_url(serve: Serve, client: httpx2.AsyncClient) -> None:
    answer = await client.get((await serve("collected")).url)
    assert (answer.status_code, answer.headers["content-length"]) == (201, str(len(answer.content)))


async def test_cors(serve: Serve, client: httpx2.AsyncClient) -> None:
    running = await serve("echo")
    answer = await client.options(running.url, headers={"Origin": "http://localhost:8000"})
    assert answer.headers["access-control-allow-origin"] == "http://localhost:8000"
    assert answer.headers["access-control-allow-methods"] == "POST"
    assert running.pool.cold_starts == 0
    other = await client.options(running.url, headers={"Origin": "http://elsewhere"})
    assert "access-control-allow-origin" not in other.headers


async def test_changed_code_is_loaded_anew(
    serve: Serve, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = iter([1.0, 1.0, 2.0])
    monkeypatch.setattr("local.functions.pool.newest", lambda _function: next(versions))
    running = await serve("identity", reload=True)
    pids = [(await client.get(running.url)).json()["pid"] for _ in range(3)]
    assert pids[0] == pids[1] != pids[2]
