"""Fills any JSON schema: with what is known where a name fits, with plausible typed values elsewhere. Pure.

A property takes the known value of its own name, first from the part of the answer it stands in, then
from the sections of the analysis. Every value is bent to its schema: type, enum, range, length, number of
elements.
"""

import math
from collections.abc import Mapping
from typing import Final

from local.model.values import Json, Schema, as_number, as_text, generic_text, kind_of, made_up_number

MAX_DEPTH = 12


class _Missing:
    """Nothing is known about a value, which is different from knowing that it is null."""


MISSING: Final = _Missing()


def fill(schema: Schema, known: Mapping[str, Json], words: tuple[str, ...] = ()) -> Json:
    """An instance of the schema.

    Args:
        schema: a JSON schema; `$ref` within it (`#/$defs/...`) is followed.
        known: the sections of the analysis by name; empty when there is no transcript.
        words: sentences that made-up text is drawn from.
    """
    filler = _Filler(schema, known, words)
    return filler.fill(schema, filler.best_known(), "answer", 0)


def spoil(value: Json) -> Json:
    """The same value with its first scalar replaced by an object, which no schema of a scalar allows."""
    if isinstance(value, dict) and value:
        name = next(iter(value))
        return {**value, name: spoil(value[name])}
    if isinstance(value, list) and value:
        return [spoil(value[0]), *value[1:]]
    return {"scripted": "wrong"}


def _fits(kind: str, value: Json) -> bool:
    own = kind_of({}, value)
    return own == kind or {own, kind} == {"integer", "number"}


class _Filler:
    def __init__(self, root: Schema, known: Mapping[str, Json], words: tuple[str, ...]) -> None:
        self._root = root
        self._known = known
        self._words = words
        self._made_up = 0

    def best_known(self) -> Json | _Missing:
        """All sections, or the one section whose members the schema asks for.

        A section can share its name with a member of another (`objection_handling` is also a score), so the
        types have to fit as well.
        """
        properties = self._resolved(self._root).get("properties", {})

        def fit(part: dict[str, Json]) -> int:
            shared = {name: self._resolved(properties[name]) for name in properties.keys() & part.keys()}
            return sum(_fits(kind_of(schema, part[name]), part[name]) for name, schema in shared.items())

        parts = [dict(self._known), *(part for part in self._known.values() if isinstance(part, dict))]
        return max(parts, key=fit) if self._known else MISSING

    def fill(self, schema: Json, value: Json | _Missing, name: str, depth: int) -> Json:
        if not isinstance(schema, dict):  # `true`: anything goes
            return None if isinstance(value, _Missing) else value
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._choice(schema["enum"], value)
        for word in ("anyOf", "oneOf"):
            if word in schema:
                return self._alternative(schema[word], value, name, depth)
        kind = kind_of(schema, None if isinstance(value, _Missing) else value)
        if kind == "object":
            return self._object(schema, value, depth)
        if kind == "array":
            return self._array(schema, value, name, depth)
        return self._scalar(kind, schema, value, name)

    def _resolved(self, schema: Schema) -> Schema:
        """Follows `$ref` and merges `allOf`; a schema that only refers to itself ends as anything."""
        for _ in range(MAX_DEPTH):
            if "$ref" in schema:
                target: Json = self._root
                for word in str(schema["$ref"]).removeprefix("#").split("/")[1:]:
                    key = word.replace("~1", "/").replace("~0", "~")
                    target = target.get(key, {}) if isinstance(target, dict) else {}
                rest = {key: value for key, value in schema.items() if key != "$ref"}
                schema = {**target, **rest} if isinstance(target, dict) else rest
            elif "allOf" in schema:
                merged = {key: value for key, value in schema.items() if key != "allOf"}
                for part in schema["allOf"]:
                    part = self._resolved(part)
                    properties = {**merged.get("properties", {}), **part.get("properties", {})}
                    required = [*merged.get("required", ()), *part.get("required", ())]
                    merged = {**merged, **part, "properties": properties, "required": required}
                    if not properties:
                        del merged["properties"]
                schema = merged
            else:
                return schema
        return {}

    def _choice(self, choices: list[Json], value: Json | _Missing) -> Json:
        if value in choices:
            return value
        wanted = str(value).lower().replace(" ", "_")
        fitting = [choice for choice in choices if str(choice).lower().replace(" ", "_") == wanted]
        return (fitting or choices)[0]

    def _alternative(self, branches: list[Json], value: Json | _Missing, name: str, depth: int) -> Json:
        resolved = [self._resolved(branch) if isinstance(branch, dict) else {} for branch in branches]
        nullable = any(branch.get("type") == "null" for branch in resolved)
        if nullable and (value is None or (isinstance(value, _Missing) and depth >= MAX_DEPTH // 3)):
            return None
        others = [branch for branch in resolved if branch.get("type") != "null"] or resolved
        if not isinstance(value, _Missing):
            fitting = [branch for branch in others if kind_of(branch, value) == kind_of({}, value)]
            others = fitting or others
        return self.fill(others[0], value, name, depth)

    def _object(self, schema: Schema, value: Json | _Missing, depth: int) -> Json:
        have = value if isinstance(value, dict) else {}
        properties: Schema = schema.get("properties", {})
        required = schema.get("required", ())
        filled: dict[str, Json] = {}
        for name, part in properties.items():
            if name not in required and depth >= MAX_DEPTH:
                continue
            filled[name] = self.fill(part, have.get(name, self._elsewhere(name, depth)), name, depth + 1)
        extra = schema.get("additionalProperties", not properties)
        if extra and not properties:
            filled |= {name: self.fill(extra, part, name, depth + 1) for name, part in have.items()}
        return filled

    def _elsewhere(self, name: str, depth: int) -> Json | _Missing:
        """A section by its name, at the top of a schema that wraps it; deeper, names mean other things."""
        return self._known.get(name, MISSING) if depth <= 1 else MISSING

    def _array(self, schema: Schema, value: Json | _Missing, name: str, depth: int) -> Json:
        least, most = int(schema.get("minItems", 0)), schema.get("maxItems", math.inf)
        made_up: list[Json | _Missing] = [MISSING] * (2 if depth < MAX_DEPTH // 2 else 0)
        values = list(value) if isinstance(value, list) else made_up
        values += [MISSING] * (least - len(values))
        if most < len(values):
            values = values[: int(most)]
        first = schema.get("prefixItems", [])
        item = schema.get("items", True)
        return [
            self.fill(first[index] if index < len(first) else item, part, name, depth + 1)
            for index, part in enumerate(values)
        ]

    def _scalar(self, kind: str, schema: Schema, value: Json | _Missing, name: str) -> Json:
        if kind == "null":
            return None
        known = None if isinstance(value, _Missing) else value
        if kind == "boolean":
            return known if isinstance(known, bool) else True
        self._made_up += 1
        if kind in {"integer", "number"}:
            if not isinstance(known, int | float) or isinstance(known, bool):
                known = made_up_number(schema, name, self._made_up)
            return as_number(schema, known, kind)
        text = known if isinstance(known, str) else generic_text(schema, name, self._words, self._made_up)
        return as_text(schema, text)
