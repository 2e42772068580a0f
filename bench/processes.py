"""Processes that are measured: started, looked at from outside, ended. Linux."""

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

STOP_SECONDS = 3.0


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and all its threads so far, to the nanosecond.

    The clock of another process has this number: `man 2 clock_getres`, CLOCK_PROCESS_CPUTIME_ID of a pid.
    """
    return time.clock_gettime((~pid << 3) | 2)


def resident_mb(pid: int) -> float:
    """Memory that is resident now, in MB of 1,000,000 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def children(pid: int) -> list[int]:
    """The processes that a process has started, and theirs."""
    found: list[int] = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            for child in map(int, (thread / "children").read_text().split()):
                found += [child, *children(child)]
    return found


def command_line(pid: int) -> str:
    """What a process was started with; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


@asynccontextmanager
async def process(
    command: Sequence[str],
    env: Mapping[str, str],
    *,
    cwd: Path | None = None,
    fds: Sequence[int] = (),
    log: Path | None = None,
    listen: bool = False,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process in a group of its own, which is ended on leaving.

    Args:
        fds: open files that it inherits.
        log: where its output goes; nowhere without.
        listen: its standard output is a pipe for the caller instead.
    """
    # A benchmark that is killed takes what it started with it.
    if setpriv := shutil.which("setpriv"):
        command = [setpriv, "--pdeathsig", "KILL", "--", *command]
    with (log or Path(os.devnull)).open("ab") as output:
        started = await asyncio.create_subprocess_exec(
            *command,
            env=env,
            cwd=cwd,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE if listen else output,
            stderr=output,
            pass_fds=fds,
            start_new_session=True,
        )
    try:
        yield started
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGCONT)
                os.killpg(started.pid, number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(started.wait(), STOP_SECONDS)
        await started.wait()


def clean_env(**more: str) -> dict[str, str]:
    """The environment of a measured process: little, and the same for all."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    return {**kept, "PYTHONUNBUFFERED": "1", **more}
