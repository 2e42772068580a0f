"""Moves messages from a dead-letter queue back to the queue that they came from."""

import json
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local.queues.client import QueueProblem, problems

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient
    from types_boto3_sqs.type_defs import MessageTypeDef

# How long what was received stays out of sight: enough to move some thousands.
HIDDEN_SECONDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Queues:
    """A queue and its dead-letter queue, by URL."""

    queue: str
    dead_letters: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A message that was moved, or would be; `run_id` is None where the body is no message of Rill's."""

    message_id: str
    run_id: str | None
    body: str


def find(client: "SQSClient", queue: str) -> Queues:
    """A queue by name or URL, and the dead-letter queue that its redrive policy names.

    Raises:
        QueueProblem: there is no such queue, or it has no dead-letter queue.
    """
    with problems(queue):
        url = queue if "://" in queue else client.get_queue_url(QueueName=queue)["QueueUrl"]
        found = client.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
        policy = found.get("Attributes", {}).get("RedrivePolicy")
        if not policy:
            raise QueueProblem(f"{queue} has no dead-letter queue")
        *_, account, name = json.loads(policy)["deadLetterTargetArn"].split(":")
        dead = client.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)
    return Queues(queue=url, dead_letters=dead["QueueUrl"])


def redrive(client: "SQSClient", queues: Queues, *, dry_run: bool = False) -> Generator[Moved, None, None]:
    """Move all messages, and yield each one once it has been moved.

    StartMessageMoveTask would move them too, but does not tell which. Everything is received before
    anything is sent, so that a message that fails again at once is not moved twice. A message is deleted
    only after its copy was sent: what is interrupted in between stays twice, which does no harm, since a
    run is done once however often it is asked for.

    Args:
        dry_run: only look.

    Raises:
        QueueProblem: SQS does not answer, or refuses.
    """
    with problems(queues.dead_letters):
        waiting = _receive_all(client, queues.dead_letters)
        try:
            if dry_run:
                yield from map(_moved, waiting)
            while waiting and not dry_run:
                _move(client, queues, waiting[0])
                yield _moved(waiting.pop(0))
        finally:
            for message in waiting:
                client.change_message_visibility(
                    QueueUrl=queues.dead_letters, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
                )


def _receive_all(client: "SQSClient", url: str) -> "list[MessageTypeDef]":
    received: dict[str, MessageTypeDef] = {}
    while True:
        # A wait of at least a second makes SQS ask all of its servers.
        answer = client.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=1,
            VisibilityTimeout=HIDDEN_SECONDS,
            MessageAttributeNames=["All"],
        )
        messages = answer.get("Messages", [])
        if not messages:
            return list(received.values())
        received |= {message["MessageId"]: message for message in messages}


def _move(client: "SQSClient", queues: Queues, message: "MessageTypeDef") -> None:
    attributes: Any = message.get("MessageAttributes", {})  # received and sent ones are typed apart
    client.send_message(QueueUrl=queues.queue, MessageBody=message["Body"], MessageAttributes=attributes)
    client.delete_message(QueueUrl=queues.dead_letters, ReceiptHandle=message["ReceiptHandle"])


def _moved(message: "MessageTypeDef") -> Moved:
    try:
        run_id = json.loads(message["Body"])["run_id"]
    except (ValueError, LookupError, TypeError):
        run_id = None
    return Moved(
        message_id=message["MessageId"],
        run_id=run_id if isinstance(run_id, str) else None,
        body=message["Body"],
    )
