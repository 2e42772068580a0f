"""CloudFormation's intrinsic functions, for as much as functions and tables use of them."""

import re
from collections.abc import Callable, Mapping
from typing import Any

PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/local/0",
    "AWS::StackName": "local",
    "AWS::URLSuffix": "amazonaws.com",
}

NO_VALUE = object()
"""What `!Ref AWS::NoValue` resolves to: the property is left out."""

_ARNS = {
    "AWS::DynamoDB::Table": "arn:aws:dynamodb:us-east-1:123456789012:table/{}",
    "AWS::Serverless::SimpleTable": "arn:aws:dynamodb:us-east-1:123456789012:table/{}",
    "AWS::SQS::Queue": "arn:aws:sqs:us-east-1:123456789012:{}",
    "AWS::Serverless::Function": "arn:aws:lambda:us-east-1:123456789012:function:{}",
    "AWS::SecretsManager::Secret": "arn:aws:secretsmanager:us-east-1:123456789012:secret:{}",
}

# The property that holds a resource's physical name, where the template sets one.
_NAMES = ("TableName", "QueueName", "FunctionName", "Name", "BucketName", "TopicName", "LogGroupName")

_VARIABLE = re.compile(r"\$\{(!?)([^}]+)\}")


class TemplateError(Exception):
    """The template cannot be used here; the message says why."""


class Scope:
    """What references in one template mean: parameters, conditions, mappings and resources."""

    def __init__(self, document: Mapping[str, Any], parameters: Mapping[str, str]) -> None:
        self._parameters = document.get("Parameters", {})
        self._given = parameters
        self._mappings = document.get("Mappings", {})
        self._conditions = document.get("Conditions", {})
        self._resources = document["Resources"]
        self._functions: Mapping[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Fn::GetAtt": self._get_att,
            "Fn::Sub": self._sub,
            "Fn::If": self._if,
            "Fn::Join": lambda value: value[0].join(str(part) for part in self.resolve(value[1])),
            "Fn::Split": lambda value: str(self.resolve(value[1])).split(value[0]),
            "Fn::Select": lambda value: self.resolve(value[1])[int(self.resolve(value[0]))],
            "Fn::FindInMap": self._find_in_map,
            "Fn::Equals": lambda value: self.resolve(value[0]) == self.resolve(value[1]),
            "Fn::Not": lambda value: not self.resolve(value[0]),
            "Fn::And": lambda value: all(self.resolve(part) for part in value),
            "Fn::Or": lambda value: any(self.resolve(part) for part in value),
            "Condition": self.holds,
        }

    def holds(self, condition: str | None) -> bool:
        """Whether a named condition is true; no condition is."""
        if condition is None:
            return True
        if condition not in self._conditions:
            raise TemplateError(f"there is no condition {condition}")
        return bool(self.resolve(self._conditions[condition]))

    def resolve(self, value: Any) -> Any:
        """The value with every intrinsic function in it worked out.

        Raises:
            TemplateError: it refers to something that is not there, or not on this machine.
        """
        if isinstance(value, list):
            return [item for part in value if (item := self.resolve(part)) is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(name, argument)] = value.items()
            if name in self._functions and not (name == "Condition" and isinstance(argument, dict)):
                return self._functions[name](argument)
            if isinstance(name, str) and name.startswith("Fn::"):
                raise TemplateError(f"{name} cannot be worked out here")
        resolved = {key: self.resolve(part) for key, part in value.items()}
        return {key: part for key, part in resolved.items() if part is not NO_VALUE}

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self._parameters:
            return self._parameter(name)
        if name not in self._resources:
            raise TemplateError(f"there is nothing named {name} to refer to")
        if self._resources[name].get("Type") == "AWS::SQS::Queue":
            return self._queue_url(name)
        return self._physical(name)

    def _queue_url(self, name: str) -> str:
        """A queue's `!Ref` is its URL, of the form that AWS gives it."""
        return f"https://sqs.{PSEUDO['AWS::Region']}.amazonaws.com/{PSEUDO['AWS::AccountId']}/{self._physical(name)}"

    def _parameter(self, name: str) -> Any:
        parameter = self._parameters[name]
        value = self._given.get(name, parameter.get("Default", ""))
        if parameter.get("Type", "String") in ("CommaDelimitedList", "List<Number>"):
            return [part.strip() for part in str(value).split(",")] if value != "" else []
        return value

    def _physical(self, name: str) -> str:
        properties = self._resources[name].get("Properties", {})
        for key in _NAMES:
            if key in properties:
                return str(self.resolve(properties[key]))
        return name

    def _get_att(self, value: list[str]) -> str:
        name, attribute = value[0], str(self.resolve(value[1]))
        if name not in self._resources:
            raise TemplateError(f"there is nothing named {name} to refer to")
        physical = self._physical(name)
        if attribute == "Arn":
            kind = self._resources[name].get("Type")
            return _ARNS.get(kind, "arn:aws:local:us-east-1:123456789012:{}").format(physical)
        if attribute == "QueueName":
            return physical
        if attribute == "QueueUrl":
            return self._queue_url(name)
        return f"{physical}.{attribute}"

    def _sub(self, value: Any) -> str:
        text, local = (value, {}) if isinstance(value, str) else (value[0], self.resolve(value[1]))

        def replace(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return f"${{{name}}}"
            if name in local:
                return str(local[name])
            found = self._get_att(name.split(".", 1)) if "." in name else self._ref(name)
            return str(found)

        return _VARIABLE.sub(replace, text)

    def _if(self, value: list[Any]) -> Any:
        return self.resolve(value[1] if self.holds(value[0]) else value[2])

    def _find_in_map(self, value: list[Any]) -> Any:
        found: Any = self._mappings
        for key in (str(self.resolve(part)) for part in value[:3]):
            if key not in found:
                raise TemplateError(f"there is no {key} in the mapping {value[0]}")
            found = found[key]
        return self.resolve(found)
