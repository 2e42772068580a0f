"""Functions for the tests of queues: what a message's body says is done with it."""

import base64
import json
import os
import time
from pathlib import Path
from typing import Any


def worker(event: dict[str, Any], out: Any) -> None:
    """Keeps the event where the test finds it, and does as the messages say.

    A mark and a gate are FIFOs that the test holds open: the first takes a line, the second is waited for.
    """
    Path(os.environ["SEEN"], f"{time.time_ns()}-{os.getpid()}.json").write_text(json.dumps(event))
    failures = []
    for record in event["Records"]:
        try:
            todo = json.loads(record["body"])
        except ValueError:
            todo = {"act": "fail"}
        if "mark" in todo:
            Path(todo["mark"]).write_text(record["body"] + "\n")
        if "gate" in todo:
            with Path(todo["gate"]).open() as gate:
                gate.readline()
        if todo.get("act") == "crash":
            os._exit(3)
        if todo.get("act") == "error":
            out.post("error", {"errorMessage": "no"}, "Function.Failed")
            return
        if todo.get("act") == "fail":
            failures.append({"itemIdentifier": record["messageId"]})
    out.post("response", {"batchItemFailures": failures})


def sender(event: dict[str, Any], out: Any) -> None:
    """Sends its request's body to the queue that its environment names."""
    out.start({"statusCode": 200})
    if "body" in event:
        import boto3

        # A body of no known content type comes in base64, as Lambda has it.
        body = base64.b64decode(event["body"]).decode() if event["isBase64Encoded"] else event["body"]
        boto3.client("sqs").send_message(QueueUrl=os.environ["QUEUE_URL"], MessageBody=body)
    out.write(json.dumps({"queue": os.environ.get("QUEUE_URL")}).encode())
    out.end()
