"""`rill redrive`, sending, and queues in the whole local stack."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from local.cli import main
from local.provider import Provider
from local.queues.client import QueueProblem, local
from local.queues.making import make_queues
from local.queues.redrive import Queues as Pair
from local.queues.redrive import find, redrive
from local.queues.waiting import send_again
from local.stack import Stack, StackError
from local.tables import dynamodb
from rill.queue import Queue, QueueError
from tests.support.dynamodb import moto_server
from tests.support.queues.fifo import Fifo
from tests.support.queues.running import DEAD, JOBS, TEMPLATE, Queues

SCRIPTED = Provider(name="scripted", why="test")
SOON = 30

ONE, TWO = '{"version": 1, "run_id": "one"}', '{"version": 1, "run_id": "two"}'


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
def pair(queues: Queues) -> Pair:
    return find(queues.client, queues.urls[JOBS])


@pytest.fixture
def published(queues: Queues, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Queues:
    """As if a stack ran whose function `jobs` has the queue."""
    (tmp_path / "stack.json").write_text(
        json.dumps({"sqs": queues.endpoint, "queues": {"jobs": queues.urls[JOBS]}})
    )
    monkeypatch.setenv("RILL_STATE_DIR", str(tmp_path))
    return queues


@pytest.fixture
def aws_settings(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {
        "AWS_ENDPOINT_URL_SQS": endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


def texts(messages: list[Any]) -> list[str]:
    return sorted(message["Body"] for message in messages)


@pytest.mark.parametrize("by", ["name", "url"])
def test_a_queue_is_found_with_its_dead_letter_queue(queues: Queues, by: str) -> None:
    found = find(queues.client, JOBS if by == "name" else queues.urls[JOBS])
    assert Path(found.queue).name == JOBS
    assert Path(found.dead_letters).name == DEAD


def test_queues_that_cannot_be_redriven(queues: Queues) -> None:
    with pytest.raises(QueueProblem, match="DeadJobsQueue has no dead-letter queue"):
        find(queues.client, DEAD)
    with pytest.raises(QueueProblem, match=r"nowhere: .*does not exist"):
        find(queues.client, "nowhere")


def test_messages_move_as_they_are(queues: Queues, pair: Pair) -> None:
    queues.client.send_message(
        QueueUrl=queues.urls[DEAD],
        MessageBody=ONE,
        MessageAttributes={"a": {"DataType": "String", "StringValue": "v"}},
    )
    queues.send(*(f'{{"run_id": "n{n}"}}' for n in range(12)), "no run", queue=DEAD)
    moved = list(redrive(queues.client, pair))
    assert [one.run_id for one in moved] == ["one", *(f"n{n}" for n in range(12)), None]
    assert queues.counts(DEAD) == (0, 0)
    assert queues.counts(JOBS) == (14, 0)
    [first, *_] = queues.receive(JOBS)
    assert (first["Body"], first["Attributes"]["ApproximateReceiveCount"]) == (ONE, "1")
    assert first["MessageAttributes"]["a"]["StringValue"] == "v"


def test_a_dry_run_leaves_everything_where_it_can_be_seen(queues: Queues, pair: Pair) -> None:
    queues.send(ONE, TWO, queue=DEAD)
    assert [one.run_id for one in redrive(queues.client, pair, dry_run=True)] == ["one", "two"]
    assert (queues.counts(DEAD), queues.counts(JOBS)) == ((2, 0), (0, 0))


def test_what_is_not_moved_can_be_seen_again(queues: Queues, pair: Pair) -> None:
    queues.send(ONE, TWO, queue=DEAD)
    moving = redrive(queues.client, pair)
    assert next(moving).run_id == "one"
    moving.close()
    assert (texts(queues.receive(DEAD)), texts(queues.receive(JOBS))) == ([TWO], [ONE])


def test_a_queue_that_does_not_take_messages_loses_none(queues: Queues, pair: Pair) -> None:
    queues.send(ONE, queue=DEAD)
    with pytest.raises(QueueProblem, match="does not exist"):
        list(redrive(queues.client, replace(pair, queue=f"{pair.queue}-gone")))
    assert texts(queues.receive(DEAD)) == [ONE]


def test_redrive_in_the_running_stack(published: Queues, capsys: pytest.CaptureFixture[str]) -> None:
    published.send(ONE, "no run", queue=DEAD)
    assert main(["redrive", "jobs", "--dry-run"]) == 0
    first, second, last = capsys.readouterr().out.splitlines()
    assert (first, last) == ("one", "2 messages would be moved.")
    assert second.endswith(", of no run")
    assert main(["redrive", "jobs"]) == 0
    assert capsys.readouterr().out.splitlines() == [first, second, "2 messages moved."]
    assert main(["redrive", "jobs"]) == 0
    assert capsys.readouterr().out == "0 messages moved.\n"
    assert texts(published.receive(JOBS)) == ["no run", ONE]


@pytest.mark.usefixtures("aws_settings")
def test_redrive_on_aws(queues: Queues, capsys: pytest.CaptureFixture[str]) -> None:
    queues.send(TWO, queue=DEAD)
    assert main(["redrive", "--queue", JOBS]) == 0
    assert capsys.readouterr().out == "two\n1 message moved.\n"
    assert texts(queues.receive(JOBS)) == [TWO]
    assert main(["redrive", "--queue", "nowhere"]) == 3
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "name a FUNCTION"),
        (["jobs", "--queue", "q"], 2, "name a FUNCTION"),
        (["other"], 1, "other has no queue; these have one: jobs"),
    ],
)
@pytest.mark.usefixtures("published")
def test_redrive_says_what_is_wrong(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["redrive", *arguments]) == code
    assert said in capsys.readouterr().err


def test_redrive_without_a_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RILL_STATE_DIR", str(tmp_path))
    assert main(["redrive", "jobs"]) == 3
    assert "no stack with queues is running" in capsys.readouterr().err


@pytest.mark.usefixtures("aws_settings")
async def test_sending_a_run(queues: Queues) -> None:
    queue = Queue(queues.urls[JOBS])
    await queue.send("one")
    await queue.send("two", delay=600)
    assert texts(queues.receive(JOBS)) == [ONE]
    delayed = queues.client.get_queue_attributes(
        QueueUrl=queues.urls[JOBS], AttributeNames=["ApproximateNumberOfMessagesDelayed"]
    )
    assert delayed["Attributes"]["ApproximateNumberOfMessagesDelayed"] == "1"
    with pytest.raises(QueueError, match=r"send_message: .*does not exist") as caught:
        await Queue(queues.urls[JOBS] + "-gone").send("one")
    assert (caught.value.status, caught.value.retryable) == (502, True)


def test_queues_are_made_again_with_the_templates_settings(queues: Queues) -> None:
    jobs = TEMPLATE.queues[JOBS]
    changed = replace(jobs, attributes={**jobs.attributes, "VisibilityTimeout": "7"})
    urls = make_queues({**TEMPLATE.queues, JOBS: changed}, queues.endpoint)
    assert urls == queues.urls
    found = queues.client.get_queue_attributes(QueueUrl=urls[JOBS], AttributeNames=["VisibilityTimeout"])
    assert found["Attributes"] == {"VisibilityTimeout": "7"}


@pytest.fixture
def _own_services(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_SQS"):
        monkeypatch.delenv(name, raising=False)


def stack(tmp_path: Path, *names: str, **options: Any) -> Stack:
    functions = {
        name: replace(
            TEMPLATE.functions[name],
            environment={**TEMPLATE.functions[name].environment, "SEEN": str(tmp_path / "seen")},
        )
        for name in names
    }
    (tmp_path / "seen").mkdir(exist_ok=True)
    return Stack(replace(TEMPLATE, functions=functions), SCRIPTED, state=tmp_path, **options)


async def sent_and_worked_on(running: Stack, tmp_path: Path) -> str:
    """What a function that has a URL sends, as the worker gets it; returns SQS's address."""
    body = json.dumps({"mark": str(tmp_path / "mark")})
    with closing(Fifo(tmp_path / "mark")) as mark:
        async with httpx2.AsyncClient(trust_env=False, timeout=SOON) as client:
            answer = await client.post(running.urls["sender"], content=body)
        assert answer.json() == {"queue": running.queues[JOBS]}
        assert await mark.line(SOON) == body
    return running.variables["AWS_ENDPOINT_URL_SQS"]


