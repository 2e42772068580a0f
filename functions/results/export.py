"""Runs as JSON lines or CSV. Pure."""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from results.models import RunDetail

MAX_RUNS = 1000
CONTENT_TYPES = {"jsonl": "application/x-ndjson", "csv": "text/csv"}

_COLUMNS = ("run_id", "session_id", "workflow", "rep", "mode", "state", "created_at", "ended_at")
_NUMBERS = ("cost_usd", "line_ratings_count")

# A spreadsheet takes a cell that begins so for a formula: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def line(run: RunDetail) -> str:
    """The run as a line of JSON, with its line break."""
    return f"{run.model_dump_json()}\n"


def table(runs: Sequence[tuple[RunDetail, Mapping[str, float]]]) -> str:
    """The runs and their scores as CSV, with a line for the columns' names."""
    names = list(dict.fromkeys(name for _, scores in runs for name in scores))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([*_COLUMNS, *_NUMBERS, *(f"score_{name}" for name in names)])
    for run, scores in runs:
        row = [_cell(name, getattr(run, name)) for name in _COLUMNS]
        row += [getattr(run, name) for name in _NUMBERS]
        writer.writerow([*row, *(scores.get(name) for name in names)])
    return text.getvalue()


def _cell(name: str, value: Any) -> str | None:
    if name.endswith("_at") and value is not None:
        return datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec="milliseconds")
    return None if value is None else _safe(value)


def _safe(text: str) -> str:
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
