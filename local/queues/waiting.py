"""Sends the runs that wait in a kept database to a queue that has forgotten them.

On AWS a queue keeps its messages. Here DynamoDB Local keeps the runs while moto's SQS forgets everything with
its process: without a new message a run would be `queued` for good.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from local.queues.client import local, problems
from local.tables import dynamodb
from rill.queue import message

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient

RUNS = "RunsTable"


def send_again(database: str, sqs: str, queues: Mapping[str, str]) -> list[str]:
    """Send a message for every run that is `queued`; returns their ids.

    Args:
        database: DynamoDB's endpoint.
        sqs: SQS's endpoint.
        queues: the queues' URLs by the names of the workflows.

    Raises:
        QueueProblem: DynamoDB or SQS does not answer, or refuses.
    """
    reader, client = dynamodb(database), local(sqs)
    try:
        with problems("the runs that wait"):
            return list(_sent(reader, client, queues))
    finally:
        reader.close()
        client.close()


def _sent(reader: Any, client: "SQSClient", queues: Mapping[str, str]) -> Iterator[str]:
    pages = reader.get_paginator("scan").paginate(
        TableName=RUNS,
        FilterExpression="sk = :meta AND #state = :queued",
        ExpressionAttributeNames={"#state": "state"},
        ExpressionAttributeValues={":meta": {"S": "META"}, ":queued": {"S": "queued"}},
    )
    for page in pages:
        for item in page["Items"]:
            if (url := queues.get(item["workflow"]["S"])) is not None:
                run_id = item["run_id"]["S"]
                client.send_message(QueueUrl=url, MessageBody=message(run_id))
                yield run_id
