"""A run on a terminal: what is done stands still above, what is under way moves below."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from local.cli.render import Event, Lines, Shown
from local.cli.rich_sections import COLOURS, rating_rows, section
from local.cli.text import clean, closing, seconds, title

_MARKS = {"waiting": ("○", "dim"), "running": ("●", "cyan"), "done": ("✓", "green"), "failed": ("✗", "red")}


class RichRenderer:
    """Draws to the console; everything that is over is printed once and never redrawn."""

    def __init__(self, request: Mapping[str, Any], console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._lines = Lines(request)
        self._labels: dict[str, str] = {}
        self._states: dict[str, str] = {}
        self._notes: dict[str, str] = {}
        self._progress = 0.0
        self._spinner = Spinner("dots", Text("Waiting for the first event …"), style="cyan")
        self._rated: dict[int, str] = {}  # lines, and the step that rated them
        self._shown = Shown()
        self._among_ratings = False
        self._live = Live(
            console=self._console, get_renderable=self._below, refresh_per_second=10, transient=True
        )
        self._live.start()

    def note(self, text: str) -> None:
        self._print(Text(clean(text), style="yellow"))

    def close(self) -> None:
        self._live.stop()

    def event(self, event: Event) -> None:
        match event.get("type"):
            case "start":
                self._labels = {step["step"]: clean(step["label"]) for step in event["steps"]}
                self._states = dict.fromkeys(self._labels, "waiting")
                self._print(Text(f"run {clean(event['run_id'])}", style="dim"))
            case "status":
                self._say(event["message"])
            case "progress":
                self._progress = event["progress"]
                if event.get("message"):
                    self._say(event["message"])
            case "step_start" | "step_progress" | "step_complete" | "step_error" | "reset":
                self._step(event)
            case "item" if event["section"] == "line_ratings":
                self._rating(event["step"], event["data"])
            case "section":
                self._section(event["step"], event["section"], event["data"])
            case "complete":
                self._rest(event["data"])
                self._end(Text("✓ complete", style="bold green"), closing(dict(event)))
            case "cancelled":
                self._rest(event["data"])
                self._end(Text("■ cancelled", style="bold yellow"), closing(dict(event)))
            case "error":
                self._end(Text("✗ failed", style="bold red"), f"{event['code']}: {event['message']}")

    def _say(self, message: str) -> None:
        self._spinner.update(text=Text(clean(message)))

    def _step(self, event: Event) -> None:
        step = event["step"]
        label = self._labels.get(step, title(step))
        match event["type"]:
            case "step_start":
                self._labels.setdefault(step, clean(event["label"]))  # a run taken up has no start
                self._states[step] = "running"
                self._notes[step] = f"attempt {event['attempt']}" if event["attempt"] > 1 else ""
            case "step_progress":
                self._notes[step] = f"{event['progress']:.0f} %"
            case "step_complete":
                self._states[step], self._notes[step] = "done", seconds(event["duration"])
            case "step_error":
                self._states[step] = "waiting" if event["will_retry"] else "failed"
                self._notes[step] = clean(event["code"])
                self._print(Text(f"{label}: {clean(event['message'])}", style="red"))
            case "reset":
                self._rated = {line: by for line, by in self._rated.items() if by != step}
                self._shown.forget(step)
                self._print(Text(f"{label} starts again: {clean(event['reason'])}", style="yellow"))

    def _rating(self, step: str, rating: Mapping[str, Any]) -> None:
        number = rating["line_number"]
        if number not in self._rated:
            self._head_ratings()
            self._rated[number] = step
            self._print(rating_rows(rating, self._lines.text(number)))
            self._among_ratings = True

    def _head_ratings(self) -> None:
        # Sections of other steps come in between.
        if not self._among_ratings:
            self._print(Text("\nLine ratings", style="bold"))

    def _section(self, step: str, name: str, data: Any) -> None:
        self._shown.add(step, name)
        if name != "line_ratings":
            self._print(section(name, data))
            return
        for rating in data:
            self._rating(step, rating)
        counts = Counter(rating["effectiveness"] for rating in data)
        said = Text("  ")
        for each, style in COLOURS.items():
            if counts[each]:
                said.append(f"{counts[each]} {each.replace('_', ' ')}  ", style=style)
        self._head_ratings()
        self._print(said)

    def _rest(self, result: Any) -> None:
        for name, data in list(self._shown.missing(result)):
            self._section("", name, data)

    def _end(self, head: Text, rest: str) -> None:
        self._live.stop()
        self._console.print(Text("\n").append_text(head).append(f"  {clean(rest)}", style="default"))

    def _print(self, what: RenderableType) -> None:
        self._among_ratings = False
        self._console.print(what)

    def _below(self) -> RenderableType:
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            ProgressBar(total=100, completed=self._progress, width=32),
            Text(f"{self._progress:3.0f} %"),
            self._spinner,
        )
        steps = Text()
        for name, label in self._labels.items():
            mark, style = _MARKS[self._states.get(name, "waiting")]
            note = self._notes.get(name)
            steps.append(f"{mark} {label}", style=style)
            steps.append(f" {note}   " if note else "   ", style="dim")
        return Group(Text(), bar, steps)
