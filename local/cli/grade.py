"""`rill grade`: one call, section by section."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.cli import finding
from local.cli.problems import BadInput
from local.cli.transcript import Options, read_request

if TYPE_CHECKING:
    from local.cli.target import Target
    from local.stack import Stack


def main(given: argparse.Namespace) -> int:
    """Read the file, find or start a function, and show the run."""
    options = Options(rep=given.rep, line=given.line, mode=given.mode, session_id=given.session_id)
    request = read_request(read_bytes(given.file), given.file, options)
    finding.check(given)
    own = given.scripted and not given.url
    target = None if own else finding.find(given)
    if given.later and target is None:
        raise BadInput("--async leaves the run to a stack that stays up: start `rill dev`, or give --url")
    if target is None:
        return _with_own_stack(request, scripted=given.scripted, as_json=given.json)
    if given.later:
        return _leave(target, request, as_json=given.json)
    from local.cli.showing import Showing

    return Showing(target, request, as_json=given.json).until_left(lambda run: run.start(request))


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


def _with_own_stack(request: Mapping[str, Any], *, scripted: bool, as_json: bool) -> int:
    from local.cli.showing import Showing
    from local.cli.starting import launch, need_grading
    from local.cli.target import Target
    from local.provider import choose_provider

    provider = choose_provider(os.environ, scripted=scripted)
    why = "Starting a stack of its own …" if scripted else "No stack is up: starting one …"
    print(f"{provider.sentence} {why}", file=sys.stderr, flush=True)

    async def work(stack: "Stack") -> int:
        showing = Showing(Target(url=need_grading(stack)), request, as_json=as_json)
        return await showing.show(lambda run: run.start(request))

    return launch(provider, work, only="grading")


def _leave(target: "Target", request: Mapping[str, Any], *, as_json: bool) -> int:
    from local.cli.asking import ask
    from local.cli.following import starting
    from local.cli.showing import ways
    from local.cli.text import clean

    answer = asyncio.run(ask(target, starting(request, wait=False)))
    if as_json:
        print(json.dumps(answer, indent=2))
        return 0
    run_id = clean(answer["run_id"])
    print(f"Run {run_id} is {clean(answer['state'])}.")
    print(ways(target.command("attach", run_id) or "", target.command("cancel", run_id) or ""))
    return 0
