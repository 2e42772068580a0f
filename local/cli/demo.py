"""`rill demo`: a bundled call, graded through a function URL in front of one's eyes."""

import argparse
import json
import os
import time
from pathlib import Path

from local.cli.showing import Showing
from local.cli.starting import launch, need_grading
from local.cli.target import Target
from local.provider import choose_provider
from local.stack import Stack

SAMPLE = Path(__file__).parents[1] / "samples" / "return-refused.json"


def main(given: argparse.Namespace) -> int:
    """Start a stack of its own, grade the sample, and say where to go next."""
    provider = choose_provider(os.environ, scripted=given.scripted or bool(given.fault))
    request = json.loads(SAMPLE.read_text())
    if given.single:
        request["mode"] = "single"
    print(provider.sentence, flush=True)
    print(f"Grading {len(request['transcript'])} lines of {request['source']}.", flush=True)

    async def work(stack: Stack) -> int:
        url = need_grading(stack)
        print(f"The function answers at {url}\n", flush=True)
        started = time.monotonic()
        code = await Showing(Target(url=url), request).show(lambda run: run.start(request))
        print(f"{time.monotonic() - started:.1f} s from the request to the last event.")
        if code == 0:
            print("Next: `make dev` keeps the stack up; `rill grade FILE` grades a call of yours.")
        return code

    print("Starting DynamoDB, the model and the function …", flush=True)
    return launch(provider, work, only="grading", pace=given.pace, faults=",".join(given.fault))
