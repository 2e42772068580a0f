"""What the process is told in its environment."""

import pytest

from rill.initialization import Initialization
from rill.runtime.settings import NotOnLambda, Settings

LEAST = {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001", "_HANDLER": "grading.app.app"}


def test_defaults() -> None:
    settings = Settings.from_env(LEAST)
    assert (settings.api, settings.handler) == (("127.0.0.1", 9001), "grading.app.app")
    assert (settings.ahead, settings.snap_start, settings.sam_local) == (False, False, False)
    assert settings.memory_mb == 128


def test_everything() -> None:
    settings = Settings.from_env(
        {
            **LEAST,
            "AWS_LAMBDA_FUNCTION_NAME": "grading",
            "AWS_LAMBDA_FUNCTION_VERSION": "7",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_LOG_GROUP_NAME": "group",
            "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
            "AWS_SAM_LOCAL": "true",
        }
    )
    assert (settings.function_name, settings.function_version, settings.memory_mb) == ("grading", "7", 512)
    assert (settings.log_group, settings.log_stream) == ("group", "stream")
    assert (settings.ahead, settings.snap_start, settings.sam_local) == (True, True, True)


@pytest.mark.parametrize(
    ("kind", "ahead", "snapshot"),
    [
        ("", False, False),
        ("on-demand", False, False),
        ("provisioned-concurrency", True, False),
        ("lambda-managed-instances", True, False),
        ("snap-start", True, True),
    ],
)
def test_initialization(kind: str, ahead: bool, snapshot: bool) -> None:
    env = {**LEAST, "AWS_LAMBDA_INITIALIZATION_TYPE": kind}
    settings = Settings.from_env(env)
    assert (settings.ahead, settings.snap_start) == (ahead, snapshot)
    # The functions' own reading of it, which the runtime may not import.
    assert Initialization.from_env(env) == Initialization(ahead=ahead, snapshot=snapshot)


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({}, "AWS_LAMBDA_RUNTIME_API"),
        ({**LEAST, "AWS_LAMBDA_RUNTIME_API": "nowhere"}, "AWS_LAMBDA_RUNTIME_API"),
        ({**LEAST, "AWS_LAMBDA_RUNTIME_API": "a:b"}, "AWS_LAMBDA_RUNTIME_API"),
        ({**LEAST, "_HANDLER": ""}, "_HANDLER"),
    ],
)
def test_not_on_lambda(env: dict[str, str], said: str) -> None:
    with pytest.raises(NotOnLambda, match=said):
        Settings.from_env(env)
