"""Instructions of a delta's pure path, counted by callgrind: on one machine the same every time."""

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

from bench.figures.delta import DELTAS
from bench.places import APPS, MissingError, own_python, own_versions, source_path
from bench.processes import clean_env
from bench.report import Figure, Part

WAYS = ("text", "structured", "floor", "partial")
_COLLECTED = re.compile(r"Collected : (\d+)")
SECONDS = 300


def measure(*, quick: bool) -> Part:
    """What a second pass over the answer takes: the first has start-up and the filling of caches in it."""
    missing: dict[str, str] = {}
    found: dict[str, float] = {}
    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            asked = [(way, passes) for way in WAYS for passes in (1, 2)]
            counts = dict(zip(asked, pool.map(lambda one: _count(*one), asked), strict=True))
        found = {way: (counts[way, 2] - counts[way, 1]) / DELTAS for way in WAYS}
    except MissingError as error:
        missing["callgrind"] = str(error)
    return Part(
        name="instructions",
        title="Instructions of a delta",
        method=(
            "Counted by valgrind's callgrind, over the same 4,390 deltas one by one, with no socket between:"
            " the model's bytes split and decoded, the client's event encoded; in a structured answer the"
            " sections are parsed between, and not validated. What a second pass adds to a first."
        ),
        figures=[
            Figure(
                name="instructions of a delta, text",
                unit="instructions",
                rill=found.get("text"),
                floor=found.get("floor"),
                peers={},
            ),
            Figure(
                name="instructions of a delta, structured",
                unit="instructions",
                rill=found.get("structured"),
                floor=found.get("floor"),
                peers={"jiter partial at each delta": found.get("partial")},
                note="the floor sends an event for each delta, Rill one for each section and item",
            ),
        ],
        missing=missing,
        versions=own_versions("jiter"),
        quick=quick,
    )


def _count(way: str, passes: int) -> int:
    """Instructions of a process that goes over the answer so many times.

    Raises:
        MissingError: there is no valgrind, or it failed.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise MissingError("valgrind is not installed: `apt install valgrind`")
    # The order of sets and dicts' probing would otherwise be another one in every process.
    env = clean_env(PYTHONPATH=os.pathsep.join(map(str, source_path())), PYTHONHASHSEED="0")
    options = ["--tool=callgrind", "--callgrind-out-file=/dev/null"]
    script = [own_python(), str(APPS / "pure.py"), way, str(passes)]
    done = subprocess.run(
        [valgrind, *options, *script], env=env, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    collected = _COLLECTED.search(done.stderr)
    if done.returncode or collected is None or done.stdout.split() != [str(DELTAS * passes)]:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise MissingError(f"callgrind failed: {said[-1]}")
    return int(collected.group(1))
