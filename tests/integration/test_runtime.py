"""Rill's runtime as real processes: behind the function-URL emulator, and against a scripted Runtime API."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import httpx2
import pytest

from local.functions.front import Front
from local.functions.invocation import Buffer, Invocation
from local.functions.pool import Pool
from local.functions.template import read
from tests.support.runtime.fake_api import FakeApi, Started, http_event, start

TEMPLATE = read(Path(__file__).parents[1] / "support/runtime/template.yaml")

Serve = Callable[..., Awaitable["Running"]]
Launch = Callable[..., Awaitable[Started]]


class Running:
    """One function behind its URL."""

    def __init__(self, pool: Pool, url: str, log: Path) -> None:
        self.pool = pool
        self.url = url
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    async def invoke(self, event: Any) -> tuple[str | None, Any]:
        """Invoke with an event, as AWS's API does: the error's type, and the JSON that came back."""
        sink = Buffer()
        invocation = Invocation(event=json.dumps(event).encode(), sink=sink)
        self.pool.submit(invocation)
        outcome = await invocation.outcome
        return outcome.error_type, json.loads(outcome.error_body if outcome.error_type else sink.data)


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def begin(name: str = "probe", **changes: Any) -> Running:
            log: IO[bytes] = stack.enter_context((tmp_path / "log").open("ab"))
            pool = Pool(replace(TEMPLATE.functions[name], **changes), {}, log=log)
            stack.push_async_callback(pool.close)
            front = Front(pool)
            stack.push_async_callback(front.close)
            return Running(pool, await front.start(), tmp_path / "log")

        yield begin


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    fake = FakeApi()
    await fake.start()
    yield fake
    await fake.close()


@pytest.fixture
async def launch(api: FakeApi, tmp_path: Path) -> AsyncIterator[Launch]:
    async with AsyncExitStack() as stack:

        async def begin(**options: str) -> Started:
            return await start(stack, tmp_path, api.address, **options)

        yield begin


def gate(tmp_path: Path, name: str = "gate") -> Path:
    path = tmp_path / name
    os.mkfifo(path)
    return path


async def opened(path: Path) -> None:
    await asyncio.to_thread(path.write_bytes, b"go")


def stalled_at(count: Path) -> int:
    """The number in the file once it has not moved for a while."""
    before, since = 0, time.monotonic()
    while before == 0 or time.monotonic() - since < 0.5:
        if (now := int((count.exists() and count.read_text()) or 0)) != before:
            before, since = now, time.monotonic()
        time.sleep(0.02)
    return before


async def test_pieces_are_on_the_wire_before_send_returns(
    serve: Serve, client: httpx2.AsyncClient, tmp_path: Path
) -> None:
    running, path, mark = await serve(), gate(tmp_path), gate(tmp_path, "mark")
    query = {"gate": str(path), "mark": str(mark)}
    async with client.stream("GET", running.url + "gated", params=query) as answer:
        pieces = answer.aiter_raw()
        assert answer.headers["content-type"] == "text/event-stream"
        assert await anext(pieces) == b"first\n"
        await opened(path)
        assert b"".join([piece async for piece in pieces]) == b"second\n"
    assert await asyncio.to_thread(mark.read_text) == "http.disconnect"


async def test_an_empty_first_piece_sends_the_head_alone(
    serve: Serve, client: httpx2.AsyncClient, tmp_path: Path
) -> None:
    running, path = await serve(), gate(tmp_path)
    async with client.stream("GET", running.url + "head-alone", params={"gate": str(path)}) as answer:
        assert (answer.status_code, answer.headers["x-early"]) == (201, "1")
        await opened(path)
        assert await answer.aread() == b"late"


async def test_reader_that_stops_stalls_the_app(serve: Serve, tmp_path: Path) -> None:
    running, count = await serve(), tmp_path / "count"
    host, _, port = running.url.removeprefix("http://").rstrip("/").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    writer.write(f"GET /flood?count={count} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await reader.readexactly(1024)
    assert await asyncio.to_thread(stalled_at, count) < 1000
    writer.close()
    await writer.wait_closed()


async def test_request(serve: Serve, client: httpx2.AsyncClient) -> None:
    running = await serve()
    got = (
        await client.post(
            running.url + "scope?x=1&x=2&y=%20",
            content=b"\xff\x00",
            headers=[("Cookie", "k=v; l=w"), ("X-N", "1"), ("X-N", "2")],
        )
    ).json()
    assert (got["method"], got["query"]) == ("POST", "x=1&x=2&y=%20")
    assert (got["body"], got["more"], got["function"]) == ("ff00", False, "probe")
    headers = dict(got["headers"])
    assert (headers["cookie"], headers["x-n"]) == ("k=v; l=w", "1,2")
    assert got["rill"]["invoked_directly"] is False
    assert 0 < got["remaining"] <= 30_000


async def test_headers_and_cookies(serve: Serve, client: httpx2.AsyncClient) -> None:
    answer = await client.get((await serve()).url + "headers")
    assert (answer.status_code, answer.content) == (203, b"ok")
    assert answer.headers.get_list("x-two") == ["a, b"]
    assert answer.headers.get_list("set-cookie") == ["c=1; Path=/", "d=2"]
    assert (b"x-latin", "é".encode("latin-1")) in answer.headers.raw


async def test_bodies(serve: Serve, client: httpx2.AsyncClient) -> None:
    running = await serve()
    assert (await client.get(running.url + "binary")).content == bytes(range(256)) + bytes(16)
    empty = await client.get(running.url + "empty")
    assert (empty.status_code, empty.content) == (204, b"")


async def test_one_process_one_lifespan(serve: Serve, client: httpx2.AsyncClient) -> None:
    running = await serve()
    first, second = [(await client.get(running.url)).json() for _ in range(2)]
    assert (first["invoked"], second["invoked"]) == (1, 2)
    assert (first["started"], second["started"]) == (1, 1)
    assert first["pid"] == second["pid"]
    assert first["trace"] != second["trace"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("raise", "Function.ValueError"),
        ("silent", "Runtime.IncompleteResponse"),
        ("out-of-order", "Function.OutOfOrder"),
    ],
)
async def test_failure_before_the_first_byte(
    serve: Serve, client: httpx2.AsyncClient, path: str, kind: str
) -> None:
    running = await serve()
    assert (await client.get(running.url + path)).status_code == 502
    assert kind in running.log
    assert (await client.get(running.url)).json()["invoked"] == 2


@pytest.mark.parametrize(
    ("path", "kind"), [("raise-late", "Function.ValueError"), ("incomplete", "Runtime.IncompleteResponse")]
)
async def test_failure_after_the_first_byte(
    serve: Serve, client: httpx2.AsyncClient, path: str, kind: str
) -> None:
    running = await serve()
    with pytest.raises(httpx2.RemoteProtocolError):
        await client.get(running.url + path)
    assert kind in running.log
    assert (await client.get(running.url)).json()["invoked"] == 2


async def test_failure_after_the_response_is_only_logged(serve: Serve, client: httpx2.AsyncClient) -> None:
    running = await serve()
    answer = await client.get(running.url + "raise-after")
    assert (answer.status_code, answer.json()) == (500, {"ok": False})
    assert (await client.get(running.url)).json()["invoked"] == 2
    assert "the app failed after its response" in running.log


async def test_what_the_app_leaves_running_is_cancelled(serve: Serve, client: httpx2.AsyncClient) -> None:
    running = await serve()
    await client.get(running.url + "leave-running")
    assert (await client.get(running.url + "left-running")).json() == [True]
    assert "straggler" in running.log


async def test_starlette(serve: Serve, client: httpx2.AsyncClient) -> None:
    running = await serve("starlette")
    streamed = await client.get(running.url + "stream")
    assert streamed.text == "data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert (await client.get(running.url + "fail")).status_code == 500
    echoed = await client.post(
        running.url + "path/ä%20b?x=1&x=2", content=b"\xff" * 100_000, headers={"Cookie": "k=v; l=w"}
    )
    assert echoed.json() == {
        "path": "ä b",
        "cookies": {"k": "v", "l": "w"},
        "x": ["1", "2"],
        "length": 100_000,
    }


async def test_direct_events(serve: Serve) -> None:
    running = await serve()
    assert await running.invoke({"a": "ä"}) == (None, {"got": {"a": "ä"}, "method": "POST", "direct": True})
    assert await running.invoke([1]) == (None, {"got": [1], "method": "POST", "direct": True})
    assert await running.invoke({"do": "text"}) == (None, "plain text")
    kind, error = await running.invoke({"status": 400, "body": {"code": "bad_request", "message": "No."}})
    assert (kind, error["errorType"], error["errorMessage"]) == ("Function.BadRequest", "bad_request", "No.")
    kind, error = await running.invoke({"do": "raise"})
    assert (kind, error["errorType"]) == ("Function.ValueError", "ValueError")
    assert "not this event" in error["stackTrace"][-1]


async def test_sam_local_gets_a_buffered_object(serve: Serve, client: httpx2.AsyncClient) -> None:
    running = await serve("local")
    answer = await client.get(running.url + "headers")
    assert (answer.status_code, answer.content) == (203, b"ok")
    assert answer.headers.get_list("set-cookie") == ["c=1; Path=/", "d=2"]
    kind, value = await running.invoke(http_event("/binary"))
    assert (kind, value["statusCode"], value["isBase64Encoded"]) == (None, 200, True)


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("no-module", "Runtime.ImportModuleError", "nowhere"),
        ("no-attribute", "Runtime.HandlerNotFound", "nothing"),
        ("raising", "Runtime.InitError", "cannot load"),
        ("no-startup", "Runtime.StartupFailed", "no database"),
    ],
)
async def test_app_that_cannot_start(serve: Serve, name: str, kind: str, said: str) -> None:
    running = await serve(name)
    got, error = await running.invoke({})
    assert got == kind
    assert said in error["errorMessage"]
    assert '"the function cannot start"' in running.log


async def test_module_that_does_not_parse(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "unparsable.py").write_text("app = (")
    running = await serve(code=tmp_path, handler="unparsable.app")
    assert (await running.invoke({}))[0] == "Runtime.UserCodeSyntaxError"


async def test_the_process_ends_with_1_when_it_cannot_start(api: FakeApi, launch: Launch) -> None:
    runtime = await launch(handler="raising.app")
    posted = await api.posts.get()
    assert (posted.path, posted.kind) == ("/init/error", "Runtime.InitError")
    assert await runtime.ended() == 1


async def test_sigterm_between_invocations(api: FakeApi, launch: Launch) -> None:
    runtime = await launch()
    await api.asked.get()
    runtime.process.send_signal(signal.SIGTERM)
    assert await runtime.ended() == 0
    assert "lifespan over" in runtime.log


async def test_sigterm_tells_the_app_and_then_cancels_it(api: FakeApi, launch: Launch) -> None:
    runtime = await launch()
    api.offer("one", http_event("/wait-for-disconnect"))
    await api.first_piece.wait()
    runtime.process.send_signal(signal.SIGTERM)
    assert (await api.posts.get()).trailer == "Runtime.Stopped"
    assert await runtime.ended() == 0
    said = [line for line in runtime.log.splitlines() if not line.startswith("{")]
    assert said == ["told http.disconnect", "cancelled", "lifespan over"]


@pytest.mark.parametrize("refusal", ["413", "reset"])
async def test_refused_response_cancels_the_app(
    api: FakeApi, launch: Launch, tmp_path: Path, refusal: Any
) -> None:
    api.refusal = refusal
    runtime = await launch()
    api.offer("one", http_event("/flood", rawQueryString=f"count={tmp_path / 'count'}"))
    assert [await api.asked.get() for _ in range(2)] == ["/invocation/next"] * 2
    assert int((tmp_path / "count").read_text()) < 2000
    assert "the response was not taken" in runtime.log
    api.refusal = None
    api.offer("two", http_event("/"))
    assert json.loads((await api.posts.get()).body.partition(bytes(8))[2])["invoked"] == 2


async def test_connections_that_the_api_closes(api: FakeApi, launch: Launch) -> None:
    api.closing = True
    runtime = await launch()
    for number in (1, 2, 3):
        api.offer("one", http_event("/"))
        assert json.loads((await api.posts.get()).body.partition(bytes(8))[2])["invoked"] == number
    assert [await api.asked.get() for _ in range(4)] == ["/invocation/next"] * 4
    assert runtime.log == ""


async def test_task_that_ignores_its_cancellation_holds_nothing_up(api: FakeApi, launch: Launch) -> None:
    runtime = await launch()
    for path in ("/leave-stubborn", "/"):
        api.offer("one", http_event(path))
        await api.posts.get()
    assert "still running after its cancellation: on_leave_stubborn.<locals>.stay" in runtime.log
    runtime.process.kill()


async def test_event_that_cannot_be_read(api: FakeApi, launch: Launch) -> None:
    await launch()
    api.offer("one", b"{")
    posted = await api.posts.get()
    assert (posted.path, posted.kind) == ("/invocation/one/error", "Runtime.UnmarshalError")
    api.offer("two", http_event("/", requestContext={"http": {}}))
    assert (await api.posts.get()).kind == "Runtime.UnmarshalError"


async def test_trace_id_does_not_outlive_its_invocation(api: FakeApi, launch: Launch) -> None:
    await launch()
    traces = []
    for headers in ({"Lambda-Runtime-Trace-Id": "Root=1"}, {}):
        api.offer("one", http_event("/"), **headers)
        traces.append(json.loads((await api.posts.get()).body.partition(bytes(8))[2])["trace"])
    assert traces == ["Root=1", None]


async def test_no_runtime_api_ends_the_process(api: FakeApi, launch: Launch) -> None:
    api.next_status = 500
    runtime = await launch()
    assert await runtime.ended() == 1
    assert "out of service" in runtime.log


async def test_snapshot_and_restore(api: FakeApi, launch: Launch, tmp_path: Path) -> None:
    write_hooks(tmp_path)
    runtime = await launch(AWS_LAMBDA_INITIALIZATION_TYPE="snap-start", PYTHONPATH=str(tmp_path))
    assert await api.asked.get() == "/restore/next"
    assert "before 2\nbefore 1\n" in runtime.log
    assert "after" not in runtime.log
    api.restored.set()
    assert await api.asked.get() == "/invocation/next"
    assert runtime.log.endswith("after 1\nafter 2\n")


@pytest.mark.parametrize(
    ("failing", "path", "kind"),
    [
        ("before", "/init/error", "Runtime.BeforeSnapshotError"),
        ("after", "/restore/error", "Runtime.AfterRestoreError"),
    ],
)
async def test_hook_that_raises(
    api: FakeApi, launch: Launch, tmp_path: Path, failing: str, path: str, kind: str
) -> None:
    write_hooks(tmp_path)
    api.restored.set()
    env = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start", "PYTHONPATH": str(tmp_path), "FAILING": failing}
    runtime = await launch(**env)
    posted = await api.posts.get()
    assert (posted.path, posted.kind) == (path, kind)
    assert await runtime.ended() == 1


async def test_snapshot_without_a_registry(api: FakeApi, launch: Launch) -> None:
    await launch(AWS_LAMBDA_INITIALIZATION_TYPE="snap-start")
    api.restored.set()
    assert [await api.asked.get() for _ in range(2)] == ["/restore/next", "/invocation/next"]


@pytest.mark.parametrize(
    ("kind", "loaded"), [("on-demand", False), ("provisioned-concurrency", True), ("snap-start", True)]
)
async def test_start_up_ahead_of_requests_loads_what_reads_them(
    api: FakeApi, launch: Launch, tmp_path: Path, kind: str, loaded: bool
) -> None:
    (tmp_path / "telling.py").write_text(
        "import sys\n"
        "async def app(scope, receive, send):\n"
        "    print('loaded', 'mangum.handlers.api_gateway' in sys.modules, flush=True)\n"
        "    raise RuntimeError('no lifespan')\n"
    )
    api.restored.set()
    runtime = await launch(
        handler="telling.app", AWS_LAMBDA_INITIALIZATION_TYPE=kind, PYTHONPATH=str(tmp_path)
    )
    while await api.asked.get() != "/invocation/next":
        pass
    assert f"loaded {loaded}\n" in runtime.log


def write_hooks(directory: Path) -> None:
    """The managed runtime's registry, with two hooks of each kind in it."""
    (directory / "snapshot_restore_py.py").write_text(
        "import os\n"
        "def hook(when, number):\n"
        "    print(when, number, flush=True)\n"
        "    if os.environ.get('FAILING') == when:\n"
        "        raise RuntimeError('hook')\n"
        "def get_before_snapshot(): return [(hook, ('before', n), {}) for n in (1, 2)]\n"
        "def get_after_restore(): return [(hook, ('after',), {'number': n}) for n in (1, 2)]\n"
    )
