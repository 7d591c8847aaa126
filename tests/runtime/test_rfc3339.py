from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import rfc3339

OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(timezones=OFFSETS))
def test_what_was_written_with_an_offset_is_read_as_the_same_time(moment):
    assert moment == rfc3339.moment(moment.isoformat())


@pytest.mark.parametrize(
    "text", ["2026-03-01T12:00:00Z", "2026-03-01t12:00:00z", "2026-03-01 12:00:00.000+00:00"]
)
def test_all_spellings_of_the_specification_are_one_time(text):
    assert datetime(2026, 3, 1, 12, tzinfo=UTC) == rfc3339.moment(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20110327",
        "1301184000",
        "2026-03-01",
        "2026-03-01T12:00:00",
        "2026-03-01T12:00Z",
        "2026-W09-7T12:00:00Z",
    ],
)
def test_nothing_else_is_a_time(text):
    with pytest.raises(ValueError, match=r"A time is RFC 3339"):
        rfc3339.moment(text)


@pytest.mark.parametrize(
    "text",
    ["2026-02-30T12:00:00Z", "0000-01-01T00:00:00Z", "2026-03-01T12:00:60Z", "2026-03-01T12:00:00+24:00"],
)
def test_a_time_that_no_clock_shows_is_none(text):
    with pytest.raises(ValueError, match=r"^There is no such time$"):
        rfc3339.moment(text)


@given(st.dates())
def test_a_day_is_read_as_written(day):
    assert day == rfc3339.day(day.isoformat())


@pytest.mark.parametrize("text", ["", "0", "20260301", "2026-3-1", "2026-W09-7", "2026-03-01T00:00:00Z"])
def test_nothing_else_is_a_day(text):
    with pytest.raises(ValueError, match=r"A date is YYYY-MM-DD"):
        rfc3339.day(text)


def test_a_day_that_no_month_has_is_none():
    with pytest.raises(ValueError, match=r"^There is no such day$"):
        rfc3339.day(str(date(2026, 2, 28)).replace("28", "30"))
