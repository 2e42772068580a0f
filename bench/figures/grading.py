"""A whole grading: its parts in parallel calls beside one call that asks for everything."""

import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.heard import AnswerError, Heard, ask
from bench.places import ROOT, own_versions
from bench.report import Figure, Part
from bench.serving import template
from bench.stats import interleave_async
from local.provider import choose_provider
from local.stack import Stack

LINES = 47
SECTIONS = 6
PACE, QUICK_PACE = 100.0, 600.0
SAMPLES = ROOT / "local" / "samples"


async def measure(*, quick: bool) -> Part:
    """The figures of the two modes over the local stack."""
    pace, rounds = (QUICK_PACE, 1) if quick else (PACE, 3)
    with tempfile.TemporaryDirectory(prefix="rill-bench-") as state:
        provider = choose_provider({}, scripted=True)
        async with Stack(template(), provider, only="grading", pace=pace, state=Path(state)) as stack:
            url = stack.urls["grading"]
            await _grade(url, "multi")
            found = await interleave_async(
                {mode: partial(_grade, url, mode) for mode in ("multi", "single")}, rounds
            )
    multi, single = found["multi"], found["single"]
    whole, streamed = "one call, read when complete", "one call, read section by section"
    figures = [
        Figure(
            name="whole grading, first section",
            unit="s",
            rill=multi["first"],
            floor=multi["shortest"] / pace,
            peers={whole: single["complete"]},
            reach=0.15,
            note="the floor is the time that the model takes for the shortest of the answers",
        ),
        Figure(
            name="whole grading, first section, beside a streamed call",
            unit="s",
            rill=multi["first"],
            floor=multi["shortest"] / pace,
            peers={streamed: single["first"]},
            note="Rill's own single mode, whose sections are shown while they come",
        ),
        Figure(
            name="whole grading, all sections",
            unit="s",
            rill=multi["all"],
            floor=multi["longest"] / pace,
            peers={streamed: single["all"]},
            reach=0.35,
        ),
        Figure(
            name="whole grading, complete",
            unit="s",
            rill=multi["complete"],
            floor=multi["longest"] / pace,
            peers={whole: single["complete"]},
            reach=0.35,
            note="the floor is the time that the model takes for the longest of the answers",
        ),
    ]
    return Part(
        name="grading",
        title="A whole grading",
        method=(
            f"A call of {LINES} lines over the local stack, warm, from the request on; the scripted model"
            f" gives {pace:g} tokens a second in every call. {rounds} rounds."
        ),
        figures=figures,
        versions=own_versions("starlette"),
        quick=quick,
    )


def call() -> list[dict[str, Any]]:
    """The sample calls one after the other, cut to the length that is graded."""
    lines = [
        line for path in sorted(SAMPLES.glob("*.json")) for line in json.loads(path.read_text())["transcript"]
    ]
    if len(lines) < LINES:
        raise ValueError(f"the samples have only {len(lines)} lines")
    return [{**line, "line_number": number} for number, line in enumerate(lines[:LINES], start=1)]


async def _grade(url: str, mode: str) -> dict[str, float]:
    place = urlsplit(url)
    given = json.dumps({"session_id": f"bench-{mode}", "transcript": call(), "mode": mode}).encode()
    heard = (await ask(place.hostname or "", place.port or 0, "/runs", given)).check()
    return _seconds(heard)


def _seconds(heard: Heard) -> dict[str, float]:
    sections = heard.when_each(b'"type":"section"')
    if len(sections) != SECTIONS:
        raise AnswerError(f"{len(sections)} sections instead of {SECTIONS}: {heard.body[-500:]!r}")
    complete = heard.when_each(b'"type":"complete"')
    return {
        "first": sections[0] / 1e3,
        "all": sections[-1] / 1e3,
        "complete": complete[-1] / 1e3,
        "shortest": min(heard.output_tokens()),
        "longest": max(heard.output_tokens()),
    }
