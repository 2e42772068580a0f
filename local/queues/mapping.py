"""Lambda's event source mapping: takes messages from a queue to a function, in batches."""

import asyncio
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from local.functions.invocation import Buffer, Invocation
from local.functions.pool import DEFAULT_CONCURRENCY, Pool
from local.functions.template import QueueSource
from local.queues.client import QueueProblem, local, problems
from local.queues.event import event, failed

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient
    from types_boto3_sqs.type_defs import MessageTypeDef

# Lambda long-polls too, for longer. Short, since a stack that ends waits for a poll under way.
WAIT_SECONDS = 2

# The most that one ReceiveMessage gives.
RECEIVE_MAX = 10

# Lambda leaves a failed message alone, so that it comes back when the queue's visibility timeout is over.
# That timeout has to outlast the function by far (AWS advises six times), so a retry would take 90 minutes
# here: nobody at a local stack waits for that. The mapping makes failed messages visible after this instead.
RETRY_SECONDS = 3

# How long to leave an SQS alone that has just failed.
PAUSE_SECONDS = 1.0


class EventSourceMapping:
    """Polls one queue for one function, from `start` to `close`.

    A batch is what one ReceiveMessage gives: MaximumBatchingWindowInSeconds is not waited for, and batches
    have ten messages at most. As with Lambda, all messages of a batch come back when the function fails as
    a whole; the queue's redrive policy, which SQS itself carries out, ends that.

    Args:
        pool: of the function.
        source: what the template says of the mapping.
        arn: of the queue.
        queue_url: of the queue, at `endpoint`.
        log: where failures of SQS itself go.
    """

    def __init__(
        self,
        pool: Pool,
        source: QueueSource,
        *,
        arn: str,
        queue_url: str,
        endpoint: str,
        log: IO[bytes] | None = None,
        retry_seconds: int = RETRY_SECONDS,
        wait_seconds: int = WAIT_SECONDS,
    ) -> None:
        self._pool = pool
        self._source = source
        self._arn = arn
        self._queue_url = queue_url
        self._endpoint = endpoint
        self._log = log
        self._retry_seconds = retry_seconds
        self._wait_seconds = wait_seconds
        limit = source.max_concurrency or pool.function.concurrency or DEFAULT_CONCURRENCY
        self._free = asyncio.Semaphore(limit)
        self._batches: set[asyncio.Task[None]] = set()
        self._closing = threading.Event()
        self._client: SQSClient | None = None
        self._polling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to poll."""
        self._client = await asyncio.to_thread(local, self._endpoint)
        self._polling = asyncio.create_task(self._poll(self._client), name=f"poll {self._source.queue}")

    async def close(self) -> None:
        """Take no more messages, and let go of those at work: they come back when their timeout is over."""
        self._closing.set()
        tasks = [task for task in (self._polling, *self._batches) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            self._client.close()

    async def _poll(self, client: "SQSClient") -> None:
        while True:
            # First a place, then messages: what is received and waits here nobody else can have.
            await self._free.acquire()
            try:
                messages = await asyncio.to_thread(self._receive, client)
            except QueueProblem as problem:
                self._free.release()
                self._say(str(problem))
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            if not messages:
                self._free.release()
                continue
            batch = asyncio.create_task(self._work(client, messages))
            self._batches.add(batch)
            batch.add_done_callback(self._batches.discard)
            batch.add_done_callback(lambda _: self._free.release())

    def _receive(self, client: "SQSClient") -> "list[MessageTypeDef]":
        """One long poll, in a thread. Only one is under way at a time."""
        with problems(self._source.queue):
            messages = client.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=min(self._source.batch_size, RECEIVE_MAX),
                WaitTimeSeconds=self._wait_seconds,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            ).get("Messages", [])
            if self._closing.is_set():
                # Nobody waits for them any more: whoever polls next may have them.
                self._show(client, messages, 0)
                return []
        return messages

    async def _work(self, client: "SQSClient", messages: "list[MessageTypeDef]") -> None:
        left = await self._invoke(messages)
        done = [message for message in messages if message["MessageId"] not in left]
        back = [message for message in messages if message["MessageId"] in left]
        try:
            await asyncio.to_thread(self._settle, client, done, back)
        except QueueProblem as problem:
            self._say(str(problem))

    async def _invoke(self, messages: Sequence[Mapping[str, Any]]) -> set[str]:
        """Invoke the function with a batch; returns the ids of the messages that stay in the queue."""
        ids = {message["MessageId"] for message in messages}
        answer = Buffer()
        invocation = Invocation(event=event(messages, self._arn), sink=answer)
        self._pool.submit(invocation)
        if (await invocation.outcome).error_type is not None:
            return ids  # the pool has written why to the function's log
        return failed(bytes(answer.data), ids) if self._source.report_failures else set()

    def _settle(
        self, client: "SQSClient", done: "list[MessageTypeDef]", back: "list[MessageTypeDef]"
    ) -> None:
        with problems(self._source.queue):
            if done:
                answer = client.delete_message_batch(
                    QueueUrl=self._queue_url,
                    Entries=[
                        {"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(done)
                    ],
                )
                for failure in answer.get("Failed", []):
                    self._say(f"{self._source.queue}: not deleted: {failure.get('Message', failure['Code'])}")
            self._show(client, back, self._retry_seconds)

    def _show(self, client: "SQSClient", messages: "list[MessageTypeDef]", seconds: int) -> None:
        if messages:
            client.change_message_visibility_batch(
                QueueUrl=self._queue_url,
                Entries=[
                    {"Id": str(n), "ReceiptHandle": one["ReceiptHandle"], "VisibilityTimeout": seconds}
                    for n, one in enumerate(messages)
                ],
            )

    def _say(self, text: str) -> None:
        if self._log is None:
            print(text, file=sys.stderr, flush=True)
        elif not self._log.closed:
            self._log.write(f"{text}\n".encode())
            self._log.flush()
