"""A DynamoDB that works elsewhere, as AWS's does: a process that answers after 5 ms and computes nothing.

It takes none of the processors that are measured. moto, in its place, computes for about 10 ms for each
transaction, so that the next delta waits for a processor, and a hundred runs at once wait for each other.
5 ms: "consistent single-digit millisecond",
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Introduction.html

Started as `python -m bench.far_dynamodb`, it stores nothing. With the endpoint of another DynamoDB it does so
with what renews and fills a run's log, and hands everything else on: runs can be queued, taken up and read.
"""

import asyncio
import sys

from bench.counting import CountingProxy

ANSWER_SECONDS = 0.005
OF_THE_LOG = frozenset({"TransactWriteItems", "UpdateItem"})
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: 2\r\n\r\n{}"


class FarDynamoDB(CountingProxy):
    """Stands before the DynamoDB at `endpoint`; "" for none."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint, {})
        self._alone = not endpoint

    async def _pass(self, name: str, head: bytes, body: bytes) -> bytes:
        if self._alone or name in OF_THE_LOG:
            await asyncio.sleep(ANSWER_SECONDS)
            return _ANSWER
        return await self._ask(head, body)


async def main(endpoint: str) -> None:
    """Serve until standard input ends, as it does with the process that started this one."""
    async with FarDynamoDB(endpoint) as proxy:
        print(proxy.url.rpartition(":")[2], flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or [""]))
