"""The runtime's own lines in the function's log: one JSON object each, so that CloudWatch keeps it whole."""

import json
import sys
import time
from typing import Any, Literal

from rill.runtime.failure import Failure

Level = Literal["INFO", "WARN", "ERROR"]


def log(level: Level, message: str, *, request_id: str | None = None, failure: Failure | None = None) -> None:
    """Write one line. Its keys are those of Lambda's JSON log format.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html
    """
    now = time.time()
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    line: dict[str, Any] = {
        "timestamp": f"{at}.{int(now * 1000) % 1000:03}Z",
        "level": level,
        "logger": "rill.runtime",
        "message": message,
    }
    if request_id is not None:
        line["requestId"] = request_id
    if failure is not None:
        line |= {"errorType": failure.error_type, "errorMessage": failure.message}
        line["stackTrace"] = "".join(failure.trace)
    print(json.dumps(line), file=sys.stderr, flush=True)
