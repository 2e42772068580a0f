"""Runs `rill` as its users do: a process, its streams and its exit code."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx2
import pytest

from local.stack import ROOT

SAMPLES = ROOT / "local" / "samples"
COFFEE = SAMPLES / "coffee-order.json"

KEPT_OUT = ("_API_KEY", "RILL_", "AWS_")
ENV = {name: value for name, value in os.environ.items() if not name.endswith(KEPT_OUT[0])}
ENV = {name: value for name, value in ENV.items() if not name.startswith(KEPT_OUT[1:])}

MAIN = "import sys; from local.cli import main; sys.exit(main())"


def rill(
    *arguments: str, given: bytes = b"", state: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", MAIN, *arguments]
    env = ENV if state is None else {**ENV, "RILL_STATE_DIR": str(state)}
    return subprocess.run(
        command, input=given, capture_output=True, env=env, cwd=ROOT, timeout=100, check=False
    )


class Dev:
    """A `rill dev` that is up."""

    def __init__(self, process: "subprocess.Popen[str]", page: str, grading: str) -> None:
        self.process = process
        self.page = page
        self.grading = grading


def addresses(out: IO[str]) -> dict[str, str]:
    """What `rill dev` says of where it is, up to the line that it prints last."""
    found: dict[str, str] = {}
    for line in out:
        name, _, url = line.strip().partition(" ")
        if url.strip().startswith("http://"):
            found[name] = url.strip()
        if "Ctrl-C ends it" in line:
            break
    return found


@contextmanager
def running(*options: str) -> Iterator[Dev]:
    """A `rill dev`, interrupted at the end, as its user does; nothing of it is left."""
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "dev", *options],
        stdout=subprocess.PIPE,
        text=True,
        env=ENV,
        cwd=ROOT,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        found = addresses(process.stdout)
        yield Dev(process, found["page"], found["grading"])
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
    assert (process.returncode, rest) == (0, "Stopped.\n")
    for url in found.values():
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(url, trust_env=False)
