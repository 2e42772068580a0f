"""What `sam build` makes of the layers: for Lambda's Python and processors, and small enough."""

import os
import re
import struct
import subprocess
import sys
from importlib.util import MAGIC_NUMBER
from pathlib import Path

import pytest

from local.layers.bytecode import compile_all
from local.layers.dependencies import SERVICES
from local.layers.target import BuildError, Target, find_python
from tests.support.built import LAYERS, ROOT, Built, build_here, sam_build

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_BYTES = 250 * 1024 * 1024

# PEP 552: after the magic number, bit 0 says hash-based and bit 1 that the source is to be checked.
UNCHECKED_HASH = 0b01
MACHINES = {"aarch64": 183, "x86_64": 62}  # e_machine, from elf.h
LAMBDA_PYTHON = find_python("3.13", os.environ)

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Where `sam build` has put what is deployed, and what it printed."""
    directory = tmp_path_factory.mktemp("deployed") / "build"
    return directory, sam_build(directory)


@pytest.fixture(scope="session")
def here(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The same, built for the Python that runs this, so that it can be run."""
    return build_here(tmp_path_factory.mktemp("here"))


def byte_code(directory: Path) -> dict[Path, bytes]:
    """The first eight bytes of every .pyc: magic number and flags."""
    return {path: path.read_bytes()[:8] for path in directory.rglob("*.pyc")}


def magic_of(python: Path) -> bytes:
    code = "import importlib.util; print(importlib.util.MAGIC_NUMBER.hex())"
    asked = subprocess.run([str(python), "-I", "-c", code], capture_output=True, text=True, check=True)
    return bytes.fromhex(asked.stdout)


def test_both_layers_are_there_and_functions_stay_as_they_are(artifacts: tuple[Path, str]) -> None:
    directory, _ = artifacts
    assert sorted(path.name for path in directory.iterdir()) == [*sorted(LAYERS), "template.yaml"]
    dependencies, shared = (directory / name for name in LAYERS)
    assert [path.name for path in dependencies.iterdir()] == ["python"]
    assert sorted(path.name for path in shared.iterdir()) == ["bin", "python"]
    assert (shared / "python/rill/models/catalogue.json").is_file()
    assert not (dependencies / "python/rill").exists()


def test_every_locked_package_is_in_the_layer(artifacts: tuple[Path, str]) -> None:
    installed = {
        re.sub(r"[-_.]+", "-", path.name.removesuffix(".dist-info")).lower()
        for path in (artifacts[0] / "DependenciesLayer/python").glob("*.dist-info")
    }
    locked = {
        re.sub(r"[-_.]+", "-", f"{name}-{version}").lower()
        for name, version, marker in re.findall(
            r"^([\w.-]+)==([\w.]+)( ;[^\\]*)?", (ROOT / "requirements/layer.txt").read_text(), re.MULTILINE
        )
        if "sys_platform == 'emscripten'" not in marker
    }
    assert len(locked) > 10
    assert installed == locked


def test_native_code_is_there_for_every_processor_of_the_template(artifacts: tuple[Path, str]) -> None:
    found: dict[str, set[str]] = {name: set() for name in MACHINES}
    for path in artifacts[0].rglob("*.so*"):
        match = re.fullmatch(r"(\w+)\.cpython-313-(\w+)-linux-gnu\.so", path.name)
        assert match, f"{path.name} is not for Lambda's Python"
        module, machine = match.groups()
        header = path.read_bytes()[:20]
        assert header[:4] == b"\x7fELF"
        assert struct.unpack_from("<H", header, 18)[0] == MACHINES[machine]
        found[machine].add(module)
    assert found["aarch64"] == found["x86_64"]
    assert {"_pydantic_core", "jiter"} <= found["aarch64"]


def test_byte_code_is_for_lambdas_python_or_its_lack_is_said_loudly(artifacts: tuple[Path, str]) -> None:
    directory, output = artifacts
    compiled = byte_code(directory)
    if LAMBDA_PYTHON is None:
        assert compiled == {}
        assert output.count("NO PYTHON 3.13 ON THIS MACHINE") == len(LAYERS)
        return
    assert "NO PYTHON" not in output
    assert set(compiled.values()) == {magic_of(LAMBDA_PYTHON) + struct.pack("<I", UNCHECKED_HASH)}
    sources = set(directory.rglob("*.py"))
    assert {path.parent.parent / f"{path.name.split('.')[0]}.py" for path in compiled} == sources


def test_the_layers_fit_with_room_for_more(artifacts: tuple[Path, str]) -> None:
    layers = [path.stat().st_size for path in artifacts[0].rglob("*") if path.is_file()]
    functions = [path.stat().st_size for path in (ROOT / "functions").rglob("*") if path.is_file()]
    assert sum(layers) + sum(functions) < MAX_BYTES / 2


