"""How the command line tool fails: a sentence and an exit code."""

FAILED = 1
"""The run, or the function, failed."""
USAGE = 2
"""What was given cannot be used; argparse exits with the same."""
UNREACHABLE = 3
"""Nobody answers there, or the connection was lost."""


class Problem(Exception):
    """Ends the command: `str()` goes to stderr, `code` is the exit code."""

    code = FAILED


class BadInput(Problem):
    code = USAGE


class Unreachable(Problem):
    code = UNREACHABLE
