"""Cursors: only what the API gave out for this very list comes back in."""

import base64
import json
from typing import Any

import pytest
from results import cursors

from rill.errors import BadRequest


def cursor(document: Any) -> str:
    text = document if isinstance(document, str) else json.dumps(document)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize("of", ["sessions", "session dlg-1", "workflow größe"])
@pytest.mark.parametrize("position", [(0, "a"), (1_700_000_000_000, "dlg-d6b7:x.y_z"), (10**15, "r" * 128)])
def test_a_position_comes_back(of: str, position: tuple[int, str]) -> None:
    made = cursors.encode(of, position)
    assert made is not None
    assert made.isascii()
    assert not set(made) & set("+/=&?")
    assert cursors.decode(of, made) == position


def test_no_position_is_no_cursor() -> None:
    assert cursors.encode("sessions", None) is None
    assert cursors.decode("sessions", None) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "!",
        "é",
        "a",
        "bm90IGpzb24",
        "_____w",
        cursor(["sessions", 1, "a"]) + "!",
        cursor(["sessions", 1, "a"])[:-4],
        cursor("[" * 100_000),
        cursor("[" + "9" * 5000 + "]"),
        *map(
            cursor,
            [
                None,
                {},
                [],
                [1, "a"],
                ["sessions", 1],
                ["sessions", 1, "a", "b"],
                [1, 1, "a"],
                ["sessions", "1", "a"],
                ["sessions", 1.5, "a"],
                ["sessions", True, "a"],
                ["sessions", None, "a"],
                ["sessions", -1, "a"],
                ["sessions", 10**15 + 1, "a"],
                ["sessions", 1, ""],
                ["sessions", 1, "a" * 129],
                ["sessions", 1, "a\n"],
                ["sessions", 1, "\ud800"],
                ["sessions", 1, 7],
            ],
        ),
    ],
)
def test_what_is_no_cursor_is_named(text: str) -> None:
    with pytest.raises(BadRequest, match=r"^cursor: this is no cursor"):
        cursors.decode("sessions", text)


def test_every_change_of_a_character_is_refused_or_another_position() -> None:
    made = cursors.encode("sessions", (1_700_000_000_000, "dlg-1"))
    assert made is not None
    for at in range(len(made)):
        for other in "A*_ ":
            changed = made[:at] + other + made[at + 1 :]
            try:
                found = cursors.decode("sessions", changed)
            except BadRequest as error:
                assert error.message.startswith("cursor: ")  # noqa: PT017  # most are refused, not all
            else:
                assert found is not None
                assert found[0] >= 0


def test_a_cursor_belongs_to_its_list() -> None:
    made = cursors.encode("session a", (1, "r-1"))
    for other in ("sessions", "session b", "workflow a"):
        with pytest.raises(BadRequest, match=r"^cursor: it belongs to another list"):
            cursors.decode(other, made)
