"""AWS's DynamoDB Local for tests, in a process of its own."""

import os
import re
import subprocess
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from local.dynamodb_local import command

STOP_SECONDS = 10.0


@contextmanager
def dynamodb_local(data: Path | None = None) -> Iterator[str]:
    """Starts DynamoDB Local on a free port; yields its URL.

    Args:
        data: the directory of its tables; None keeps them in memory.
    """
    process = subprocess.Popen(
        command(data),
        stdin=subprocess.PIPE,  # it ends with this pipe, even where the tests were killed
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # `_JAVA_OPTIONS` and the like print a line of their own and may change what is tested.
        env={key: value for key, value in os.environ.items() if "JAVA" not in key},
    )
    assert process.stderr is not None
    assert process.stdin is not None
    said: deque[str] = deque(maxlen=20)
    reader = Thread(target=said.extend, args=(process.stderr,))
    try:
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"Running on (http://127\.0\.0\.1:\d+)", line):
                break
        else:
            raise AssertionError(f"DynamoDB Local did not start: {''.join(said)}")
        reader.start()  # a full pipe would stop it
        yield found[1]
    finally:
        process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if reader.ident is not None:
            reader.join()
        process.stderr.close()
