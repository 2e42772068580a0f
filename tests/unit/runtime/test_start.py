"""How the process starts: what it imports, and where it looks."""

import subprocess
import sys
from pathlib import Path

LAYER = Path(__file__).parents[3] / "layers/shared"
WRAPPER = LAYER / "bin/rill-runtime"

HEAVY = {
    "mangum",
    "starlette",
    "fastapi",
    "pydantic",
    "anyio",
    "httpx",
    "httpx2",
    "openai",
    "boto3",
    "botocore",
}


def imported(code: str) -> list[str]:
    """What a new interpreter prints; it needs the package on its path, as Lambda has it."""
    env = {"PYTHONPATH": str(LAYER / "python")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_start_up_imports_nothing_heavy() -> None:
    code = "import sys, rill.runtime.__main__; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = set(imported(code))
    assert "h11" in loaded
    assert loaded & HEAVY == set()


def test_start_up_imports_nothing_else_of_rill() -> None:
    code = (
        "import sys, rill.runtime.__main__; print(*sorted(n for n in sys.modules if n.startswith('rill.')))"
    )
    assert [name for name in imported(code) if not name.startswith("rill.runtime")] == []


def wrapped(tmp_path: Path, **env: str) -> str:
    """What the wrapper starts in place of the interpreter, and on which path."""
    interpreter = tmp_path / "python3"
    interpreter.write_text('#!/bin/sh\necho "$PYTHONPATH" "$@"\n')
    interpreter.chmod(0o755)
    command = [str(WRAPPER), str(interpreter), "/var/runtime/bootstrap.py"]
    done = subprocess.run(command, env={"PATH": "/usr/bin:/bin", **env}, capture_output=True, check=True)
    return done.stdout.decode()


def test_wrapper(tmp_path: Path) -> None:
    opt = ":/opt/python" if Path("/opt/python").is_dir() else ""
    said = wrapped(tmp_path, LAMBDA_TASK_ROOT="/var/task", PYTHONPATH="/old")
    assert said == f"{LAYER}/python{opt}:/var/task:/old -m rill.runtime\n"
    assert wrapped(tmp_path) == f"{LAYER}/python{opt} -m rill.runtime\n"


def test_process_outside_lambda_says_so() -> None:
    command = [sys.executable, "-m", "rill.runtime"]
    env = {"PYTHONPATH": str(LAYER / "python")}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "AWS_LAMBDA_RUNTIME_API" in done.stderr
