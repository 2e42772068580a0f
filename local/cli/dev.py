"""`rill dev`: the stack stays up until Ctrl-C."""

import argparse
import asyncio
import os

from local.cli.starting import launch
from local.page import Page
from local.provider import choose_provider
from local.stack import ROOT, Stack, first_free, state_directory

DEFAULT_PORT = 8000


def main(given: argparse.Namespace) -> int:
    """Start everything, say where it is, and wait."""
    provider = choose_provider(os.environ, scripted=given.scripted or bool(given.fault))
    print(f"{provider.sentence}\nStarting …", flush=True)
    first = given.port or DEFAULT_PORT

    async def work(stack: Stack) -> int:
        page = Page(stack.urls, ROOT / "web" / "dist")
        url, _ = await first_free(page.start, first)
        try:
            _announce(stack, url)
            await asyncio.Event().wait()
        finally:
            await page.close()
        return 0

    code = launch(
        provider,
        work,
        interrupted=0,
        pace=given.pace,
        faults=",".join(given.fault),
        first_port=first + 1,
        publish=True,
        reload=True,
        dynamodb_data=state_directory() / "dynamodb" if given.dynamodb == "local" else None,
    )
    print("Stopped.", flush=True)
    return code


def _announce(stack: Stack, page: str) -> None:
    width = max(map(len, stack.urls))
    print(f"\n{'page'.ljust(width)}  {page}")
    for name, url in stack.urls.items():
        print(f"{name.ljust(width)}  {url}{'   does not start' if name in stack.broken else ''}")
    for name, said in stack.broken.items():
        print(f"\n{name} does not start; its log is {stack.log_path(name)} and ends with:\n{said}")
    logs = stack.log_path("NAME")
    print(
        f"\nLogs: {logs}. A change to the code counts from the next request on. Ctrl-C ends it.", flush=True
    )
