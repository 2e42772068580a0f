"""What each function imports before its first event: import is what a cold start consists of."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from local.model import ScriptedModel
from tests.support.dynamodb import make_tables, moto_server

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    "RILL_RUNS_TABLE": "Runs",
    "RILL_LINE_RATINGS_TABLE": "LineRatings",
    "RILL_IDEMPOTENCY_TABLE": "Idempotency",
    "RILL_MODEL_PROVIDER": "scripted",
    # Nothing listens there and nothing has to: the first event comes before the first connection.
    "RILL_MODEL_URL": "http://127.0.0.1:9/v1",
    "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:9",
    "PYTHONPATH": f"{ROOT}/layers/shared/python:{ROOT}/functions:{ROOT}",
}

# Packages that start-up may import beside the standard library and Rill's own.
ALLOWED = {
    "grading": {
        "annotated_types",
        "anyio",
        "idna",
        "jiter",
        "pydantic",
        "pydantic_core",
        "sniffio",
        "starlette",
        "typing_extensions",
        "typing_inspection",
    },
}
# What must not be there when the first event is on its way.
LATER = {"aws_lambda_powertools", "boto3", "botocore", "fastapi", "httpx2", "openai"}

SCRIPT = """
import asyncio, json, os, sys
before = set(sys.modules)
import FUNCTION.app
def imported():
    names = {name.partition(".")[0] for name in set(sys.modules) - before}
    return sorted(n for n in names - sys.stdlib_module_names if not n.startswith("_sysconfigdata"))
report = {"startup": imported()}
async def main():
    from tests.support.asgi import call
    async def first(piece):
        report["first_piece"] = piece.decode()
        report["first_event"] = imported()
        print(json.dumps(report), flush=True)
        os._exit(0)
    await call(FUNCTION.app.app, "POST", "/runs", body=sys.stdin.buffer.read(),
               headers={"accept": "text/event-stream"}, on_piece=first)
asyncio.run(main())
"""


AHEAD = """
import asyncio, json, sys
import FUNCTION.app
from rill.models import structured
from rill.runtime import bridge
from tests.support.asgi import call
def made():
    return structured.strict_schema.cache_info().misses + structured._adapters.cache_info().misses
async def main():
    app = FUNCTION.app.app
    bridge.load()
    async with app.router.lifespan_context(app):
        before, forms = set(sys.modules), made()
        answer = await call(app, "POST", "/runs", body=sys.stdin.buffer.read(),
                            headers={"accept": "text/event-stream"})
        print(json.dumps({"loaded": sorted(before & set(LATER)), "answer": answer.body.decode(),
                          "imported": sorted(set(sys.modules) - before),
                          "forms": forms, "made": made() - forms}))
asyncio.run(main())
"""


@pytest.fixture(scope="module", params=sorted(ALLOWED))
def report(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What a fresh process says of its own imports."""
    function: str = request.param
    return {"function": function, **_say(SCRIPT.replace("FUNCTION", function), ENVIRONMENT)}


def _say(script: str, env: Mapping[str, str]) -> dict[str, Any]:
    """What a fresh process that grades a call says in its last line."""
    body = (ROOT / "tests/data/calls.jsonl").read_bytes().splitlines()[0]
    done = subprocess.run(
        [sys.executable, "-c", script], input=body, env=env, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def test_start_up_imports_what_is_listed_and_nothing_else(report: dict[str, Any]) -> None:
    own = {"rill", report["function"]}
    assert set(report["startup"]) - own <= ALLOWED[report["function"]]


def test_the_first_event_goes_out_before_anything_heavy_is_imported(report: dict[str, Any]) -> None:
    assert '"type":"start"' in report["first_piece"]
    assert not set(report["first_event"]) & LATER


@pytest.mark.parametrize("initialization", ["provisioned-concurrency", "snap-start", "a-newer-kind"])
@pytest.mark.parametrize("function", sorted(ALLOWED))
def test_a_process_made_ahead_leaves_nothing_for_its_first_request(
    function: str, initialization: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    for name, value in credentials.items():
        monkeypatch.setenv(name, value)
    with moto_server() as dynamodb, ScriptedModel() as model:
        make_tables(dynamodb).close()
        env = (
            ENVIRONMENT
            | credentials
            | {
                "AWS_REGION": "eu-west-1",
                "AWS_DEFAULT_REGION": "eu-west-1",
                "RILL_QUEUE_URL": "http://127.0.0.1:9/queue",
                "AWS_ENDPOINT_URL_DYNAMODB": dynamodb,
                "AWS_LAMBDA_INITIALIZATION_TYPE": initialization,
                "RILL_MODEL_URL": model.openai_base_url,
            }
        )
        said = _say(AHEAD.replace("FUNCTION", function).replace("LATER", repr(LATER)), env)
    assert '"type":"complete"' in said["answer"]
    assert set(said["loaded"]) >= {"aws_lambda_powertools", "boto3", "httpx2", "openai"}
    assert said["imported"] == []
    assert said["forms"] > 0
    assert said["made"] == 0
