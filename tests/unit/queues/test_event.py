"""The event of a batch, and what the function's answer says of it."""

import json
from typing import Any

import pytest

from local.queues.event import event, failed, record

ARN = "arn:aws:sqs:eu-west-1:123456789012:jobs"
MESSAGE: dict[str, Any] = {
    "MessageId": "m-1",
    "ReceiptHandle": "r-1",
    "Body": '{"version": 1, "run_id": "ä"}',
    "MD5OfBody": "5d41402abc4b2a76b9719d911017c592",
    "Attributes": {"ApproximateReceiveCount": "2", "SentTimestamp": "1766000000000"},
}


def test_a_message_in_lambdas_words() -> None:
    assert record(MESSAGE, ARN) == {
        "messageId": "m-1",
        "receiptHandle": "r-1",
        "body": '{"version": 1, "run_id": "ä"}',
        "attributes": {"ApproximateReceiveCount": "2", "SentTimestamp": "1766000000000"},
        "messageAttributes": {},
        "md5OfBody": "5d41402abc4b2a76b9719d911017c592",
        "eventSource": "aws:sqs",
        "eventSourceARN": ARN,
        "awsRegion": "eu-west-1",
    }


def test_message_attributes() -> None:
    given = {
        **MESSAGE,
        "MD5OfMessageAttributes": "f30db1e45a2ac0af94204a2a8f1cd461",
        "MessageAttributes": {
            "text": {"DataType": "String", "StringValue": "v"},
            "bytes": {"DataType": "Binary", "BinaryValue": b"\xff\x00"},
        },
    }
    made = record(given, ARN)
    assert made["md5OfMessageAttributes"] == "f30db1e45a2ac0af94204a2a8f1cd461"
    assert made["messageAttributes"] == {
        "text": {"stringListValues": [], "binaryListValues": [], "dataType": "String", "stringValue": "v"},
        "bytes": {
            "stringListValues": [],
            "binaryListValues": [],
            "dataType": "Binary",
            "binaryValue": "/wA=",
        },
    }


def test_an_event_holds_the_batch_in_order() -> None:
    second = {**MESSAGE, "MessageId": "m-2"}
    assert json.loads(event([MESSAGE, second], ARN)) == {
        "Records": [record(MESSAGE, ARN), record(second, ARN)]
    }


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        ("", set()),
        (" \n", set()),
        ("null", set()),
        ("{}", set()),
        ('{"batchItemFailures": null}', set()),
        ('{"batchItemFailures": []}', set()),
        ('{"batchItemFailures": [{"itemIdentifier": "a"}]}', {"a"}),
        ('{"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "b"}]}', {"a", "b"}),
        ("no json", {"a", "b"}),
        ("[]", {"a", "b"}),
        ('"a"', {"a", "b"}),
        ('{"failures": []}', {"a", "b"}),
        ('{"batchItemFailures": "a"}', {"a", "b"}),
        ('{"batchItemFailures": ["a"]}', {"a", "b"}),
        ('{"batchItemFailures": [{}]}', {"a", "b"}),
        ('{"batchItemFailures": [{"itemIdentifier": ""}]}', {"a", "b"}),
        ('{"batchItemFailures": [{"itemIdentifier": null}, {"itemIdentifier": "a"}]}', {"a", "b"}),
        ('{"batchItemFailures": [{"itemIdentifier": ["a"]}]}', {"a", "b"}),
        ('{"batchItemFailures": [{"itemIdentifier": "c"}]}', {"a", "b"}),
    ],
)
def test_what_stays_in_the_queue(answer: str, left: set[str]) -> None:
    assert failed(answer.encode(), ["a", "b"]) == left


def test_an_id_named_twice_counts_once() -> None:
    answer = b'{"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "a"}]}'
    assert failed(answer, ["a", "b"]) == {"a"}


def test_an_answer_that_is_no_text() -> None:
    assert failed(b"\xff", ["a"]) == {"a"}
