"""What a layer is built for: a Python version and processors, by the environment."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Architecture = Literal["arm64", "x86_64"]

DEFAULT_VERSION = "3.13"  # the template's runtime
ARCHITECTURES: tuple[Architecture, ...] = ("arm64", "x86_64")


class BuildError(Exception):
    """The layer cannot be built; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a layer is built for.

    Attributes:
        version: of Python, as "3.13".
        architectures: whose native code goes into the layer. The names of compiled modules carry the
            processor, so one layer can hold several, and the template's Architecture parameter, which
            `sam build` does not pass on to a Makefile, is free to be either.
        python: a Python of that version on this machine, to compile byte code with; None where there is none.
    """

    version: str
    architectures: tuple[Architecture, ...]
    python: Path | None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Target":
        """By RILL_TARGET_PYTHON_VERSION, RILL_TARGET_ARCH (names, by commas) and RILL_TARGET_PYTHON (a path).

        Raises:
            BuildError: one of them makes no sense.
        """
        version = env.get("RILL_TARGET_PYTHON_VERSION") or DEFAULT_VERSION
        if not re.fullmatch(r"3\.\d+", version):
            raise BuildError(f"RILL_TARGET_PYTHON_VERSION is {version!r}; it has to be like 3.13")
        named = [name for name in env.get("RILL_TARGET_ARCH", "").replace(",", " ").split() if name]
        if unknown := set(named) - set(ARCHITECTURES):
            raise BuildError(f"RILL_TARGET_ARCH has {sorted(unknown)}; it can name arm64 and x86_64")
        architectures = tuple(known for known in ARCHITECTURES if not named or known in named)
        return cls(version=version, architectures=architectures, python=find_python(version, env))


def find_python(version: str, env: Mapping[str, str]) -> Path | None:
    """A Python of that version: RILL_TARGET_PYTHON, this one, one on PATH or one of pyenv's.

    Raises:
        BuildError: RILL_TARGET_PYTHON is set, and is no such Python.
    """
    if named := env.get("RILL_TARGET_PYTHON"):
        if _version(Path(named)) != version:
            raise BuildError(f"RILL_TARGET_PYTHON is {named!r}, which is no Python {version}")
        return Path(named)
    return next((path for path in _candidates(version, env) if _version(path) == version), None)


def _candidates(version: str, env: Mapping[str, str]) -> Iterator[Path]:
    if f"{sys.version_info.major}.{sys.version_info.minor}" == version:
        yield Path(sys.executable)
    if found := shutil.which(f"python{version}", path=env.get("PATH", "")):
        yield Path(found)
    pyenv = Path(env.get("PYENV_ROOT") or Path(env.get("HOME") or os.devnull) / ".pyenv")
    yield from sorted(pyenv.glob(f"versions/{version}*/bin/python"))


def _version(python: Path) -> str | None:
    """Asked of the program itself: what PATH finds may be a shim with nothing behind it."""
    command = [str(python), "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout.strip() if run.returncode == 0 else None
