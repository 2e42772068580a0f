"""Small pieces of text that both renderers use. Pure."""

import re
from typing import Any

# What a model or a transcript says must not steer the terminal: control characters become spaces.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")

SCRIPTED_MARK = "Scripted model: "


def clean(value: Any) -> str:
    """A value as text on one line, without control characters."""
    return _CONTROL.sub(" ", str(value)).strip()


def title(name: str) -> str:
    """`objection_handling` as `Objection handling`."""
    return clean(name).replace("_", " ").capitalize()


def seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.1f} s"


def cost(value: float | None) -> str:
    """Dollars; an unknown price is never shown as zero."""
    if value is None:
        return "cost unknown"
    return f"${value:.4f}" if value < 1 else f"${value:.2f}"


def closing(event: dict[str, Any]) -> str:
    """Duration, tokens and cost of a terminal event that has them."""
    usage = event.get("usage") or {}
    parts = [
        seconds(event.get("duration") or 0),
        f"{usage.get('input_tokens', 0):,} tokens in, {usage.get('output_tokens', 0):,} out",
        cost(event.get("cost_usd")),
    ]
    if usage.get("certainty") not in (None, "exact"):
        parts[-1] += f" ({clean(usage['certainty'])})"
    return ", ".join(parts)