@pytest.mark.usefixtures("_own_services")
async def test_a_stack_has_queues_and_workers(tmp_path: Path) -> None:
    async with stack(tmp_path, "sender", "worker", publish=True) as running:
        assert sorted(running.urls) == ["sender"]
        sqs = await sent_and_worked_on(running, tmp_path)
        assert running.dynamodb is not None
        assert sqs == running.dynamodb.url
        jobs = running.queues[JOBS]
        assert json.loads((tmp_path / "stack.json").read_text()) == {
            "sqs": sqs,
            "queues": {"sender": jobs, "worker": jobs},
        }
    assert not (tmp_path / "stack.json").exists()


@pytest.mark.usefixtures("_own_services")
async def test_a_stack_for_one_function_has_its_worker(tmp_path: Path) -> None:
    async with stack(tmp_path, "sender", "other", "worker", only="sender") as running:
        assert sorted(running.urls) == ["sender"]
        await sent_and_worked_on(running, tmp_path)
    log_names = {path.name for path in (tmp_path / "logs").iterdir()}
    assert log_names == {"dynamodb.log", "sender.log", "worker.log"}


@pytest.mark.usefixtures("_own_services")
async def test_a_stack_for_one_function_has_no_other_worker(tmp_path: Path) -> None:
    async with stack(tmp_path, "other", "worker", only="other"):
        assert not (tmp_path / "logs" / "worker.log").exists()


