"""The event source mapping between a real queue (moto's, over HTTP) and a function's real processes."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest

from local.functions.pool import Pool
from local.queues.mapping import RETRY_SECONDS
from rill.stores.runs import LEASE_MS
from tests.support.dynamodb import moto_server
from tests.support.queues.failing import failing
from tests.support.queues.fifo import Fifo
from tests.support.queues.running import DEAD, JOBS, TEMPLATE, Queues, Watched, bodies, receive_counts

Start = Callable[..., Awaitable["Running"]]
MakeFifo = Callable[[str], Fifo]

# So long may something take that has to happen; a test that waits for it ends with an error, not a guess.
SOON = 30


class Running:
    """A mapping at work; `events` is what its function was invoked with, in order."""

    def __init__(self, mapping: Watched, pool: Pool, seen: Path, log: Path) -> None:
        self.mapping = mapping
        self.pool = pool
        self.log = log
        self._seen = seen

    async def settled(self, batches: int = 1) -> None:
        for _ in range(batches):
            await asyncio.wait_for(self.mapping.settled.get(), SOON)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted(self._seen.iterdir())]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture
def queues(endpoint: str) -> Iterator[Queues]:
    made = Queues(endpoint)
    yield made
    made.close()


@pytest.fixture
async def start(queues: Queues, tmp_path: Path) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:
        (tmp_path / "seen").mkdir()

        async def begin(function: str = "worker", concurrency: int | None = None, **options: Any) -> Running:
            log: IO[bytes] = stack.enter_context((tmp_path / "log").open("ab"))
            here = replace(TEMPLATE.functions[function], concurrency=concurrency)
            pool = Pool(here, {"SEEN": str(tmp_path / "seen")}, log=log)
            stack.push_async_callback(pool.close)
            given = {
                "arn": TEMPLATE.queues[JOBS].arn,
                "queue_url": queues.urls[JOBS],
                "endpoint": queues.endpoint,
                "log": log,
                "retry_seconds": 0,
                "wait_seconds": 1,
            }
            mapping = Watched(pool, TEMPLATE.functions[function].sources[0], **{**given, **options})
            stack.push_async_callback(mapping.close)
            await mapping.start()
            return Running(mapping, pool, tmp_path / "seen", tmp_path / "log")

        yield begin


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[MakeFifo]:
    with ExitStack() as stack:

        def make(name: str) -> Fifo:
            return stack.enter_context(closing(Fifo(tmp_path / name)))

        yield make


async def test_a_batch_is_done_and_deleted(queues: Queues, start: Start) -> None:
    queues.send({"n": 1}, {"n": 2}, {"n": 3})
    running = await start()
    await running.settled()
    [event] = running.events
    assert bodies([event]) == [['{"n": 1}', '{"n": 2}', '{"n": 3}']]
    first = event["Records"][0]
    assert first["eventSourceARN"] == "arn:aws:sqs:us-east-1:123456789012:local-jobs"
    assert first["attributes"]["ApproximateReceiveCount"] == "1"
    assert queues.counts() == (0, 0)


async def test_a_batch_is_no_bigger_than_the_template_says(queues: Queues, start: Start) -> None:
    queues.send(*({"n": n} for n in range(7)))
    running = await start()
    await running.settled(2)
    assert sorted(len(event["Records"]) for event in running.events) == [2, 5]
    assert queues.counts() == (0, 0)


async def test_messages_that_failed_come_back_alone(queues: Queues, start: Start) -> None:
    queues.send({"n": 1}, {"act": "fail"}, {"n": 3})
    running = await start()
    await running.settled(2)
    assert bodies(running.events[:2]) == [['{"n": 1}', '{"act": "fail"}', '{"n": 3}'], ['{"act": "fail"}']]
    assert receive_counts(running.events[:2]) == [["1", "1", "1"], ["2"]]


@pytest.mark.parametrize(("act", "logged"), [("crash", "Runtime.ExitError"), ("error", "Function.Failed")])
async def test_a_function_that_fails_leaves_the_whole_batch(
    queues: Queues, start: Start, act: str, logged: str
) -> None:
    queues.send({"n": 1}, {"act": act})
    running = await start()
    await running.settled(2)
    assert bodies(running.events[:2]) == [['{"n": 1}', json.dumps({"act": act})]] * 2
    assert receive_counts(running.events[:2]) == [["1", "1"], ["2", "2"]]
    assert logged in running.log.read_text()


async def test_after_three_times_a_message_is_a_dead_letter(queues: Queues, start: Start) -> None:
    queues.send({"act": "fail"})
    running = await start()
    await running.settled(3)
    [dead] = await asyncio.to_thread(queues.receive, DEAD, SOON // 2)
    assert dead["Body"] == '{"act": "fail"}'
    assert receive_counts(running.events) == [["1"], ["2"], ["3"]]
    assert queues.counts() == (0, 0)


async def test_a_poison_message_holds_up_no_other(queues: Queues, start: Start) -> None:
    queues.send("poison", {"n": 1}, {"n": 2})
    running = await start()
    await running.settled()
    queues.send({"n": 3})
    [dead] = await asyncio.to_thread(queues.receive, DEAD, SOON // 2)
    assert dead["Body"] == "poison"
    while queues.counts() != (0, 0):
        await running.settled()
    done = [body for batch in bodies(running.events) for body in batch if body != "poison"]
    assert done == ['{"n": 1}', '{"n": 2}', '{"n": 3}']


async def test_what_is_worked_on_nobody_else_gets(queues: Queues, start: Start, fifo: MakeFifo) -> None:
    mark, gate = fifo("mark"), fifo("gate")
    queues.send({"mark": str(mark), "gate": str(gate)})
    running = await start()
    await mark.line(SOON)
    assert queues.counts() == (0, 1)
    assert queues.receive(JOBS) == []
    gate.let_go()
    await running.settled()
    assert queues.counts() == (0, 0)


async def test_no_more_at_once_than_the_template_says(queues: Queues, start: Start, fifo: MakeFifo) -> None:
    names = ("a", "b", "c")
    marks = {name: fifo(f"mark-{name}") for name in names}
    gates = {name: fifo(f"gate-{name}") for name in names}
    queues.send(*({"mark": str(marks[name]), "gate": str(gates[name])} for name in names))
    running = await start("simple")
    await asyncio.gather(marks["a"].line(SOON), marks["b"].line(SOON))
    # A place is taken before a message is: the third one is still there for anybody.
    assert queues.counts() == (1, 2)
    gates["a"].let_go()
    await marks["c"].line(SOON)
    gates["b"].let_go()
    gates["c"].let_go()
    await running.settled(3)
    assert queues.counts() == (0, 0)


async def test_without_a_word_on_single_messages_the_answer_counts_for_nothing(
    queues: Queues, start: Start
) -> None:
    queues.send({"act": "fail"})
    running = await start("simple")
    await running.settled()
    assert queues.counts() == (0, 0)


async def test_a_poll_that_ends_after_closing_gives_its_messages_back(queues: Queues, start: Start) -> None:
    running = await start()
    await running.mapping.close()
    queues.send({"n": 1})
    # What the thread of a poll under way does when nobody waits for it any more.
    assert running.mapping.receive_late(queues.client) == []
    assert queues.counts() == (1, 0)
    [message] = queues.receive(JOBS)
    assert message["Attributes"]["ApproximateReceiveCount"] == "2"
    assert running.events == []


async def test_closing_ends_what_is_at_work_and_gives_it_back(
    queues: Queues, start: Start, fifo: MakeFifo
) -> None:
    wrong: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
    mark, gate = fifo("mark"), fifo("gate")
    queues.send({"mark": str(mark), "gate": str(gate)})
    running = await start()
    await mark.line(SOON)
    before = asyncio.all_tasks()
    await running.mapping.close()
    ended = {task.get_name() for task in before if task.done()}
    assert "poll local-jobs" in ended
    await running.pool.close()
    [message] = queues.receive(JOBS)
    assert message["Attributes"]["ApproximateReceiveCount"] == "2"
    assert "Sandbox.Stopped" in running.log.read_text()
    assert wrong == []


async def test_an_sqs_that_is_gone_is_said_and_asked_again(start: Start) -> None:
    running = await start(endpoint="http://127.0.0.1:9", queue_url="http://127.0.0.1:9/1/x")
    for pause in ("1 s", "2 s"):
        said = await asyncio.wait_for(running.mapping.said.get(), SOON)
        assert said.startswith("local-jobs: Could not connect")
        assert said.endswith(f"; asking again in {pause}")
    assert "Could not connect" in running.log.read_text()


async def test_an_sqs_that_comes_back_is_polled_again(queues: Queues, start: Start) -> None:
    queues.send({"n": 1})
    with failing(queues.endpoint, {"ReceiveMessage": 1}) as url:
        running = await start(endpoint=url, queue_url=queues.urls[JOBS].replace(queues.endpoint, url))
        said = await asyncio.wait_for(running.mapping.said.get(), SOON)
        assert "ServiceUnavailable" in said
        await running.settled()
        assert queues.counts() == (0, 0)
        # Before the proxy is gone, of which the poll under way would have something to say.
        await running.mapping.close()


async def test_where_deleting_fails_what_failed_still_comes_back(queues: Queues, start: Start) -> None:
    queues.send({"n": 1}, {"act": "fail"})
    with failing(queues.endpoint, {"DeleteMessageBatch": 1}) as url:
        running = await start(endpoint=url, queue_url=queues.urls[JOBS].replace(queues.endpoint, url))
        await running.settled(2)
        await running.mapping.close()
    assert bodies(running.events[:2]) == [['{"n": 1}', '{"act": "fail"}'], ['{"act": "fail"}']]
    assert "DeleteMessageBatch" in running.log.read_text()


async def test_no_more_places_than_the_function_has(queues: Queues, start: Start, fifo: MakeFifo) -> None:
    marks = {name: fifo(f"mark-{name}") for name in ("a", "b")}
    gates = {name: fifo(f"gate-{name}") for name in ("a", "b")}
    queues.send(*({"mark": str(marks[name]), "gate": str(gates[name])} for name in marks))
    running = await start("simple", concurrency=1)
    await marks["a"].line(SOON)
    assert queues.counts() == (1, 1)
    gates["a"].let_go()
    await marks["b"].line(SOON)
    gates["b"].let_go()
    await running.settled(2)
    assert receive_counts(running.events) == [["1"], ["1"]]  # none was throttled
    assert "TooManyRequests" not in running.log.read_text()


def test_a_retry_waits_until_a_lost_run_may_be_taken_up() -> None:
    assert RETRY_SECONDS * 1000 > LEASE_MS
