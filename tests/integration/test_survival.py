"""Grading in real processes behind its URL: connections cut anywhere, processes killed, models that stall."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import httpx2
import pytest

from grading.models import GradingResult
from local.functions.front import Front
from local.functions.pool import Pool
from local.functions.template import read
from local.model import ScriptedModel
from local.tables import CREDENTIALS, make_tables
from rill.conformance import check
from tests.support.client import Client, view
from tests.support.cuts import HEADERS
from tests.support.dynamodb import dynamodb_server
from tests.support.grading import CALLS

pytestmark = pytest.mark.dynamodb

ROOT = Path(__file__).resolve().parents[2]
CALL = json.dumps(CALLS[0]).encode()
REP_LINES = [line["line_number"] for line in CALLS[0]["transcript"] if line["speaker"] == "rep"]
RUNS = "RunsTable"


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with dynamodb_server() as url:
        yield url


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    with ScriptedModel(pace=600) as started:
        yield started


@dataclass
class Service:
    """Grading behind its URL, with what stands around it."""

    url: str
    dynamodb: Any

    def expire_lease(self, run_id: str) -> None:
        """Lets the time pass after which a run counts as lost."""
        self.dynamodb.update_item(
            TableName=RUNS,
            Key={"run_id": {"S": run_id}, "sk": {"S": "META"}},
            UpdateExpression="SET lease_until = :past",
            ExpressionAttributeValues={":past": {"N": "1"}},
        )

    def rated(self, run_id: str) -> list[int]:
        """The numbers of the lines that are rated in the table, of one run."""
        found = self.dynamodb.query(
            TableName="LineRatingsTable",
            KeyConditionExpression="session_id = :s AND begins_with(line_key, :r)",
            ExpressionAttributeValues={":s": {"S": CALLS[0]["session_id"]}, ":r": {"S": run_id}},
        )
        return [int(item["line_number"]["N"]) for item in found["Items"]]

    async def request(self, method: str, path: str, **kwargs: Any) -> httpx2.Response:
        async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
            return await client.request(method, f"{self.url}{path}", **kwargs)

    async def events(self, run_id: str, after: int = 0) -> bytes:
        answer = await self.request("GET", f"runs/{run_id}/events?after={after}", headers=HEADERS)
        assert answer.status_code == 200, answer.text
        return answer.content

    async def until(self, run_id: str, state: str) -> dict[str, Any]:
        """The run, once it is in that state."""
        while True:
            found: dict[str, Any] = (await self.request("GET", f"runs/{run_id}")).json()
            if found["state"] == state:
                return found
            assert found["state"] in ("queued", "running"), found
            await asyncio.sleep(0.1)


@pytest.fixture
async def service(database: str, model: ScriptedModel) -> AsyncIterator[Service]:
    template = read(ROOT / "template.yaml")
    await asyncio.to_thread(make_tables, template, database)
    function = template.functions["grading"]
    without_queue = {name: value for name, value in function.environment.items() if name != "RILL_QUEUE_URL"}
    overrides = {
        **CREDENTIALS,
        "AWS_ENDPOINT_URL_DYNAMODB": database,
        "RILL_MODEL_PROVIDER": "scripted",
        "RILL_MODEL_URL": model.openai_base_url,
    }
    pool = Pool(replace(function, environment=without_queue), overrides)
    front = Front(pool)
    client: Any = boto3.client(
        "dynamodb",
        endpoint_url=database,
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key="local",
    )
    try:
        yield Service(await front.start(), client)
    finally:
        await front.close()
        await pool.close()
        client.close()


class Cut:
    """A connection of which the client reads so many bytes, or until it has what it wants, and no more."""

    def __init__(
        self,
        service: Service,
        *,
        at_bytes: int | None = None,
        until: Callable[[Client], bool] = lambda client: False,
    ) -> None:
        self.client = Client()
        self._service = service
        self._bytes = at_bytes
        self._until = until

    @property
    def run_id(self) -> str:
        return str(self.client.view["start"]["run_id"])

    async def run(self, path: str = "runs", body: bytes = CALL) -> None:
        """Post, read as far as said, and drop the connection without a word."""
        where = urlsplit(self._service.url)
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        head = f"POST /{path} HTTP/1.1\r\nHost: {where.netloc}\r\nAccept: text/event-stream\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        try:
            await reader.readuntil(b"\r\n\r\n")
            taken = 0
            while self.client.terminal is None and not self._enough(taken):
                size = int((await reader.readline()).strip() or b"0", 16)
                if size == 0:
                    break
                piece = (await reader.readexactly(size + 2))[:-2]
                left = len(piece) if self._bytes is None else self._bytes - taken
                self.client.feed(piece[:left])
                taken += len(piece)
        except asyncio.IncompleteReadError:
            pass  # the process behind it was killed
        finally:
            self.client.drop()
            writer.transport.abort()

    def _enough(self, taken: int) -> bool:
        if self._bytes is not None and taken >= self._bytes:
            return True
        return self._until(self.client)


def runtimes() -> list[int]:
    """The runtime processes that this process has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
            command = (path / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == os.getpid() and b"rill.runtime" in command:
            found.append(int(path.name))
    return found


async def test_cut_at_any_byte_and_reattached(service: Service) -> None:
    """Eight clients at once, each with a run of its own in an environment of its own."""
    cuts = [Cut(service, at_bytes=at) for at in (700, 1_500, 2_901, 4_444, 6_007, 9_000, 12_345, 16_000)]
    for pair in (cuts[:2], cuts[2:4], cuts[4:6], cuts[6:]):
        await asyncio.gather(*(cut.run() for cut in pair))
        for cut in pair:
            before = cut.client.after
            rest = await service.events(cut.run_id, before)
            check(rest, after=before)
            cut.client.feed(rest)
            whole = await service.events(cut.run_id)
            check(whole)
            assert cut.client.view == view(whole)
            assert cut.client.view["terminal"]["type"] == "complete"


async def test_a_run_finishes_while_nobody_listens(service: Service) -> None:
    cut = Cut(service, until=lambda client: client.seen >= 5)
    await cut.run()
    found = await service.until(cut.run_id, "complete")
    cut.client.feed(await service.events(cut.run_id, cut.client.after))
    assert cut.client.terminal is not None
    assert cut.client.terminal["data"] == found["result"]
    assert service.rated(cut.run_id) == REP_LINES


@pytest.mark.parametrize("calls", [0, 1, 4])
async def test_the_run_of_a_killed_process_is_resumed_to_its_end(
    service: Service, model: ScriptedModel, calls: int
) -> None:
    """Killed after so many calls of the model had ended; another one would never have."""
    model.set_faults("feedback=stall@3:once")
    cut = Cut(service, until=lambda client: client.seen > 0 and len(client.view["usages"]) >= calls)
    await cut.run()
    if calls:  # its first write is behind its first events: it is waited for
        assert (await service.request("GET", f"runs/{cut.run_id}")).status_code == 200
    for pid in runtimes():
        os.kill(pid, signal.SIGKILL)
    answer = await service.request("GET", f"runs/{cut.run_id}")
    if answer.status_code == 404:  # nothing of it had been written yet
        assert calls == 0
        return
    service.expire_lease(cut.run_id)
    lost = (await service.request("GET", f"runs/{cut.run_id}")).json()
    assert (lost["state"], lost["error"]["retryable"], lost["line_ratings_count"]) == ("failed", True, 0)
    again = await service.request("POST", f"runs/{cut.run_id}/resume", headers=HEADERS)
    cut.client.feed(again.content)
    assert cut.client.terminal is not None
    assert cut.client.terminal["type"] == "complete", again.text
    GradingResult.model_validate(cut.client.terminal["data"])
    found = (await service.request("GET", f"runs/{cut.run_id}")).json()
    assert (found["state"], found["result"]) == ("complete", cut.client.terminal["data"])
    assert service.rated(cut.run_id) == REP_LINES
    assert found["epoch"] == 2


async def test_cancel_closes_the_connection_to_a_model_that_stalls(
    service: Service, model: ScriptedModel
) -> None:
    model.set_faults("scores=stall@3")
    cut = Cut(service, until=lambda client: len(client.view["usages"]) >= 2)
    await cut.run()
    answer = await service.request("POST", f"runs/{cut.run_id}/cancel")
    assert (answer.status_code, answer.json()["cancel"]) == (202, True)
    found = await service.until(cut.run_id, "cancelled")
    assert found["usage"]["calls"] >= 3, "two that ended, and the one that was given up"
    assert found["usage"]["output_tokens"] > 5
    assert found["cost_usd"] is not None
    cut.client.feed(await service.events(cut.run_id, cut.client.after))
    assert cut.client.terminal is not None
    assert (cut.client.terminal["type"], cut.client.terminal["data"]) == ("cancelled", found["result"])
    await asyncio.to_thread(model.wait_for, lambda record: record.schema == "scores" and record.disconnected)