@pytest.mark.usefixtures("_own_services")
async def test_another_dynamodb_need_not_serve_sqs(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", endpoint)
    async with stack(tmp_path, "sender", "worker") as running:
        assert running.dynamodb is None
        assert await sent_and_worked_on(running, tmp_path) != endpoint


@pytest.mark.usefixtures("_own_services")
async def test_another_sqs_is_used(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", endpoint)
    async with stack(tmp_path, "sender", "worker") as running:
        assert await sent_and_worked_on(running, tmp_path) == endpoint
    client = local(endpoint)
    for url in running.queues.values():
        client.delete_queue(QueueUrl=url)
    client.close()


@pytest.mark.usefixtures("_own_services")
async def test_an_sqs_that_does_not_answer_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9")
    with pytest.raises(StackError, match=r"SQS at http://127\.0\.0\.1:9: Could not connect"):
        async with stack(tmp_path, "sender", "worker"):
            pass


def test_runs_that_wait_are_sent_again(queues: Queues) -> None:
    client = dynamodb(queues.endpoint)
    client.create_table(
        TableName="RunsTable",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("run_id", "sk")],
        KeySchema=[
            {"AttributeName": "run_id", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    items = [
        ("one", "META", "queued", "jobs"),
        ("two", "META", "queued", "jobs"),
        ("three", "META", "running", "jobs"),
        ("four", "META", "queued", "other"),
        ("five", "REQUEST", "queued", "jobs"),
    ]
    for item in items:
        named = zip(("run_id", "sk", "state", "workflow"), item, strict=True)
        client.put_item(TableName="RunsTable", Item={name: {"S": value} for name, value in named})
    sent = send_again(queues.endpoint, queues.endpoint, {"jobs": queues.urls[JOBS]})
    assert sorted(sent) == ["one", "two"]
    assert texts(queues.receive(JOBS)) == [ONE, TWO]
    client.delete_table(TableName="RunsTable")
    with pytest.raises(QueueProblem, match=r"the runs that wait: .*ResourceNotFound"):
        send_again(queues.endpoint, queues.endpoint, {})
    client.close()
