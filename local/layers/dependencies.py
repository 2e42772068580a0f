"""The dependencies layer: the packages of requirements/layer.txt for another Python and processor."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from local.layers.bytecode import compile_all
from local.layers.target import Architecture, BuildError, Target

LOCK = Path(__file__).resolve().parents[2] / "requirements/layer.txt"

# Lambda's runtimes from Python 3.12 on stand on Amazon Linux 2023, which has glibc 2.34.
_MANYLINUX = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
_MACHINE: dict[Architecture, str] = {"arm64": "aarch64", "x86_64": "x86_64"}

# botocore describes every service of AWS: 28 MB, of which these are used. Without the others the layer is
# about 70 MB unpacked, byte code and all, of the 250 MB that Lambda allows a function with its layers.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
SERVICES = frozenset({"dynamodb", "secretsmanager", "sqs", "ssm", "sts"})


def build(layer: Path, target: Target) -> None:
    """Write the layer into the directory `layer`.

    Raises:
        BuildError: pip cannot install the packages, or they do not compile.
    """
    python = layer / "python"
    first, *others = target.architectures
    _install(python, target.version, first)
    for architecture in others:
        with tempfile.TemporaryDirectory() as scratch:
            _install(Path(scratch), target.version, architecture)
            _add_native(Path(scratch), python)
    _trim(python)
    compile_all(layer, target)


def _install(directory: Path, version: str, architecture: Architecture) -> None:
    platforms = [f"--platform={tag}_{_MACHINE[architecture]}" for tag in _MANYLINUX]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    options = ["--no-compile", "--no-deps", "--require-hashes", "--only-binary=:all:", "--implementation=cp"]
    run = subprocess.run(
        [*command, *options, *platforms, f"--python-version={version}", f"--target={directory}", f"-r{LOCK}"],
        check=False,
    )
    if run.returncode:
        raise BuildError(f"pip could not install {LOCK.name} for {architecture} and Python {version}")


def _add_native(scratch: Path, python: Path) -> None:
    """Compiled modules of another processor stand beside the first one's: their names differ."""
    for module in scratch.rglob("*.so"):
        place = python / module.relative_to(scratch)
        if place.exists():
            raise BuildError(f"{place.name} has the same name for two processors")
        shutil.copy2(module, place)


def _trim(python: Path) -> None:
    # Commands start with the path of this machine's Python, and nothing on Lambda runs them.
    shutil.rmtree(python / "bin", ignore_errors=True)
    data = python / "botocore/data"
    if missing := sorted(name for name in SERVICES if not (data / name).is_dir()):
        raise BuildError(f"botocore has no data of {', '.join(missing)}")
    for directory in data.iterdir():
        if directory.is_dir() and directory.name not in SERVICES:
            shutil.rmtree(directory)
