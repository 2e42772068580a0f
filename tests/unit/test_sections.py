"""The section parser: whole, byte by byte, at random cuts, truncated and mutated."""

import json
import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rill.sections import (
    DuplicateMember,
    Element,
    Malformed,
    Member,
    SectionError,
    SectionParser,
    TooDeep,
    TooLarge,
    Truncated,
)

Found = list[Member | Element]
ITEMS = ("items", "more")


def parse(pieces: list[str], **options: Any) -> tuple[Found, SectionError | None, tuple[str, ...]]:
    """Everything the parser says of a text in these pieces; an error may come late, but does come."""
    parser = SectionParser(ITEMS, **options)
    found: Found = []
    try:
        for piece in pieces:
            found += parser.feed(piece)
        parser.close()
    except SectionError as error:
        return found, error, parser.tolerated
    assert parser.complete
    return found, None, parser.tolerated


def characters(text: str) -> list[str]:
    return list(text)


def expected(document: dict[str, Any]) -> Found:
    found: Found = []
    for name, value in document.items():
        if name in ITEMS and isinstance(value, list):
            found += [Element(name, index, element) for index, element in enumerate(value)]
        found.append(Member(name, value))
    return found


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
documents = st.dictionaries(st.sampled_from(ITEMS) | text, values, max_size=6)
styles = st.sampled_from([{}, {"indent": 2}, {"ensure_ascii": False}, {"separators": (",", ":")}])
leads = st.sampled_from(["", "\ufeff", "```json\n", "Here it is:\n"])


@given(documents, styles, st.randoms(use_true_random=False))
def test_every_cut_gives_what_the_whole_gives(
    document: dict[str, Any], style: dict[str, Any], chance: random.Random
) -> None:
    whole = json.dumps(document, **style)
    cuts = sorted(chance.sample(range(len(whole) + 1), min(5, len(whole))))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert parse([whole]) == (expected(document), None, ())
    assert parse(pieces) == (expected(document), None, ())
    assert parse(characters(whole)) == (expected(document), None, ())


@settings(max_examples=50, report_multiple_bugs=False)
@given(documents, styles, leads)
def test_every_prefix_is_truncated_and_gives_only_what_is_complete(
    document: dict[str, Any], style: dict[str, Any], lead: str
) -> None:
    body = lead + json.dumps(document, **style)
    complete = expected(document)
    for end in range(len(body)):
        found, error, _ = parse([body[:end]])
        assert isinstance(error, Truncated)
        assert error.position == end
        assert found == complete[: len(found)]


@given(documents, st.integers(min_value=0), st.sampled_from([*'{}[]",:\\u0eE-+. \x00\ud800x', ""]))
@example({"a": 1}, 6, "}")
def test_mutations_never_give_what_the_standard_parser_would_not(
    document: dict[str, Any], where: int, put: str
) -> None:
    whole = json.dumps(document, ensure_ascii=False)
    at = where % len(whole)
    mutated = whole[:at] + put + whole[at + 1 :]
    found, error, tolerated = parse([mutated])
    one_by_one = parse(characters(mutated))
    assert one_by_one[0] == found
    assert type(one_by_one[1]) is type(error)
    try:
        parsed: Any = json.loads(mutated)
    except ValueError:
        assert error is not None or tolerated
        return
    if error is None:
        assert found == expected(parsed)
    else:  # what the standard parser lets through and RFC 8259, or a reader of it, does not
        lone = any("\ud800" <= char <= "\udfff" for char in json.dumps(parsed, ensure_ascii=False))
        assert isinstance(error, DuplicateMember) or lone or not isinstance(parsed, dict)


@pytest.mark.parametrize(
    ("given_text", "error", "position"),
    [
        ('{"a": NaN}', Malformed, 6),
        ('{"a": 1,}', Malformed, 8),
        ('{"a": [1,]}', Malformed, 9),
        ('{"a": 01}', Malformed, 7),
        ('{"a": "\\ud800"}', Malformed, 13),
        ('{"a": "\ud800"}', Malformed, 7),
        ('{"é": {"ü": "\t"}}', Malformed, 13),
        ('{"a" 1}', Malformed, 5),
        ('{"a": }', Malformed, 6),
        ("{1: 2}", Malformed, 1),
        ('{"a": 1 "b": 2}', Malformed, 8),
        ('{"items": [1 2]}', Malformed, 13),
        ('{"items": [,]}', Malformed, 11),
        ('{"a": 1}}', Malformed, 8),
        ('{"a": 1} {"b": 2}', Malformed, 9),
        ('[{"a": 1}]', Malformed, 0),
        ("[1, 2]", Malformed, 0),
        ('{"a": {"x"]}', Malformed, 10),
        ('{"a": 1, "a": 2}', DuplicateMember, 9),
        ('{"a": {"é": 1, "b": 1, "b": 2}}', DuplicateMember, 27),
        ('{"items": [{"b": 1, "b": 2}]}', DuplicateMember, 24),
        ("", Truncated, 0),
        ("I'd rather not.", Truncated, 15),
        ('{"a": "x', Truncated, 8),
        ('{"a": 12', Truncated, 8),
    ],
)
def test_mistakes_are_named_with_their_place(
    given_text: str, error: type[SectionError], position: int
) -> None:
    for pieces in ([given_text], characters(given_text)):
        raised = parse(pieces)[1]
        assert type(raised) is error
        assert raised.position == position, raised
        assert f"at character {position}" in str(raised)


