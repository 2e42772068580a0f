"""The stores against a DynamoDB over HTTP."""

import json
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rill.errors import RillError
from rill.stores.dynamo import ConditionFailed, Dynamo, StoreError, binary
from rill.stores.line_ratings import LineRatingRecord, LineRatingStore
from rill.stores.queries import RunQueryStore
from rill.stores.run_records import key
from rill.stores.runs import FOLLOWED_MS, Batch, RunRecord, RunStore, Unwritten, now_ms
from tests.support.dynamodb import dynamodb_server, make_tables

pytestmark = pytest.mark.dynamodb

RUN = RunRecord(
    run_id="r-1",
    session_id="s-1",
    workflow="grading",
    request_id="q",
    mode="multi",
    state="running",
    created_at=1_700_000_000_000,
)
ENDED = replace(
    RUN,
    state="complete",
    ended_at=1_700_000_001_000,
    result={"scores": {"overall": 7}, "text": "é\u2028"},
    usage={"input_tokens": 3},
    cost_usd=0.00012,
    line_ratings_count=2,
)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with dynamodb_server() as url:
        yield url


@pytest.fixture
async def dynamo(server: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Dynamo]:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", server)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    client = make_tables(server)
    made = Dynamo()
    yield made
    await made.close()
    for name in client.list_tables()["TableNames"]:
        client.delete_table(TableName=name)
    client.close()


def logged(first: int, last: int, frames: bytes) -> Unwritten:
    return Unwritten(batch=Batch(first=first, last=last, frames=frames))


def rating(number: int, **changes: Any) -> LineRatingRecord:
    record = LineRatingRecord(
        line_number=number,
        speaker="rep",
        text="Hello – would you like one?",
        effectiveness="good",
        reason="Asks.",
        alternative_lines=["Which one would you like?"],
        created_at=1_700_000_000_000,
    )
    return replace(record, **changes)


async def test_a_run_comes_back_as_it_was_stored(dynamo: Dynamo) -> None:
    store = RunStore(dynamo, "Runs")
    assert await store.get("r-1") is None
    await store.begin(RUN)
    assert await store.get("r-1") == RUN
    await store.finish(ENDED)
    assert await store.get("r-1") == ENDED


async def test_while_a_run_is_on_its_entries_in_the_indexes_stay_as_they_are(dynamo: Dynamo) -> None:
    """Each change of an entry is a write that is billed."""

    async def entries() -> list[Any]:
        found = [
            await dynamo.query(
                TableName="Runs",
                IndexName=index,
                KeyConditionExpression="#key = :value",
                ExpressionAttributeNames={"#key": name},
                ExpressionAttributeValues={":value": {"S": value}},
            )
            for index, name, value in (
                ("by_session", "session_id", "s-1"),
                ("by_workflow", "workflow", "grading"),
            )
        ]
        assert [len(items) for items in found] == [1, 1]
        return found

    store, owned = RunStore(dynamo, "Runs"), replace(RUN, owner="me")
    await store.begin(owned)
    before = await entries()
    for seq, cost in ((10, 0.25), (20, 0.5)):
        used = replace(
            owned, last_seq=seq, cost_usd=cost, usage={"calls": seq}, progress=seq, attempts={"a": 1}
        )
        await store.append(used, logged(seq - 9, seq, b"x"))
        await store.append(used, Unwritten())
    assert await entries() == before
    found = await store.get("r-1")
    assert found is not None
    assert (found.cost_usd, found.last_seq) == (0.5, 20)
    standing = await RunQueryStore(dynamo, "Runs").standing("r-1")
    assert standing is not None
    assert standing.cost_usd == 0.5
    lost = await store.fail_lost(found, {"code": "internal"})
    assert lost.cost_usd == 0.5
    assert [items[0]["cost_usd"] for items in await entries()] == [{"S": "0.5"}] * 2


async def test_a_finished_run_is_not_written_again(dynamo: Dynamo) -> None:
    store = RunStore(dynamo, "Runs")
    await store.finish(ENDED)
    for write in (store.begin(RUN), store.finish(replace(ENDED, state="failed", result=None))):
        with pytest.raises(ConditionFailed):
            await write
    assert await store.get("r-1") == ENDED


