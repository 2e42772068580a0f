"""The results API with tables to fill, without a server of its own."""

import asyncio
import base64
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace, TracebackType
from typing import Any, Self

import httpx2
import pytest
from mangum import Mangum
from results.api import create_api
from results.stores import Stores

from local.functions.intrinsics import Scope
from local.functions.yaml_tags import load
from rill.stores.dynamo import Dynamo
from rill.stores.line_ratings import LineRatingRecord, LineRatingStore
from rill.stores.queries import RunQueryStore
from rill.stores.run_records import RunRecord, to_item
from rill.stores.sessions import SessionStore
from tests.support.dynamodb import REGION, TEMPLATE, make_tables


def run(run_id: str, created_at: int, **changes: Any) -> RunRecord:
    """A complete run of a grading; one that runs does so until 2100."""
    known: dict[str, Any] = {
        "session_id": "s-1",
        "workflow": "grading",
        "request_id": "q",
        "mode": "multi",
        "state": "complete",
        "ended_at": created_at + 1000,
        "result": {"scores": {"overall": 50}},
        "cost_usd": 0.01,
        "lease_until": 4_102_444_800_000,
    }
    return RunRecord(run_id=run_id, created_at=created_at, **{**known, **changes})


def rating(number: int, effectiveness: str = "good", text: str = "Hello.") -> LineRatingRecord:
    return LineRatingRecord(
        line_number=number,
        speaker="rep",
        text=text,
        effectiveness=effectiveness,
        reason="Because.",
        alternative_lines=["Another."],
        created_at=1,
    )


def transcript(lines: int = 2, text: str = "Hello – é") -> list[dict[str, Any]]:
    """Lines of rep and customer in turn."""
    return [
        {"line_number": number, "speaker": "rep" if number % 2 else "customer", "text": f"{text} {number}"}
        for number in range(1, lines + 1)
    ]


class RecordingDynamo(Dynamo):
    """Remembers which operation went to which table or index, as the policy's resources name them."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, str]] = []

    async def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        pascal = "".join(part.capitalize() for part in operation.split("_"))
        tables = [arguments["TableName"]] if "TableName" in arguments else list(arguments["RequestItems"])
        index = f"/index/{arguments['IndexName']}" if "IndexName" in arguments else ""
        self.calls += [(f"{table}{index}", pascal) for table in tables]
        return await super().call(operation, **arguments)


class HeldDynamo(RecordingDynamo):
    """Stops before the calls of one operation until they are released.

    Args:
        operation: as boto3 names it.
        together: release all at once as soon as so many wait.
    """

    def __init__(self, operation: str, together: int = 0) -> None:
        super().__init__()
        self._operation = operation
        self._together = together
        self._waiting = 0
        self.reached = asyncio.Event()
        self.released = asyncio.Event()

    async def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        if operation == self._operation:
            self._waiting += 1
            self.reached.set()
            if self._waiting == self._together:
                self.released.set()
            await self.released.wait()
        return await super().call(operation, **arguments)


@contextmanager
def tables(url: str) -> Iterator[Any]:
    """Empty tables there, which every Dynamo made meanwhile talks to; yields a client."""
    settings = {
        "AWS_ENDPOINT_URL_DYNAMODB": url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        **{
            f"RILL_{name}_TABLE": name.title().replace("_", "")
            for name in ("SESSIONS", "RUNS", "LINE_RATINGS")
        },
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        client = make_tables(url)
        yield client
        client.close()


def allowed() -> set[tuple[str, str]]:
    """What the template's policy allows, in the form of `RecordingDynamo.calls`."""
    document = load(TEMPLATE.read_text())
    scope = Scope(document, {})
    found: set[tuple[str, str]] = set()
    for policy in document["Resources"]["ResultsFunction"]["Properties"]["Policies"]:
        for statement in scope.resolve(policy)["Statement"]:
            table, _, index = statement["Resource"].partition(":table/")[2].partition("Table")
            actions = statement["Action"]
            for action in [actions] if isinstance(actions, str) else actions:
                found.add((f"{table}{index}", action.removeprefix("dynamodb:")))
    return found


class Api:
    """The API over tables named as the template's resources without "Table"; a context to be called in."""

    def __init__(self, dynamo: RecordingDynamo | None = None) -> None:
        self.dynamo = dynamo or RecordingDynamo()
        self.sessions = SessionStore(self.dynamo, "Sessions")
        self.runs = RunQueryStore(self.dynamo, "Runs")
        self.app = create_api(
            Stores(
                sessions=self.sessions, runs=self.runs, ratings=LineRatingStore(self.dynamo, "LineRatings")
            )
        )
        self.filler = Dynamo()
        self._client = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=self.app), base_url="http://results"
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()
        await self.dynamo.close()
        await self.filler.close()

    async def keep(self, record: RunRecord, *ratings: LineRatingRecord) -> None:
        """Write a run as it stands, and ratings of it, past the API."""
        await self.keep_all([record])
        await LineRatingStore(self.filler, "LineRatings").put(record.session_id, record.run_id, list(ratings))

    async def keep_all(self, records: list[RunRecord]) -> None:
        """Write many runs."""
        await self.filler.write_all("Runs", [{"PutRequest": {"Item": to_item(one)}} for one in records])

    async def get(self, path: str, etag: str | None = None, **query: Any) -> httpx2.Response:
        """GET with those parameters; those that are None are left out."""
        given = {name.rstrip("_"): value for name, value in query.items() if value is not None}
        headers = {} if etag is None else {"if-none-match": etag}
        return await self._client.get(path, params=given, headers=headers)

    async def post(self, path: str, body: Any) -> httpx2.Response:
        return await self._client.post(path, json=body)

    async def request(self, method: str, path: str, **arguments: Any) -> httpx2.Response:
        """As httpx2's client has it."""
        return await self._client.request(method, path, **arguments)


def invoke(handler: Mangum, event: dict[str, Any], request_id: str) -> httpx2.Response:
    """What Lambda's function URL would answer to an event."""
    made = handler(event, SimpleNamespace(aws_request_id=request_id))
    body = made["body"].encode()
    whole = base64.b64decode(body) if made["isBase64Encoded"] else body
    return httpx2.Response(made["statusCode"], headers=made["headers"], content=whole)
