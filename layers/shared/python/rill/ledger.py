"""What a run has used and made so far: tokens and cost, and the parts of its result. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rill.events import Certainty, Chunk, Event, Item, Reset, Section, Usage, UsageTotal

_WEAKEST: tuple[Certainty, ...] = ("exact", "estimated", "unknown")


@dataclass(slots=True)
class Ledger:
    """Adds up the `usage` events of a run; the weakest certainty and an unknown price carry through."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    calls: int = 0
    cost_usd: float | None = 0.0
    certainty: Certainty = "exact"

    def add(self, usage: Usage) -> None:
        """Count one model call."""
        self.input_tokens += usage.input_tokens
        self.output_tokens += usage.output_tokens
        self.cached_tokens += usage.cached_tokens or 0
        self.calls += 1
        self._cost(usage.cost_usd, usage.certainty)

    def carry(self, usage: Mapping[str, Any] | None, cost_usd: float | None) -> None:
        """Count what an earlier part of the same run used, as it was stored."""
        if usage is None:
            return
        self.input_tokens += usage["input_tokens"]
        self.output_tokens += usage["output_tokens"]
        self.cached_tokens += usage["cached_tokens"]
        self.calls += usage["calls"]
        self._cost(cost_usd, usage["certainty"])

    def _cost(self, cost_usd: float | None, certainty: Certainty) -> None:
        self.certainty = max(self.certainty, certainty, key=_WEAKEST.index)
        if cost_usd is None or self.cost_usd is None:
            self.cost_usd = None
        else:
            self.cost_usd = round(self.cost_usd + cost_usd, 8)

    @property
    def total(self) -> UsageTotal:
        """The sum as events carry it."""
        return UsageTotal(
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cached_tokens=self.cached_tokens,
            calls=self.calls,
            certainty=self.certainty,
        )


@dataclass(slots=True)
class Parts:
    """What a run has shown so far, by step: what a cancelled run keeps.

    Attributes:
        sections: how many sections were sent.
        items: how many items were sent.
    """

    sections: int = 0
    items: int = 0
    _by_step: dict[str, dict[str, Any]] = field(default_factory=dict)
    _whole: set[tuple[str, str]] = field(default_factory=set)

    def add(self, event: Event) -> None:
        """Take an event in; those that show nothing are passed over."""
        if isinstance(event, Section):
            self.sections += 1
            self._by_step.setdefault(event.step, {})[event.section] = event.data
            self._whole.add((event.step, event.section))
        elif isinstance(event, Item):
            self.items += 1
            if (event.step, event.section) not in self._whole:
                self._by_step.setdefault(event.step, {}).setdefault(event.section, []).append(event.data)
        elif isinstance(event, Chunk):
            # As bytes: a list of pieces, or a StringIO, would hold every one of them.
            text = self._by_step.setdefault(event.step, {}).setdefault("text", bytearray())
            text += event.content.encode("utf-8", "surrogatepass")
        elif isinstance(event, Reset):
            self._by_step.pop(event.step, None)
            self._whole = {key for key in self._whole if key[0] != event.step}

    @property
    def data(self) -> dict[str, Any]:
        """Sections by name; of one that is not whole, its items; text under its step's name."""
        merged: dict[str, Any] = {}
        for step, parts in self._by_step.items():
            for name, value in parts.items():
                if name == "text" and (step, name) not in self._whole:
                    merged[step] = value.decode("utf-8", "surrogatepass")
                else:
                    merged[name] = value
        return merged
