"""The sections of a grading as rich draws them. Pure: data in, something to print out.

Texts from a model or a transcript go in as `Text`, never as rich's markup, and without control characters.
"""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from local.cli.text import SCRIPTED_MARK, clean, title

COLOURS: Mapping[str, str] = {
    "excellent": "bold green",
    "good": "green",
    "poor": "red",
    "missed_opportunity": "yellow",
}
_BAR_CELLS = 24


def section(name: str, data: Any) -> RenderableType:
    """One section under its heading; one that is not known is shown as a list of its members."""
    match name:
        case "scores":
            drawn = _scores(data)
        case "feedback":
            drawn = _feedback(data)
        case "objection_handling":
            drawn = _objections(data)
        case _:
            drawn = _members(data)
    return Group(Text(f"\n{title(name)}", style="bold"), Padding(drawn, (0, 0, 0, 2)))


def rating_rows(rating: Mapping[str, Any], text: str) -> RenderableType:
    """A rated line: what was said, why the rating, what to say instead."""
    effectiveness = clean(rating["effectiveness"])
    style = COLOURS.get(effectiveness, "default")
    rows = Table.grid(padding=(0, 1))
    rows.add_column(justify="right", width=5, style="dim")
    rows.add_column(width=11)
    rows.add_column(ratio=1)
    said = Text(f"“{clean(text)}”  " if text else "")  # a run that another command started has no texts here
    said.append(_words(rating["reason"]), style="dim")
    rows.add_row(
        str(rating["line_number"]), Text(effectiveness.removesuffix("_opportunity"), style=style), said
    )
    for instead in rating["alternative_lines"]:
        rows.add_row("", Text("instead", style="dim"), Text(f"“{clean(instead)}”", style="cyan"))
    return rows


def _words(value: Any) -> str:
    return clean(value).removeprefix(SCRIPTED_MARK)


def _scores(data: Mapping[str, int]) -> RenderableType:
    rows = Table.grid(padding=(0, 1))
    for name, score in data.items():
        filled = round(score / 100 * _BAR_CELLS)
        style = "green" if score >= 70 else "yellow" if score >= 45 else "red"
        bar = Text("█" * filled, style=style).append("░" * (_BAR_CELLS - filled), style="dim")
        rows.add_row(Text(title(name), style="bold" if name == "overall" else ""), bar, Text(str(score)))
    return rows


def _feedback(data: Mapping[str, Any]) -> RenderableType:
    rows = _bullets()
    for each in data["strengths"]:
        rows.add_row(Text("+", style="green"), _evidence(each))
    for each in data["improvements"]:
        rows.add_row(Text("−", style="yellow"), _evidence(each))
        rows.add_row("", Text(f"→ {_words(each['suggestion'])}", style="cyan"))
    return rows


def _evidence(each: Mapping[str, Any]) -> Text:
    text = Text(_words(each["point"]))
    if each.get("evidence_line") is not None:
        text.append(f"  line {each['evidence_line']}", style="dim")
    return text


def _objections(data: Mapping[str, Any]) -> RenderableType:
    rows = _bullets()
    for each in data["objections"]:
        mark = Text("✓", style="green") if each["handled"] else Text("✗", style="red")
        said = Text(_words(each["objection"]))
        said.append(f"  line {each['line_number']}, {each['rating']} of 100", style="dim")
        rows.add_row(mark, said)
        rows.add_row("", Text(f"→ {_words(each['better_response'])}", style="cyan"))
    rows.add_row("", Text(_words(data["summary"])))
    return rows


def _members(data: Any) -> RenderableType:
    if not isinstance(data, Mapping):
        return Text(clean(data))
    rows = Table.grid(padding=(0, 1))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(ratio=1)
    for name, value in data.items():
        values = value if isinstance(value, list) else [value]
        for number, each in enumerate(values):
            rows.add_row(title(name) if number == 0 else "", _value(each))
    return rows


def _value(value: Any) -> Text:
    if not isinstance(value, Mapping):
        return Text(_words(value))
    first, *rest = (_words(each) for each in value.values() if each is not None)
    return Text(first).append("".join(f"  {each}" for each in rest), style="dim")


def _bullets() -> Table:
    rows = Table.grid(padding=(0, 1))
    rows.add_column(width=1)
    rows.add_column(ratio=1)
    return rows
