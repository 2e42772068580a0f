"""AWS's own Runtime Interface Emulator, as the package aws-sam-cli carries it.

It speaks for AWS on whether the runtime keeps to the protocol. It buffers a streamed response: the caller
gets prelude, delimiter and payload in one piece, and of the error trailers nothing.
"""

import asyncio
import os
import platform
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2

ROOT = Path(__file__).parents[3]
WRAPPER = ROOT / "layers/shared/bin/rill-runtime"
CODE = Path(__file__).parent / "code"

# Where a runtime has time to import an app on a machine that runs other tests as well.
SECONDS = 30


def binary() -> Path:
    """The emulator.

    Raises:
        FileNotFoundError: it is not installed.
    """
    kind = "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64"
    pattern = f".tools/sam/lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-{kind}"
    found = next(iter(ROOT.glob(pattern)), None)
    if found is None:
        raise FileNotFoundError("AWS's Runtime Interface Emulator is not installed: run `make tools`")
    return found


class Emulator:
    """A running emulator with Rill's runtime in it. Its log is the runtime's log as well."""

    def __init__(self, url: str, log: Path, client: httpx2.AsyncClient) -> None:
        self._url = url
        self._log = log
        self._client = client

    @property
    def log(self) -> str:
        return self._log.read_text()

    async def invoke(self, event: Any) -> bytes:
        """What the caller of an invocation gets."""
        path = "/2015-03-31/functions/function/invocations"
        return (await self._client.post(self._url + path, json=event)).content


async def start(
    stack: AsyncExitStack,
    tmp_path: Path,
    handler: str = "probe.app",
    *,
    code: Path = CODE,
    wrapper: Path = WRAPPER,
    python: str = sys.executable,
    environment: Mapping[str, str] | None = None,
) -> Emulator:
    """Start the emulator; the runtime follows with the first invocation. The stack ends both."""
    port, api_port = _free_port(), _free_port()
    variables = {
        "PATH": os.environ["PATH"],
        "AWS_LAMBDA_FUNCTION_NAME": "probe",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(SECONDS),
        "LAMBDA_TASK_ROOT": str(code),
        "_HANDLER": handler,
        **(environment or {}),
    }
    log = tmp_path / "emulator.log"
    output = stack.enter_context(log.open("ab"))
    process = await asyncio.create_subprocess_exec(
        str(binary()),
        "--runtime-interface-emulator-address",
        f"127.0.0.1:{port}",
        "--runtime-api-address",
        f"127.0.0.1:{api_port}",
        str(wrapper),
        python,
        "/var/runtime/bootstrap.py",
        handler,
        cwd=code,
        env=variables,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    stack.push_async_callback(_end, process)
    await _listening(port, process)
    client = await stack.enter_async_context(httpx2.AsyncClient(timeout=SECONDS, trust_env=False))
    return Emulator(f"http://127.0.0.1:{port}", log, client)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _listening(port: int, process: asyncio.subprocess.Process) -> None:
    """Wait until the port takes connections: the emulator says nothing when it does."""
    async with asyncio.timeout(SECONDS):
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                await writer.wait_closed()
                return
    raise RuntimeError("the emulator ended before it listened")


async def _end(process: asyncio.subprocess.Process) -> None:
    """SIGTERM first: the emulator ends its runtime, which has a process group of its own."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()
