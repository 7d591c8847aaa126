"""GET /v1/totals/daily: days begin and end where the shop is."""

from datetime import UTC, datetime

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