async def test_what_is_new_is_written_with_the_lease_or_not_at_all(dynamo: Dynamo) -> None:
    store, owned = RunStore(dynamo, "Runs"), replace(RUN, owner="me")
    await store.begin(owned)
    first = Unwritten(batch=Batch(first=1, last=2, frames=b"a"), outputs={"one": "[1]", "two": '"2"'})
    await store.append(replace(owned, last_seq=2), first)
    await store.append(owned, Unwritten(outputs={"three": "3"}))
    other = Unwritten(batch=Batch(first=3, last=4, frames=b"b"), outputs={"one": "[7]", "four": "4"})
    with pytest.raises(ConditionFailed):
        await store.append(replace(owned, owner="another", last_seq=4), other)
    assert [batch async for batch in store.events("r-1", 0)] == [first.batch]
    assert sorted(await store.finished("r-1")) == ["one", "three", "two"]
    assert await store.outputs("r-1", ["one", "two", "three"]) == {"one": [1], "two": "2", "three": 3}


async def test_a_run_ends_with_what_is_new_or_not_at_all(dynamo: Dynamo) -> None:
    store, ended = RunStore(dynamo, "Runs"), replace(ENDED, owner="me")
    await store.begin(replace(RUN, owner="me"))
    new = Unwritten(batch=Batch(first=1, last=3, frames=b"a"), outputs={"one": "[1]"})
    with pytest.raises(ConditionFailed):
        await store.finish(replace(ended, owner="another"), new)
    assert [batch async for batch in store.events("r-1", 0)] == []
    assert await store.finished("r-1") == []
    await store.finish(ended, new)
    assert await store.get("r-1") == ended
    assert [batch async for batch in store.events("r-1", 0)] == [new.batch]
    assert await store.outputs("r-1", ["one"]) == {"one": [1]}


async def test_a_running_run_is_followed_for_a_while(dynamo: Dynamo) -> None:
    store, running = RunStore(dynamo, "Runs"), replace(RUN, owner="me")
    with pytest.raises(ConditionFailed):
        await store.follow("r-1")
    await store.begin(running)
    began = now_ms()
    await store.follow("r-1")
    found = await store.get("r-1")
    assert found is not None
    assert began + FOLLOWED_MS <= found.followed_until <= now_ms() + FOLLOWED_MS
    assert replace(found, followed_until=0) == running
    await store.append(running, Unwritten())
    found = await store.get("r-1")
    assert found is not None
    assert found.followed_until > began, "who writes the log leaves it"
    await store.finish(replace(ENDED, owner="me"))
    with pytest.raises(ConditionFailed):
        await store.follow("r-1")


async def test_ratings_come_back_in_the_order_of_the_call(dynamo: Dynamo) -> None:
    store = LineRatingStore(dynamo, "LineRatings")
    ratings = [rating(number) for number in (120, 3, 20, 1)]
    await store.put("s-1", "r-1", ratings)
    await store.put("s-1", "r-2", [rating(3, effectiveness="poor")])
    found = await store.of_run("s-1", "r-1")
    assert found == sorted(ratings, key=lambda record: record.line_number)
    await store.delete("s-1", "r-1", ratings)
    assert await store.of_run("s-1", "r-1") == []
    assert [record.effectiveness for record in await store.of_run("s-1", "r-2")] == ["poor"]


async def test_two_thousand_ratings_over_several_pages(dynamo: Dynamo) -> None:
    store = LineRatingStore(dynamo, "LineRatings")
    ratings = [rating(number, reason="x" * 700) for number in range(1, 2001)]  # over 1 MB, a page's size
    await store.put("s-1", "r-1", ratings)
    assert await store.of_run("s-1", "r-1") == ratings


WIDE = "Grüße \u2028 " * 100_000
"""1.3 MB of UTF-8: four items' worth."""


async def test_a_request_a_result_and_an_output_of_any_size(dynamo: Dynamo) -> None:
    store = RunStore(dynamo, "Runs")
    request = json.dumps({"text": WIDE})
    await store.begin(replace(RUN, owner="me"), request)
    assert await store.request("r-1") == request
    await store.save_step("r-1", "wide", request)
    await store.save_step("r-1", "wide", json.dumps({"text": WIDE[::-1]}))
    await store.save_step("r-1", "small", "1")
    assert await store.outputs("r-1", ["wide", "small", "none"]) == {"wide": {"text": WIDE[::-1]}, "small": 1}
    assert sorted(await store.finished("r-1")) == ["small", "wide"]
    ended = replace(ENDED, owner="me", result={"text": WIDE})
    await store.finish(ended)
    assert await store.get("r-1") == ended


