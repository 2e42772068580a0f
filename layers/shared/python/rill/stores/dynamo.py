"""The one DynamoDB client of a function, off the event loop."""

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

from rill.errors import UpstreamError

Attributes = dict[str, dict[str, Any]]
"""An item in DynamoDB's own notation, such as {"run_id": {"S": "…"}}."""


class StoreError(UpstreamError):
    """DynamoDB could not be reached, or refused; `__cause__` is botocore's error."""

    default_message = "The database could not be reached."


class Dynamo:
    """Calls DynamoDB in a thread, so that no call holds up a stream.

    boto3 is imported and its client built on the first call: together they take longer than the first
    event of a stream should. `AWS_ENDPOINT_URL_DYNAMODB` points it at another DynamoDB.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._client: Any = None  # boto3's clients have no class of their own

    def _connect(self) -> Any:
        with self._lock:
            if self._client is None:
                import boto3
                from botocore.config import Config

                config = Config(
                    connect_timeout=2,
                    read_timeout=5,
                    retries={"mode": "standard", "total_max_attempts": 5},
                    tcp_keepalive=True,
                )
                self._client = boto3.client("dynamodb", config=config)
            return self._client

    def _call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        client = self._connect()
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: dict[str, Any] = getattr(client, operation)(**arguments)
        except (BotoCoreError, ClientError) as error:
            if "ConditionalCheckFailed" in str(error):
                raise ConditionFailed(detail=operation) from error
            raise StoreError(detail=f"{operation}: {error}") from error
        return answer

    async def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """One API call, named as boto3 names it.

        Raises:
            ConditionFailed: where a condition in the arguments did not hold.
            StoreError: where it failed after botocore's own retries.
        """
        return await asyncio.to_thread(self._call, operation, arguments)

    async def query(self, **arguments: Any) -> list[Attributes]:
        """All items of a query, over as many pages as it has (1 MB each)."""
        items: list[Attributes] = []
        while True:
            page = await self.call("query", **arguments)
            items += page["Items"]
            if "LastEvaluatedKey" not in page:
                return items
            arguments["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    async def write_all(self, table: str, requests: list[dict[str, Any]]) -> None:
        """Put or delete any number of items, 25 a call, sending again what DynamoDB did not process."""
        pause = 0.05
        while requests:
            batch, requests = requests[:25], requests[25:]
            answer = await self.call("batch_write_item", RequestItems={table: batch})
            if left := answer.get("UnprocessedItems", {}).get(table, []):
                if pause > 5:
                    raise StoreError(detail=f"{table}: {len(left)} items stayed unprocessed")
                await asyncio.sleep(pause)
                pause *= 2
                requests = left + requests


class ConditionFailed(StoreError):
    """The item is not in the state that the write asked for."""

    retryable = False
