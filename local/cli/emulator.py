"""AWS's Runtime Interface Emulator (RIE) as a plain process: no Docker.

It comes with SAM, in the environment that `make tools` makes.
"""

import asyncio
import os
import platform
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from local.cli.problems import Problem
from local.functions.environment import variables
from local.functions.template import Function
from local.stack import ROOT

STOP_SECONDS = 3.0


def binary(root: Path = ROOT) -> Path:
    """Where the emulator for this machine's processor is.

    Raises:
        Problem: it is not installed.
    """
    arch = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
    name = f"samcli/local/rapid/aws-lambda-rie-{arch}"
    found = next((root / ".tools" / "sam").glob(f"lib/python*/site-packages/{name}"), None)
    if found is None:
        raise Problem("AWS's Lambda emulator is not installed: `make tools` installs it")
    if sys.platform != "linux":
        raise Problem("AWS's Lambda emulator runs on Linux only; `rill dev` serves the functions anywhere")
    return found


@asynccontextmanager
async def emulated(function: Function, overrides: Mapping[str, str]) -> AsyncIterator[str]:
    """Runs the emulator with that function; yields the URL that invokes it.

    What function and emulator print goes to standard error.

    Raises:
        Problem: the function has no wrapper, or the emulator does not start.
    """
    if function.wrapper is None:
        raise Problem(f"{function.name} has no AWS_LAMBDA_EXEC_WRAPPER: its runtime is not on this machine")
    listens, api = _free_address(), _free_address()
    command = [str(binary()), "--runtime-interface-emulator-address", listens, "--runtime-api-address", api]
    command += [str(function.wrapper), sys.executable, "/var/runtime/bootstrap.py"]
    if setpriv := shutil.which("setpriv"):  # a killed `rill` cannot end it: the kernel does
        command = [setpriv, "--pdeathsig", "KILL", "--", *command]
    env = variables(function, overrides, api)
    env["AWS_LAMBDA_FUNCTION_TIMEOUT"] = str(round(function.timeout))
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=function.code,
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=sys.stderr.fileno(),  # standard output is for the answer
        stderr=sys.stderr.fileno(),
        start_new_session=True,
    )
    try:
        await _listening(process, listens)
        yield f"http://{listens}/2015-03-31/functions/function/invocations"
    finally:
        await _stop(process)


def _free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return f"127.0.0.1:{bound.getsockname()[1]}"


async def _listening(process: asyncio.subprocess.Process, address: str) -> None:
    """The emulator says nothing when it listens, so its port is tried until it takes a connection."""
    host, _, port = address.partition(":")
    loop = asyncio.get_running_loop()
    until = loop.time() + 15
    while loop.time() < until:
        if process.returncode is not None:
            raise Problem(f"the emulator ended with status {process.returncode}")
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return
    raise Problem("the emulator does not listen")


async def _stop(process: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)  # the function is its child
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
    await process.wait()
