"""What the client makes of a server's answers, from a server that plays them byte by byte."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from local.cli.client import Client, Event
from local.cli.following import Following, Patience
from local.cli.problems import BadInput, Problem, Unreachable
from local.cli.render import Silent
from local.cli.showing import Showing
from local.cli.target import Target, signed
from local.functions.http import Exchange, Server

REQUEST = {"session_id": "s", "transcript": [{"line_number": 1, "speaker": "rep", "text": "Hi \ud800"}]}
SSE = [("Content-Type", "text/event-stream; charset=utf-8"), ("X-Run-Id", "r-7")]
COMPLETE = {"type": "complete", "data": {"a": "\u2028"}, "duration": 1, "usage": {}, "cost_usd": 0}

IMPATIENT = Patience(pauses=(0.0, 0.0), before_stream=1)

Serve = Callable[[Callable[[Exchange], Awaitable[None]]], Awaitable[Target]]


class Recorder(Silent):
    def __init__(self) -> None:
        self.types: list[str] = []

    def event(self, event: Any) -> None:
        self.types.append(event["type"])


async def grade(target: Target, renderer: Recorder | None = None) -> Event:
    async with Client(target) as client:
        return await Following(client, renderer or Silent(), IMPATIENT).start(REQUEST)


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def start(handler: Callable[[Exchange], Awaitable[None]]) -> Target:
            server = Server(handler)
            stack.push_async_callback(server.close)
            await server.start()
            return Target(url=server.url)

        yield start


def frames(*events: dict[str, Any]) -> bytes:
    whole = [f"id: {n}\ndata: {json.dumps(event)}\n\n" for n, event in enumerate(events, 1)]
    return ("retry: 1000\n\n: keep-alive\n\n" + "".join(whole)).encode()


async def test_stream_to_its_end(serve: Serve) -> None:
    asked: list[Any] = []

    async def handle(exchange: Exchange) -> None:
        body = await exchange.body(10_000)
        asked.append((exchange.method, exchange.target, exchange.header("accept"), body))
        await exchange.start(200, SSE)
        for byte in frames({"type": "status", "message": "m"}, COMPLETE):
            await exchange.send(bytes([byte]))
        await exchange.end()

    recorder = Recorder()
    assert await grade(await serve(handle), recorder) == COMPLETE
    assert recorder.types == ["status", "complete"]
    ((method, target, accept, body),) = asked
    assert (method, target, accept) == ("POST", "/runs", "text/event-stream")
    assert body == json.dumps(REQUEST).encode()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"id: 4\ndata: {\n\n", "event 4 of the stream is not JSON"),
        (b"data: []\n\n", "event . of the stream is no"),
        (b"id: 3\ndata: " + b"x" * (16 * 1024 * 1024 + 1), "an event of the stream is over 16777216 bytes"),
    ],
)
async def test_stream_that_is_none(serve: Serve, data: bytes, said: str) -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.body(10_000)
        await exchange.respond(200, SSE, data)

    with pytest.raises(Unreachable, match=said):
        await grade(await serve(handle))


@pytest.mark.parametrize("event", [{"no": "type"}, {"type": "handoff", "after": "x"}, {"type": "handoff"}])
async def test_event_that_is_not_of_the_protocol(serve: Serve, event: dict[str, Any]) -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.body(10_000)
        await exchange.respond(200, SSE, frames(event))

    with pytest.raises(Unreachable, match="event 1 of the stream is not of the protocol"):
        await grade(await serve(handle), Recorder())


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (400, b'{"message": "line 3: no"}', BadInput, r"refuses the request \(400\): line 3: no"),
        (409, b'{"message": "busy"}', BadInput, r"\(409\): busy"),
        (413, b'{"Message": "big"}', BadInput, r"\(413\): big"),
        (403, b"{}", Unreachable, r"answers 403: it does not say why; a URL with IAM needs --iam"),
        (404, b"<html>", Unreachable, r"answers 404: it does not say why$"),
        (404, b'{"code": "not_found", "message": "No run."}', Unreachable, r"^No run\.$"),
        (501, b"[]", Problem, r"failed \(501\): it does not say why"),
        (429, b'{"code": "budget_exceeded", "message": "spent"}', Problem, r"failed \(429\): spent"),
        (200, b"hello", Unreachable, "does not answer with an event stream"),
    ],
)
async def test_refusals_are_asked_once(
    serve: Serve, status: int, body: bytes, kind: type[Problem], said: str
) -> None:
    asked: list[str] = []

    async def handle(exchange: Exchange) -> None:
        await exchange.body(10_000)
        asked.append(exchange.method)
        await exchange.respond(status, [("Content-Type", "application/json")], body)

    with pytest.raises(kind, match=said) as caught:
        await grade(await serve(handle))
    assert caught.value.code == kind.code
    assert asked == ["POST"]


async def test_nobody_there(serve: Serve) -> None:
    server = Server(lambda exchange: exchange.respond(200, []))
    await server.start()
    url = server.url
    await server.close()
    with pytest.raises(Unreachable, match=f"nobody answers at {url}"):
        await grade(Target(url=url))


@pytest.mark.parametrize("url", ["", "localhost:1", "ftp://x/", "http://"])
def test_url_that_is_none(url: str) -> None:
    with pytest.raises(BadInput, match="is not an http or https URL"):
        Target(url=url)


def test_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    url = "https://abc.lambda-url.eu-west-3.on.aws/runs"
    headers = signed("POST", url, {"Content-Type": "application/json"}, b"{}")
    assert headers["Content-Type"] == "application/json"
    assert (
        "/eu-west-3/lambda/aws4_request, SignedHeaders=content-type;host;x-amz-date"
        in headers["Authorization"]
    )


def test_no_region_to_sign_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "none")
    with pytest.raises(BadInput, match="no region"):
        signed("POST", "https://example.org/runs", {}, b"")


@pytest.mark.parametrize(("options", "hint"), [(None, False), ("", True)])
async def test_failed_run_with_json_says_so_on_standard_error(
    serve: Serve, capsys: pytest.CaptureFixture[str], options: str | None, hint: bool
) -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.body(10_000)
        error = {"type": "error", "code": "deadline", "message": "Too\x1b late.", "retryable": True}
        await exchange.respond(200, SSE, frames(error))

    target = Target(url=(await serve(handle)).url, options=options)
    assert await Showing(target, as_json=True).show(lambda run: run.start(REQUEST)) == 1
    out, said = capsys.readouterr()
    assert out == ""
    assert said.startswith("rill: deadline: Too  late.\n")
    assert said.endswith("\n  rill resume r-7\n") is hint


async def test_result_alone_with_json(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    async def handle(exchange: Exchange) -> None:
        await exchange.body(10_000)
        await exchange.respond(200, SSE, frames({"type": "status", "message": "m"}, COMPLETE))

    showing = Showing(await serve(handle), REQUEST, as_json=True)
    assert await showing.show(lambda run: run.start(REQUEST)) == 0
    assert json.loads(capsys.readouterr().out) == COMPLETE["data"]
