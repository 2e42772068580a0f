"""`rill invoke`: one event through AWS's own Lambda emulator, with tables and model around it."""

import argparse
import json
import os
import sys
from typing import Any

import httpx2

from local.cli.emulator import binary, emulated
from local.cli.grade import read_bytes
from local.cli.problems import FAILED, BadInput, Problem
from local.cli.starting import launch, template
from local.cli.text import clean
from local.functions.prelude import DELIMITER, BadPrelude, parse
from local.functions.template import Function
from local.provider import choose_provider
from local.stack import Stack

# An invocation may take the fifteen minutes that Lambda allows; the emulator keeps the function's timeout.
WAIT_SECONDS = 930.0


def main(given: argparse.Namespace) -> int:
    """Run the event and print the answer."""
    event = _event(given.event)
    function = _function(given.function)
    binary()
    provider = choose_provider(os.environ, scripted=given.scripted)
    print(provider.sentence, file=sys.stderr, flush=True)

    async def work(stack: Stack) -> int:
        async with (
            emulated(function, stack.variables) as url,
            httpx2.AsyncClient(timeout=WAIT_SECONDS, trust_env=False) as client,
        ):
            try:
                answer = await client.post(url, content=event)
            except httpx2.HTTPError as error:
                raise Problem(f"the emulator broke off: {error or type(error).__name__}") from error
        failed = bool(answer.headers.get("x-amz-function-error")) or answer.status_code >= 400
        return show(answer.content, failed=failed, raw=given.raw)

    # The emulator hands an answer over whole: a pace would only make one wait.
    return launch(provider, work, only="", pace=0.0)


def _event(name: str) -> bytes:
    raw = read_bytes(name)
    try:
        json.loads(raw)
    except UnicodeDecodeError as error:
        raise BadInput(f"{name} is not UTF-8 text: byte {error.start}") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise BadInput(f"{name} is not JSON: {error.msg} at {where}") from None
    return raw


def _function(name: str) -> Function:
    functions = template().functions
    for function in functions.values():
        if name in (function.name, function.logical_id):
            return function
    raise BadInput(f"the template has no function {name!r}; it has {', '.join(functions)}")


def show(answer: bytes, *, failed: bool, raw: bool) -> int:
    """Print what came back; returns the exit code.

    A streamed answer has a prelude: its status line and then the body are printed.
    """
    out = sys.stdout.buffer
    head, found, body = answer.partition(DELIMITER)
    if raw or not found:
        out.write(answer if raw else answer.rstrip(b"\n") + b"\n")
    else:
        try:
            prelude = parse(head)
        except BadPrelude as error:
            raise Problem(f"the answer's prelude is {error}") from error
        kind = prelude.headers.get("content-type", "no content type")
        print(f"HTTP {prelude.status}, {clean(kind)}", flush=True)
        out.write(body if body.endswith(b"\n") else body + b"\n")
    out.flush()
    return FAILED if failed or _is_error(answer) else 0


def _is_error(answer: bytes) -> bool:
    """What a failed function's answer looks like: an object with `errorType`."""
    try:
        value: Any = json.loads(answer)
    except ValueError:
        return False
    return isinstance(value, dict) and "errorType" in value
