"""`rill resume`: a run that has ended goes on from its finished steps, or does one of them again."""

import argparse

from local.cli import finding
from local.cli.showing import Showing


def main(given: argparse.Namespace) -> int:
    """Take the run up again and show what is done."""
    showing = Showing(finding.need(given), as_json=given.json)
    return showing.until_left(lambda run: run.again(given.run_id, given.step))