async def test_a_result_whose_process_died_half_way_does_not_count(
    dynamo: Dynamo, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RunStore(dynamo, "Runs")
    running = replace(RUN, owner="me")
    await store.begin(running)
    call, puts = dynamo.call, 0

    async def dies(operation: str, **arguments: Any) -> dict[str, Any]:
        nonlocal puts
        puts += 1
        if puts > 2:
            raise StoreError
        return await call(operation, **arguments)

    with monkeypatch.context() as patch:
        patch.setattr(dynamo, "call", dies)
        with pytest.raises(StoreError):
            await store.finish(replace(ENDED, owner="me", result={"text": WIDE}))
    assert await store.get("r-1") == running


async def test_the_log_is_stored_compressed(dynamo: Dynamo) -> None:
    """A write is billed by the kilobyte, one in a transaction twice."""
    store, owned = RunStore(dynamo, "Runs"), replace(RUN, owner="me")
    await store.begin(owned)
    words = [b'id: %d\ndata: {"type":"chunk","step":"answer","content":"word"}\n\n' % n for n in range(1, 26)]
    await store.append(replace(owned, last_seq=25), logged(1, 25, b"".join(words)))
    item = (await dynamo.call("get_item", TableName="Runs", Key=key("r-1", f"EVENT#{25:010d}")))["Item"]
    assert len(b"".join(words)) > 1500
    assert len(binary(item["frames"])) < 400
    assert [batch.frames async for batch in store.events("r-1", 0)] == [b"".join(words)]


async def test_a_log_of_many_megabytes_is_read_page_by_page(dynamo: Dynamo) -> None:
    store = RunStore(dynamo, "Runs")
    run = replace(RUN, owner="me")
    await store.begin(run)
    written = [random.Random(number).randbytes(300_000) for number in range(1, 13)]  # nothing to compress
    for number, frames in enumerate(written, start=1):
        last = number * 10
        await store.append(replace(run, last_seq=last), logged(last - 9, last, frames))
    found = [batch async for batch in store.events("r-1", 35)]
    assert [(batch.first, batch.last) for batch in found] == [
        (number * 10 - 9, number * 10) for number in range(4, 13)
    ]
    assert [batch.frames for batch in found] == written[3:]
    kept = await store.get("r-1")
    assert kept is not None
    assert kept.last_seq == 120


async def test_a_database_that_is_not_there_is_a_typed_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StoreError) as caught:
        await Dynamo().call("list_tables")
    assert isinstance(caught.value, RillError)
    assert "127.0.0.1" not in caught.value.message
    assert "list_tables" in (caught.value.detail or "")


async def test_unprocessed_items_are_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """DynamoDB may take a part of a batch only; this one takes one item a call."""
    taken: list[str] = []

    class Throttled(Dynamo):
        async def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
            [(table, requests)] = arguments["RequestItems"].items()
            taken.append(requests[0]["PutRequest"]["Item"]["line_key"]["S"])
            return {"UnprocessedItems": {table: requests[1:]} if requests[1:] else {}}

    async def no_wait(_: float) -> None: ...

    monkeypatch.setattr("rill.stores.dynamo.asyncio.sleep", no_wait)
    await LineRatingStore(Throttled(), "LineRatings").put("s", "r", [rating(n) for n in (1, 2, 3)])
    assert taken == ["r#000001", "r#000002", "r#000003"]
    with pytest.raises(StoreError, match="stayed unprocessed"):
        await LineRatingStore(Throttled(), "LineRatings").put("s", "r", [rating(n) for n in range(1, 60)])


async def test_credentials_come_from_where_botocore_looks(
    dynamo: Dynamo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    profiles = tmp_path / "credentials"
    profiles.write_text("[default]\naws_access_key_id = local\naws_secret_access_key = local\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profiles))
    assert "Runs" in (await dynamo.call("list_tables"))["TableNames"]
    await dynamo.close()


async def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    lonely = Dynamo()
    with pytest.raises(StoreError) as caught:
        await lonely.call("list_tables")
    assert "there are no AWS credentials" in str(caught.value)
    await lonely.close()
    with pytest.raises(StoreError) as caught:
        await Dynamo({}).call("list_tables")
    assert "AWS_REGION is not set" in str(caught.value)


async def test_an_address_of_aws_is_of_its_region(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def refuses(request: httpx2.Request) -> httpx2.Response:
        asked.append(f"{request.method} {request.url} {request.headers['host']}")
        return httpx2.Response(400, json={"__type": "x#ValidationException", "message": "no"})

    transport = httpx2.MockTransport(refuses)
    client = httpx2.AsyncClient
    monkeypatch.setattr("httpx2.AsyncClient", lambda **_: client(transport=transport))
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    for region in ("eu-west-1", "cn-north-1"):
        with pytest.raises(StoreError, match="ValidationException no"):
            await Dynamo({**keys, "AWS_REGION": region}).call("list_tables")
    assert asked == [
        "POST https://dynamodb.eu-west-1.amazonaws.com/ dynamodb.eu-west-1.amazonaws.com",
        "POST https://dynamodb.cn-north-1.amazonaws.com.cn/ dynamodb.cn-north-1.amazonaws.com.cn",
    ]
