"""The Idempotency table, in the shape of Powertools': which run a repeated start belongs to."""

import hashlib
import json
import time

from rill.errors import Conflict
from rill.stores.dynamo import ConditionFailed, Dynamo

KEY_TTL = 24 * 3600
MAX_KEY_CHARS = 256


class IdempotencyStore:
    """Remembers for a day which `Idempotency-Key` started which run."""

    def __init__(self, dynamo: Dynamo, table: str) -> None:
        self._dynamo = dynamo
        self._table = table

    async def remember(self, scope: str, given: str, body: bytes, run_id: str) -> str:
        """The run that belongs to this key: `run_id` itself where the key is new.

        Args:
            scope: whose keys these are; the same key in another scope is another key.
            given: the key, as the client made it.
            body: the request; a key belongs to one.
            run_id: of the run that would be started.

        Raises:
            Conflict: the key was used with another request.
        """
        digest = hashlib.sha256(body).hexdigest()
        key = f"{scope}#{hashlib.sha256(given.encode()).hexdigest()}"
        now = int(time.time())
        item = {
            "id": {"S": key},
            "expiration": {"N": str(now + KEY_TTL)},
            "status": {"S": "COMPLETED"},
            "data": {"S": json.dumps({"run_id": run_id})},
            "validation": {"S": digest},
        }
        while True:
            try:
                await self._dynamo.call(
                    "put_item",
                    TableName=self._table,
                    Item=item,
                    ConditionExpression="attribute_not_exists(id) OR expiration < :now",
                    ExpressionAttributeValues={":now": {"N": str(now)}},
                )
                return run_id
            except ConditionFailed:
                answer = await self._dynamo.call(
                    "get_item", TableName=self._table, Key={"id": {"S": key}}, ConsistentRead=True
                )
            found = answer.get("Item")
            if found is None:
                continue  # it has just expired
            if found["validation"]["S"] != digest:
                raise Conflict("This Idempotency-Key was used with another request.")
            return str(json.loads(found["data"]["S"])["run_id"])
