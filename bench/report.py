"""What was measured, as a table for people and as JSON for programs. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Better = Literal["lower", "higher"]
KEYS = ("name", "unit", "rill", "floor", "peers", "ratio", "reach", "holds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure of Rill's beside its peers'.

    Attributes:
        floor: what nobody can go under, where there is such a thing.
        peers: by name; None for a peer that could not be measured.
        reach: the ratio to the best peer that is to be reached; None where nothing is.
        better: which way the figure is better; decides the best peer and how `reach` is meant.
        note: a sentence or two for the reader.
    """

    name: str
    unit: str
    rill: float | None
    peers: Mapping[str, float | None]
    floor: float | None = None
    reach: float | None = None
    better: Better = "lower"
    note: str = ""

    @property
    def best(self) -> float | None:
        """The best peer's value."""
        known = [value for value in self.peers.values() if value is not None]
        return (min if self.better == "lower" else max)(known, default=None)

    @property
    def ratio(self) -> float | None:
        """Rill's value as a multiple of the best peer's."""
        return None if self.rill is None or not self.best else self.rill / self.best

    @property
    def floor_ratio(self) -> float | None:
        """Rill's value as a multiple of the floor."""
        return None if self.rill is None or not self.floor else self.rill / self.floor

    @property
    def holds(self) -> bool | None:
        """Whether `reach` is reached; None where there is nothing to say of it."""
        if self.reach is None or self.ratio is None:
            return None
        return self.ratio <= self.reach if self.better == "lower" else self.ratio >= self.reach

    def as_json(self) -> dict[str, Any]:
        """As in `results.json`."""
        return {
            "name": self.name,
            "unit": self.unit,
            "rill": rounded(self.rill),
            "floor": rounded(self.floor),
            "peers": {name: rounded(value) for name, value in self.peers.items()},
            "ratio": rounded(self.ratio),
            "reach": self.reach,
            "holds": self.holds,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The figures of one part, as measured together.

    Attributes:
        method: how they were measured.
        missing: what could not be measured, and why.
        versions: of what took part, by name.
    """

    name: str
    title: str
    method: str
    figures: Sequence[Figure]
    missing: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    measured_on: str = ""
    quick: bool = False

    def as_json(self) -> dict[str, Any]:
        """Everything, to be read again by `part_from_json`."""
        return asdict(self)


def part_from_json(document: Mapping[str, Any]) -> Part:
    """What `Part.as_json` gave."""
    figures = [Figure(**figure) for figure in document["figures"]]
    return Part(**{**document, "figures": figures})


def rounded(value: float | None) -> float | None:
    """Four digits say all that a median can."""
    return None if value is None else float(f"{value:.4g}")


def number(value: float | None) -> str:
    """A value for a table."""
    if value is None:
        return "–"
    if value and abs(value) < 1:
        return f"{value:.2g}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"


def reach_text(figure: Figure) -> str:
    """What was to be reached, and whether it was."""
    if figure.reach is None:
        return "–"
    words = "at most" if figure.better == "lower" else "at least"
    said = {True: "holds", False: "**does not hold**", None: "not known"}[figure.holds]
    return f"{words} {figure.reach:g}: {said}"


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table."""
    lines = [
        "| figure | unit | Rill | floor | peers | ratio to the best | ratio to the floor | reach |",
        "|---|---|---:|---:|---|---:|---:|---|",
    ]
    for figure in figures:
        ranked = sorted(figure.peers.items(), key=lambda peer: (peer[1] is None, peer[1] or 0))
        peers = "; ".join(f"{name} {'missing' if value is None else number(value)}" for name, value in ranked)
        cells = (
            figure.name,
            figure.unit,
            number(figure.rill),
            number(figure.floor),
            peers or "–",
            number(figure.ratio),
            number(figure.floor_ratio),
            reach_text(figure),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def markdown(parts: Sequence[Part], machine: Mapping[str, str]) -> str:
    """`results.md`."""
    lines = [
        "# Results of `make bench`",
        "",
        "Written by `make bench`; [performance.md](../docs/performance.md) says what they mean. Every figure",
        "is the median of interleaved rounds. A ratio is Rill's value over the best peer's, or the floor's.",
        "",
        "; ".join(f"{name}: {value}" for name, value in machine.items()) + ".",
    ]
    if any(part.quick for part in parts):
        lines += ["", "Measured with QUICK=1: few rounds, so the figures are rough."]
    for part in parts:
        lines += ["", f"## {part.title}", "", f"{part.method} Measured on {part.measured_on}.", ""]
        lines.append(table(part.figures))
        notes = [f"- {figure.name}: {figure.note}" for figure in part.figures if figure.note]
        lines += ["", *notes] if notes else []
        if part.missing:
            lines += ["", *(f"- missing: {name} ({why})" for name, why in part.missing.items())]
    versions = {name: version for part in parts for name, version in part.versions.items()}
    if versions:
        lines += ["", "## Versions", ""]
        lines += [f"- {name}: {version}" for name, version in sorted(versions.items())]
    return "\n".join(lines) + "\n"