def test_botocore_describes_only_the_services_in_use(artifacts: tuple[Path, str]) -> None:
    data = artifacts[0] / "DependenciesLayer/python/botocore/data"
    assert {path.name for path in data.iterdir() if path.is_dir()} == SERVICES
    assert {"endpoints.json", "partitions.json", "sdk-default-configuration.json", "_retry.json"} <= {
        path.name.removesuffix(".gz") for path in data.iterdir() if path.is_file()
    }


def test_the_wrapper_can_be_executed(artifacts: tuple[Path, str]) -> None:
    wrapper = artifacts[0] / "SharedLayer/bin/rill-runtime"
    assert wrapper.stat().st_mode & 0o111 == 0o111
    assert wrapper.read_bytes().startswith(b"#!")


def test_no_path_of_this_machine_is_in_the_layers(artifacts: tuple[Path, str]) -> None:
    ours = str(ROOT).encode(), str(artifacts[0]).encode()
    assert [
        path for path in artifacts[0].rglob("*.pyc") if any(one in path.read_bytes() for one in ours)
    ] == []
    assert not (artifacts[0] / "DependenciesLayer/python/bin").exists()


def test_a_build_for_this_machine_runs_without_this_checkout(here: Built) -> None:
    assert set(byte_code(here.opt).values()) == {MAGIC_NUMBER + struct.pack("<I", UNCHECKED_HASH)}
    code = (
        "import sys, grading.app, boto3\n"
        "for name in sys.argv[1:]: boto3.client(name, region_name='eu-west-1')\n"
        "for name in ('rill', 'grading', 'starlette', 'pydantic_core', 'jiter', 'boto3', 'openai'):\n"
        "    print(__import__(name).__file__)\n"
    )
    # -S: without site-packages, so that nothing but the layers can provide.
    run = subprocess.run(
        [sys.executable, "-S", "-W", "error", "-c", code, *sorted(SERVICES)],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{here.opt / 'python'}:{here.functions}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "RILL_RUNS_TABLE": "Runs",
            "RILL_LINE_RATINGS_TABLE": "LineRatings",
            "RILL_IDEMPOTENCY_TABLE": "Idempotency",
            "RILL_MODEL_PROVIDER": "scripted",
            "RILL_MODEL_URL": "http://127.0.0.1:9/v1",
        },
        cwd=here.functions,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    for line in run.stdout.splitlines():
        assert Path(line).is_relative_to(here.opt) or Path(line).is_relative_to(here.functions)


def test_without_a_python_of_that_version_the_layer_works_and_it_is_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "python").mkdir()
    (tmp_path / "python/module.py").write_text("x = 1\n")
    target = Target(version="3.13", architectures=("arm64",), python=None)
    assert compile_all(tmp_path, target) is False
    assert byte_code(tmp_path) == {}
    captured = capfd.readouterr()
    assert "NO PYTHON 3.13 ON THIS MACHINE" in captured.err
    assert "twice as long" in captured.err
    assert len(captured.err.splitlines()) > 3


def test_a_source_that_does_not_compile_fails_the_build(tmp_path: Path) -> None:
    (tmp_path / "python").mkdir()
    (tmp_path / "python/module.py").write_text("x = (\n")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    target = Target(version=version, architectures=("arm64",), python=Path(sys.executable))
    with pytest.raises(BuildError, match=r"module\.py"):
        compile_all(tmp_path, target)


def test_a_command_that_is_no_python_of_that_version_is_passed_over(tmp_path: Path) -> None:
    shim = tmp_path / "bin/python3.99"
    shim.parent.mkdir()
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    assert find_python("3.99", {"PATH": str(shim.parent), "HOME": str(tmp_path)}) is None
    with pytest.raises(BuildError, match="RILL_TARGET_PYTHON"):
        find_python("3.99", {"RILL_TARGET_PYTHON": str(shim)})

    managed = tmp_path / ".pyenv/versions/3.99.1/bin/python"
    managed.parent.mkdir(parents=True)
    managed.write_text("#!/bin/sh\necho 3.99\n")
    managed.chmod(0o755)
    assert find_python("3.99", {"PATH": str(shim.parent), "HOME": str(tmp_path)}) == managed


def test_the_target_is_named_by_the_environment() -> None:
    nothing = {"PATH": "", "HOME": ""}
    usual = Target.from_env(nothing)
    assert (usual.version, usual.architectures) == ("3.13", ("arm64", "x86_64"))
    one = Target.from_env({**nothing, "RILL_TARGET_ARCH": "x86_64", "RILL_TARGET_PYTHON_VERSION": "3.12"})
    assert (one.version, one.architectures) == ("3.12", ("x86_64",))
    for wrong in ({"RILL_TARGET_ARCH": "sparc"}, {"RILL_TARGET_PYTHON_VERSION": "latest"}):
        with pytest.raises(BuildError, match=next(iter(wrong))):
            Target.from_env({**nothing, **wrong})
