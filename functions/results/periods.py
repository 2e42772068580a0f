"""The period that `from` and `to` name."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from rill.errors import BadRequest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Period:
    """From the first to the last millisecond of it, both inclusive; None is open."""

    from_ms: int | None
    to_ms: int | None


def period(from_: str | None, to: str | None) -> Period:
    """The period between two dates or times in ISO 8601; in UTC where they name no zone.

    A time as `to` is not part of the period any more, a date is: the whole day.

    Raises:
        BadRequest: one is no date, or they are the wrong way round.
    """
    begins = None if from_ is None else _ms(_moment("from", from_))
    ends = None if to is None else _ms(_moment("to", to, whole_day=True)) - 1
    if ends is not None and ends < (begins or 0):
        raise BadRequest(f"to: it has to be after {'1970 began' if begins is None else '`from`'}.")
    return Period(begins, ends)


def _moment(name: str, text: str, *, whole_day: bool = False) -> datetime:
    try:
        if "T" not in text and ":" not in text:
            day = date.fromisoformat(text) + timedelta(days=1 if whole_day else 0)
            return _since_1970(datetime(day.year, day.month, day.day, tzinfo=UTC))
        # A plus that was not escaped has become a space on its way.
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        return _since_1970(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError) as error:
        message = f"{name}: {text[:40]!r} is no date such as 2026-01-31 or 2026-01-31T12:00:00Z."
        raise BadRequest(message) from error


def _since_1970(moment: datetime) -> datetime:
    if moment < _EPOCH:
        raise ValueError("before 1970")
    return moment


def _ms(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)
