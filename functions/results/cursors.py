"""Where a page ends, as a string that callers hand back and need not understand."""

import base64
import binascii
import json
import re

from rill.errors import BadRequest
from rill.stores.queries import Position

_LATEST = 10**15
# A string of JSON can hold what UTF-8, and so DynamoDB, cannot: an id is nothing but what ids are made of.
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def encode(of: str, position: Position | None) -> str | None:
    """The cursor of a position in the list named `of`; None stays None."""
    if position is None:
        return None
    text = json.dumps([of, *position], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(of: str, cursor: str | None) -> Position | None:
    """The position that a cursor names in the list `of`.

    Raises:
        BadRequest: it is none that this API has given out, or one of another list.
    """
    if cursor is None:
        return None
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        found = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise _unknown() from error
    match found:
        case [str(list_), int(at), str(id_)] if (
            type(at) is int and 0 <= at <= _LATEST and _ID.fullmatch(id_) is not None
        ):
            if list_ != of:
                raise BadRequest("cursor: it belongs to another list; begin this one without a cursor.")
            return at, id_
    raise _unknown()


def _unknown() -> BadRequest:
    return BadRequest(
        "cursor: this is no cursor of this API; take next_cursor of the page before, unchanged."
    )
