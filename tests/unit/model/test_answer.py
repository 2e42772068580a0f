from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has none

from local.model.analysis import analyse
from local.model.answer import fill, spoil
from local.model.grading import sections
from local.model.signals import Line
from tests.unit.model.support import GOOD, INT, SECTIONS, STR, listed, obj

KNOWN = sections(analyse(tuple(Line(*row) for row in GOOD)))
NULL = {"type": "null"}


def check(schema: dict[str, Any], value: Any) -> None:
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(value)


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_is_found_by_its_members_or_by_its_name(name: str) -> None:
    wrapped = obj(**{name: SECTIONS[name]})
    assert fill(wrapped, KNOWN) == {name: KNOWN[name]}
    if SECTIONS[name]["type"] == "object":
        assert fill(SECTIONS[name], KNOWN) == KNOWN[name]


def test_all_sections_at_once() -> None:
    schema = obj(**SECTIONS)
    assert fill(schema, KNOWN) == KNOWN
    check(schema, KNOWN)


def test_references_as_pydantic_writes_them() -> None:
    schema = {
        "$defs": {
            "Scores": obj(overall={"type": "integer", "maximum": 10}),
            "Level": {"enum": ["low", "high"]},
        },
        **obj(
            scores={"$ref": "#/$defs/Scores"}, level={"allOf": [{"$ref": "#/$defs/Level"}], "title": "Level"}
        ),
    }
    assert fill(schema, KNOWN) == {"scores": {"overall": 10}, "level": "low"}
    assert fill({"$ref": "#/$defs/A", "$defs": {"A": obj(scores=INT)}}, KNOWN)["scores"]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": 7, "maximum": 7},
        {"type": "integer", "exclusiveMinimum": 2, "exclusiveMaximum": 4},
        {"type": "integer", "minimum": 1, "multipleOf": 5, "maximum": 9},
        {"type": "number", "minimum": 0, "maximum": 1},
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "number", "exclusiveMaximum": 0},
        {"type": "number", "minimum": 0.001, "maximum": 0.002},
        {"type": "string", "maxLength": 5},
        {"type": "string", "maxLength": 0},
        {"type": "string", "minLength": 200},
        {"type": "boolean"},
        NULL,
        {"const": 3},
        {"enum": ["a", "b"]},
        {"type": ["string", "null"]},
        {"type": ["null"]},
        {"type": ["integer", "string"]},
        {"type": "number", "minimum": 0.3, "maximum": 0.9, "multipleOf": 0.5},
        {"type": "integer", "minimum": 4, "maximum": 9, "multipleOf": 6},
        {"type": "integer", "minimum": 1, "maximum": 2, "multipleOf": 2},
        {"anyOf": [INT, NULL]},
        {"oneOf": [NULL, STR]},
        listed(INT, minItems=4),
        listed(STR, maxItems=1),
        listed(STR, maxItems=0),
        {"type": "array", "prefixItems": [INT, STR], "minItems": 3},
        {"type": "array"},
        {"items": INT},
        {"type": "object", "additionalProperties": INT},
        {"type": "object"},
        {"properties": {"a": INT}},
        {
            "allOf": [
                {"properties": {"a": INT}, "required": ["a"]},
                {"properties": {"b": STR}, "required": ["b"]},
            ]
        },
        *(
            {"type": "string", "format": name}
            for name in ("date", "date-time", "email", "uuid", "uri", "time")
        ),
    ],
)
def test_made_up_values_keep_to_their_schema(schema: dict[str, Any]) -> None:
    for known in ({}, KNOWN):
        wrapped = obj(unheard_of=schema)
        check(wrapped, fill(wrapped, known, ("One sentence.", "Another one.")))


def test_unknown_text_is_drawn_from_the_prompt_and_says_that_it_is_scripted() -> None:
    value = fill(obj(one_pager=STR, title=STR), {}, ("A boat for two.", "It floats."))
    assert value == {
        "one_pager": "Scripted model: one pager. A boat for two.",
        "title": "Scripted model: title. It floats.",
    }


def test_a_known_value_is_bent_to_its_schema() -> None:
    ratings = listed(
        obj(
            line_number=INT,
            effectiveness={"enum": ["Good", "Excellent"]},
            reason={"type": "string", "maxLength": 20},
        ),
        maxItems=1,
    )
    [rating] = fill(obj(line_ratings=ratings), KNOWN)["line_ratings"]
    assert rating["effectiveness"] in {"Good", "Excellent"}
    assert len(rating["reason"]) == 20


def test_known_null_and_the_branch_that_fits() -> None:
    known = {"part": {"a": None, "b": {"x": 1}, "c": "text"}}
    either = {"anyOf": [INT, obj(x=INT), STR, NULL]}
    schema = obj(part=obj(a=either, b=either, c=either))
    assert fill(schema, known) == known


def test_a_known_value_chooses_among_types() -> None:
    known = {"part": {"a": "text", "b": 3}}
    either = {"type": ["integer", "string", "null"]}
    assert fill(obj(part=obj(a=either, b=either)), known) == known


def test_a_chain_of_optional_members_ends() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}, "additionalProperties": False}
    schema = {"$defs": {"Node": node}, "$ref": "#/$defs/Node"}
    check(schema, fill(schema, {}))


def test_values_are_rounded_into_their_range() -> None:
    def bent(value: float, **bounds: float) -> Any:
        return fill(obj(part=obj(x={"type": "number", **bounds})), {"part": {"x": value}})["part"]["x"]

    assert bent(1, minimum=1, multipleOf=3) == 3
    assert bent(8, maximum=8, multipleOf=3) == 6


def test_a_recursive_schema_ends() -> None:
    node = obj(
        name=STR, children=listed({"$ref": "#/$defs/Node"}), next={"anyOf": [{"$ref": "#/$defs/Node"}, NULL]}
    )
    schema = {"$defs": {"Node": node}, "$ref": "#/$defs/Node"}
    check(schema, fill(schema, {}))
    assert fill({"$ref": "#"}, {}) is not None


def test_any_schema_at_all() -> None:
    assert fill(obj(x=True), {}) == {"x": None}  # `true` is a schema too
    assert isinstance(fill({}, {}), str)
    assert fill({}, KNOWN) == KNOWN


def test_spoiled_answers_break_every_schema_of_a_section() -> None:
    for name, schema in SECTIONS.items():
        assert not Draft202012Validator(schema).is_valid(spoil(KNOWN[name])), name
    assert spoil([]) == {"scripted": "wrong"}


leaves = st.sampled_from(
    [STR, INT, {"type": "boolean"}, {"enum": ["x", 2]}, {"type": "number", "minimum": 3}]
)
schemas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from(["scores", "summary", "rating", "other"]), inner, max_size=3).map(
            lambda properties: obj(**properties)
        ),
        st.builds(
            lambda items, least: listed(items, minItems=least, maxItems=least + 1), inner, st.integers(0, 3)
        ),
        inner.map(lambda branch: {"anyOf": [branch, NULL]}),
    ),
    max_leaves=8,
)


@given(schemas)
def test_any_schema_is_kept_to(schema: dict[str, Any]) -> None:
    for known in ({}, KNOWN):
        value = fill(obj(answer=schema), known)
        check(obj(answer=schema), value)
        assert value == fill(obj(answer=schema), known)
