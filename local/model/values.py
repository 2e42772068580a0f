"""Scalars for the schema walker: which type is asked for, and a value that keeps to its bounds. Pure."""

import math
from typing import Any

Json = Any  # a decoded JSON value; its shape is what the schema decides at run time
Schema = dict[str, Any]

_BY_FORMAT = {
    "date": "2025-01-15",
    "time": "09:30:00Z",
    "date-time": "2025-01-15T09:30:00Z",
    "duration": "PT15M",
    "email": "scripted@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/scripted",
    "uuid": "5c119bed-0000-4000-8000-000000000001",
}
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


def kind_of(schema: Schema, value: Json) -> str:
    """The JSON type to produce: the schema's; of several the one the value has."""
    own = "null" if value is None else _TYPES.get(type(value), "string")
    kinds = schema.get("type")
    if isinstance(kinds, str):
        return kinds
    if isinstance(kinds, list) and kinds:
        if own in kinds and own != "null":
            return own
        return next((str(kind) for kind in kinds if kind != "null"), "null")
    if "properties" in schema or "additionalProperties" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    return own if value is not None else "string"


def as_number(schema: Schema, value: float, kind: str) -> int | float:
    """The value within the schema's bounds, a whole one where the type wants that."""
    step = schema.get("multipleOf", 1 if kind == "integer" else None)
    low, high = _bounds(schema, step)
    value = min(max(value, low), high)
    if step:
        value = round(value / step) * step
        if value < low:
            value = math.ceil(low / step) * step
        if value > high:
            value = math.floor(high / step) * step
    return int(value) if kind == "integer" else value


def made_up_number(schema: Schema, name: str, count: int) -> float:
    """Something between the bounds, a little different each time."""
    low, high = _bounds(schema, None)
    if math.isinf(low) and math.isinf(high):
        return float(count)
    if math.isinf(high):
        return low + count
    if math.isinf(low):
        return high - count
    spread = (
        0.5 + 0.05 * (sum(name.encode()) + count) % 0.4
    )  # the upper half reads like a mark for decent work
    value = low + (high - low) * spread
    return round(value, 2) if low <= round(value, 2) <= high else value


def _bounds(schema: Schema, step: float | None) -> tuple[float, float]:
    low = float(schema.get("minimum", -math.inf))
    high = float(schema.get("maximum", math.inf))
    # An exclusive bound is moved inwards by the step, or by far less than any figure a model would give.
    if (above := schema.get("exclusiveMinimum")) is not None:
        low = max(low, above + (step or 1e-6))
    if (below := schema.get("exclusiveMaximum")) is not None:
        high = min(high, below - (step or 1e-6))
    return low, high


def generic_text(schema: Schema, name: str, words: tuple[str, ...], count: int) -> str:
    if schema.get("format") in _BY_FORMAT:
        return _BY_FORMAT[schema["format"]]
    about = name.replace("_", " ")
    if not words:
        return f"Scripted model: {about} {count}."
    return f"Scripted model: {about}. {words[(count - 1) % len(words)]}"


def as_text(schema: Schema, text: str) -> str:
    """The text within the schema's lengths (in characters, as JSON Schema counts)."""
    most = schema.get("maxLength")
    if most is not None and len(text) > most:
        text = text[: most - 1] + "…" if most > 0 else ""
    return text + "." * max(0, int(schema.get("minLength", 0)) - len(text))
