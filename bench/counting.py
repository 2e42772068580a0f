"""A DynamoDB that counts: an HTTP proxy before the local one that notes calls and their units.

Source of the arithmetic: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
"""

import asyncio
import base64
import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

HOST = "127.0.0.1"
UNIT_BYTES, READ_UNIT_BYTES = 1024, 4096
WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"})
READS = frozenset({"GetItem", "Query"})
Item = dict[str, dict[str, Any]]


def value_size(value: Mapping[str, Any]) -> int:
    """Bytes of one attribute value in DynamoDB's notation.

    Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    (kind, held), *_ = value.items()
    if kind == "S":
        return len(held.encode())
    if kind == "N":
        return (len(held.strip("-0.")) + 1) // 2 + 1
    if kind == "B":
        return len(base64.b64decode(held))
    if kind in ("BOOL", "NULL"):
        return 1
    if kind == "L":
        return 3 + sum(1 + value_size(part) for part in held)
    if kind == "M":
        return 3 + sum(1 + len(name) + value_size(part) for name, part in held.items())
    return sum(len(str(part).encode()) for part in held)


def item_size(item: Item) -> int:
    return sum(len(name.encode()) + value_size(value) for name, value in item.items())


def units(size: int) -> int:
    return max(1, -(-size // UNIT_BYTES))


def read_units(size: int) -> int:
    """Of a consistent read of an item of that size."""
    return max(1, -(-size // READ_UNIT_BYTES))


@dataclass(frozen=True, slots=True)
class Index:
    """What of a table's items stands in one of its indexes."""

    keys: frozenset[str]
    attributes: frozenset[str]

    def of(self, item: Item | None) -> Item | None:
        """The index's entry of an item, or None where it has none."""
        if item is None or not self.keys <= item.keys():
            return None
        return {name: value for name, value in item.items() if name in self.attributes}


def indexes(table: Mapping[str, Any]) -> list[Index]:
    """The indexes of CreateTable's arguments."""
    own = {key["AttributeName"] for key in table["KeySchema"]}
    found = []
    for index in table.get("GlobalSecondaryIndexes") or ():
        keys = frozenset(key["AttributeName"] for key in index["KeySchema"])
        more = index["Projection"].get("NonKeyAttributes", [])
        found.append(Index(keys, keys | own | frozenset(more)))
    return found


def write_units(before: Item | None, after: Item | None, of: list[Index]) -> int:
    """Units of a write that made `after` out of `before`, with those of the indexes that it changed."""
    total = units(max(item_size(item) if item else 0 for item in (before, after)))
    for index in of:
        old, new = index.of(before), index.of(after)
        if old != new:
            total += units(max(item_size(entry) if entry else 0 for entry in (old, new)))
    return total


@dataclass(slots=True)
class Counts:
    """What came through."""

    calls: Counter[str] = field(default_factory=Counter)
    write_units: int = 0
    read_units: int = 0

    @property
    def writes(self) -> int:
        """Calls that write."""
        return sum(count for name, count in self.calls.items() if name in WRITES)


