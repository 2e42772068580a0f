"""Reads `template.yaml`: functions, tables and queues, every value resolved for this machine."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from local.functions.intrinsics import Scope, TemplateError
from local.functions.yaml_tags import load

FUNCTION = "AWS::Serverless::Function"
LAYER = "AWS::Serverless::LayerVersion"
TABLE = "AWS::DynamoDB::Table"
SIMPLE_TABLE = "AWS::Serverless::SimpleTable"
QUEUE = "AWS::SQS::Queue"

# Lambda's own defaults. https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-function.html
DEFAULT_TIMEOUT = 3.0
DEFAULT_MEMORY = 128
DEFAULT_BATCH = 10

# Properties of a queue that are no attributes of CreateQueue.
_NOT_ATTRIBUTES = ("QueueName", "Tags")


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionUrl:
    """A function's URL. `cors` is the template's own `Cors` object, if it has one."""

    streaming: bool
    iam: bool
    cors: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """One SQS queue.

    Attributes:
        url: what `!Ref` gives; stands for the URL that the queue has once it is made.
        attributes: CreateQueue's.
    """

    name: str
    arn: str
    url: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSource:
    """An event source mapping from a queue to a function.

    Attributes:
        queue: the queue's name.
        max_concurrency: how many batches may be at work at once; None where the template sets no number.
        report_failures: whether the function's answer names the messages that failed.
    """

    queue: str
    batch_size: int
    max_concurrency: int | None
    report_failures: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One function of the template.

    Attributes:
        name: the logical id without "Function", in kebab case: `GradingFunction` is `grading`.
        wrapper: the file AWS_LAMBDA_EXEC_WRAPPER names, found in the layers; None where there is none.
        layers: the layers' directories in the checkout.
        timeout: in seconds.
        memory: in MB.
        concurrency: how many invocations may run at once; None where nothing reserves a number.
    """

    logical_id: str
    name: str
    handler: str
    code: Path
    layers: tuple[Path, ...]
    wrapper: Path | None
    timeout: float
    memory: int
    environment: Mapping[str, str]
    concurrency: int | None
    url: FunctionUrl | None
    sources: tuple[QueueSource, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """`tables` holds CreateTable's arguments by table name, `ttl` the TTL attribute of those with one.

    `queues` holds the queues by name.
    """

    functions: Mapping[str, Function]
    tables: Mapping[str, Mapping[str, Any]]
    ttl: Mapping[str, str]
    queues: Mapping[str, Queue]


def read(path: Path, parameters: Mapping[str, str] | None = None) -> Template:
    """Read a SAM template.

    Args:
        path: of the template; paths in it are relative to its directory.
        parameters: values in place of the parameters' defaults.

    Raises:
        TemplateError: it is not there, is no template, or uses something that cannot be resolved here.
    """
    try:
        document = load(path.read_text())
    except OSError as error:
        raise TemplateError(f"cannot read {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise TemplateError(f"{path} is not YAML: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("Resources"), dict):
        raise TemplateError(f"{path} has no Resources")
    return _Reader(document, path.parent.resolve(), parameters or {}).template()


def kebab(logical_id: str) -> str:
    """`BatchPlannerFunction` as `batch-planner`."""
    stem = logical_id.removesuffix("Function") or logical_id
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", stem).lower()


class _Reader:
    def __init__(self, document: dict[str, Any], base: Path, parameters: Mapping[str, str]) -> None:
        self._base = base
        self._scope = Scope(document, parameters)
        self._globals = document.get("Globals", {}).get("Function", {})
        self._resources = {
            name: resource
            for name, resource in document["Resources"].items()
            if self._scope.holds(resource.get("Condition"))
        }

    def template(self) -> Template:
        functions = [self._function(name, body) for name, body in self._of_type(FUNCTION)]
        queues = [self._queue(name, body) for name, body in self._of_type(QUEUE)]
        tables: dict[str, Mapping[str, Any]] = {}
        ttl: dict[str, str] = {}
        for name, body in [*self._of_type(TABLE), *self._of_type(SIMPLE_TABLE)]:
            properties = self._scope.resolve(body.get("Properties", {}))
            table = properties.get("TableName", name)
            tables[table] = _create_table(table, properties)
            if properties.get("TimeToLiveSpecification", {}).get("Enabled"):
                ttl[table] = properties["TimeToLiveSpecification"]["AttributeName"]
        return Template(
            functions={function.name: function for function in functions},
            tables=tables,
            ttl=ttl,
            queues={queue.name: queue for queue in queues},
        )

    def _of_type(self, kind: str) -> list[tuple[str, dict[str, Any]]]:
        return [(name, body) for name, body in self._resources.items() if body.get("Type") == kind]

    def _function(self, name: str, body: Mapping[str, Any]) -> Function:
        own = body.get("Properties", {})
        merged = {**self._globals, **own}
        variables: dict[str, str] = {}
        for source in (self._globals, own):
            given = self._scope.resolve(source.get("Environment", {}).get("Variables", {}))
            variables.update({key: _text(value) for key, value in given.items()})
        listed = [*self._globals.get("Layers", []), *own.get("Layers", [])]
        layers = tuple(path for layer in listed if (path := self._layer(layer)) is not None)
        wrapper = variables.pop("AWS_LAMBDA_EXEC_WRAPPER", None)
        concurrency = self._scope.resolve(merged.get("ReservedConcurrentExecutions"))
        return Function(
            logical_id=name,
            name=kebab(name),
            handler=str(self._scope.resolve(merged.get("Handler", ""))),
            code=self._path(self._scope.resolve(merged.get("CodeUri", "."))),
            layers=layers,
            wrapper=None if wrapper is None else _in_layers(wrapper, layers, name),
            timeout=float(self._scope.resolve(merged.get("Timeout", DEFAULT_TIMEOUT))),
            memory=int(self._scope.resolve(merged.get("MemorySize", DEFAULT_MEMORY))),
            environment=variables,
            concurrency=None if concurrency is None else int(concurrency),
            url=self._url(merged.get("FunctionUrlConfig")),
            sources=self._sources(name, own.get("Events", {})),
        )

    def _queue(self, name: str, body: Mapping[str, Any]) -> Queue:
        properties = self._scope.resolve(body.get("Properties", {}))
        arn = self._scope.resolve({"Fn::GetAtt": [name, "Arn"]})
        return Queue(
            name=arn.rpartition(":")[2],
            arn=arn,
            url=self._scope.resolve({"Ref": name}),
            attributes={
                key: json.dumps(value) if isinstance(value, dict) else _text(value)
                for key, value in properties.items()
                if key not in _NOT_ATTRIBUTES
            },
        )

    def _sources(self, name: str, events: Mapping[str, Any]) -> tuple[QueueSource, ...]:
        """The function's event source mappings; their defaults are Lambda's.

        Source: https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-function-sqs.html
        """
        found = []
        for event, body in events.items():
            properties = self._scope.resolve(body.get("Properties", {}))
            if body.get("Type") != "SQS" or _text(properties.get("Enabled", True)) == "false":
                continue
            if "FilterCriteria" in properties:
                raise TemplateError(f"{name}: FilterCriteria of {event} cannot be worked out here")
            maximum = properties.get("ScalingConfig", {}).get("MaximumConcurrency")
            source = QueueSource(
                queue=str(properties["Queue"]).rpartition(":")[2],
                batch_size=int(properties.get("BatchSize", DEFAULT_BATCH)),
                max_concurrency=None if maximum is None else int(maximum),
                report_failures="ReportBatchItemFailures" in properties.get("FunctionResponseTypes", []),
            )
            found.append(source)
        return tuple(found)

    def _url(self, config: Mapping[str, Any] | None) -> FunctionUrl | None:
        resolved = self._scope.resolve(config)
        if not resolved:
            return None
        return FunctionUrl(
            streaming=resolved.get("InvokeMode", "BUFFERED") == "RESPONSE_STREAM",
            iam=resolved.get("AuthType") == "AWS_IAM",
            cors=resolved.get("Cors"),
        )

    def _layer(self, reference: Any) -> Path | None:
        """The directory of a layer in this template; None for a layer that is only an ARN."""
        name = reference.get("Ref") if isinstance(reference, dict) else None
        resource = self._resources.get(name) if isinstance(name, str) else None
        if resource is None or resource.get("Type") != LAYER:
            return None
        return self._path(self._scope.resolve(resource["Properties"]["ContentUri"]))

    def _path(self, uri: Any) -> Path:
        if not isinstance(uri, str) or "://" in uri:
            raise TemplateError(f"{uri!r} is not in this checkout")
        return (self._base / uri).resolve()


def _in_layers(wrapper: str, layers: tuple[Path, ...], function: str) -> Path:
    """`/opt/…` is where Lambda unpacks the layers, the last one on top."""
    relative = wrapper.removeprefix("/opt/")
    for layer in reversed(layers):
        if (layer / relative).is_file():
            return layer / relative
    if Path(wrapper).is_file():
        return Path(wrapper)
    raise TemplateError(f"{function}: no layer holds {wrapper}")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


_CREATE_TABLE = (
    "AttributeDefinitions",
    "KeySchema",
    "GlobalSecondaryIndexes",
    "LocalSecondaryIndexes",
    "StreamSpecification",
)


def _create_table(name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """CreateTable's arguments. Billing is always on demand here: capacity means nothing on one machine."""
    arguments = {key: properties[key] for key in _CREATE_TABLE if key in properties}
    if "KeySchema" not in arguments:  # a SimpleTable
        key = properties.get("PrimaryKey", {"Name": "id", "Type": "String"})
        arguments["KeySchema"] = [{"AttributeName": key["Name"], "KeyType": "HASH"}]
        arguments["AttributeDefinitions"] = [
            {"AttributeName": key["Name"], "AttributeType": key["Type"][0].upper()}
        ]
    if "StreamSpecification" in arguments:
        arguments["StreamSpecification"] = {"StreamEnabled": True, **arguments["StreamSpecification"]}
    return {"TableName": name, "BillingMode": "PAY_PER_REQUEST", **arguments}