def test_what_was_complete_before_a_mistake_comes_first() -> None:
    parser = SectionParser()
    assert parser.feed('{"a": 1, "b": 2, "a": 3}') == [Member("a", 1), Member("b", 2)]
    with pytest.raises(DuplicateMember):
        parser.feed("")
    with pytest.raises(DuplicateMember):
        parser.close()


@pytest.mark.parametrize(
    ("given_text", "tolerated"),
    [
        (' {"a": 1} ', ()),
        ('\ufeff{"a": 1}', ("byte_order_mark",)),
        ('```json\n{"a": 1}\n```\n', ("code_fence",)),
        ('```\n{"a": 1}', ("code_fence",)),
        ('{"a": 1}\n```', ("code_fence",)),
        ('Sure! {"a": 1}', ("leading_text",)),
        ('{"a": 1}\n\nHope that helps {}.', ("trailing_text",)),
        (
            '\ufeffSure:\n```json\n{"a": 1}\n```\nThere.',
            ("byte_order_mark", "code_fence", "leading_text", "trailing_text"),
        ),
    ],
)
def test_what_stands_around_the_object_is_tolerated_and_named(
    given_text: str, tolerated: tuple[str, ...]
) -> None:
    for pieces in ([given_text], characters(given_text)):
        assert parse(pieces) == ([Member("a", 1)], None, tolerated)


@pytest.mark.parametrize("text", ['{"a": "xyz"}', '{"é": "ü€😀"}'])
def test_the_size_limit_counts_bytes(text: str) -> None:
    size = len(text.encode())
    assert parse([text], max_bytes=size)[1] is None
    for limit in range(1, size):
        whole = parse([text], max_bytes=limit)
        assert isinstance(whole[1], TooLarge)
        one_by_one = parse(characters(text), max_bytes=limit)
        assert isinstance(one_by_one[1], TooLarge)
        assert one_by_one[1].position == whole[1].position
        assert one_by_one[0] == whole[0]


def test_the_depth_limit_counts_the_object_itself() -> None:
    for name in ("a", "items"):
        fits = f'{{"{name}": ' + "[" * 4 + "]" * 4 + "}"
        assert parse([fits], max_depth=5)[1] is None
        deep = f'{{"{name}": ' + "[" * 5 + "]" * 5 + "}"
        error = parse([deep], max_depth=5)[1]
        assert isinstance(error, TooDeep)
        assert error.position == deep.index("]") - 1


def test_a_value_is_given_with_its_last_character() -> None:
    parser = SectionParser(["items"])
    assert parser.feed('{"a": {"b": [1, {"c": "}\\"') == []
    assert parser.feed('"}]}') == [Member("a", {"b": [1, {"c": '}"'}]})]
    assert parser.feed(', "items": [{"x": 1') == []
    assert parser.feed("}") == [Element("items", 0, {"x": 1})]
    assert parser.feed(', "y", 3') == [Element("items", 1, "y")]
    assert parser.feed(" ") == [Element("items", 2, 3)]
    assert parser.feed("]") == [Member("items", [{"x": 1}, "y", 3])]
    assert not parser.complete
    assert parser.feed("}") == []
    assert parser.complete


def test_an_error_without_a_place_is_put_at_the_beginning_of_its_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise ValueError("no")

    monkeypatch.setattr("rill.sections.jiter.from_json", refuse)
    assert isinstance(error := parse(['{"a": 1}'])[1], Malformed)
    assert error.position == 1


def test_a_list_member_that_is_no_list_is_a_member() -> None:
    assert parse(['{"items": {"a": 1}}'])[0] == [Member("items", {"a": 1})]


def test_a_piece_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linear work: the characters that searches are given to look at add up to the text's own."""
    import rill.sections as module

    looked = 0
    original = module._string_stop

    def counting(text: str, at: int = 0) -> Any:
        nonlocal looked
        found = original(text, at)
        looked += (found.end() if found else len(text)) - at
        return found

    monkeypatch.setattr(module, "_string_stop", counting)
    body = "word " * 20_000
    parser = SectionParser()
    parser.feed('{"a": "')
    for i in range(0, len(body), 5):
        parser.feed(body[i : i + 5])
    assert parser.feed('"}') == [Member("a", body)]
    assert looked <= len(body) + 10
