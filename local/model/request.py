"""A chat completions request: what of it counts here, and what is wrong with it. Pure."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from local.model.prompt import Prompt, read_prompt


class BadRequest(ValueError):
    """What OpenAI's API would answer 400 to."""


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    model: str
    prompt: Prompt
    stream: bool
    with_usage: bool
    json_answer: bool
    schema_name: str | None
    schema: dict[str, Any]
    limit: int | None
    """The most deltas to send, from max_completion_tokens."""
    body: dict[str, Any]


def read_request(raw: bytes) -> CompletionRequest:
    """Raises BadRequest."""
    try:
        body = json.loads(raw)
    except ValueError:
        raise BadRequest("We could not parse the JSON body of your request.") from None
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        raise BadRequest("you must provide a model parameter")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        raise BadRequest("'messages' must be a list of at least one message object.")
    if body.get("n") not in {None, 1}:
        raise BadRequest("The scripted model gives one choice only: 'n' must be 1.")
    name, schema, json_answer = _response_format(body.get("response_format"))
    return CompletionRequest(
        model=body["model"],
        prompt=read_prompt(messages),
        stream=bool(body.get("stream")),
        with_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        json_answer=json_answer,
        schema_name=name,
        schema=schema,
        limit=_limit(body),
        body=body,
    )


def _limit(body: dict[str, Any]) -> int | None:
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    if limit is None:
        return None
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise BadRequest("'max_completion_tokens' must be a whole number of at least 1.")
    return limit


def _response_format(value: object) -> tuple[str | None, dict[str, Any], bool]:
    if value is None or value == {"type": "text"}:
        return None, {}, False
    if not isinstance(value, dict) or value.get("type") not in {"json_schema", "json_object"}:
        raise BadRequest("Invalid 'response_format': its type is text, json_object or json_schema.")
    if value["type"] == "json_object":
        return "json_object", {}, True
    wanted = value.get("json_schema")
    if not isinstance(wanted, dict) or not isinstance(wanted.get("name"), str):
        raise BadRequest("Missing required parameter: 'response_format.json_schema.name'.")
    schema = wanted.get("schema", {})
    if not isinstance(schema, dict):
        raise BadRequest("Invalid 'response_format.json_schema.schema': not an object.")
    if wanted.get("strict"):
        for fault in _not_strict(schema):
            raise BadRequest(f"Invalid schema for response_format '{wanted['name']}': {fault}")
    return wanted["name"], schema, True


def _not_strict(schema: dict[str, Any]) -> Iterator[str]:
    """Where a schema breaks the rules of strict structured output that requests fail on most."""
    if "anyOf" in schema or (schema.get("type") != "object" and "$ref" not in schema):
        yield "In context=(), schema must be a JSON Schema of 'type: \"object\"'."
    yield from _loose_objects(schema, ())


def _loose_objects(schema: object, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(schema, list):
        for index, part in enumerate(schema):
            yield from _loose_objects(part, (*path, str(index)))
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        yield f"In context={path}, 'additionalProperties' is required to be supplied and to be false."
    properties = schema.get("properties", {})
    missing = [name for name in properties if name not in schema.get("required", ())]
    if missing:
        yield f"In context={path}, 'required' must list every key in properties. Missing '{missing[0]}'."
    for word in ("properties", "$defs", "definitions"):
        for name, part in schema.get(word, {}).items():
            yield from _loose_objects(part, (*path, word, name))
    for word in ("items", "anyOf"):
        yield from _loose_objects(schema.get(word), (*path, word))
