"""One execution environment: a runtime process, frozen between invocations as Lambda freezes it."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from typing import IO

from local.functions.invocation import Invocation, Outcome
from local.functions.runtime_api import InitFailed, RuntimeApi
from local.functions.template import Function

ACCOUNT = "123456789012"
REGION = "us-east-1"

# Lambda gives the init phase 10 s and then starts it again inside the first invocation, under that one's
# timeout. One start under the longer of both comes to the same for the caller.
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-ib
INIT_SECONDS = 10.0

# https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html#runtimes-lifecycle-extensions-shutdown
SHUTDOWN_SECONDS = 2.0

# What a process on this machine needs beside what Lambda sets; the rest of the shell stays outside.
_INHERITED = ("PATH", "HOME", "TMPDIR", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


def function_arn(function: Function) -> str:
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function.name}"


def variables(function: Function, overrides: Mapping[str, str], api_address: str) -> dict[str, str]:
    """The process's environment variables, as Lambda sets them.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
    """
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    ours = {
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PYTHONUNBUFFERED": "1",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_RUNTIME_API": api_address,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "local",
        "LAMBDA_TASK_ROOT": str(function.code),
        "_HANDLER": function.handler,
    }
    if function.wrapper is None:
        # The managed runtime puts these on the path by itself, the last layer first.
        path = [*(layer / "python" for layer in reversed(function.layers)), function.code]
        ours["PYTHONPATH"] = os.pathsep.join(map(str, path))
    return {**inherited, **ours, **function.environment, **overrides}


def command(function: Function) -> list[str]:
    """What Lambda's managed Python runtime would exec: the wrapper before Python's own command.

    Without a wrapper it is that command: AWS's Runtime Interface Client, which buffers responses.
    """
    if function.wrapper is None:
        started = [sys.executable, "-m", "awslambdaric", function.handler]
    else:
        started = [str(function.wrapper), sys.executable, "/var/runtime/bootstrap.py"]
    # A frozen process would outlive an emulator that was killed: the kernel ends it with its parent.
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--", *started] if setpriv else started


class Environment:
    """One runtime process and its Runtime API. Runs one invocation at a time.

    `alive` turns false when the process is gone; such an environment is never used again.
    """

    def __init__(self, function: Function, api: RuntimeApi, process: asyncio.subprocess.Process) -> None:
        self._function = function
        self._api = api
        self._process = process
        self._exit = asyncio.ensure_future(process.wait())

    @classmethod
    async def start(
        cls, function: Function, overrides: Mapping[str, str], log: IO[bytes] | None = None
    ) -> "Environment":
        """Start a process and wait until it asks for work.

        Raises:
            InitFailed: it could not start; the environment is gone.
        """
        api = RuntimeApi(function_arn(function))
        await api.start()
        try:
            process = await asyncio.create_subprocess_exec(
                *command(function),
                cwd=function.code,
                env=variables(function, overrides, api.address),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log or sys.stderr.fileno(),
                stderr=log or sys.stderr.fileno(),
                start_new_session=True,
            )
        except OSError as error:
            await api.close()
            raise InitFailed("Runtime.InvalidEntrypoint", str(error).encode()) from error
        except BaseException:
            await api.close()
            raise
        environment = cls(function, api, process)
        try:
            await environment._until_idle(max(INIT_SECONDS, function.timeout))
        except BaseException:
            await environment.stop()
            raise
        environment._signal(signal.SIGSTOP)
        return environment

    @property
    def alive(self) -> bool:
        return not self._exit.done()

    async def invoke(self, invocation: Invocation) -> None:
        """Run one invocation, and return when the environment is frozen again or gone.

        The response goes to the invocation's sink meanwhile; its outcome is set on every path.
        """
        timeout = self._function.timeout
        invocation.deadline_ms = int((time.time() + timeout) * 1000)
        self._api.offer(invocation)
        self._signal(signal.SIGCONT)
        try:
            await self._until_idle(timeout)
        except InitFailed as failure:
            invocation.end(failure.outcome)
            await self.stop()
        except TimeoutError:
            message = f"Task timed out after {timeout:.2f} seconds"
            invocation.end(Outcome(error_type="Sandbox.Timedout", error_body=message.encode()))
            await self.stop(gently=False)
        except asyncio.CancelledError:
            invocation.end(Outcome(error_type="Sandbox.Stopped"))
            await self.stop(gently=False)
            raise
        else:
            # A runtime that asks for the next invocation without having answered this one.
            invocation.end(Outcome(error_type="Runtime.NoResponse"))
            self._signal(signal.SIGSTOP)

    async def _until_idle(self, seconds: float) -> None:
        idle = asyncio.ensure_future(self._api.idle())
        try:
            done, _ = await asyncio.wait(
                [idle, self._exit], timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if idle in done:
                idle.result()
            elif self._exit in done:
                raise InitFailed("Runtime.ExitError", f"the runtime exited: {self._exit.result()}".encode())
            else:
                raise TimeoutError
        finally:
            idle.cancel()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    async def stop(self, *, gently: bool = True) -> None:
        """End the process: SIGTERM first, as Lambda's shutdown phase does, then SIGKILL."""
        try:
            if gently and self.alive:
                self._signal(signal.SIGTERM)
                self._signal(signal.SIGCONT)
                await asyncio.wait([self._exit], timeout=SHUTDOWN_SECONDS)
        finally:
            self._signal(signal.SIGKILL)  # also what the process started and left behind
            try:
                await self._reaped()
            finally:
                await self._api.close()

    async def _reaped(self) -> None:
        """Wait for a killed process, also when cancelled meanwhile: it takes no time; nobody else would."""
        cancelled: asyncio.CancelledError | None = None
        while not self._exit.done():
            try:
                await asyncio.shield(self._exit)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled
