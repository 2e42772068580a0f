"""The one DynamoDB client of a function: its JSON protocol over kept connections, signed here.

boto3's client would do the same. It takes twice as long to import and build, 20 MB, and twice the CPU time a
call, in a thread that holds up the events' (docs/decisions/0003).
Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html
"""

import asyncio
import base64
import importlib
import json
import logging
import os
import random
import threading
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rill.errors import UpstreamError
from rill.stores.signing import Credentials, Signer
from rill.tls import tls_context

if TYPE_CHECKING:
    import httpx2

logger = logging.getLogger(__name__)
Attributes = dict[str, dict[str, Any]]
"""An item in DynamoDB's own notation, such as {"run_id": {"S": "…"}}; what is binary is base64 in answers."""

CONNECT_SECONDS = 2.0
READ_SECONDS = 5.0
TRIES = 5
FIRST_PAUSE = 0.05
"""Seconds, at most, before the second try; doubled for each further one, and drawn at random below that.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html#Programming.Errors.RetryAndBackoff
"""

_BUSY = frozenset(
    {
        "InternalServerError",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "ThrottlingException",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
_BUSY_REASONS = frozenset({"ProvisionedThroughputExceeded", "ThrottlingError", "TransactionConflict"})


class StoreError(UpstreamError):
    """DynamoDB could not be reached, or refused; `detail` says what it said."""

    default_message = "The database could not be reached."


class ConditionFailed(StoreError):
    """The item is not in the state that the write asked for."""

    retryable = False


class Dynamo:
    """Calls DynamoDB.

    httpx2 is imported with the first call, and credentials are looked for then: those of the environment, or
    else by botocore, in all the places it knows. `AWS_ENDPOINT_URL_DYNAMODB` points it at another DynamoDB.

    Args:
        env: where region, endpoint and credentials come from.
    """

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        self._env = os.environ if env is None else env
        self._lock = threading.Lock()
        self._url = ""
        self._signer: Signer | None = None
        self._provider: Any = None  # botocore's credentials have no types
        self._tls: Any = None
        self._client: httpx2.AsyncClient | None = None
        self._target: httpx2.URL | str = ""
        self._timeouts: dict[str, float | None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    async def load(self) -> None:
        """Import and build what the first call would."""
        await self._connect()
        if not self._env.get("AWS_ACCESS_KEY_ID"):
            await asyncio.to_thread(importlib.import_module, "botocore.session")

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """One API call, named as boto3 names it, with boto3's arguments.

        Raises:
            ConditionFailed: where a condition in the arguments did not hold.
            StoreError: where it failed, also when it was tried again.
        """
        if operation == "transact_write_items":
            # What is tried again after a lost answer is done once.
            arguments.setdefault("ClientRequestToken", str(uuid.uuid4()))
        name = "".join(part.capitalize() for part in operation.split("_"))
        body = _ENCODER.encode(arguments).encode()
        pause = FIRST_PAUSE
        for left in reversed(range(TRIES)):
            try:
                return await self._post(name, body)
            except _Busy as busy:
                if not left:
                    raise StoreError(detail=f"{operation}: {busy}") from busy
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - jitter
            pause *= 2
        raise AssertionError("unreachable")

    async def _post(self, name: str, body: bytes) -> dict[str, Any]:
        client = self._connected() or await self._connect()
        import httpx2

        assert self._signer is not None  # noqa: S101 - made with the client
        headers = self._signer.headers(
            await self._credentials(), f"DynamoDB_20120810.{name}", body, datetime.now(UTC)
        )
        # All of them are alike: nothing of the client's has to be merged into it.
        request = httpx2.Request(
            "POST", self._target, headers=headers, content=body, extensions={"timeout": self._timeouts}
        )
        try:
            answer = await client.send(request)
        except httpx2.TransportError as error:
            raise _Busy(f"{type(error).__name__} at {self._url}: {error}") from error
        if answer.status_code == 200:
            found: dict[str, Any] = json.loads(answer.content)
            return found
        raise _failure(name, answer.status_code, answer.content)

    def _connected(self) -> "httpx2.AsyncClient | None":
        """The client, where it is one of this event loop, which connections belong to."""
        return self._client if self._loop is asyncio.get_running_loop() else None

    async def _connect(self) -> "httpx2.AsyncClient":
        await asyncio.to_thread(self._prepare)
        if (made := self._connected()) is not None:  # by another call meanwhile
            return made
        import httpx2

        from rill.transport import http_client

        timeout = httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
        self._client = http_client(timeout=timeout, tls=self._tls)
        self._target, self._timeouts = httpx2.URL(self._url), timeout.as_dict()
        self._loop = asyncio.get_running_loop()
        return self._client

    def _prepare(self) -> None:
        """What takes its time."""
        with self._lock:
            if self._signer is not None:
                return
            import rill.transport  # noqa: F401 - most of the time of the first call

            region = self._env.get("AWS_REGION") or self._env.get("AWS_DEFAULT_REGION")
            if not region:
                raise StoreError(detail="AWS_REGION is not set")
            self._url = self._env.get("AWS_ENDPOINT_URL_DYNAMODB") or _address(region)
            self._tls = tls_context() if self._url.startswith("https:") else None
            self._signer = Signer(region, urlsplit(self._url).netloc)

    async def _credentials(self) -> Credentials:
        access, secret = self._env.get("AWS_ACCESS_KEY_ID"), self._env.get("AWS_SECRET_ACCESS_KEY")
        if access and secret:
            return Credentials(access, secret, self._env.get("AWS_SESSION_TOKEN") or None)
        return await asyncio.to_thread(self._look_for_credentials)

    def _look_for_credentials(self) -> Credentials:
        """Under SnapStart and on a laptop: credentials that botocore renews in time."""
        from botocore.exceptions import BotoCoreError
        from botocore.session import Session

        try:
            if self._provider is None:
                self._provider = Session().get_credentials()
            if self._provider is None:
                raise StoreError(detail="there are no AWS credentials")
            found = self._provider.get_frozen_credentials()
        except BotoCoreError as error:
            raise StoreError(detail=f"credentials: {error}") from error
        return Credentials(found.access_key, found.secret_key, found.token)

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


class _Busy(Exception):
    """A try that another one may succeed after."""


def _failure(name: str, status: int, content: bytes) -> Exception:
    """What DynamoDB's answer means."""
    try:
        said: dict[str, Any] = json.loads(content)
    except ValueError:
        said = {}
    kind = str(said.get("__type", "")).rpartition("#")[2]
    reasons = {str(reason.get("Code")) for reason in said.get("CancellationReasons") or ()}
    text = said.get("message") or said.get("Message") or repr(content[:300])
    detail = f"{name}: {status} {kind} {text}"
    if kind == "ConditionalCheckFailedException" or "ConditionalCheckFailed" in reasons:
        return ConditionFailed(detail=detail)
    if status >= 500 or kind in _BUSY or reasons & _BUSY_REASONS:
        return _Busy(detail)
    return StoreError(detail=detail)


def _address(region: str) -> str:
    """https://docs.aws.amazon.com/general/latest/gr/ddb.html"""
    return f"https://dynamodb.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}/"


def binary(value: dict[str, Any]) -> bytes:
    """The bytes of a binary attribute of an answer."""
    return base64.b64decode(value["B"])


def _binary(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} does not go into DynamoDB")


_ENCODER = json.JSONEncoder(default=_binary, separators=(",", ":"))
