"""Where things are, and what versions they have."""

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BENCH = ROOT / "bench"
TOOLS = ROOT / ".tools" / "bench"
PEERS = BENCH / "peers"
APPS = BENCH / "apps"
ADAPTER = TOOLS / "lwa" / "bin" / "lambda-adapter"
ADAPTER_CRATE = ("lambda_web_adapter", "0.9.1")


class MissingError(Exception):
    """Something a measurement needs is not on this machine; the message says what and why."""


def peer_python(peer: str) -> Path:
    """The interpreter of a peer's environment.

    Raises:
        MissingError: `make bench-setup` has not made it.
    """
    found = TOOLS / peer / "bin" / "python"
    if not (TOOLS / peer / ".made").is_file():
        raise MissingError(f"its environment is not installed: `make bench-setup` makes {peer}")
    return found


def pins(peer: str) -> dict[str, str]:
    """The versions of a peer's environment by package."""
    lines = (PEERS / f"{peer}.txt").read_text().split()
    return dict(line.split("==", 1) for line in lines if "==" in line)


def versions(peer: str, *packages: str) -> dict[str, str]:
    """Of the named packages, as they are pinned."""
    known = pins(peer)
    return {package: known[package] for package in packages if package in known}


def own_versions(*packages: str) -> dict[str, str]:
    """Of the named packages, as Rill's own environment has them."""
    return {f"{package} (Rill)": metadata.version(package) for package in packages}


def machine() -> dict[str, str]:
    """What the measurements ran on."""
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def run_script(python: Path | str, script: Path, given: str, *arguments: str) -> str:
    """Runs a script that reads all of its standard input and prints its result.

    Raises:
        MissingError: it failed; with the last line that it said.
    """
    done = subprocess.run(
        [str(python), str(script), *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, source_path()))},
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise MissingError(f"{script.stem} failed: {said[-1]}")
    return done.stdout


def source_path() -> list[Path]:
    """What Rill's own scripts need on their path."""
    return [ROOT / "layers" / "shared" / "python", ROOT / "functions", ROOT]


def own_python() -> str:
    """Rill's interpreter."""
    return sys.executable
