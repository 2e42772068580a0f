"""What DynamoDB bills for a write."""

import asyncio

import pytest

from bench.counting import (
    Counts,
    Index,
    Item,
    indexes,
    item_size,
    query,
    read_units,
    units,
    value_size,
    write_units,
)

INDEX = Index(frozenset({"kind", "at"}), frozenset({"kind", "at", "id", "title"}))
MADE: Item = {"id": {"S": "a"}, "kind": {"S": "run"}, "at": {"N": "1"}, "title": {"S": "t"}}


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ({"S": "añ"}, 3),
        ({"N": "1234"}, 3),
        ({"B": "AAAA"}, 3),
        ({"BOOL": True}, 1),
        ({"NULL": True}, 1),
        ({"L": [{"S": "ab"}, {"BOOL": False}]}, 3 + 3 + 2),
        ({"M": {"ab": {"S": "c"}}}, 3 + 1 + 2 + 1),
        ({"SS": ["ab", "c"]}, 3),
    ],
)
def test_size_of_a_value(value: dict[str, object], size: int) -> None:
    assert value_size(value) == size


def test_an_item_counts_its_names_too() -> None:
    assert item_size({"id": {"S": "abc"}, "n": {"BOOL": True}}) == 2 + 3 + 1 + 1


@pytest.mark.parametrize(("size", "billed"), [(0, 1), (1, 1), (1024, 1), (1025, 2), (10_240, 10)])
def test_a_unit_is_a_kilobyte_begun(size: int, billed: int) -> None:
    assert units(size) == billed


@pytest.mark.parametrize(("size", "billed"), [(0, 1), (4096, 1), (4097, 2)])
def test_a_read_unit_is_four_kilobytes_begun(size: int, billed: int) -> None:
    assert read_units(size) == billed


def test_the_larger_of_before_and_after_is_billed() -> None:
    large: Item = {"id": {"S": "a" * 3000}}
    assert write_units(large, {"id": {"S": "a"}}, []) == 3
    assert write_units(None, large, []) == 3
    assert write_units(None, None, []) == 1


def test_an_index_is_billed_only_where_its_entry_changes() -> None:
    assert write_units(None, MADE, [INDEX]) == 2
    assert write_units(MADE, {**MADE, "result": {"S": "r"}}, [INDEX]) == 1
    assert write_units(MADE, {**MADE, "title": {"S": "other"}}, [INDEX]) == 2
    assert write_units(None, {"id": {"S": "a"}}, [INDEX]) == 1


def test_indexes_hold_their_keys_the_tables_and_what_is_projected() -> None:
    table = {
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "GlobalSecondaryIndexes": [
            {
                "KeySchema": [{"AttributeName": "kind"}, {"AttributeName": "at"}],
                "Projection": {"NonKeyAttributes": ["title"]},
            }
        ],
    }
    assert indexes(table) == [INDEX]
    assert indexes({"KeySchema": table["KeySchema"]}) == []


def test_reads_are_no_writes() -> None:
    counts = Counts()
    counts.calls.update({"Query": 3, "PutItem": 2, "TransactWriteItems": 1})
    assert counts.writes == 3


@pytest.mark.parametrize("status", [b"200 OK", b"400 Bad Request"])
async def test_a_bare_query_is_its_answers_body_or_an_error(status: bytes) -> None:
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(
            await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(len(b'{"TableName": "T"}'))
        )
        writer.write(b"HTTP/1.1 %b\r\nContent-Length: 2\r\n\r\n{}" % status)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        if status.startswith(b"200"):
            assert await query(endpoint, {"TableName": "T"}) == b"{}"
        else:
            with pytest.raises(OSError, match="refused"):
                await query(endpoint, {"TableName": "T"})
    assert b"DynamoDB_20120810.Query" in heard[0]
    assert heard[0].endswith(b'{"TableName": "T"}')
