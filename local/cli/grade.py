"""`rill grade`: one call, section by section."""

import argparse
import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.cli.problems import FAILED, BadInput
from local.cli.render import Renderer, Silent
from local.cli.text import clean
from local.cli.transcript import Options, read_request


def main(given: argparse.Namespace) -> int:
    """Read the file, find or start a function, and show the run."""
    options = Options(rep=given.rep, line=given.line, mode=given.mode, session_id=given.session_id)
    request = read_request(read_bytes(given.file), given.file, options)
    if given.iam and not given.url:
        raise BadInput("--iam signs requests to a deployed function: it needs --url")
    from local.cli.client import Target

    if given.url:
        return asyncio.run(show(Target(url=given.url, iam=given.iam), request, as_json=given.json))
    running = asyncio.run(published())
    if running is not None and not given.scripted:
        return asyncio.run(show(Target(url=running), request, as_json=given.json))
    return _with_own_stack(request, scripted=given.scripted, as_json=given.json)


def read_bytes(name: str) -> bytes:
    """A file, or standard input for "-".

    Raises:
        BadInput: it cannot be read.
    """
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except FileNotFoundError:
        raise BadInput(f"there is no file {name}") from None
    except OSError as error:
        raise BadInput(f"cannot read {name}: {error.strerror}") from error


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


def _with_own_stack(request: Mapping[str, Any], *, scripted: bool, as_json: bool) -> int:
    from local.cli.client import Target
    from local.cli.starting import launch, need_grading
    from local.provider import choose_provider
    from local.stack import Stack

    provider = choose_provider(os.environ, scripted=scripted)
    print(f"{provider.sentence} No stack is up: starting one …", file=sys.stderr, flush=True)

    async def work(stack: Stack) -> int:
        return await show(Target(url=need_grading(stack)), request, as_json=as_json)

    return launch(provider, work, only="grading")


async def show(target: Any, request: Mapping[str, Any], *, as_json: bool = False) -> int:
    """Grade at a URL and show it; returns the exit code."""
    from local.cli import client

    renderer = renderer_for(request, as_json=as_json)
    try:
        terminal = await client.grade(target, request, renderer)
    finally:
        renderer.close()
    if terminal["type"] == "complete":
        if as_json:
            print(json.dumps(terminal["data"], ensure_ascii=False, indent=2))
        return 0
    if as_json:
        said = terminal.get("message") or "the run was cancelled"
        print(f"rill: {clean(terminal.get('code', 'cancelled'))}: {clean(said)}", file=sys.stderr)
    return FAILED


def renderer_for(request: Mapping[str, Any], *, as_json: bool = False) -> Renderer:
    """Colours and bars on a terminal, plain lines in a pipe, nothing beside the result with `--json`."""
    if as_json:
        return Silent()
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        from local.cli.render_rich import RichRenderer

        return RichRenderer(request)
    from local.cli.render_plain import PlainRenderer

    return PlainRenderer(sys.stdout, request)
