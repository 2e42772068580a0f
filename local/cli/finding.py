"""Finds the function that a command is about: by its options, or in a stack that is up."""

import argparse
import asyncio
import contextlib
import json

from local.cli.problems import BadInput, Unreachable
from local.cli.target import Target, given_by


def check(given: argparse.Namespace) -> None:
    """Raises BadInput where the options contradict each other."""
    if given.iam and not given.url:
        raise BadInput("--iam signs requests to a deployed function: it needs --url")


def find(given: argparse.Namespace) -> Target | None:
    """What the options name, or else the grading function of a running `rill dev`; None without either."""
    check(given)
    if given.url:
        return given_by(given.url, iam=given.iam)
    running = asyncio.run(published())
    return None if running is None else Target(url=running, options="")


def need(given: argparse.Namespace) -> Target:
    """The same, for a command that has no stack of its own.

    Raises:
        Unreachable: no stack is up.
    """
    target = find(given)
    if target is None:
        raise Unreachable("no stack is up to ask: `rill dev` starts one, --url names a function")
    return target


async def published(name: str = "grading") -> str | None:
    """The URL of that function in a stack that is up; None where there is none."""
    from local.stack import state_directory

    try:
        url = json.loads((state_directory() / "urls.json").read_text())[name]
        host, _, port = str(url).removeprefix("http://").rstrip("/").partition(":")
        _, writer = await asyncio.open_connection(host, int(port))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return str(url)
