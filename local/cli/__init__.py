"""The command line tool `rill`.

Imports of a command stand inside it: `rill --help` must not wait for boto3 and rich.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    given_all = list(sys.argv[1:] if argv is None else argv)
    if given_all[:1] == ["model"]:  # it has options of its own
        from local.model.__main__ import main as model

        return model(given_all[1:], program="rill model")
    from local.cli.arguments import parser
    from local.cli.problems import Problem

    given = parser().parse_args(given_all)
    try:
        return _command(given)
    except Problem as problem:
        print(f"rill: {problem}", file=sys.stderr)
        return problem.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe has what it wanted; the interpreter must not complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _command(given: argparse.Namespace) -> int:
    module = importlib.import_module(f"local.cli.{given.command}")
    code: int = module.main(given)
    return code
