"""The section parser beside other ways to find sections in a text that grows."""

import json
from collections.abc import Callable
from typing import Any

from bench.answer import answer
from bench.places import (
    APPS,
    PEERS,
    MissingError,
    own_python,
    own_versions,
    peer_python,
    run_script,
    versions,
)
from bench.report import Figure, Part
from bench.stats import interleave

SIZES = (16, 64, 256)
AGAIN = ("regex", "jiter partial", "pydantic-core partial", "partial-json-parser")
PUSH = ("ijson push", "ijson bare events")
SECTIONS = 6


def measure(*, quick: bool) -> Part:
    """All sizes."""
    rounds, samples = (3, 10) if quick else (9, 40)
    missing: dict[str, str] = {}
    by_size = {size: _size(size, rounds, samples, missing) for size in SIZES}
    figures: list[Figure] = []
    for size, values in by_size.items():
        again = {way: values.get(way) for way in AGAIN}
        figures += [
            Figure(
                name=f"section parser, {size} KB",
                unit="µs per delta",
                rill=values["rill"],
                floor=values["floor"],
                peers=again,
                reach=0.1,
                note=f"the regular expressions find {values['regex found']:.0f} of {SECTIONS} sections"
                if "regex found" in values
                else "",
            ),
            Figure(
                name=f"section parser beside ijson, {size} KB",
                unit="µs per delta",
                rill=values["rill"],
                floor=values["floor"],
                peers={way: values.get(way) for way in PUSH},
                reach=3,
                note="bare events build no value of what they find; push gives the members, as Rill does",
            ),
        ]
    figures.append(_growth(by_size))
    return Part(
        name="sections",
        title="Section parser",
        method=(
            "CPU time of the parser alone over a grading of 16, 64 and 256 KB, 3.75 characters"
            f" a delta; ways that parse again are timed at {samples} evenly spread deltas. {rounds} rounds."
        ),
        figures=figures,
        missing=missing,
        versions={
            **own_versions("jiter"),
            **versions("parsers", "jiter", "ijson", "pydantic_core", "partial-json-parser"),
        },
        quick=quick,
    )


def _growth(by_size: dict[int, dict[str, float]]) -> Figure:
    small, large = by_size[SIZES[0]], by_size[SIZES[-1]]
    ways = {way: large[way] / small[way] for way in (*AGAIN, *PUSH) if way in small and way in large}
    return Figure(
        name="section parser, growth from 16 to 256 KB",
        unit="cost of a delta, times",
        rill=large["rill"] / small["rill"],
        floor=1.0,
        peers=ways,
        reach=1.25,
        note="1 is linear: a delta costs the same however long the text is",
    )


def _size(size: int, rounds: int, samples: int, missing: dict[str, str]) -> dict[str, float]:
    given = json.dumps({"deltas": answer(size * 1024).deltas, "samples": samples})
    also: dict[str, float] = {}

    def rill() -> float:
        result = _ask(own_python(), "parser", given)
        also["floor"] = min(result["floor"], also.get("floor", result["floor"]))
        if result["found"] != SECTIONS:
            raise AssertionError(f"Rill's parser found {result['found']} of {SECTIONS} sections")
        return float(result["us"])

    def peer(way: str) -> Callable[[], float]:
        def run() -> float:
            result = _ask(str(peer_python("parsers")), "parsers", given, way)
            also[f"{way} found"] = result["found"]
            return float(result["us"])

        return run

    measures = {"rill": rill}
    for way in (*AGAIN, *PUSH):
        try:
            peer(way)()
        except MissingError as error:
            missing[way] = str(error)
        else:
            measures[way] = peer(way)
    return {**interleave(measures, rounds), **also}


def _ask(python: str, script: str, given: str, *arguments: str) -> Any:
    folder = APPS if script == "parser" else PEERS
    return json.loads(run_script(python, folder / f"{script}.py", given, *arguments))
