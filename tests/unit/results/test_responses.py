"""Answers: tags and what callers know of them, sizes, and errors for people."""

import hashlib
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from results.models import Health
from results.responses import MAX_ANSWER_BYTES, check_size, fits, install, request_id, tagged, unchanged
from starlette.requests import Request

from rill.errors import BadRequest, BodyTooLarge, Conflict, RateLimited
from rill.stores.dynamo import StoreError

DOCUMENT = Health(status="ok", version="é")
BODY = '{"status":"ok","version":"é"}'.encode()
TAG = f'"{hashlib.sha256(BODY).hexdigest()[:32]}"'


def request(if_none_match: str | None = None, **scope: Any) -> Request:
    headers = [] if if_none_match is None else [(b"if-none-match", if_none_match.encode())]
    return Request({"type": "http", "headers": headers, **scope})


def test_a_document_has_the_tag_of_its_bytes() -> None:
    answer = tagged(request(), DOCUMENT)
    assert (answer.status_code, bytes(answer.body)) == (200, BODY)
    assert answer.headers["etag"] == TAG
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "known", [TAG, f"W/{TAG}", "*", f'"other", {TAG}', f'W/"other",W/{TAG} , "third"', f" {TAG} "]
)
def test_who_has_it_gets_no_body(known: str) -> None:
    answer = tagged(request(known), DOCUMENT)
    assert (answer.status_code, bytes(answer.body)) == (304, b"")
    assert answer.headers["etag"] == TAG
    assert "content-type" not in answer.headers


@pytest.mark.parametrize("known", ["", '"other"', TAG.strip('"'), f"w/{TAG}", f"{TAG[:-2]}*", '"*"'])
def test_who_has_something_else_gets_the_body(known: str) -> None:
    assert tagged(request(known), DOCUMENT).status_code == 200


def test_a_weak_tag_is_known_by_either_form() -> None:
    for known in ('"a"', 'W/"a"', '"b", W/"a"', "*"):
        answer = unchanged(request(known), 'W/"a"')
        assert answer is not None
        assert answer.headers["etag"] == 'W/"a"'
    assert unchanged(request('W/"b"'), 'W/"a"') is None
    assert unchanged(request(), 'W/"a"') is None


@pytest.mark.parametrize(
    ("character", "growth"),
    [("a", 1), ('"', 2), ("\\", 2), ("\x01", 6), ("é", 1)],
    ids=["letter", "quote", "backslash", "control", "accent"],
)
def test_the_size_that_counts_is_that_of_the_body_inside_lambdas_json(character: str, growth: int) -> None:
    most = (MAX_ANSWER_BYTES - 2) // (growth * len(character.encode()))  # two quotes around it
    assert fits((character * most).encode())
    assert not fits((character * (most + 1)).encode())


def test_what_does_not_fit_says_what_to_do() -> None:
    check_size(b"a" * 1_000_000, "do less")
    with pytest.raises(BadRequest, match=rf"limit of {MAX_ANSWER_BYTES} bytes; do less\."):
        check_size(b"a" * MAX_ANSWER_BYTES, "do less")


def test_the_requests_id_is_lambdas() -> None:
    headers = [(b"x-request-id", b"mine")]
    context = SimpleNamespace(aws_request_id="lambdas")
    assert request_id(Request({"type": "http", "headers": headers, "aws.context": context})) == "lambdas"
    assert request_id(Request({"type": "http", "headers": headers})) == "mine"
    assert request_id(request()) == "local"


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    app = FastAPI()
    install(app)
    errors: dict[str, Exception] = {
        "conflict": Conflict("It is there."),
        "limited": RateLimited(),
        "large": BodyTooLarge(),
        "database": StoreError(detail="secret arn"),
        "bug": KeyError("secret"),
    }

    @app.get("/{name}")
    async def fail(name: str) -> None:
        raise errors[name]

    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://results") as made:
        yield made


@pytest.mark.parametrize(
    ("name", "status", "code", "message"),
    [
        ("conflict", 409, "conflict", "It is there."),
        ("large", 413, "bad_request", "The request body is too large."),
        ("limited", 429, "rate_limited", "Too many requests; try again in a moment."),
        ("database", 502, "upstream_error", "The database could not be reached."),
        ("bug", 500, "internal", "Something went wrong on our side."),
    ],
)
async def test_errors_are_answers_with_the_requests_id(
    client: httpx2.AsyncClient,
    caplog: pytest.LogCaptureFixture,
    name: str,
    status: int,
    code: str,
    message: str,
) -> None:
    answer = await client.get(f"/{name}", headers={"x-request-id": "abc"})
    assert answer.status_code == status
    assert answer.json() == {"code": code, "message": message, "request_id": "abc"}
    assert answer.headers["x-request-id"] == "abc"
    assert "abc" in caplog.text
    assert ("secret" in caplog.text) is (name in ("database", "bug"))


async def test_a_method_that_is_not_there_names_those_that_are(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/conflict", json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert json.loads(answer.content)["message"] == "/conflict does not take POST; it takes GET."
