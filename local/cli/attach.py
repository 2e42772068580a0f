"""`rill attach`: a run that was left, from any of its events on; it may run or have ended."""

import argparse

from local.cli import finding
from local.cli.showing import Showing


def main(given: argparse.Namespace) -> int:
    """Follow the run to its end."""
    showing = Showing(finding.need(given), as_json=given.json)
    return showing.until_left(lambda run: run.attach(given.run_id, given.after))
