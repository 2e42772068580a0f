"""A DynamoDB that works elsewhere, as AWS's does: a process that answers after 5 ms and computes nothing.

It takes none of the processors that are measured. moto, in its place, computes for about 10 ms for each
transaction, so that the next delta waits for a processor, and a hundred runs at once wait for each other.
5 ms: "consistent single-digit millisecond",
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Introduction.html

Started as `python -m bench.far_dynamodb`, it holds nothing but how running runs stand. With the endpoint of
another DynamoDB it answers what renews, fills and looks at a run's log, and hands the rest on: runs can be
queued, taken up, ended and read. A run's end goes on without the end of its log.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

from bench.counting import CountingProxy, Item, accepted

ANSWER_SECONDS = 0.005


class FarDynamoDB(CountingProxy):
    """Stands before the DynamoDB at `endpoint`; "" for none."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint, {})
        self._alone = not endpoint
        self._running: dict[str, Item] = {}

    async def _pass(self, name: str, head: bytes, body: bytes) -> bytes:
        asked = json.loads(body)
        run = self._running_of(asked) if name == "GetItem" else None
        put = _put_of_run(name, asked)
        of_the_log = name == "UpdateItem" or (name == "TransactWriteItems" and put is None)
        if self._alone or of_the_log or run is not None:
            await asyncio.sleep(ANSWER_SECONDS)
            answer = _answer({} if run is None else {"Item": run})
        elif name == "TransactWriteItems" and put is not None:
            answer = await self._ask_for("PutItem", put, head)
        else:
            answer = await self._ask(head, body)
        if put is not None and accepted(answer):
            self._note(put["Item"])
        return answer

    def _running_of(self, asked: Mapping[str, Any]) -> Item | None:
        key = asked["Key"]
        return self._running.get(key["run_id"]["S"]) if key.get("sk") == {"S": "META"} else None

    def _note(self, run: Item) -> None:
        """Keep how a run stands while it is running."""
        if run["state"] == {"S": "running"}:
            self._running[run["run_id"]["S"]] = run
        else:
            self._running.pop(run["run_id"]["S"], None)


def _put_of_run(name: str, asked: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The put of the run itself, where a call holds it."""
    actions = asked["TransactItems"] if name == "TransactWriteItems" else [{"Put": asked}]
    for action in actions:
        put: Mapping[str, Any] = action.get("Put", {})
        item = put.get("Item", {})
        if item.get("sk") == {"S": "META"} and "state" in item:
            return put
    return None


def _answer(document: Mapping[str, Any]) -> bytes:
    content = json.dumps(document).encode()
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


async def main(endpoint: str) -> None:
    """Serve until standard input ends, as it does with the process that started this one."""
    async with FarDynamoDB(endpoint) as proxy:
        print(proxy.url.rpartition(":")[2], flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or [""]))
