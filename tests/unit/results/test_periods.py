"""Periods: dates and times to milliseconds, both ends inclusive."""

import pytest
from results.periods import Period, period

from rill.errors import BadRequest

DAY = 24 * 3600 * 1000
JANUARY_31 = 1_769_817_600_000  # 2026-01-31T00:00:00Z
NOON = JANUARY_31 + DAY // 2


@pytest.mark.parametrize(
    ("from_", "to", "expected"),
    [
        (None, None, Period(None, None)),
        ("2026-01-31", None, Period(JANUARY_31, None)),
        (None, "2026-01-31", Period(None, JANUARY_31 + DAY - 1)),
        ("2026-01-31", "2026-01-31", Period(JANUARY_31, JANUARY_31 + DAY - 1)),
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:01Z", Period(NOON, NOON + 999)),
        ("2026-01-31T12:00:00", None, Period(NOON, None)),
        ("2026-01-31T13:00:00+01:00", None, Period(NOON, None)),
        ("2026-01-31T13:00:00 01:00", None, Period(NOON, None)),
        ("1970-01-01", "1970-01-01", Period(0, DAY - 1)),
    ],
)
def test_dates_and_times(from_: str | None, to: str | None, expected: Period) -> None:
    assert period(from_, to) == expected


@pytest.mark.parametrize(
    "text", ["", "x", "2026-02-30", "1969-12-31", "1969-12-31T23:00:00", "12:00", "9" * 999]
)
def test_what_is_no_date_is_named(text: str) -> None:
    with pytest.raises(BadRequest, match=r"^from: .* is no date such as 2026-01-31 ") as caught:
        period(text, None)
    assert len(caught.value.message) < 150
    with pytest.raises(BadRequest, match=r"^to: "):
        period(None, text)


def test_the_last_day_of_the_calendar_has_no_end() -> None:
    with pytest.raises(BadRequest, match=r"^to: "):
        period(None, "9999-12-31")


def test_the_wrong_way_round() -> None:
    for to in ("2026-01-30", "2026-01-31T00:00:00Z"):
        with pytest.raises(BadRequest, match=r"^to: it has to be after `from`"):
            period("2026-01-31", to)


def test_nothing_is_before_1970() -> None:
    with pytest.raises(BadRequest, match=r"^to: it has to be after 1970 began"):
        period(None, "1970-01-01T00:00:00Z")
