"""Sessions of the results API: transcripts of any size, none seen half, whoever writes at the same time."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from rill.stores.dynamo import ConditionFailed
from tests.support.dynamodb import dynamodb_server
from tests.support.results import Api, HeldDynamo, RecordingDynamo, allowed, rating, run, tables, transcript

pytestmark = pytest.mark.dynamodb

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with dynamodb_server() as url:
        yield url


@pytest.fixture
def client(server: str) -> Iterator[Any]:
    with tables(server) as made:
        yield made


@pytest.fixture
async def api(client: Any) -> AsyncIterator[Api]:
    async with Api() as made:
        yield made
    assert set(made.dynamo.calls) <= allowed()


def stored(client: Any, session_id: str = "s-1") -> list[str]:
    """The sort keys of a session's items, by their kind."""
    pages = client.get_paginator("query").paginate(
        TableName="Sessions",
        KeyConditionExpression="session_id = :s",
        ExpressionAttributeValues={":s": {"S": session_id}},
        ProjectionExpression="sk",
        ConsistentRead=True,
    )
    return [item["sk"]["S"].partition("#")[0] for page in pages for item in page["Items"]]


def new(**changes: Any) -> dict[str, Any]:
    return {"session_id": "s-1", "transcript": transcript(), **changes}


async def test_made_read_listed_and_deleted(api: Api, client: Any) -> None:
    created = await api.post("/sessions", new(title="é", rep="Zoë", source="a phone"))
    assert created.status_code == 201
    assert created.headers["location"] == "/sessions/s-1"
    summary = created.json()
    assert {key: summary[key] for key in summary if key != "created_at"} == {
        "session_id": "s-1",
        "lines": 2,
        "title": "é",
        "rep": "Zoë",
        "source": "a phone",
    }
    whole = await api.get("/sessions/s-1")
    assert whole.json() == {**summary, "transcript": transcript()}
    assert (await api.get("/sessions/s-1", etag=whole.headers["etag"])).status_code == 304
    assert (await api.get("/sessions")).json() == {"sessions": [summary], "next_cursor": None}
    deleted = await api.request("DELETE", "/sessions/s-1")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert stored(client) == []
    for method in ("GET", "DELETE"):
        assert (await api.request(method, "/sessions/s-1")).status_code == 404
    assert (await api.get("/sessions")).json()["sessions"] == []
    assert (await api.post("/sessions", new())).status_code == 201


async def test_what_is_graded_outlives_its_session(api: Api) -> None:
    await api.post("/sessions", new())
    await api.keep(run("r-1", 1), rating(1))
    assert (await api.request("DELETE", "/sessions/s-1")).status_code == 204
    assert [one["run_id"] for one in (await api.get("/runs", session_id="s-1")).json()["runs"]] == ["r-1"]
    ratings = (await api.get("/sessions/s-1/line-ratings")).json()["line_ratings"]
    assert [one["line_number"] for one in ratings] == [1]


async def test_an_id_is_made_up_where_none_is_given(api: Api) -> None:
    body = {"transcript": transcript()}
    first, second = [(await api.post("/sessions", body)).json()["session_id"] for _ in range(2)]
    assert first != second
    assert (await api.get(f"/sessions/{first}")).status_code == 200


async def test_an_id_is_taken_once(api: Api, client: Any) -> None:
    await api.post("/sessions", new(title="first"))
    again = await api.post("/sessions", new(title="second"))
    assert again.status_code == 409
    assert again.json()["message"] == "There is a session 's-1' already."
    assert (await api.get("/sessions/s-1")).json()["title"] == "first"
    assert stored(client) == ["META", "PART"]


@pytest.mark.parametrize(
    ("lines", "text", "parts"),
    [(300, "é" * 900, 2), (2000, "☕" * 500, 9), (1, "x" * 3990, 1)],
    ids=["over 400 KB", "2,000 lines", "one line"],
)
async def test_transcripts_of_any_size(api: Api, client: Any, lines: int, text: str, parts: int) -> None:
    sent = transcript(lines, text)
    assert (await api.post("/sessions", new(transcript=sent))).status_code == 201
    assert stored(client).count("PART") == parts
    answer = await api.get("/sessions/s-1")
    assert answer.json()["transcript"] == sent
    assert answer.json()["lines"] == lines


