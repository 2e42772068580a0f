"""`rill cancel`: a run ends with what it has."""

import argparse
import asyncio

from local.cli import finding
from local.cli.asking import ask
from local.cli.client import Ask
from local.cli.problems import Problem
from local.cli.text import clean


def main(given: argparse.Namespace) -> int:
    """Ask for the run's end."""
    target = finding.need(given)
    answer = asyncio.run(ask(target, Ask(method="POST", path=f"runs/{given.run_id}/cancel")))
    state = clean(answer.get("state"))
    if not answer.get("cancel") and state != "cancelled":
        raise Problem(f"run {given.run_id} has ended already: it is {state}")
    if state == "cancelled":
        print(f"Run {given.run_id} is cancelled.")
        return 0
    print(f"Run {given.run_id} is asked to end; it does so within seconds, and keeps what it has.")
    print(f"  {target.command('attach', given.run_id)}   shows it")
    return 0
