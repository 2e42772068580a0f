"""A DynamoDB for tests, over HTTP: moto's server, or what RILL_TEST_DYNAMODB names.

`RILL_TEST_DYNAMODB=local` is AWS's DynamoDB Local, a URL is a server that runs already; its tables of the
template's names are emptied.
"""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from local.functions.template import read
from tests.support.dynamodb_local import dynamodb_local

TEMPLATE = Path(__file__).resolve().parents[2] / "template.yaml"
REGION = "eu-west-1"


@contextmanager
def dynamodb_server() -> Iterator[str]:
    """Yields the URL of the DynamoDB that the tests are to use."""
    chosen = os.environ.get("RILL_TEST_DYNAMODB", "moto")
    if chosen.startswith(("http://", "https://")):
        yield chosen
        return
    servers = {"moto": moto_server, "local": dynamodb_local}
    if chosen not in servers:
        raise ValueError(f"RILL_TEST_DYNAMODB is {chosen!r}: it takes moto, local or a URL")
    with servers[chosen]() as url:
        yield url


@contextmanager
def moto_server() -> Iterator[str]:
    """Starts moto's server on a free port; yields its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert process.stderr is not None
    # It says a line for every request, and would wait for ever on a pipe that nobody reads.
    reading = threading.Thread(target=process.stderr.read)
    try:
        for line in process.stderr:
            if found := re.search(r"Running on (http://127\.0\.0\.1:\d+)", line):
                break
        else:
            raise AssertionError("moto's server did not start")
        reading.start()
        yield found[1]
    finally:
        process.terminate()
        process.wait()
        if reading.ident is not None:
            reading.join()
        process.stderr.close()


def make_tables(url: str) -> Any:
    """Makes the template's tables, empty, and returns a client.

    A table is named as its resource without "Table": `RunsTable` is `Runs`.
    """
    client = boto3.client("dynamodb", endpoint_url=url, region_name=REGION)
    template = read(TEMPLATE)
    for resource, arguments in template.tables.items():
        name = resource.removesuffix("Table")
        try:
            client.create_table(**{**arguments, "TableName": name})
        except client.exceptions.ResourceInUseException:
            client.delete_table(TableName=name)
            client.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
            client.create_table(**{**arguments, "TableName": name})
        client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
        if attribute := template.ttl.get(resource):
            _expire(client, name, attribute)
    return client


def _expire(client: Any, table: str, attribute: str) -> None:
    try:
        client.update_time_to_live(
            TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": attribute}
        )
    except ClientError as error:
        # dynalite has no TTL. No test waits for an item to expire: DynamoDB itself takes up to days.
        if error.response["Error"]["Code"] != "UnknownOperationException":
            raise
