"""What `sam build` makes, under AWS's own emulator: the layers and functions a deployment would have."""

import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from grading.models import GradingResult
from local.model import ScriptedModel
from rill.conformance import check
from rill.events import Complete
from tests.support.built import ROOT, Built, build_here
from tests.support.dynamodb import make_tables, moto_server
from tests.support.grading import variables
from tests.support.runtime.emulator import Emulator, start

# The interpreter without the virtual environment: what the layer lacks is then missing.
PYTHON = str(getattr(sys, "_base_executable", sys.executable))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build_here(tmp_path_factory.mktemp("built"), Path(PYTHON))


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    with pytest.MonkeyPatch.context() as patch, moto_server() as url, ScriptedModel() as model:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        make_tables(url)
        yield {
            **variables(model, url),
            "RILL_MODEL_IDLE_TIMEOUT": "20",
            "RILL_MODEL_FIRST_TOKEN_TIMEOUT": "20",
            "AWS_REGION": "eu-west-1",
            "POWERTOOLS_SERVICE_NAME": "grading",
            "PYTHONNOUSERSITE": "1",
        }


@pytest.fixture
async def emulator(built: Built, environment: dict[str, str], tmp_path: Path) -> AsyncIterator[Emulator]:
    async with AsyncExitStack() as stack:
        yield await start(
            stack,
            tmp_path,
            "grading.app.app",
            code=built.functions,
            wrapper=built.opt / "bin/rill-runtime",
            python=PYTHON,
            environment=environment,
        )


def event(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / f"events/grading/{name}.json").read_text())
    return loaded


async def test_the_built_function_streams_a_grading(emulator: Emulator) -> None:
    answer = await emulator.invoke(event("url-stream"))
    prelude, delimiter, body = answer.partition(bytes(8))
    assert delimiter, emulator.log
    assert json.loads(prelude)["headers"]["content-type"].startswith("text/event-stream")
    terminal = check(body).terminal
    assert isinstance(terminal, Complete), emulator.log
    GradingResult.model_validate(terminal.data)


async def test_the_built_function_answers_a_direct_event(emulator: Emulator) -> None:
    answer = json.loads(await emulator.invoke(event("direct")))
    GradingResult.model_validate(answer["data"])
    assert '"sections_completed"' in emulator.log


async def test_the_built_function_says_what_is_wrong_with_an_event(emulator: Emulator) -> None:
    error = json.loads(await emulator.invoke({"session_id": "s", "transcript": []}))
    assert error["errorType"] == "bad_request"
    assert "transcript: it is empty" in error["errorMessage"]
