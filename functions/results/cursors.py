"""Where a page ends, as a string that callers hand back and need not understand."""

import base64
import binascii
import json

from rill.errors import BadRequest
from rill.stores.queries import Position

_LATEST = 10**15
_MAX_ID = 200


def encode(position: Position | None) -> str | None:
    """The cursor of a position; None stays None."""
    if position is None:
        return None
    text = json.dumps(position, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(cursor: str | None) -> Position | None:
    """The position of a cursor.

    Raises:
        BadRequest: it is none that this API has given out.
    """
    if cursor is None:
        return None
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        found = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise _bad() from error
    match found:
        case [int(at), str(name)] if type(at) is int and 0 <= at <= _LATEST and 0 < len(name) <= _MAX_ID:
            return at, name
    raise _bad()


def _bad() -> BadRequest:
    return BadRequest(
        "cursor: this is no cursor of this API; take next_cursor of the page before, unchanged."
    )