class CountingProxy:
    """Stands before the DynamoDB at `endpoint`, whose tables are those of `tables` (CreateTable's)."""

    def __init__(self, endpoint: str, tables: Mapping[str, Mapping[str, Any]]) -> None:
        place = urlsplit(endpoint)
        self._behind = (place.hostname or HOST, place.port or 80)
        self._tables = tables
        self._server: asyncio.Server | None = None
        self.url = ""
        self.counts = Counts()

    async def __aenter__(self) -> "CountingProxy":
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.url = f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()

    def take(self) -> Counts:
        """The counts since the last time."""
        counts, self.counts = self.counts, Counts()
        return counts

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                fields = dict(_fields(head))
                body = await reader.readexactly(int(fields.get("content-length", "0")))
                name = fields.get("x-amz-target", "").rpartition(".")[2]
                writer.write(await self._pass(name, head, body))
                await writer.drain()

    async def _pass(self, name: str, head: bytes, body: bytes) -> bytes:
        asked = json.loads(body or b"{}")
        self.counts.calls[name] += 1
        keys = list(self._keys(name, asked))
        before = [await self._get(head, table, key) for table, key in keys]
        answer = await self._ask(head, body)
        if name in READS and asked.get("ConsistentRead") and accepted(answer):
            found = json.loads(answer.partition(b"\r\n\r\n")[2])
            items = found.get("Items", [found["Item"]] if "Item" in found else [])
            self.counts.read_units += read_units(sum(map(item_size, items)))
        if name in WRITES and accepted(answer):
            factor = 2 if name == "TransactWriteItems" else 1
            for (table, key), old in zip(keys, before, strict=True):
                new = await self._get(head, table, key)
                self.counts.write_units += factor * write_units(old, new, indexes(self._tables[table]))
        return answer

    def _keys(self, name: str, asked: dict[str, Any]) -> Iterator[tuple[str, Item]]:
        """The items that a call writes."""
        if name in ("PutItem", "UpdateItem", "DeleteItem"):
            yield asked["TableName"], self._key(asked["TableName"], asked.get("Key") or asked["Item"])
        elif name == "BatchWriteItem":
            for table, requests in asked["RequestItems"].items():
                for request in requests:
                    (one,) = request.values()
                    yield table, self._key(table, one.get("Key") or one["Item"])
        elif name == "TransactWriteItems":
            for action in asked["TransactItems"]:
                (one,) = action.values()
                yield one["TableName"], self._key(one["TableName"], one.get("Key") or one["Item"])

    def _key(self, table: str, item: Item) -> Item:
        return {key["AttributeName"]: item[key["AttributeName"]] for key in self._tables[table]["KeySchema"]}

    async def _get(self, head: bytes, table: str, key: Item) -> Item | None:
        """The item as it stands, by a call of our own: what answers here checks no signature."""
        asked = {"TableName": table, "Key": key, "ConsistentRead": True}
        answer = await self._ask_for("GetItem", asked, head)
        found: Item | None = json.loads(answer.partition(b"\r\n\r\n")[2]).get("Item")
        return found

    async def _ask_for(self, name: str, asked: Mapping[str, Any], head: bytes) -> bytes:
        """Another call than the one that `head` is of."""
        body = json.dumps(asked).encode()
        lines = [line for line in head.decode("latin-1").split("\r\n") if line]
        kept = [line for line in lines if not line.lower().startswith(("content-length:", "x-amz-target:"))]
        kept += [f"Content-Length: {len(body)}", f"X-Amz-Target: DynamoDB_20120810.{name}"]
        return await self._ask(("\r\n".join(kept) + "\r\n\r\n").encode("latin-1"), body)

    async def _ask(self, head: bytes, body: bytes) -> bytes:
        return await _exchange(self._behind, head + body)


async def query(endpoint: str, asked: Mapping[str, Any]) -> bytes:
    """The body of a query's answer, by nothing but a socket; what answers here checks no signature.

    Raises:
        OSError: it was refused.
    """
    place = urlsplit(endpoint)
    body = json.dumps(asked).encode()
    credential = "local/20260101/us-east-1/dynamodb/aws4_request"
    head = (
        f"POST / HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: application/x-amz-json-1.0\r\n"
        f"X-Amz-Target: DynamoDB_20120810.Query\r\nContent-Length: {len(body)}\r\n"
        f"Authorization: AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0\r\n\r\n"
    )
    answer = await _exchange((place.hostname or HOST, place.port or 80), head.encode() + body)
    if not accepted(answer):
        raise OSError(f"the query was refused: {answer[-300:]!r}")
    return answer.partition(b"\r\n\r\n")[2]


def accepted(answer: bytes) -> bool:
    """Whether an HTTP answer says so."""
    return answer.split(b" ", 2)[1] == b"200"


async def _exchange(place: tuple[str, int], request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*place)
    with contextlib.closing(writer):
        writer.write(request)
        answered = await reader.readuntil(b"\r\n\r\n")
        length = int(dict(_fields(answered)).get("content-length", "0"))
        return answered + await reader.readexactly(length)


def _fields(head: bytes) -> Iterator[tuple[str, str]]:
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, found, value = line.partition(":")
        if found:
            yield name.strip().lower(), value.strip()
