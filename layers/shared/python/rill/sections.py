"""Incremental parser of a JSON object's members, for structured answers that arrive in pieces.

A scanner finds where a top-level member (or an element of a named list) ends; jiter decodes the slice.
Each character is looked at once, whatever the cuts: a delta inside a long string costs one regular
expression search and one append. Grammar: https://www.rfc-editor.org/rfc/rfc8259

::

    InvalidOutput
    └── SectionError       position: characters from the start of the text
        ├── Malformed      no JSON at that place
        ├── Truncated      the text ended inside the object, or before it
        ├── DuplicateMember
        ├── TooLarge
        └── TooDeep
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import jiter

from rill.errors import InvalidOutput

Tolerance: TypeAlias = Literal["byte_order_mark", "code_fence", "leading_text", "trailing_text"]


@dataclass(frozen=True, slots=True)
class Member:
    """A top-level member whose value is complete."""

    name: str
    value: Any


@dataclass(frozen=True, slots=True)
class Element:
    """A complete element of a top-level list; `index` counts from 0."""

    name: str
    index: int
    value: Any


class SectionError(InvalidOutput):
    """The text is no JSON object this parser takes; `position` counts characters from its start."""

    def __init__(self, detail: str, position: int) -> None:
        super().__init__(detail=f"{detail}, at character {position}")
        self.position = position


class Malformed(SectionError):
    """The text is not JSON."""


class Truncated(SectionError):
    """The text ended before the object did."""


class DuplicateMember(SectionError):
    """An object names a member twice; inside a value, `position` is just after the second name."""


class TooLarge(SectionError):
    """The text is over `max_bytes`."""


class TooDeep(SectionError):
    """Arrays and objects are nested over `max_depth`."""


_string_stop = re.compile(r'["\\]').search
_nested_stop = re.compile(r'["{}\[\]]').search
_scalar_stop = re.compile(r"[ \t\n\r,\]}]").search
_not_space = re.compile(r"[^ \t\n\r]").search
_JITER_PLACE = re.compile(r" at line (\d+) column (\d+)$")

# Where the scanner is between slices: what may stand there, and what is a mistake.
_Place = Literal["open", "key", "colon", "value", "next", "list", "element", "list_next"]
_EXPECTED: dict[_Place, str] = {
    "open": "a member's name or }",
    "key": "a member's name",
    "colon": ":",
    "value": "a value",
    "next": ", or }",
    "list": "a value or ]",
    "element": "a value",
    "list_next": ", or ]",
}
# (place, character) -> the place after it; "}" and "]" end the object and the list.
_PUNCTUATION: dict[tuple[_Place, str], _Place] = {
    ("colon", ":"): "value",
    ("next", ","): "key",
    ("list_next", ","): "element",
}
_OBJECT_MAY_END = frozenset({"open", "next"})
_LIST_MAY_END = frozenset({"list", "list_next"})
_Lexeme = Literal["between", "string", "escape", "nested", "scalar"]


@dataclass(slots=True)
class _Slice:
    """The value or name that is being collected."""

    role: Literal["name", "member", "element"]
    position: int
    depth: int = 0


class SectionParser:
    """Takes a JSON object as text in pieces; gives its members as they become complete.

    A byte-order mark, text before and after the object, and a code fence around it are tolerated;
    `tolerated` says which were met. Text that is no JSON raises a `SectionError`. What was complete
    before the mistake in the same piece is given first; the error then comes with the next call.

    Args:
        items: names of top-level lists whose elements are given one by one, before the list itself.
        max_bytes: how long the text may be, in bytes of UTF-8.
        max_depth: how deep arrays and objects may be nested, the outermost object counted.
    """

    def __init__(
        self, items: Collection[str] = (), *, max_bytes: int = 4 * 1024 * 1024, max_depth: int = 100
    ) -> None:
        self._items = frozenset(items)
        self._max_bytes = max_bytes
        self._max_depth = max_depth
        self._bytes = 0
        self._offset = 0  # of the current piece, in characters
        self._error: SectionError | None = None
        self._phase: Literal["before", "inside", "after"] = "before"
        self._outside: list[str] = []
        self._tolerated: list[Tolerance] = []
        self._place: _Place = "open"
        self._lexeme: _Lexeme = "between"
        self._slice: _Slice | None = None
        self._pieces: list[str] = []
        self._from = 0  # where the slice goes on in the current piece
        self._names: set[str] = set()
        self._name = ""
        self._elements: list[Any] | None = None
        self._found: list[Member | Element] = []

    @property
    def complete(self) -> bool:
        """Whether the object has ended."""
        return self._phase == "after"

    @property
    def tolerated(self) -> tuple[Tolerance, ...]:
        """What stood around the object that is not JSON; whole after `close`."""
        return tuple(self._tolerated)

    def feed(self, text: str) -> list[Member | Element]:
        """Take the next piece of the text; returns what became complete with it.

        Raises:
            SectionError: the text is no JSON object, too long or too deep.
        """
        if self._error is not None:
            raise self._error
        # The common case, and quick for it: a word inside a string.
        if self._lexeme == "string" and '"' not in text and "\\" not in text and text.isascii():
            size = len(text)
            if self._bytes + size <= self._max_bytes:
                self._bytes += size
                self._offset += size
                self._pieces.append(text)
                return []
        excess = self._count(text)
        try:
            self._scan(text if excess is None else text[:excess])
            if excess is not None:
                raise TooLarge(f"the text is over {self._max_bytes} bytes", self._offset + excess)
        except SectionError as error:
            self._error = error
        found, self._found = self._found, []
        if self._error is not None and not found:
            raise self._error
        self._offset += len(text)
        return found

    def close(self) -> None:
        """Say that the text has ended.

        Raises:
            Truncated: the object has not ended, or never began.
            SectionError: a mistake that the last `feed` met and did not raise yet.
        """
        if self._error is not None:
            raise self._error
        if self._phase == "before":
            self._leave_lead()
            raise Truncated("the text ended before an object began", self._offset)
        if self._phase == "inside":
            raise Truncated("the text ended inside the object", self._offset)
        self._note_around("".join(self._outside), "trailing_text")
        self._outside.clear()

    def _count(self, text: str) -> int | None:
        """Count the piece; returns how many characters of it still fit, or None when it fits whole."""
        before = self._bytes
        if text.isascii():
            self._bytes += len(text)
            return None if self._bytes <= self._max_bytes else self._max_bytes - before
        encoded = text.encode("utf-8", "surrogatepass")
        self._bytes += len(encoded)
        if self._bytes <= self._max_bytes:
            return None
        return len(encoded[: self._max_bytes - before].decode("utf-8", "ignore"))

    def _scan(self, text: str) -> None:
        at, end = 0, len(text)
        self._from = 0
        while at < end:
            if self._phase != "inside":
                at = self._before(text) if self._phase == "before" else self._after(text, at)
            elif self._lexeme == "between":
                at = self._between(text, at)
            elif self._lexeme == "string":
                at = self._string(text, at)
            elif self._lexeme == "nested":
                at = self._nested(text, at)
            elif self._lexeme == "escape":
                self._lexeme = "string"
                at += 1
            else:
                at = self._scalar(text, at)
        if self._slice is not None:
            self._pieces.append(text[self._from :])

    def _before(self, text: str) -> int:
        at = text.find("{")
        if at < 0:
            self._outside.append(text)
            return len(text)
        self._outside.append(text[:at])
        self._leave_lead()
        self._phase = "inside"
        return at + 1

    def _leave_lead(self) -> None:
        lead = "".join(self._outside)
        self._outside.clear()
        if lead.startswith("\ufeff"):
            self._tolerated.append("byte_order_mark")
        if lead.lstrip("\ufeff \t\n\r").startswith("["):
            raise Malformed("the text is an array, not an object", lead.index("["))
        self._note_around(lead.removeprefix("\ufeff"), "leading_text")

    def _note_around(self, text: str, note: Tolerance) -> None:
        without = re.sub(r"```\w*", "", text)
        if without != text and "code_fence" not in self._tolerated:
            self._tolerated.append("code_fence")
        if without.strip() and note not in self._tolerated:
            self._tolerated.append(note)

    def _after(self, text: str, at: int) -> int:
        if not self._outside and (first := _not_space(text, at)):
            # Prose does not begin like this; a second object, or a bracket too many, does.
            if first[0] in '{}[],:"':
                raise Malformed(f"{first[0]!r} after the object", self._offset + first.start())
            at = first.start()
            self._outside.append(text[at:])
        elif self._outside:
            self._outside.append(text[at:])
        return len(text)

    def _between(self, text: str, at: int) -> int:
        found = _not_space(text, at)
        if found is None:
            return len(text)
        at, char, place = found.start(), found[0], self._place
        if char == "}" and place in _OBJECT_MAY_END:
            self._phase = "after"
        elif char == "]" and place in _LIST_MAY_END:
            self._end_list()
        elif (place, char) in _PUNCTUATION:
            self._place = _PUNCTUATION[place, char]
        elif place == "value" and char == "[" and self._name in self._items:
            self._place, self._elements = "list", []
        elif place in ("open", "key") and char == '"':
            self._begin("name", char, at)
        elif place == "value" and char not in ",:]}":
            self._begin("member", char, at)
        elif place in ("list", "element") and char not in ",:]}":
            self._begin("element", char, at)
        else:
            raise Malformed(f"{char!r} instead of {_EXPECTED[place]}", self._offset + at)
        return at + 1

    def _begin(self, role: Literal["name", "member", "element"], char: str, at: int) -> None:
        self._slice = _Slice(role, self._offset + at)
        self._from = at
        if char == '"':
            self._lexeme = "string"
        elif char in "{[":
            self._lexeme = "nested"
            self._deeper(at)
        else:
            self._lexeme = "scalar"

    def _deeper(self, at: int) -> None:
        assert self._slice is not None  # noqa: S101 - brackets are counted inside a slice only
        self._slice.depth += 1
        around = 1 if self._elements is None else 2
        if self._slice.depth + around > self._max_depth:
            raise TooDeep(f"nested over {self._max_depth} levels", self._offset + at)

    def _shallower(self, text: str, at: int) -> None:
        assert self._slice is not None  # noqa: S101 - brackets are counted inside a slice only
        self._slice.depth -= 1
        if not self._slice.depth:
            self._end(text, at)

    def _string(self, text: str, at: int) -> int:
        found = _string_stop(text, at)
        if found is None:
            return len(text)
        at = found.end()
        if found[0] == "\\":
            self._lexeme = "escape"
        elif self._slice is not None and self._slice.depth:
            self._lexeme = "nested"
        else:
            self._end(text, at)
        return at

    def _nested(self, text: str, at: int) -> int:
        found = _nested_stop(text, at)
        if found is None:
            return len(text)
        at, char = found.end(), found[0]
        if char == '"':
            self._lexeme = "string"
        elif char in "{[":
            self._deeper(at - 1)
        else:
            self._shallower(text, at)
        return at

    def _scalar(self, text: str, at: int) -> int:
        found = _scalar_stop(text, at)
        if found is None:
            return len(text)
        self._end(text, found.start())
        return found.start()

    def _end(self, text: str, at: int) -> None:
        """The slice ends before `at`: decode it and say what it was."""
        part, self._slice = self._slice, None
        assert part is not None  # noqa: S101 - only the states inside a slice end one
        self._pieces.append(text[self._from : at])
        raw = "".join(self._pieces)
        self._pieces.clear()
        self._lexeme = "between"
        value = _decode(raw, part.position)
        if part.role == "name":
            self._take_name(value, part.position)
        elif part.role == "member":
            self._found.append(Member(self._name, value))
            self._place = "next"
        else:
            assert self._elements is not None  # noqa: S101 - elements stand in a list
            self._found.append(Element(self._name, len(self._elements), value))
            self._elements.append(value)
            self._place = "list_next"

    def _take_name(self, name: str, position: int) -> None:
        if name in self._names:
            raise DuplicateMember(f"the member {name[:80]!r} is there twice", position)
        self._names.add(name)
        self._name = name
        self._place = "colon"

    def _end_list(self) -> None:
        self._found.append(Member(self._name, self._elements))
        self._elements = None
        self._place = "next"


def _decode(raw: str, position: int) -> Any:
    try:
        encoded = raw.encode()
    except UnicodeEncodeError as error:
        raise Malformed("a lone surrogate", position + error.start) from error
    try:
        return jiter.from_json(encoded, allow_inf_nan=False, cache_mode="keys", catch_duplicate_keys=True)
    except ValueError as error:
        kind = DuplicateMember if str(error).startswith("Detected duplicate key") else Malformed
        said = _JITER_PLACE.sub("", str(error))
        raise kind(said, position + _place_in(encoded, str(error))) from error


def _place_in(encoded: bytes, message: str) -> int:
    """The character that jiter's line and column (bytes, from 1) point at."""
    found = _JITER_PLACE.search(message)
    if found is None:  # an error of jiter's without a place: the slice's beginning has to do
        return 0
    lines = encoded.split(b"\n")
    line = int(found[1]) - 1
    before = b"".join(part + b"\n" for part in lines[:line]) + lines[line][: max(int(found[2]) - 1, 0)]
    return len(before.decode("utf-8", "ignore"))
