"""A DynamoDB for tests: moto's server over HTTP, in a process of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3

TABLES: dict[str, tuple[str, str | None]] = {
    "Runs": ("run_id", "sk"),
    "LineRatings": ("session_id", "line_key"),
}


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
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"Running on (http://127\.0\.0\.1:\d+)", line):
                yield found[1]
                break
        else:
            raise AssertionError("moto's server did not start")
    finally:
        process.terminate()
        process.communicate()


def make_tables(url: str) -> Any:
    """Makes the tables of `TABLES` and returns a client."""
    client = boto3.client("dynamodb", endpoint_url=url, region_name="eu-west-1")
    for name, (hash_key, range_key) in TABLES.items():
        schema = [{"AttributeName": hash_key, "KeyType": "HASH"}]
        if range_key:
            schema.append({"AttributeName": range_key, "KeyType": "RANGE"})
        client.create_table(
            TableName=name,
            KeySchema=schema,
            AttributeDefinitions=[
                {"AttributeName": key["AttributeName"], "AttributeType": "S"} for key in schema
            ],
            BillingMode="PAY_PER_REQUEST",
        )
    return client
