"""The results API with tables to fill, without a server of its own."""

import base64
from types import SimpleNamespace, TracebackType
from typing import Any, Self

import httpx2
from mangum import Mangum
from results.api import create_api
from results.stores import Stores

from rill.stores.dynamo import Dynamo
from rill.stores.line_ratings import LineRatingRecord, LineRatingStore
from rill.stores.queries import RunQueryStore
from rill.stores.run_records import RunRecord, to_item
from rill.stores.sessions import SessionStore


def run(run_id: str, created_at: int, **changes: Any) -> RunRecord:
    """A complete run of a grading."""
    known: dict[str, Any] = {
        "session_id": "s-1",
        "workflow": "grading",
        "request_id": "q",
        "mode": "multi",
        "state": "complete",
        "ended_at": created_at + 1000,
        "result": {"scores": {"overall": 50}},
        "cost_usd": 0.01,
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


class Api:
    """The API over tables named as the template's resources without "Table"; a context to be called in."""

    def __init__(self) -> None:
        self.dynamo = RecordingDynamo()
        self.sessions = SessionStore(self.dynamo, "Sessions")
        self.runs = RunQueryStore(self.dynamo, "Runs")
        self.app = create_api(
            Stores(
                sessions=self.sessions, runs=self.runs, ratings=LineRatingStore(self.dynamo, "LineRatings")
            )
        )
        self._filler = Dynamo()
        self._client = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=self.app), base_url="http://results"
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def keep(self, record: RunRecord, *ratings: LineRatingRecord) -> None:
        """Write a run as it stands, and ratings of it, past the API."""
        await self.keep_all([record])
        await LineRatingStore(self._filler, "LineRatings").put(
            record.session_id, record.run_id, list(ratings)
        )

    async def keep_all(self, records: list[RunRecord]) -> None:
        """Write many runs."""
        await self._filler.write_all("Runs", [{"PutRequest": {"Item": to_item(one)}} for one in records])

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
