"""`make bench`: measures the parts, prints each as it is there, and writes the results.

Every part's figures are kept, so that ONLY=name measures one part again and the results stay whole.
"""

import argparse
import asyncio
import datetime
import inspect
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import cast

from bench import report
from bench.heard import AnswerError
from bench.places import BENCH, TOOLS, MissingError, machine

PARTS = (
    "sections",
    "delta",
    "startup",
    "grading",
    "writes",
    "latency",
    "delivery",
    "adapter",
    "resume",
    "follow",
    "batch",
    "profile",
    "instructions",
)
"""In the order of the report; each is a module of `bench.figures` with `measure(quick=…)`."""

NOT_QUICK = frozenset({"delivery", "follow", "instructions"})
"""There is no time for them, so they are measured only when they are named."""

Measure = Callable[..., report.Part | Awaitable[report.Part]]


def main() -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", default="", help=f"one or more of {', '.join(PARTS)}, with commas")
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"few rounds: two minutes for everything but {', '.join(sorted(NOT_QUICK))}",
    )
    given = parser.parse_args()
    chosen = [name for name in given.only.split(",") if name] or [
        name for name in PARTS if not (given.quick and name in NOT_QUICK)
    ]
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    failed = [name for name in chosen if not _measure(name, quick=given.quick)]
    _write(quick=given.quick)
    if failed:
        print(f"Not measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _measure(name: str, *, quick: bool) -> bool:
    print(f"\n{name} …", flush=True)
    began = time.monotonic()
    measure = cast(Measure, import_module(f"bench.figures.{name}").measure)
    try:
        result = measure(quick=quick)
        part = asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result
    except (MissingError, AnswerError, TimeoutError, OSError) as error:
        print(f"{name} could not be measured: {error}", file=sys.stderr)
        return False
    print(f"{time.monotonic() - began:.0f} s")
    part = replace(part, measured_on=datetime.datetime.now(datetime.UTC).date().isoformat())
    kept = _kept(name, quick=quick)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(part.as_json(), indent=1))
    print(report.table(part.figures), flush=True)
    for what, why in part.missing.items():
        print(f"missing: {what} ({why})")
    return True


async def _awaited(result: Awaitable[report.Part]) -> report.Part:
    return await result


def _kept(name: str, *, quick: bool) -> Path:
    return TOOLS / ("quick" if quick else "measured") / f"{name}.json"


def _write(*, quick: bool) -> None:
    parts = [
        report.part_from_json(json.loads(path.read_text()))
        for name in PARTS
        if (path := _kept(name, quick=quick)).is_file()
    ]
    figures = [figure.as_json() for part in parts for figure in part.figures]
    (BENCH / "results.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    (BENCH / "results.md").write_text(report.markdown(parts, machine()))


if __name__ == "__main__":
    sys.exit(main())
