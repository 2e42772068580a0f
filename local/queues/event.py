"""The event that Lambda makes of SQS messages, and what it reads from the function's answer. Pure.

Source: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
"""

import base64
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any


def event(messages: Sequence[Mapping[str, Any]], arn: str) -> bytes:
    """The event of a batch.

    Args:
        messages: as ReceiveMessage gives them, with all attributes.
        arn: of the queue.
    """
    return json.dumps({"Records": [record(message, arn) for message in messages]}).encode()


def record(message: Mapping[str, Any], arn: str) -> dict[str, Any]:
    """One message as Lambda writes it: other names, and binary values in base64."""
    made: dict[str, Any] = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": dict(message.get("Attributes", {})),
        "messageAttributes": {
            name: _attribute(value) for name, value in message.get("MessageAttributes", {}).items()
        },
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": arn.split(":")[3],
    }
    if "MD5OfMessageAttributes" in message:
        made["md5OfMessageAttributes"] = message["MD5OfMessageAttributes"]
    return made


def _attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"stringListValues": [], "binaryListValues": [], "dataType": value["DataType"]}
    if "StringValue" in value:
        made["stringValue"] = value["StringValue"]
    if "BinaryValue" in value:
        made["binaryValue"] = base64.b64encode(value["BinaryValue"]).decode()
    return made


def failed(answer: bytes, ids: Collection[str]) -> set[str]:
    """Which messages of a batch stay in the queue, by the answer of a function with ReportBatchItemFailures.

    Nothing, null, `{}` and an empty or null list mean that all succeeded; what cannot be understood means
    that all failed, also an id that is not in the batch.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting
    """
    everything = set(ids)
    if not answer.strip():
        return set()
    try:
        said = json.loads(answer)
    except ValueError:
        return everything
    if said is None or said == {}:
        return set()
    if not isinstance(said, dict) or "batchItemFailures" not in said:
        return everything
    listed = said["batchItemFailures"]
    if listed is None:
        return set()
    if not isinstance(listed, list):
        return everything
    named = [item.get("itemIdentifier") if isinstance(item, dict) else None for item in listed]
    found = {name for name in named if isinstance(name, str)}
    understood = all(isinstance(name, str) for name in named) and found <= everything
    return found if understood else everything
