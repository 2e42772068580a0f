"""The DynamoDB that takes no time: what it answers by itself, and what goes on to the one behind it."""

import json
from typing import Any

import pytest

from bench import far_dynamodb
from bench.far_dynamodb import FarDynamoDB

KEY = {"run_id": {"S": "r"}, "sk": {"S": "META"}}
RUN = {**KEY, "state": {"S": "running"}, "owner": {"S": "me"}}
ENDED = {**RUN, "state": {"S": "complete"}}
EVENT = {"Put": {"Item": {"run_id": {"S": "r"}, "sk": {"S": "EVENT#1"}}}}


class Far(FarDynamoDB):
    """Notes what goes on, and answers it with `status`."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint)
        self.passed: list[Any] = []
        self.status = 200

    async def _ask(self, head: bytes, body: bytes) -> bytes:
        self.passed.append(json.loads(body))
        return b'HTTP/1.1 %d x\r\n\r\n{"from":"behind"}' % self.status

    async def call(self, name: str, **asked: Any) -> Any:
        answer = await self._pass(name, name.encode(), json.dumps(asked).encode())
        return json.loads(answer.partition(b"\r\n\r\n")[2])


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(far_dynamodb, "ANSWER_SECONDS", 0)


async def test_alone_it_knows_how_running_runs_stand_and_nothing_else() -> None:
    far = Far("")
    assert await far.call("GetItem", Key=KEY) == {}
    await far.call("PutItem", Item=RUN)
    assert await far.call("TransactWriteItems", TransactItems=[EVENT]) == {}
    assert await far.call("GetItem", Key=KEY) == {"Item": RUN}
    assert await far.call("GetItem", Key={**KEY, "sk": {"S": "INPUT#0001"}}) == {}
    await far.call("TransactWriteItems", TransactItems=[EVENT, {"Put": {"Item": ENDED}}])
    assert await far.call("GetItem", Key=KEY) == {}
    assert far.passed == []


async def test_before_another_it_answers_what_belongs_to_the_log() -> None:
    far, behind = Far("http://127.0.0.1:9"), {"from": "behind"}
    assert await far.call("PutItem", Item=RUN) == behind
    assert await far.call("UpdateItem", Key=KEY) == {}
    assert await far.call("TransactWriteItems", TransactItems=[EVENT]) == {}
    assert await far.call("GetItem", Key=KEY) == {"Item": RUN}
    assert await far.call("TransactWriteItems", TransactItems=[EVENT, {"Put": {"Item": ENDED}}]) == behind
    assert await far.call("GetItem", Key=KEY) == behind
    assert await far.call("Query") == behind
    assert far.passed == [{"Item": RUN}, {"Item": ENDED}, {"Key": KEY}, {}]


async def test_a_run_that_was_refused_is_not_known() -> None:
    far = Far("http://127.0.0.1:9")
    far.status = 400
    await far.call("PutItem", Item=RUN)
    assert await far.call("GetItem", Key=KEY) == {"from": "behind"}
