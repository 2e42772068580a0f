"""What template.yaml deploys: read as the emulator reads it, and against the code that runs there."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from grading.models import GradingRequest
from local.functions.intrinsics import Scope
from local.functions.template import FUNCTION, TABLE, Template, read
from local.functions.yaml_tags import load
from tests.support import database_calls
from tests.support.built import ROOT, sam

TEMPLATE = ROOT / "template.yaml"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:model-key-AbCdEf"
EVENTS = sorted((ROOT / "events").glob("*/*.json"))


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
    """The role's statements of a function, resolved."""
    scope = Scope(document, parameters)
    policies = scope.resolve(document["Resources"][function]["Properties"].get("Policies", []))
    return [statement for policy in policies for statement in policy["Statement"]]


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


def test_every_function_streams_behind_a_url_with_both_layers(template: Template) -> None:
    assert set(template.functions) == {"grading"}
    for function in template.functions.values():
        assert function.url is not None
        assert function.url.streaming
        assert function.url.iam, "a URL is signed for unless somebody asks otherwise"
        assert function.layers == (ROOT / "layers/dependencies", ROOT / "layers/shared")
        assert function.wrapper == ROOT / "layers/shared/bin/rill-runtime"
        assert (function.code, function.timeout) == (ROOT / "functions", 900)
        assert function.environment["POWERTOOLS_SERVICE_NAME"] == function.name


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
        wanted = database_calls.required_variables(ROOT / "functions" / function.name / "app.py")
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
    }
    assert template.ttl == {"RunsTable": "expires_at"}


def test_tables_outlive_the_stack_and_can_be_restored(document: dict[str, Any]) -> None:
    for body in of_type(document, TABLE).values():
        properties = body["Properties"]
        assert (body["DeletionPolicy"], body["UpdateReplacePolicy"]) == ("Retain", "Retain")
        assert properties["BillingMode"] == "PAY_PER_REQUEST"
        assert properties["SSESpecification"] == {"SSEEnabled": True}
        assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_a_role_allows_exactly_what_the_code_calls(document: dict[str, Any], template: Template) -> None:
    for function in template.functions.values():
        calls = database_calls.of_function(ROOT / "functions" / function.name / "app.py")
        arns = "arn:aws:dynamodb:us-east-1:123456789012:table/{}"
        wanted = {arns.format(function.environment[name]): called for name, called in calls.items()}
        assert wanted
        allowed: dict[str, set[str]] = {}
        for statement in statements(document, function.logical_id):
            assert statement["Effect"] == "Allow"
            allowed.setdefault(statement["Resource"], set()).update(actions(statement))
        assert allowed == wanted


def test_the_secret_can_be_read_where_there_is_one(document: dict[str, Any], template: Template) -> None:
    for function in template.functions.values():
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

    for function in of_type(document, FUNCTION):
        permissions = {
            body["Properties"]["Action"]: body
            for body in of_type(document, "AWS::Lambda::Permission").values()
            if body["Properties"]["FunctionName"] == {"Ref": function}
        }
        assert set(permissions) == {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
        assert permissions["lambda:InvokeFunctionUrl"]["Properties"]["FunctionUrlAuthType"] == "NONE"
        # Without it anybody could invoke the function past its URL.
        assert permissions["lambda:InvokeFunction"]["Properties"]["InvokedViaFunctionUrl"] is True
        for body in permissions.values():
            assert Scope(document, {}).holds(body["Condition"]) is False
            assert Scope(document, {"UrlAuth": "NONE"}).holds(body["Condition"]) is True


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
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


def test_there_is_an_event_of_every_kind() -> None:
    assert {path.stem for path in EVENTS} == {"url-stream", "url-json", "direct", "health"}
    stream, whole = (
        json.loads((ROOT / f"events/grading/{name}.json").read_text()) for name in ("url-stream", "url-json")
    )
    assert stream["headers"]["accept"] == "text/event-stream"
    assert whole["headers"]["accept"] == "application/json"
