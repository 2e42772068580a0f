"""`rill redrive`: what ended in the dead-letter queue gets another chance."""

import argparse
import json
from typing import TYPE_CHECKING

from local.cli.problems import BadInput, Problem, Unreachable
from local.queues.client import QueueProblem, aws, local
from local.queues.redrive import find, redrive
from local.stack import state_directory

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient


def main(given: argparse.Namespace) -> int:
    """Move the messages and say which runs they are of."""
    if (given.function is None) == (given.queue is None):
        raise BadInput("name a FUNCTION of the running `rill dev`, or a --queue on AWS")
    client: SQSClient | None = None
    try:
        if given.queue is not None:
            client, queue = aws(), given.queue
        else:
            endpoint, queue = _of_running_stack(given.function)
            client = local(endpoint)
        count = _move(client, queue, dry_run=given.dry_run)
    except QueueProblem as problem:
        raise Unreachable(str(problem)) from problem
    finally:
        if client is not None:
            client.close()
    messages = "1 message" if count == 1 else f"{count} messages"
    print(f"{messages} {'would be moved' if given.dry_run else 'moved'}.")
    return 0


def _move(client: "SQSClient", queue: str, *, dry_run: bool) -> int:
    count = 0
    for moved in redrive(client, find(client, queue), dry_run=dry_run):
        count += 1
        print(moved.run_id if moved.run_id is not None else f"{moved.message_id}, of no run", flush=True)
    return count


def _of_running_stack(function: str) -> tuple[str, str]:
    """SQS's endpoint and the URL of a function's queue.

    Raises:
        Problem: no stack is running, or the function has no queue there.
    """
    try:
        stack = json.loads((state_directory() / "stack.json").read_text())
        endpoint, queues = str(stack["sqs"]), dict(stack["queues"])
    except (OSError, ValueError, LookupError, TypeError):
        raise Unreachable(
            "no stack with queues is running; `rill dev` starts one, --queue names one on AWS"
        ) from None
    if function not in queues:
        raise Problem(f"{function} has no queue; these have one: {', '.join(sorted(queues)) or 'none'}")
    return endpoint, str(queues[function])
