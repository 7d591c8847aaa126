"""What was done in a quarter of an hour, with orders and with accounts."""

from datetime import UTC, datetime, timedelta, timezone

from counterfoil.testing.spec import folded
from projections.identity.views import account_activity
from projections.ordering.views import OrderActivity, order_activity
from projections.quarters import quarter_of
from tests.examples import GBP, account_registered, cancelled, confirmed, placed
from tests.identity_examples import account_closed

NOON = datetime(2026, 3, 29, 12, 0, tzinfo=UTC)


def test_a_moment_belongs_to_the_quarter_of_an_hour_in_utc_whatever_zone_it_is_said_in():
    for minutes in (0, 14.9):
        assert NOON == quarter_of(NOON + timedelta(minutes=minutes))
    nepal = timezone(timedelta(hours=5, minutes=45))

    assert NOON + timedelta(minutes=15) == quarter_of(datetime(2026, 3, 29, 18, 14, tzinfo=nepal))


def test_orders_are_counted_when_each_thing_was_done_and_nothing_is_taken_out():
    later = NOON + timedelta(hours=3)
    rows = folded(
        order_activity,
        placed(placed_at=NOON),
        placed(placed_at=NOON + timedelta(minutes=14)),
        confirmed(confirmed_at=NOON),
        cancelled(cancelled_at=later),
    )

    assert {
        (NOON, GBP): OrderActivity(
            at=NOON, currency=GBP, placed=2, placed_total=2530, confirmed=1, confirmed_total=1265
        ),
        (later, GBP): OrderActivity(at=later, currency=GBP, cancelled=1, cancelled_total=1265),
    } == rows


def test_accounts_that_come_and_go_are_counted():
    rows = folded(account_activity, account_registered(registered_at=NOON), account_closed(closed_at=NOON))

    assert (1, 1) == (rows[NOON,].registered, rows[NOON,].closed)
