"""Signatures as botocore makes them."""

from datetime import UTC, datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials

from rill.stores.signing import CONTENT_TYPE, Credentials, Signer


@pytest.mark.parametrize("token", [None, "a/token+of=length"])
@pytest.mark.parametrize("host", ["dynamodb.eu-west-1.amazonaws.com", "127.0.0.1:8000"])
@pytest.mark.parametrize("body", [b"{}", '{"TableName":"Grüße \u2028"}'.encode()])
def test_a_signature_is_botocores(host: str, token: str | None, body: bytes) -> None:
    headers = {"Content-Type": CONTENT_TYPE, "X-Amz-Target": "DynamoDB_20120810.GetItem"}
    request = AWSRequest("POST", f"http://{host}/", headers=headers, data=body)
    SigV4Auth(BotocoreCredentials("key", "se/cret", token), "dynamodb", "eu-west-1").add_auth(request)
    moment = datetime.strptime(request.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)

    signer = Signer("eu-west-1", host)
    credentials = Credentials("key", "se/cret", token)
    made = signer.headers(credentials, "DynamoDB_20120810.GetItem", body, moment)
    assert made["authorization"] == request.headers["Authorization"]
    assert made.get("x-amz-security-token") == request.headers.get("X-Amz-Security-Token")


def test_a_key_is_of_its_day_and_its_secret() -> None:
    signer = Signer("eu-west-1", "h")
    first, second = (datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2))
    one, other = Credentials("key", "one"), Credentials("key", "other")

    def signature(credentials: Credentials, now: datetime) -> str:
        return signer.headers(credentials, "t", b"", now)["authorization"]

    made = [signature(c, now) for c in (one, other) for now in (first, second)]
    assert len(set(made)) == 4
    assert [signature(one, first) for _ in range(2)] == [made[0]] * 2
