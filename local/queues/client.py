"""The SQS client of the local stack and of `rill redrive`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from local.functions.environment import REGION
from local.tables import CREDENTIALS

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient


class QueueProblem(Exception):
    """SQS did not answer, or refused; the message is for the person at it."""


def local(endpoint: str) -> "SQSClient":
    """A client of the SQS at `endpoint`, with credentials that are worth nothing elsewhere."""
    import boto3
    from botocore.config import Config

    # One attempt: the endpoint is on this machine, and a stack that ends takes it away from under a poll.
    # A read outlasts the longest poll, 20 seconds, by little: an SQS that hangs holds up the end so long.
    config = Config(
        connect_timeout=5,
        read_timeout=25,
        retries={"total_max_attempts": 1},
        proxies={},
        max_pool_connections=50,
    )
    client: SQSClient = boto3.client(
        "sqs",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        config=config,
    )
    return client


def aws() -> "SQSClient":
    """A client by this machine's own AWS settings.

    Raises:
        QueueProblem: there is no region in them.
    """
    import boto3

    with problems("SQS"):
        client: SQSClient = boto3.client("sqs")
    return client


@contextmanager
def problems(where: str) -> Iterator[None]:
    """Turns botocore's errors into QueueProblem."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise QueueProblem(f"{where}: {error}") from error
