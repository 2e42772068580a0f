"""Logs and metrics, through Powertools, which is imported with the first line or metric and not before."""

import asyncio
import importlib
import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TextIO

_keys: ContextVar[Mapping[str, str]] = ContextVar("rill_log_keys", default={})  # noqa: B039 - never mutated


def add_log_keys(**keys: str) -> None:
    """Put keys on every line that this task, and the tasks it starts from now on, will log."""
    _keys.set({**_keys.get(), **keys})


class JsonHandler(logging.StreamHandler[TextIO]):
    """Writes log records as JSON lines, in Powertools' form.

    The formatter takes 40 ms to import, and most invocations log nothing before their first event.
    """

    def __init__(self, service: str, stream: TextIO | None = None) -> None:
        super().__init__(stream or sys.stderr)
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        if self.formatter is None:
            from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

            self.formatter = LambdaPowertoolsFormatter(service=self._service)
        for key, value in _keys.get().items():
            if not hasattr(record, key):
                setattr(record, key, value)
        return self.formatter.format(record)


def set_up_logging(env: Mapping[str, str]) -> None:
    """Send all logging to standard error, once a process.

    `POWERTOOLS_SERVICE_NAME` and `POWERTOOLS_LOG_LEVEL` (INFO by default) are Powertools' own variables.
    """
    root = logging.getLogger()
    if not any(isinstance(handler, JsonHandler) for handler in root.handlers):
        root.addHandler(JsonHandler(env.get("POWERTOOLS_SERVICE_NAME", "rill")))
        root.setLevel(env.get("POWERTOOLS_LOG_LEVEL") or "INFO")
    for noisy in ("httpx2", "openai", "botocore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMetrics:
    """What is counted of a run. `duration` is in milliseconds, `cost_usd` None where a price is unknown."""

    workflow: str
    run_id: str
    request_id: str
    outcome: str
    duration: float
    sections: int
    line_ratings: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    failed_step: str | None = None
    code: str | None = None


class Metrics:
    """Writes metrics to standard output in CloudWatch's embedded format.

    Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format.html
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._service = env.get("POWERTOOLS_SERVICE_NAME", "rill")
        self._namespace = env.get("POWERTOOLS_METRICS_NAMESPACE", "Rill")

    async def load(self) -> None:
        """Import what the first metric and the first line of a log would."""
        for name in ("aws_lambda_powertools.metrics", "aws_lambda_powertools.logging.formatter"):
            await asyncio.to_thread(importlib.import_module, name)

    def run_ended(self, run: RunMetrics) -> None:
        """Count one run. What has no bounded set of values goes beside the metrics, not into dimensions."""
        from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

        metrics = EphemeralMetrics(namespace=self._namespace, service=self._service)
        metrics.add_dimension(name="workflow", value=run.workflow)
        metrics.add_dimension(name="outcome", value=run.outcome)
        metrics.add_metric(name="duration", unit=MetricUnit.Milliseconds, value=run.duration)
        counts = {
            "sections_completed": run.sections,
            "line_ratings": run.line_ratings,
            "input_tokens": run.input_tokens,
            "output_tokens": run.output_tokens,
        }
        for name, value in counts.items():
            metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)
        if run.cost_usd is not None:
            metrics.add_metric(name="cost_usd", unit=MetricUnit.NoUnit, value=run.cost_usd)
        beside: dict[str, Any] = {
            "run_id": run.run_id,
            "request_id": run.request_id,
            "failed_step": run.failed_step,
            "code": run.code,
        }
        for name, value in beside.items():
            if value is not None:
                metrics.add_metadata(key=name, value=value)
        metrics.flush_metrics()
        sys.stdout.flush()  # a pipe is block-buffered, and Lambda freezes the process when it has answered
