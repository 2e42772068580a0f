"""The built deployment: `sam build` into a directory of the caller's."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAYERS = ("DependenciesLayer", "SharedLayer")  # as the template lists them: the later one is on top
_ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A build as Lambda would lay it out.

    Attributes:
        functions: the task root, with what every function is deployed with.
        opt: the layers, merged.
        output: what `sam build` printed.
    """

    functions: Path
    opt: Path
    output: str


def sam() -> str:
    """The `sam` of this checkout.

    Raises:
        RuntimeError: it is not there.
    """
    found = ROOT / ".tools/sam/bin/sam"
    if not found.is_file():
        raise RuntimeError("AWS SAM is not installed in .tools/sam: run `make tools` first")
    return str(found)


def sam_build(directory: Path, variables: Mapping[str, str] | None = None) -> str:
    """Build into `directory`; returns what was printed.

    Raises:
        RuntimeError: it failed; the message is what SAM said.
    """
    clean = {key: value for key, value in os.environ.items() if not key.startswith("RILL_")}
    run = subprocess.run(
        [sam(), "build", "--template", str(ROOT / "template.yaml"), "--build-dir", str(directory)],
        cwd=ROOT,
        env={**clean, "SAM_CLI_TELEMETRY": "0", **(variables or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if run.returncode:
        raise RuntimeError(f"sam build failed:\n{run.stdout}")
    return run.stdout


def build_here(directory: Path, python: Path | None = None) -> Built:
    """Build for a Python and the processor of this machine, to run what is deployed.

    Args:
        directory: an empty one, or one not there yet.
        python: an interpreter; the one that runs this by default.
    """
    interpreter = python or Path(sys.executable)
    asked = subprocess.run(
        [str(interpreter), "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=True,
    )
    variables = {
        "RILL_TARGET_PYTHON_VERSION": asked.stdout.strip(),
        "RILL_TARGET_PYTHON": str(interpreter),
        "RILL_TARGET_ARCH": _ARCHITECTURES[platform.machine()],
    }
    output = sam_build(directory / "build", variables)
    opt, functions = directory / "opt", directory / "functions"
    for layer in LAYERS:
        shutil.copytree(directory / "build" / layer, opt, dirs_exist_ok=True)
    shutil.copytree(ROOT / "functions", functions, ignore=shutil.ignore_patterns("__pycache__"))
    return Built(functions=functions, opt=opt, output=output)
