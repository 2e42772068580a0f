"""The results API with tables to fill, without a server: requests go in as Lambda's events."""

import base64
import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

from mangum import Mangum
from results.api import create_api
from results.stores import Stores

from rill.stores.dynamo import Dynamo
from rill.stores.line_ratings import LineRatingRecord, LineRatingStore
from rill.stores.queries import LineRatingQueryStore, RunQueryStore
from rill.stores.run_records import RunRecord, to_item
from rill.stores.sessions import SessionStore
from tests.support.asgi import Answer, call


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


class RecordingDynamo(Dynamo):
    """Remembers which operation went to which table or index, as the policy's resources name them."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: set[tuple[str, str]] = set()

    async def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        pascal = "".join(part.capitalize() for part in operation.split("_"))
        tables = [arguments["TableName"]] if "TableName" in arguments else list(arguments["RequestItems"])
        for table in tables:
            index = f"/index/{arguments['IndexName']}" if "IndexName" in arguments else ""
            self.calls.add((f"{table}{index}", pascal))
        return await super().call(operation, **arguments)


class Api:
    """The API over tables named as the template's resources without "Table"."""

    def __init__(self) -> None:
        self.dynamo = RecordingDynamo()
        self.sessions = SessionStore(self.dynamo, "Sessions")
        self.runs = RunQueryStore(self.dynamo, "Runs")
        self.app = create_api(
            Stores(
                sessions=self.sessions,
                runs=self.runs,
                ratings=LineRatingQueryStore(self.dynamo, "LineRatings"),
            )
        )
        self._filler = Dynamo()

    async def keep(self, record: RunRecord, *ratings: LineRatingRecord) -> None:
        """Write a run as it stands, and ratings of it, past the API."""
        await self.keep_all([record])
        await LineRatingStore(self._filler, "LineRatings").put(
            record.session_id, record.run_id, list(ratings)
        )

    async def keep_all(self, records: list[RunRecord]) -> None:
        """Write many runs."""
        await self._filler.write_all("Runs", [{"PutRequest": {"Item": to_item(one)}} for one in records])

    async def __call__(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, **query: Any
    ) -> Answer:
        sent = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        target = f"{path}?{urlencode(query)}" if query else path
        given = {"content-type": "application/json", **(headers or {})}
        return await call(self.app, method, target, body=sent, headers=given)


def invoke(handler: Mangum, event: dict[str, Any], request_id: str) -> Answer:
    """What Lambda's function URL would answer to an event."""
    made = handler(event, SimpleNamespace(aws_request_id=request_id))
    body = made["body"].encode()
    whole = base64.b64decode(body) if made["isBase64Encoded"] else body
    return Answer(made["statusCode"], made["headers"], [whole])
