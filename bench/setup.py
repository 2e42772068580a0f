"""Makes one virtual environment per peer, and builds the Lambda Web Adapter: `make bench-setup`."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from bench.places import ADAPTER, ADAPTER_CRATE, PEERS, TOOLS


def main() -> int:
    """Set up what is not there yet. What cannot be installed is named, and does not stop the rest."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    problems = {}
    for listed in sorted(PEERS.glob("*.txt")):
        if (said := _environment(listed)) is not None:
            problems[listed.stem] = said
    if (said := _adapter()) is not None:
        problems["lambda_web_adapter"] = said
    for name, why in problems.items():
        print(f"missing: {name}: {why}")
    print(f"Environments in {TOOLS.relative_to(TOOLS.parents[1])}.")
    return 0


def _environment(listed: Path) -> str | None:
    """Why the environment could not be made, or None."""
    home = TOOLS / listed.stem
    made, wanted = home / ".made", hashlib.sha256(listed.read_bytes()).hexdigest()
    if made.is_file() and made.read_text() == wanted:
        return None
    print(f"Installing {listed.stem} …", flush=True)
    shutil.rmtree(home, ignore_errors=True)
    if (said := _run([sys.executable, "-m", "venv", str(home)])) is not None:
        return said
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # The lists are whole: there is nothing to resolve.
    if (said := _run([*pip, "--no-deps", "-r", str(listed)])) is not None:
        return said
    # Layers carry byte code, and so does what they are measured beside.
    _run([str(home / "bin" / "python"), "-m", "compileall", "-q", "-j", "0", str(home / "lib")])
    made.write_text(wanted)
    return None


def _adapter() -> str | None:
    name, version = ADAPTER_CRATE
    if ADAPTER.is_file():
        return None
    if (cargo := shutil.which("cargo")) is None:
        return "cargo is not installed"
    print(f"Building {name} {version} …", flush=True)
    home = str(ADAPTER.parents[1])
    return _run([cargo, "install", name, "--version", version, "--locked", "--quiet", "--root", home])


def _run(command: list[str]) -> str | None:
    """What the command said last where it failed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    said = (done.stderr or done.stdout).strip().splitlines()
    return said[-1] if said else f"{command[0]} failed with status {done.returncode}"


if __name__ == "__main__":
    sys.exit(main())
