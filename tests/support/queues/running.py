"""One event source mapping at work on a queue in moto's server, and what came of it."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from local.functions.template import Template, read
from local.queues.client import local
from local.queues.making import make_queues
from local.queues.mapping import EventSourceMapping

TEMPLATE: Template = read(Path(__file__).parent / "template.yaml")
JOBS = "local-jobs"
DEAD = "DeadJobsQueue"


class Watched(EventSourceMapping):
    """A mapping that tells when it is through with a batch, and what it had to say."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.settled: asyncio.Queue[None] = asyncio.Queue()
        self.said: asyncio.Queue[str] = asyncio.Queue()

    async def _work(self, *args: Any) -> None:
        await super()._work(*args)
        self.settled.put_nowait(None)

    def receive_late(self, client: Any) -> Sequence[Any]:
        """A poll's end, in the thread."""
        return self._receive(client)

    def _say(self, text: str) -> None:
        super()._say(text)
        self.said.put_nowait(text)


class Queues:
    """The queues of the test template, fresh, from a client's side."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.client = local(endpoint)
        self.urls = make_queues(TEMPLATE.queues, endpoint)

    def close(self) -> None:
        for url in self.urls.values():
            self.client.delete_queue(QueueUrl=url)
        self.client.close()

    def send(self, *bodies: str | dict[str, Any], queue: str = JOBS) -> None:
        for body in bodies:
            text = body if isinstance(body, str) else json.dumps(body)
            self.client.send_message(QueueUrl=self.urls[queue], MessageBody=text)

    def receive(self, queue: str, wait: int = 0) -> list[Any]:
        """Messages that can be seen; leaves them out of sight. Returns early where there are some."""
        found = self.client.receive_message(
            QueueUrl=self.urls[queue],
            WaitTimeSeconds=wait,
            MaxNumberOfMessages=10,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return found.get("Messages", [])

    def counts(self, queue: str = JOBS) -> tuple[int, int]:
        """How many messages can be seen and how many are being worked on."""
        found = self.client.get_queue_attributes(QueueUrl=self.urls[queue], AttributeNames=["All"])
        return (
            int(found["Attributes"]["ApproximateNumberOfMessages"]),
            int(found["Attributes"]["ApproximateNumberOfMessagesNotVisible"]),
        )


def bodies(events: Sequence[dict[str, Any]]) -> list[list[str]]:
    """The bodies of each event's records."""
    return [[record["body"] for record in event["Records"]] for event in events]


def receive_counts(events: Sequence[dict[str, Any]]) -> list[list[str]]:
    return [
        [record["attributes"]["ApproximateReceiveCount"] for record in event["Records"]] for event in events
    ]
