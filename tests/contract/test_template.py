"""What template.yaml deploys: read as the emulator reads it, and against the code that runs there."""

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from grading.models import GradingRequest
from local.functions.intrinsics import Scope
from local.functions.template import FUNCTION, QUEUE, TABLE, Function, Template, read
from local.functions.yaml_tags import load
from rill.queue import message
from tests.support import database_calls
from tests.support.built import ROOT, sam

TEMPLATE = ROOT / "template.yaml"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:model-key-AbCdEf"
EVENTS = sorted((ROOT / "events").glob("*/*.json"))
REQUESTS = [path for path in EVENTS if path.parent.name == "grading" and path.stem != "queue"]
BUFFERED = {"results"}
"""Functions that stream nothing: the managed runtime runs them, without Rill's own."""

# What the results API reads through other stores, and through indexes. An integration test holds the code
# to what the template allows.
_TABLE_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table"
RESULTS_ACCESS = {
    f"{_TABLE_ARN}/SessionsTable": {"BatchWriteItem", "DeleteItem", "GetItem", "PutItem", "Query"},
    f"{_TABLE_ARN}/SessionsTable/index/by_created": {"Query"},
    f"{_TABLE_ARN}/RunsTable": {"GetItem"},
    f"{_TABLE_ARN}/RunsTable/index/by_session": {"Query"},
    f"{_TABLE_ARN}/RunsTable/index/by_workflow": {"Query"},
    f"{_TABLE_ARN}/LineRatingsTable": {"Query"},
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = load(TEMPLATE.read_text())
    return loaded


@pytest.fixture(scope="module")
def template() -> Template:
    return read(TEMPLATE)


def of_type(document: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {name: body for name, body in document["Resources"].items() if body["Type"] == kind}


def statements(document: dict[str, Any], function: str, **parameters: str) -> list[dict[str, Any]]:
    """The role's statements of a function, resolved, from its own policies and managed ones."""
    scope = Scope(document, parameters)
    found: list[dict[str, Any]] = []
    for policy in document["Resources"][function]["Properties"]["Policies"]:
        if "Ref" in policy:
            managed = document["Resources"][policy["Ref"]]
            assert managed["Type"] == "AWS::IAM::ManagedPolicy"
            found += scope.resolve(managed["Properties"]["PolicyDocument"])["Statement"]
        else:
            found += scope.resolve(policy)["Statement"]
    return found


def of_service(found: list[dict[str, Any]], service: str) -> dict[str, set[str]]:
    """What the statements allow of a service, by resource."""
    allowed: dict[str, set[str]] = {}
    for statement in found:
        assert statement["Effect"] == "Allow"
        if mine := {action for action in actions(statement) if action.startswith(f"{service}:")}:
            allowed.setdefault(statement["Resource"], set()).update(mine)
    return allowed


def app_of(function: Function) -> Path:
    """The file that the function's handler is in."""
    *module, _ = function.handler.split(".")
    return (function.code / Path(*module)).with_suffix(".py")


def actions(statement: dict[str, Any]) -> set[str]:
    found = statement["Action"]
    return {found} if isinstance(found, str) else set(found)


def test_sam_and_cfn_lint_accept_it() -> None:
    run = subprocess.run(
        [sam(), "validate", "--lint", "--template", str(TEMPLATE)],
        cwd=ROOT,
        env={**os.environ, "SAM_CLI_TELEMETRY": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def workflows(template: Template) -> list[Function]:
    """The functions that run a workflow."""
    return [function for function in template.functions.values() if function.name not in BUFFERED]


def test_every_function_has_both_layers_and_workflows_run_on_rill(template: Template) -> None:
    assert set(template.functions) == {"grading", "grading-worker", "results"}
    for function in template.functions.values():
        buffered = function.name in BUFFERED
        assert function.layers == (ROOT / "layers/dependencies", ROOT / "layers/shared")
        assert function.wrapper == (None if buffered else ROOT / "layers/shared/bin/rill-runtime")
        assert (function.code, function.timeout) == (ROOT / "functions", 30 if buffered else 900)
        assert function.environment["POWERTOOLS_SERVICE_NAME"] == function.name


def test_a_function_streams_behind_a_url_or_reads_a_queue(template: Template) -> None:
    for function in template.functions.values():
        assert (function.url is None) is bool(function.sources)
        if function.url is not None:
            assert function.url.streaming is (function.name not in BUFFERED)
            assert function.url.iam, "a URL is signed for unless somebody asks otherwise"


def test_a_worker_is_its_function_behind_a_queue(document: dict[str, Any], template: Template) -> None:
    """The same code with the same settings and rights, so that a run does not depend on who does it."""
    for worker in template.functions.values():
        if not worker.sources:
            continue
        function = template.functions[worker.name.removesuffix("-worker")]
        differing = {"POWERTOOLS_SERVICE_NAME"}
        assert (worker.handler, worker.layers, worker.memory) == (
            function.handler,
            function.layers,
            function.memory,
        )
        assert {key: value for key, value in worker.environment.items() if key not in differing} == {
            key: value for key, value in function.environment.items() if key not in differing
        }
        assert statements(document, worker.logical_id) == statements(document, function.logical_id)


def test_a_worker_takes_small_batches_and_names_what_failed(document: dict[str, Any]) -> None:
    low, high = (
        read(TEMPLATE, {"WorkerConcurrency": number}).functions["grading-worker"].sources
        for number in ("2", "40")
    )
    for sources, most in ((low, 2), (high, 40)):
        [source] = sources
        assert (source.queue, source.batch_size, source.report_failures) == ("GradingQueue", 5, True)
        assert source.max_concurrency == most
    # Lambda takes no less than two.
    assert document["Parameters"]["WorkerConcurrency"]["MinValue"] == 2


def test_a_message_is_not_shown_again_while_it_may_be_worked_on(template: Template) -> None:
    for function in template.functions.values():
        for source in function.sources:
            visibility = int(template.queues[source.queue].attributes["VisibilityTimeout"])
            assert visibility >= 6 * function.timeout


def test_a_queue_gives_up_into_its_dead_letter_queue(document: dict[str, Any], template: Template) -> None:
    queue, dead = (template.queues[name] for name in ("GradingQueue", "GradingDeadLetterQueue"))
    assert json.loads(queue.attributes["RedrivePolicy"]) == {
        "deadLetterTargetArn": dead.arn,
        "maxReceiveCount": 3,
    }
    assert int(dead.attributes["MessageRetentionPeriod"]) == 14 * 24 * 3600
    for body in of_type(document, QUEUE).values():
        assert body["Properties"]["SqsManagedSseEnabled"] is True


def test_a_function_can_send_to_the_queue_it_knows_and_to_no_other(
    document: dict[str, Any], template: Template
) -> None:
    urls = {queue.url: queue.arn for queue in template.queues.values()}
    for function in workflows(template):
        known = {urls[value] for value in function.environment.values() if value in urls}
        assert known == {template.queues["GradingQueue"].arn}
        assert of_service(statements(document, function.logical_id), "sqs") == {
            arn: {"sqs:SendMessage"} for arn in known
        }


def test_every_function_is_deployed_as_it_is_and_its_handler_is_there(document: dict[str, Any]) -> None:
    for body in of_type(document, FUNCTION).values():
        assert body["Metadata"] == {"SkipBuild": True}
        *module, _ = body["Properties"]["Handler"].split(".")
        assert (ROOT / "functions" / Path(*module)).with_suffix(".py").is_file()


def test_every_function_logs_to_a_group_with_a_retention(document: dict[str, Any]) -> None:
    scope = Scope(document, {"LogRetentionDays": "7"})
    for body in of_type(document, FUNCTION).values():
        name = body["Properties"]["LoggingConfig"]["LogGroup"]["Ref"]
        group = document["Resources"][name]
        assert group["Type"] == "AWS::Logs::LogGroup"
        assert scope.resolve(group["Properties"]["RetentionInDays"]) == "7"


def test_every_table_a_function_names_is_made(template: Template) -> None:
    named = {
        value
        for function in template.functions.values()
        for key, value in function.environment.items()
        if key.endswith("_TABLE")
    }
    assert named == set(template.tables)


def test_functions_get_every_variable_their_code_wants(template: Template) -> None:
    for function in template.functions.values():
        wanted = database_calls.required_variables(app_of(function))
        assert wanted
        assert wanted <= set(function.environment)


def test_tables_have_the_keys_that_the_stores_use(template: Template) -> None:
    keys = {
        name: [(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]]
        for name, table in template.tables.items()
    }
    assert keys == {
        "RunsTable": [("run_id", "HASH"), ("sk", "RANGE")],
        "LineRatingsTable": [("session_id", "HASH"), ("line_key", "RANGE")],
        "SessionsTable": [("session_id", "HASH"), ("sk", "RANGE")],
        "IdempotencyTable": [("id", "HASH")],
    }
    assert template.ttl == {"RunsTable": "expires_at", "IdempotencyTable": "expiration"}


def test_indexes_have_the_keys_and_the_attributes_that_lists_show(template: Template) -> None:
    found = {
        index["IndexName"]: (
            [key["AttributeName"] for key in index["KeySchema"]],
            set(index["Projection"]["NonKeyAttributes"]),
        )
        for table in template.tables.values()
        for index in table.get("GlobalSecondaryIndexes", [])
    }
    shown = {"state", "mode", "rep", "ended_at", "cost_usd", "line_ratings_count"}
    assert found == {
        "by_session": (["session_id", "created_at"], shown | {"workflow"}),
        "by_workflow": (["workflow", "created_at"], shown | {"session_id"}),
        "by_created": (["kind", "created_at"], {"title", "rep", "source", "lines"}),
    }


def test_tables_outlive_the_stack_and_can_be_restored(document: dict[str, Any]) -> None:
    for name, body in of_type(document, TABLE).items():
        properties = body["Properties"]
        # Keys of a day are no data that anybody would want back.
        policy = "Delete" if name == "IdempotencyTable" else "Retain"
        assert (body["DeletionPolicy"], body["UpdateReplacePolicy"]) == (policy, policy)
        assert properties["BillingMode"] == "PAY_PER_REQUEST"
        assert properties["SSESpecification"] == {"SSEEnabled": True}
        assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_a_role_allows_exactly_what_the_code_calls(document: dict[str, Any], template: Template) -> None:
    for function in workflows(template):
        calls = database_calls.of_function(app_of(function))
        arns = "arn:aws:dynamodb:us-east-1:123456789012:table/{}"
        wanted = {arns.format(function.environment[name]): called for name, called in calls.items()}
        assert wanted
        assert of_service(statements(document, function.logical_id), "dynamodb") == wanted


def test_the_results_api_gets_only_what_it_reads_and_writes(document: dict[str, Any]) -> None:
    found = statements(document, "ResultsFunction", ModelSecretArn=SECRET)
    wanted = {
        arn: {f"dynamodb:{operation}" for operation in called} for arn, called in RESULTS_ACCESS.items()
    }
    assert of_service(found, "dynamodb") == wanted
    assert all(action.startswith("dynamodb:") for one in found for action in actions(one))


def test_the_secret_can_be_read_where_there_is_one(document: dict[str, Any], template: Template) -> None:
    for function in workflows(template):
        without = statements(document, function.logical_id)
        extra = [
            statement
            for statement in statements(document, function.logical_id, ModelSecretArn=SECRET)
            if statement not in without
        ]
        assert [(actions(one), one["Resource"]) for one in extra] == [
            ({"secretsmanager:GetSecretValue"}, SECRET)
        ]


def test_a_public_url_takes_two_answers_and_gets_both_permissions(document: dict[str, Any]) -> None:
    rule = document["Rules"]["PublicUrl"]
    for allow, holds in (("no", False), ("yes", True)):
        scope = Scope(document, {"UrlAuth": "NONE", "AllowPublic": allow})
        assert scope.resolve(rule["RuleCondition"]) is True
        [assertion] = rule["Assertions"]
        assert scope.resolve(assertion["Assert"]) is holds
        assert "bill" in assertion["AssertDescription"]
    assert Scope(document, {}).resolve(rule["RuleCondition"]) is False

    for function, resource in of_type(document, FUNCTION).items():
        permissions = {
            body["Properties"]["Action"]: body
            for body in of_type(document, "AWS::Lambda::Permission").values()
            if body["Properties"]["FunctionName"] == {"Ref": function}
        }
        if "FunctionUrlConfig" not in resource["Properties"]:
            assert permissions == {}
            continue
        assert set(permissions) == {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
        assert permissions["lambda:InvokeFunctionUrl"]["Properties"]["FunctionUrlAuthType"] == "NONE"
        # Without it anybody could invoke the function past its URL.
        assert permissions["lambda:InvokeFunction"]["Properties"]["InvokedViaFunctionUrl"] is True
        for body in permissions.values():
            assert Scope(document, {}).holds(body["Condition"]) is False
            assert Scope(document, {"UrlAuth": "NONE"}).holds(body["Condition"]) is True


@pytest.mark.parametrize("path", REQUESTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_events_are_requests_that_the_function_takes(path: Path) -> None:
    event = json.loads(path.read_text())
    if "requestContext" in event:
        assert event["version"] == "2.0"
        http = event["requestContext"]["http"]
        assert (http["path"], http["method"]) in {("/runs", "POST"), ("/health", "GET")}
        assert event["rawPath"] == http["path"]
        if http["method"] == "GET":
            assert "body" not in event
            return
        event = json.loads(event["body"])
    request = GradingRequest.model_validate(event)
    assert len(request.transcript) > 1
    assert request.source is not None
    assert "CC BY 4.0" in request.source


def test_the_queue_event_holds_messages_as_they_are_sent(template: Template) -> None:
    records = json.loads((ROOT / "events/grading/queue.json").read_text())["Records"]
    assert len(records) == 2
    for one in records:
        assert one["body"] == message(json.loads(one["body"])["run_id"])
        assert one["md5OfBody"] == hashlib.md5(one["body"].encode(), usedforsecurity=False).hexdigest()
        assert one["eventSource"] == "aws:sqs"
        assert one["eventSourceARN"] == template.queues["GradingQueue"].arn


def test_there_is_an_event_of_every_kind() -> None:
    kinds = {
        function: {path.stem for path in EVENTS if path.parent.name == function}
        for function in ("grading", "results")
    }
    assert kinds["grading"] == {"url-stream", "url-json", "direct", "health", "queue"}
    assert kinds["results"] == {"create-session", "list-runs", "health"}
    stream, whole = (
        json.loads((ROOT / f"events/grading/{name}.json").read_text()) for name in ("url-stream", "url-json")
    )
    assert stream["headers"]["accept"] == "text/event-stream"
    assert whole["headers"]["accept"] == "application/json"
