"""The invocation, and the context object that AWS's own runtime would hand to a function."""

import time
from dataclasses import dataclass
from typing import Any

from rill.runtime.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One answer of the Runtime API's `next`.

    Attributes:
        event: JSON, not yet parsed.
        deadline_ms: epoch milliseconds at which Lambda ends the process.
        trace_id: X-Ray's header, or None where tracing is off.
    """

    request_id: str
    deadline_ms: int
    function_arn: str
    trace_id: str | None
    event: bytes


class LambdaContext:
    """`scope["aws.context"]`, named as AWS names it.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
    """

    identity: Any = None
    client_context: Any = None

    def __init__(self, invocation: Invocation, settings: Settings) -> None:
        self.aws_request_id = invocation.request_id
        self.invoked_function_arn = invocation.function_arn
        self.function_name = settings.function_name
        self.function_version = settings.function_version
        self.memory_limit_in_mb = settings.memory_mb
        self.log_group_name = settings.log_group
        self.log_stream_name = settings.log_stream
        self._deadline_ms = invocation.deadline_ms

    def get_remaining_time_in_millis(self) -> int:
        return max(0, self._deadline_ms - int(time.time() * 1000))
