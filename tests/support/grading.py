"""Grading's app over a scripted model and a DynamoDB, called without a socket between."""

import importlib
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from starlette.applications import Starlette

from local.model import ScriptedModel
from rill.conformance import Report, check
from tests.support import asgi

CALLS: list[dict[str, Any]] = [
    json.loads(line) for line in (Path(__file__).parents[1] / "data/calls.jsonl").read_text().splitlines()
]
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "eu-west-1",
}


def variables(model: ScriptedModel, dynamodb: str, **more: str) -> dict[str, str]:
    """The environment of a grading function, with timeouts that a test can wait for."""
    return {
        **CREDENTIALS,
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb,
        "RILL_RUNS_TABLE": "Runs",
        "RILL_LINE_RATINGS_TABLE": "LineRatings",
        "RILL_IDEMPOTENCY_TABLE": "Idempotency",
        "RILL_MODEL_PROVIDER": "scripted",
        "RILL_MODEL_URL": model.openai_base_url,
        "RILL_MODEL_IDLE_TIMEOUT": "0.5",
        "RILL_MODEL_FIRST_TOKEN_TIMEOUT": "1.5",
        **more,
    }


@asynccontextmanager
async def app(environment: Mapping[str, str]) -> AsyncIterator[asgi.App]:
    """The app as its module makes it in that environment, from start-up to shutdown."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        async with _app(environment) as made:
            yield made
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@asynccontextmanager
async def _app(environment: Mapping[str, str]) -> AsyncIterator[asgi.App]:
    with mock.patch.dict("os.environ", environment):
        made: Starlette = importlib.reload(importlib.import_module("grading.app")).app
        async with made.router.lifespan_context(made):
            yield made


async def stream(app: asgi.App, request: Mapping[str, Any], **options: Any) -> Report:
    """Grade over `POST /runs`; the stream has been checked against the protocol."""
    answer = await asgi.call(
        app,
        "POST",
        "/runs",
        body=json.dumps(request).encode(),
        headers={"accept": "text/event-stream"},
        **options,
    )
    assert answer.status == 200, answer.body
    return check(answer.body)
