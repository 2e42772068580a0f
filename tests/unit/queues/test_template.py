"""Queues and event source mappings, as the template's reader gives them."""

import json
from pathlib import Path

import pytest

from local.functions.intrinsics import TemplateError
from local.functions.template import Queue, QueueSource, read
from local.queues.wiring import queues_of_functions, with_queues, works_for
from tests.support.queues.running import TEMPLATE

FUNCTIONS = TEMPLATE.functions
URL = "https://sqs.us-east-1.amazonaws.com/123456789012/"
HERE = {"local-jobs": "http://127.0.0.1:9/1/jobs", "DeadJobsQueue": "http://127.0.0.1:9/1/dead"}


def test_queues() -> None:
    arn = "arn:aws:sqs:us-east-1:123456789012:"
    policy = json.dumps({"deadLetterTargetArn": f"{arn}DeadJobsQueue", "maxReceiveCount": 3})
    assert TEMPLATE.queues == {
        "local-jobs": Queue(
            name="local-jobs",
            arn=f"{arn}local-jobs",
            url=f"{URL}local-jobs",
            attributes={
                "VisibilityTimeout": "600",
                "RedrivePolicy": policy,
                "SqsManagedSseEnabled": "true",
            },
        ),
        "DeadJobsQueue": Queue(
            name="DeadJobsQueue",
            arn=f"{arn}DeadJobsQueue",
            url=f"{URL}DeadJobsQueue",
            attributes={"MessageRetentionPeriod": "1209600"},
        ),
    }


def test_sources() -> None:
    assert FUNCTIONS["worker"].sources == (
        QueueSource(queue="local-jobs", batch_size=5, max_concurrency=2, report_failures=True),
    )
    # Of the other's three events one is paused and one is no queue's.
    assert FUNCTIONS["simple"].sources == (
        QueueSource(queue="local-jobs", batch_size=1, max_concurrency=2, report_failures=False),
    )
    assert FUNCTIONS["sender"].sources == ()


def test_lambdas_defaults_and_what_cannot_be_worked_out(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    text = """
    Resources:
      Q: { Type: AWS::SQS::Queue }
      F:
        Type: AWS::Serverless::Function
        Properties: { Events: { E: { Type: SQS, Properties: { Queue: !GetAtt Q.Arn%s } } } }
    """
    path.write_text(text % "")
    [source] = read(path).functions["f"].sources
    assert source == QueueSource(queue="Q", batch_size=10, max_concurrency=None, report_failures=False)
    path.write_text(text % ", FilterCriteria: {}")
    with pytest.raises(TemplateError, match="F: FilterCriteria of E cannot"):
        read(path)


def test_references_to_a_queue() -> None:
    assert FUNCTIONS["sender"].environment["QUEUE_URL"] == f"{URL}local-jobs"
    assert FUNCTIONS["worker"].environment["QUEUE_URL"] == f"{URL}local-jobs"


def test_a_function_gets_the_url_that_the_queue_has_here() -> None:
    here = with_queues(TEMPLATE, FUNCTIONS["sender"], HERE)
    assert here.environment == {"QUEUE_URL": HERE["local-jobs"]}
    assert with_queues(TEMPLATE, FUNCTIONS["other"], HERE) == FUNCTIONS["other"]


def test_a_worker_works_for_those_who_know_its_queue() -> None:
    assert works_for(TEMPLATE, FUNCTIONS["worker"], [FUNCTIONS["other"], FUNCTIONS["sender"]])
    assert not works_for(TEMPLATE, FUNCTIONS["worker"], [FUNCTIONS["other"]])
    assert not works_for(TEMPLATE, FUNCTIONS["sender"], [FUNCTIONS["sender"]])


def test_queues_by_function() -> None:
    jobs = HERE["local-jobs"]
    assert queues_of_functions(TEMPLATE, HERE) == {"sender": jobs, "worker": jobs, "simple": jobs}
