"""The model's key in Secrets Manager: read when it is needed, or ahead, and never put into a snapshot."""

import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities import parameters

from rill.errors import UpstreamError
from rill.models.catalogue import bundled
from rill.models.client import ModelClient
from rill.models.settings import ModelSettings
from tests.support.dynamodb import REGION, moto_server


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
def secrets(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", server)
    client = boto3.client("secretsmanager")
    yield client
    client.close()
    forget()


def forget() -> None:
    """What Powertools keeps, values and clients."""
    parameters.clear_caches()  # type: ignore[no-untyped-call]  # Powertools gives it no types


@pytest.fixture
def arn(secrets: Any) -> str:
    """A secret of this test alone, with the first key in it."""
    made: str = secrets.create_secret(Name=uuid.uuid4().hex, SecretString="first")["ARN"]
    return made


def client_of(arn: str) -> ModelClient:
    known = bundled()
    model = known.model("scripted", known.providers["scripted"].tiers["large"])
    return ModelClient(
        ModelSettings(
            provider="scripted",
            base_url="https://127.0.0.1:9/v1",
            tiers={"small": model, "large": model},
            secret_arn=arn,
        )
    )


async def key_of(client: ModelClient) -> str:
    sdk = await client.ready()
    await client.close()
    return sdk.api_key


async def test_the_key_is_read_when_it_is_needed(arn: str, secrets: Any) -> None:
    client = client_of(arn)
    secrets.put_secret_value(SecretId=arn, SecretString="second")
    assert await key_of(client) == "second"


async def test_loading_reads_it_ahead(arn: str, secrets: Any) -> None:
    client = client_of(arn)
    await client.load()
    secrets.put_secret_value(SecretId=arn, SecretString="second")
    forget()
    assert await key_of(client) == "first"


async def test_a_snapshot_gets_no_key(arn: str, secrets: Any) -> None:
    client = client_of(arn)
    await client.load(key=False)
    secrets.put_secret_value(SecretId=arn, SecretString="second")
    assert await key_of(client) == "second"


async def test_a_key_that_cannot_be_read_is_named(secrets: Any) -> None:
    missing = f"arn:aws:secretsmanager:{REGION}:123456789012:secret:missing-abcdef"
    with pytest.raises(UpstreamError) as caught:
        await client_of(missing).ready()
    assert caught.value.detail is not None
    assert missing in caught.value.detail
    assert "ResourceNotFoundException" in caught.value.detail
