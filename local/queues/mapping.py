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
    from types_boto3_sqs.type_defs import (
        BatchResultErrorEntryTypeDef,
        ChangeMessageVisibilityBatchRequestEntryTypeDef,
        DeleteMessageBatchRequestEntryTypeDef,
        MessageTypeDef,
    )

# Lambda long-polls too, for longer. Short, since a stack that ends waits for a poll under way.
WAIT_SECONDS = 2

# The most that one ReceiveMessage gives.
RECEIVE_MAX = 10

# Lambda leaves a failed message alone, so that it comes back when the queue's visibility timeout is over.
# That timeout has to outlast the function by far (AWS advises six times), so a retry would take 90 minutes
# here: nobody at a local stack waits for that. The mapping makes failed messages visible after this instead:
# later than the lease of a run ends (`LEASE_MS` in `rill.stores.runs`), or the message of a run whose worker
# crashed would fail three times while nobody may take the run up.
RETRY_SECONDS = 12

# How long to leave an SQS alone that has just failed; each further time twice as long.
PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0


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
        # More than the function may do at once would be throttled, and each time count as a failure.
        places = DEFAULT_CONCURRENCY if pool.function.concurrency is None else pool.function.concurrency
        self._free = asyncio.Semaphore(min(source.max_concurrency or places, places))
        self._batches: set[asyncio.Task[None]] = set()
        self._dropped: list[list[MessageTypeDef]] = []
        self._closing = threading.Event()
        self._client: SQSClient | None = None
        self._polling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to poll."""
        self._client = await asyncio.to_thread(local, self._endpoint)
        self._polling = asyncio.create_task(self._poll(self._client), name=f"poll {self._source.queue}")
        self._polling.add_done_callback(self._polled)

    async def close(self) -> None:
        """Take no more messages, and give back those at work, as if they had failed."""
        self._closing.set()
        tasks = [task for task in (self._polling, *self._batches) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is None:
            return
        dropped, self._dropped = self._dropped, []
        for messages in dropped:
            await asyncio.to_thread(self._settle, self._client, [], messages)
        self._client.close()

    def _polled(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._say(f"{self._source.queue} is no longer polled: {error!r}")

    async def _poll(self, client: "SQSClient") -> None:
        pause = PAUSE_SECONDS
        while True:
            # First a place, then messages: what is received and waits here nobody else can have.
            await self._free.acquire()
            try:
                messages = await asyncio.to_thread(self._receive, client)
            except QueueProblem as problem:
                self._free.release()
                self._say(f"{problem}; asking again in {pause:g} s")
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                continue
            pause = PAUSE_SECONDS
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
            if messages and self._closing.is_set():
                # Nobody waits for them any more: whoever polls next may have them.
                self._show(client, messages, 0)
                return []
        return messages

    async def _work(self, client: "SQSClient", messages: "list[MessageTypeDef]") -> None:
        try:
            left = await self._invoke(messages)
        except asyncio.CancelledError:
            self._dropped.append(messages)
            raise
        done = [message for message in messages if message["MessageId"] not in left]
        back = [message for message in messages if message["MessageId"] in left]
        await asyncio.to_thread(self._settle, client, done, back)

    async def _invoke(self, messages: Sequence[Mapping[str, Any]]) -> set[str]:
        """Invoke the function with a batch; returns the ids of the messages that stay in the queue."""
        ids = {message["MessageId"] for message in messages}
        answer = Buffer()
        invocation = Invocation(event=event(messages, self._arn), sink=answer)
        self._pool.submit(invocation)
        # The pool sets the outcome, also when nobody waits for it any more.
        if (await asyncio.shield(invocation.outcome)).error_type is not None:
            return ids  # the pool has written why to the function's log
        return failed(bytes(answer.data), ids) if self._source.report_failures else set()

    def _settle(
        self, client: "SQSClient", done: "list[MessageTypeDef]", back: "list[MessageTypeDef]"
    ) -> None:
        """Delete what is done and show what failed. Where SQS refuses the one, the other is still tried."""
        for messages, call in ((done, self._delete), (back, self._retry)):
            if not messages:
                continue
            try:
                with problems(self._source.queue):
                    call(client, messages)
            except QueueProblem as problem:
                self._say(str(problem))

    def _delete(self, client: "SQSClient", messages: "list[MessageTypeDef]") -> None:
        entries: list[DeleteMessageBatchRequestEntryTypeDef] = [
            {"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(messages)
        ]
        answer = client.delete_message_batch(QueueUrl=self._queue_url, Entries=entries)
        self._refused("deleted", answer.get("Failed", []))

    def _retry(self, client: "SQSClient", messages: "list[MessageTypeDef]") -> None:
        self._show(client, messages, self._retry_seconds)

    def _show(self, client: "SQSClient", messages: "list[MessageTypeDef]", seconds: int) -> None:
        """Make messages visible in so many seconds."""
        entries: list[ChangeMessageVisibilityBatchRequestEntryTypeDef] = [
            {"Id": str(n), "ReceiptHandle": one["ReceiptHandle"], "VisibilityTimeout": seconds}
            for n, one in enumerate(messages)
        ]
        answer = client.change_message_visibility_batch(QueueUrl=self._queue_url, Entries=entries)
        self._refused("given back", answer.get("Failed", []))

    def _refused(self, what: str, failures: "Sequence[BatchResultErrorEntryTypeDef]") -> None:
        for failure in failures:
            self._say(f"{self._source.queue}: not {what}: {failure.get('Message', failure['Code'])}")

    def _say(self, text: str) -> None:
        if self._log is None:
            print(text, file=sys.stderr, flush=True)
        elif not self._log.closed:
            self._log.write(f"{text}\n".encode())
            self._log.flush()
