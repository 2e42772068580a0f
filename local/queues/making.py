"""Makes the template's queues in a local SQS."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from local.functions.template import Queue
from local.queues.client import local, problems

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient


def make_queues(queues: Mapping[str, Queue], endpoint: str) -> dict[str, str]:
    """Make the queues where they are not there yet, the dead-letter queues first.

    Returns:
        their URLs by name.

    Raises:
        QueueProblem: the endpoint does not answer, or refuses a queue.
    """
    client = local(endpoint)
    urls: dict[str, str] = {}
    try:
        with problems(f"SQS at {endpoint}"):
            for queue in sorted(queues.values(), key=lambda one: "RedrivePolicy" in one.attributes):
                urls[queue.name] = _make(client, queue.name, queue.attributes)
    finally:
        client.close()
    return urls


def _make(client: "SQSClient", name: str, attributes: Mapping[str, str]) -> str:
    given: Any = dict(attributes)  # boto3's types list the attributes' names
    try:
        return client.create_queue(QueueName=name, Attributes=given)["QueueUrl"]
    except client.exceptions.QueueNameExists:
        # There, with other settings: those of the template count.
        url = client.get_queue_url(QueueName=name)["QueueUrl"]
        client.set_queue_attributes(QueueUrl=url, Attributes=given)
        return url
