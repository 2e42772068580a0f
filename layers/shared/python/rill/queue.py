"""Sends a run to the queue whose worker does it."""

import asyncio
import json
import threading
from typing import Any

from rill.errors import UpstreamError

VERSION = 1
"""Of the message's body: {"version": 1, "run_id": "…"}."""


class QueueError(UpstreamError):
    """SQS could not be reached, or refused; `__cause__` is botocore's error."""

    default_message = "The queue could not be reached."


class Queue:
    """Calls SQS in a thread, so that no call holds up a stream.

    boto3 is imported and its client built on the first call, as `rill.stores.dynamo` does it.
    `AWS_ENDPOINT_URL_SQS` points it at another SQS.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._lock = threading.Lock()
        self._client: Any = None  # boto3's clients have no class of their own

    def _connect(self) -> Any:
        with self._lock:
            if self._client is None:
                import boto3
                from botocore.config import Config

                config = Config(
                    connect_timeout=2,
                    read_timeout=5,
                    retries={"mode": "standard", "total_max_attempts": 5},
                    tcp_keepalive=True,
                )
                self._client = boto3.client("sqs", config=config)
            return self._client

    async def load(self) -> None:
        """Import boto3 and build the client, as the first call would."""
        await asyncio.to_thread(self._connect)

    def _send(self, body: str, delay: int) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._connect().send_message(QueueUrl=self.url, MessageBody=body, DelaySeconds=delay)
        except (BotoCoreError, ClientError) as error:
            raise QueueError(detail=f"send_message: {error}") from error

    async def send(self, run_id: str, delay: int = 0) -> None:
        """Hand a run to the worker; it may be delivered more than once.

        Args:
            delay: seconds until a worker sees it, 900 at most.

        Raises:
            QueueError: after botocore's own retries.
        """
        await asyncio.to_thread(self._send, message(run_id), delay)


def message(run_id: str) -> str:
    """A message's body."""
    return json.dumps({"version": VERSION, "run_id": run_id})
