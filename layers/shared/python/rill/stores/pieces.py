"""Documents of any size in items of at most 400 KB.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html#limits-items
"""

import asyncio
import time
from typing import Any

from rill.stores.dynamo import Attributes, Dynamo

MAX_ITEM_BYTES = 350_000
"""Below DynamoDB's 400 KB, which count attribute names and keys as well."""

AT_ONCE = 8


def split(text: str, limit: int = MAX_ITEM_BYTES) -> list[str]:
    """The text in pieces of at most `limit` bytes of UTF-8; an empty text is one empty piece."""
    encoded = text.encode()
    pieces: list[str] = []
    at = 0
    while at < len(encoded) or not pieces:
        # A cut inside a character leaves an incomplete sequence at the end: it goes to the next piece.
        piece = encoded[at : at + limit].decode("utf-8", "ignore")
        pieces.append(piece)
        at += len(piece.encode())
    return pieces


def expiry(seconds: int) -> dict[str, str]:
    """A TTL attribute, `seconds` from now."""
    return {"N": str(int(time.time()) + seconds)}


async def put_document(
    dynamo: Dynamo, table: str, key: Attributes, text: str, *, ttl: int | None = None
) -> None:
    """Write a document under the sort keys `<sk>#0001`…; the last write is of the first piece.

    The first piece says how many there are, so a reader sees a whole document or none; each call has
    its own `version`, so pieces of two documents are never mixed.
    """
    items = _items(key, split(text), ttl)
    places = asyncio.Semaphore(AT_ONCE)

    async def put(item: Attributes) -> None:
        async with places:
            await dynamo.call("put_item", TableName=table, Item=item)

    await asyncio.gather(*(put(item) for item in items[1:]))
    await put(items[0])


def document_item(key: Attributes, text: str, ttl: int | None = None) -> Attributes:
    """The item of a document of at most `MAX_ITEM_BYTES`, for a transaction."""
    (item,) = _items(key, [text], ttl)
    return item


def _items(key: Attributes, pieces: list[str], ttl: int | None) -> list[Attributes]:
    version = str(time.time_ns())
    items = []
    for number, piece in enumerate(pieces, 1):
        item: Attributes = {
            **_piece_key(key, number, version),
            "pieces": {"N": str(len(pieces))},
            "version": {"S": version},
            "text": {"S": piece},
        }
        if ttl is not None:
            item["expires_at"] = expiry(ttl)
        items.append(item)
    return items


async def get_document(dynamo: Dynamo, table: str, key: Attributes) -> str | None:
    """The document that `put_document` wrote under that key, or None."""
    first = await _get(dynamo, table, _piece_key(key, 1, ""))
    if first is None:
        return None
    count, version = int(first["pieces"]["N"]), first["version"]["S"]
    rest = await asyncio.gather(
        *(_get(dynamo, table, _piece_key(key, number, version)) for number in range(2, count + 1))
    )
    pieces = [first, *rest]
    if any(piece is None for piece in pieces):
        return None
    return "".join(piece["text"]["S"] for piece in pieces if piece is not None)


def _piece_key(key: Attributes, number: int, version: str) -> Attributes:
    """The first piece has a place of its own; the others one for each version."""
    name = key["sk"]["S"]
    return {**key, "sk": {"S": f"{name}#0001" if number == 1 else f"{name}#{version}#{number:04d}"}}


async def _get(dynamo: Dynamo, table: str, key: Attributes) -> Any:
    answer = await dynamo.call("get_item", TableName=table, Key=key, ConsistentRead=True)
    return answer.get("Item")