async def test_pages_newest_first(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([5, 1, 3, 3, 4])
    monkeypatch.setattr("results.sessions.now_ms", lambda: next(moments))
    for name in "abcde":
        await api.post("/sessions", new(session_id=name))
    found, cursor = [], None
    for _ in range(3):
        answer = (await api.get("/sessions", limit=2, cursor=cursor)).json()
        found.append([one["session_id"] for one in answer["sessions"]])
        cursor = answer["next_cursor"]
    assert cursor is None
    assert (found[0], sorted([*found[1]]), found[2]) == (["a", "e"], ["c", "d"], ["b"])


async def test_a_cursor_of_another_list_is_refused(api: Api) -> None:
    for name in "ab":
        await api.post("/sessions", new(session_id=name))
    cursor = (await api.get("/sessions", limit=1)).json()["next_cursor"]
    answer = await api.get("/runs", workflow="grading", cursor=cursor)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("cursor: it belongs to another list")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "transcript: Field required"),
        ({"transcript": []}, "transcript: List should have at least 1 item after validation, not 0"),
        ({"transcript": transcript(2001)}, "transcript: 2001 lines are over the limit of 2000"),
        (
            {"transcript": transcript(1, "x" * 4000)},
            "transcript line 1: text: 4002 characters are over the limit of 4000",
        ),
        ({"transcript": transcript(1) * 2}, "transcript: line 1 is there twice"),
        (new(session_id="a/b"), "session_id: "),
        (new(title="\ud800"), "title: "),
        (new(**{"\ud800": 1}), "The request body has to be a JSON object"),
        (new(owner="me"), "owner: Extra inputs are not permitted"),
        ([1], "The request body has to be a JSON object, sent as application/json"),
    ],
)
async def test_what_is_wrong_with_a_body_is_named(api: Api, body: Any, message: str) -> None:
    answer = await api.request("POST", "/sessions", content=json.dumps(body), headers=JSON)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(message)
    assert api.dynamo.calls == []


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
async def test_a_body_has_to_be_sent_as_json(api: Api, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    answer = await api.request("POST", "/sessions", content=json.dumps(new()).encode(), headers=headers)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith(
        "The request body has to be a JSON object, sent as application/json"
    )


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe{", b'{"transcript": "' + b"[" * 100_000])
async def test_a_body_has_to_be_json(api: Api, body: bytes) -> None:
    answer = await api.request("POST", "/sessions", content=body, headers=JSON)
    assert answer.status_code == 400
    assert answer.json()["code"] == "bad_request"


async def test_a_body_has_a_limit(api: Api) -> None:
    padding = b" " * (6 * 1024 * 1024 - len(json.dumps(new())))
    body = json.dumps(new()).encode() + padding
    assert (await api.request("POST", "/sessions", content=body, headers=JSON)).status_code == 201
    over = await api.request("POST", "/sessions", content=body + b" ", headers=JSON)
    assert (over.status_code, over.json()["code"]) == (413, "bad_request")
    assert over.json()["message"] == "The request body is over the limit of 6291456 bytes."


async def test_a_session_that_could_not_be_read_back_is_not_taken(api: Api) -> None:
    # A quote takes two bytes in the body and four in Lambda's answer, which is JSON around JSON.
    answer = await api.post("/sessions", new(transcript=transcript(1000, '"' * 2000)))
    assert answer.status_code == 413
    assert answer.json()["message"].startswith("transcript: it is so large that")
    assert api.dynamo.calls == []


async def test_a_session_is_seen_whole_or_not_at_all(api: Api, client: Any) -> None:
    held = HeldDynamo("put_item")
    async with Api(held) as writer:
        writing = asyncio.create_task(writer.post("/sessions", new(transcript=transcript(300, "é" * 900))))
        await held.reached.wait()
        assert stored(client) == ["PART", "PART"]
        assert (await api.get("/sessions/s-1")).status_code == 404
        assert (await api.get("/sessions")).json()["sessions"] == []
        # Who deletes it now leaves alone what is being written.
        assert (await api.request("DELETE", "/sessions/s-1")).status_code == 404
        held.released.set()
        assert (await writing).status_code == 201
    assert (await api.get("/sessions/s-1")).json()["lines"] == 300


async def test_a_session_is_gone_before_its_parts_are(api: Api, client: Any) -> None:
    await api.post("/sessions", new(transcript=transcript(300, "é" * 900)))
    held = HeldDynamo("batch_write_item")
    async with Api(held) as other:
        deleting = asyncio.create_task(other.request("DELETE", "/sessions/s-1"))
        await held.reached.wait()
        assert stored(client) == ["PART", "PART"]
        assert (await api.get("/sessions/s-1")).status_code == 404
        # The id is free again, and the deletion does not touch what comes now.
        assert (await api.post("/sessions", new(title="anew"))).status_code == 201
        held.released.set()
        assert (await deleting).status_code == 204
    assert (await api.get("/sessions/s-1")).json()["transcript"] == transcript()
    assert stored(client) == ["META", "PART"]


async def test_of_two_at_once_one_wins(api: Api, client: Any) -> None:
    async with Api(HeldDynamo("put_item", together=2)) as writer:
        answers = await asyncio.gather(
            *(writer.post("/sessions", new(title=title, transcript=transcript(1, title))) for title in "ab")
        )
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    [winner] = [answer.json() for answer in answers if answer.status_code == 201]
    assert (await api.get("/sessions/s-1")).json() == {**winner, "transcript": transcript(1, winner["title"])}
    assert stored(client) == ["META", "PART"]


class _AnswerLost(RecordingDynamo):
    """Sends each put twice, as botocore does when no answer came to the first."""

    async def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        answer = await super().call(operation, **arguments)
        if operation == "put_item":
            with pytest.raises(ConditionFailed):
                await super().call(operation, **arguments)
            raise ConditionFailed(detail="the first write was there")
        return answer


async def test_a_write_whose_answer_was_lost_counts(api: Api) -> None:
    async with Api(_AnswerLost()) as writer:
        assert (await writer.post("/sessions", new())).status_code == 201
    assert (await api.get("/sessions/s-1")).json()["transcript"] == transcript()


async def test_a_session_whose_parts_are_missing_is_an_error(api: Api, client: Any) -> None:
    await api.post("/sessions", new())
    [part] = [
        item
        for item in client.scan(TableName="Sessions", ConsistentRead=True)["Items"]
        if item["sk"]["S"].startswith("PART#")
    ]
    client.delete_item(TableName="Sessions", Key={name: part[name] for name in ("session_id", "sk")})
    answer = await api.get("/sessions/s-1")
    assert (answer.status_code, answer.json()["message"]) == (502, "The database could not be reached.")


async def test_what_dead_writers_left_goes_with_the_session(api: Api, client: Any) -> None:
    await api.post("/sessions", new())
    left = {"session_id": {"S": "s-1"}, "sk": {"S": "PART#0000000000010123456789ab#0001"}, "text": {"S": "x"}}
    client.put_item(TableName="Sessions", Item=left)
    assert (await api.get("/sessions/s-1")).json()["transcript"] == transcript()
    assert (await api.request("DELETE", "/sessions/s-1")).status_code == 204
    assert stored(client) == []
