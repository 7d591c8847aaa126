"""GET /v1/totals/daily: days begin and end where the shop is."""

from datetime import UTC, date, datetime, timedelta

import pytest

from counterfoil.contexts import SHOP_CONTEXTS
from counterfoil.testing import queries
from projections.identity.views import AccountActivity, account_activity
from projections.ordering.views import OrderActivity, order_activity

pytestmark = pytest.mark.anyio


def at(day, hour, minute=0):
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


async def days(stage, zone, first, last):
    async with queries.opened(stage.database_url, *SHOP_CONTEXTS, time_zone=zone) as api:
        return (await api.get("/v1/totals/daily", params={"from": first, "to": last})).body


async def test_days_are_those_of_the_zone_also_where_the_clock_changes(stage):
    """In Berlin the 29th of March 2026 has 23 hours: from 23:00 to 22:00 in UTC."""
    orders = (at(28, 22, 45), at(28, 23), at(29, 21, 45), at(29, 22))
    stage.write(
        order_activity,
        [OrderActivity(at=each, currency="GBP", placed=1, placed_total=100) for each in orders],
        position=7,
    )
    stage.write(account_activity, [AccountActivity(at=at(29, 22), registered=2)], position=7)
    stage.everybody_stands(9)

    berlin = await days(stage, "Europe/Berlin", "2026-03-28", "2026-03-30")
    utc = await days(stage, "UTC", "2026-03-29", "2026-03-29")

    assert "Europe/Berlin" == berlin["time_zone"]
    assert [("2026-03-28", 1, 0), ("2026-03-29", 2, 0), ("2026-03-30", 1, 2)] == [
        (each["day"], each["orders"]["GBP"]["placed"], each["accounts"]["registered"])
        for each in berlin["days"]
    ]
    assert [("2026-03-29", 200, 2)] == [
        (each["day"], each["orders"]["GBP"]["placed_total"], each["accounts"]["registered"])
        for each in utc["days"]
    ]


@pytest.mark.parametrize(
    ("zone", "day", "moments"),
    [
        ("Atlantic/Azores", "2026-10-25", ((10, 25, 0), (10, 26, 1))),  # 25 hours: midnight comes twice
        ("America/Havana", "2026-11-01", ((11, 1, 4), (11, 2, 5))),
        ("Africa/Cairo", "2026-04-24", ((4, 23, 22), (4, 24, 21))),  # 23 hours: midnight does not come
        ("Africa/Cairo", "2026-10-29", ((10, 28, 21), (10, 29, 22))),
        ("Pacific/Kiritimati", "2026-10-25", ((10, 24, 10), (10, 25, 10))),
        ("Etc/GMT+12", "2026-10-25", ((10, 25, 12), (10, 26, 12))),
    ],
)
async def test_a_day_has_all_of_its_orders_also_where_midnight_comes_twice_or_not_at_all(
    stage, zone, day, moments
):
    begin, end = (datetime(2026, *moment, tzinfo=UTC) for moment in moments)
    quarter = timedelta(minutes=15)
    counts = {begin - quarter: 1, begin: 10, end - quarter: 100, end: 1_000}
    stage.write(
        order_activity,
        [OrderActivity(at=each, currency="GBP", placed=placed) for each, placed in counts.items()],
        position=7,
    )
    stage.everybody_stands(9)
    before, after = (f"{date.fromisoformat(day) + timedelta(days=off)}" for off in (-1, 1))

    each_day = [(await days(stage, zone, asked, asked))["days"] for asked in (before, day, after)]

    assert [[(before, 1)], [(day, 110)], [(after, 1_000)]] == [
        [(one["day"], one["orders"]["GBP"]["placed"]) for one in shown] for shown in each_day
    ]


@pytest.mark.parametrize(
    ("query", "parameter", "said"),
    [
        ("from=2026-01-01&to=2027-01-02", "to", "There are 366 days at most"),
        ("from=2026-02-30&to=2026-03-01", "from", "There is no such day"),
        ("from=2026-01-01", "to", "Field required"),
        ("from=20260101&to=2026-01-02", "from", "A date is YYYY-MM-DD, such as 2026-03-01"),
    ],
)
async def test_days_that_are_none_or_too_many_are_refused(api, query, parameter, said):
    answer = await api.get(f"/v1/totals/daily?{query}")

    assert (400, "invalid-parameter") == (answer.status_code, answer.json()["code"])
    assert [{"parameter": parameter, "detail": said}] == answer.json()["errors"]
