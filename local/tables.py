"""The tables of the template, in a DynamoDB on this machine: moto's server or AWS's DynamoDB Local."""

import asyncio
import contextlib
import os
import re
import shutil
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from typing import IO, Any

from local.functions.environment import REGION
from local.functions.template import Template

START_SECONDS = 30.0
STOP_SECONDS = 3.0

# Signing needs some credentials; what answers here takes any, and real ones must not be used by mistake.
CREDENTIALS: Mapping[str, str] = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}

_LISTENS = re.compile(rb"Running on (http://127\.0\.0\.1:\d+)")


class TablesError(Exception):
    """DynamoDB did not start, or did not take a table."""


def dynamodb(endpoint: str) -> Any:
    """A client of the DynamoDB at `endpoint`, with credentials that are worth nothing elsewhere."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "dynamodb",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        config=Config(connect_timeout=5, read_timeout=20, retries={"max_attempts": 1}, proxies={}),
    )


def make_tables(template: Template, endpoint: str) -> list[str]:
    """Make the template's tables where they are not there yet; returns the names of the new ones.

    Raises:
        TablesError: the endpoint does not answer, refuses a table, or has one with other keys or indexes.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    client = dynamodb(endpoint)
    made = []
    try:
        for name, arguments in template.tables.items():
            try:
                client.create_table(**arguments)
            except client.exceptions.ResourceInUseException as error:
                if _keys(client.describe_table(TableName=name)["Table"]) != _keys(arguments):
                    raise TablesError(
                        f"DynamoDB at {endpoint}: the table {name} was made for another template, with other"
                        " keys or indexes; delete it (with `make dev DYNAMODB=local`: remove .rill/dynamodb)"
                    ) from error
                continue
            client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
            if attribute := template.ttl.get(name):
                _expire(client, name, attribute)
            made.append(name)
    except (BotoCoreError, ClientError) as error:
        raise TablesError(f"DynamoDB at {endpoint}: {error}") from error
    finally:
        client.close()
    return made


def _expire(client: Any, table: str, attribute: str) -> None:
    """Let items expire, where the endpoint knows that; dynalite does not, and keeps them."""
    from botocore.exceptions import ClientError

    try:
        client.update_time_to_live(
            TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": attribute}
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "UnknownOperationException":
            raise


def _keys(table: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The key attributes by their kind, of the table ("") and of every index."""
    indexes = [
        *(table.get("GlobalSecondaryIndexes") or ()),
        *(table.get("LocalSecondaryIndexes") or ()),
    ]
    named = [("", table), *((index["IndexName"], index) for index in indexes)]
    return {name: {key["KeyType"]: key["AttributeName"] for key in part["KeySchema"]} for name, part in named}


MOTO = (sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0")


class LocalDynamoDB:
    """A DynamoDB in a process of its own, with what it prints in a log.

    Attributes:
        name: what messages call it.
        url: where it listens.
        exit: done when the process is gone, with its exit status.
    """

    def __init__(self, process: asyncio.subprocess.Process, log: IO[bytes], name: str) -> None:
        self.name = name
        self.url = ""
        self.exit = asyncio.ensure_future(process.wait())
        self._process = process
        self._listens: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._last: deque[bytes] = deque(maxlen=5)
        self._reading = asyncio.ensure_future(self._read(log))

    @property
    def pid(self) -> int:
        return self._process.pid

    @classmethod
    async def start(
        cls, log: IO[bytes], command: Sequence[str] = MOTO, name: str = "the local DynamoDB (moto)"
    ) -> "LocalDynamoDB":
        """Start it on a free port and wait until it listens.

        Args:
            log: where its output goes.
            command: takes a free port of 127.0.0.1 by itself and prints it as moto's server does.
            name: what messages call it.

        Raises:
            TablesError: it ended, or said nothing for half a minute.
        """
        # A killed stack cannot end it: the kernel does, with its parent.
        if setpriv := shutil.which("setpriv"):
            command = [setpriv, "--pdeathsig", "KILL", "--", *command]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,  # DynamoDB Local ends with it
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **CREDENTIALS, "AWS_DEFAULT_REGION": REGION, "PYTHONWARNINGS": "ignore"},
            start_new_session=True,  # Ctrl-C is for the stack, which ends this one last
        )
        server = cls(process, log, name)
        try:
            either: set[asyncio.Future[Any]] = {server._listens, server._reading}
            await asyncio.wait(either, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not server._listens.done():
                said = b"".join(server._last).decode(errors="replace").strip()
                raise TablesError(f"{name} did not start: {said or 'it said nothing'}")
        except BaseException:
            await server.stop()
            raise
        server.url = server._listens.result()
        return server

    async def _read(self, log: IO[bytes]) -> None:
        stream = self._process.stderr
        assert stream is not None  # noqa: S101  # it was asked for as a pipe
        rest = b""
        while piece := await stream.read(64 * 1024):
            log.write(piece)
            log.flush()
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self._last.append(line + b"\n")
                if not self._listens.done() and (found := _LISTENS.search(line)):
                    self._listens.set_result(found[1].decode())
            rest = rest[-4096:]

    async def stop(self) -> None:
        """End the process: asked first, then killed."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        await asyncio.wait({self.exit}, timeout=STOP_SECONDS)
        if not self.exit.done():
            self._process.kill()
        await self.exit
        await self._reading
        if not self._listens.done():
            self._listens.cancel()
