"""`python -m local.model`: the scripted model alone. Prints its base URL once it listens."""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from local.model.completion import parse_pace
from local.model.faults import BadFault, parse
from local.model.log import RequestLog
from local.model.request import BadRequest
from local.model.server import ModelApp
from local.model.serving import HOST, ModelServer, bind

DEFAULT_PACE = "100"


def _pace(text: str) -> float:
    try:
        return parse_pace(text, 0.0)
    except BadRequest as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def _fault(text: str) -> str:
    try:
        parse(text)
    except BadFault as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None
    return text


def parser(program: str = "python -m local.model") -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog=program,
        description="The scripted, OpenAI-compatible model alone. Prints its base URL once it listens.",
    )
    options.add_argument("--host", default=HOST, help="address to listen on (default: %(default)s)")
    options.add_argument(
        "--port", type=int, default=0, help="port to listen on; 0 for any free one (the default)"
    )
    options.add_argument(
        "--pace",
        type=_pace,
        default=os.environ.get("RILL_SCRIPTED_PACE", DEFAULT_PACE),
        help="tokens per second, 0 for no limit (default: %(default)s, from RILL_SCRIPTED_PACE when set)",
    )
    options.add_argument(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        help="for example 429:2, stall@20, scores=cut@5:once; may be repeated",
    )
    options.add_argument("--log", type=Path, help="file to append one JSON line per request to")
    return options


def main(argv: Sequence[str] | None = None, program: str = "python -m local.model") -> int:
    given = parser(program).parse_args(argv)
    try:
        bound, base_url = bind(given.port, given.host)
    except OSError as problem:
        print(f"cannot listen on {given.host}:{given.port}: {problem.strerror}", file=sys.stderr)
        return 1
    app = ModelApp(pace=given.pace, faults=",".join(given.fault), log=RequestLog(given.log))
    with bound, contextlib.suppress(KeyboardInterrupt):
        ModelServer(app, lambda: print(base_url, flush=True)).run(sockets=[bound])
    return 0


if __name__ == "__main__":
    sys.exit(main())
