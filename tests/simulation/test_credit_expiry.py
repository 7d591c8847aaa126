"""Store credit of the shop in memory, whose time passes only when a timer is due: each credit expires on its day."""

from datetime import UTC, datetime

from commands import store_credit
from domain.payments import store_credit as decisions
from domain.payments.events import CreditExpired
from tests.simulation.shop import Shop
from tests.simulation.shop_books import Books

DAYS = {"later": 4, "first": 2, "never": None, "last": 9, "second": 3}


def day(number):
    return datetime(2026, 3, number, tzinfo=UTC)


def expiries():
    """What expires, and when, of credits that are issued in this order; what the books say of it."""
    shop = Shop(0)
    books, expired = Books(shop), []
    for credit_id, number in DAYS.items():
        credit = {"credit_id": credit_id, "currency": "GBP", "amount": 100}
        until = None if number is None else day(number).isoformat()
        assert shop.ask(store_credit.issue_store_credit, "c1", **credit, expires_at=until)
    while True:
        events = [*shop.note()]
        books.take(events)
        expired += [(each.credit_id, each.expired_at) for each in events if isinstance(each, CreditExpired)]
        if not shop.timers:
            return expired, [*books.check()]
        shop.fire(*min(shop.timers, key=shop.timers.__getitem__))


def test_credits_expire_on_their_days_without_anybody_asking():
    expired, amiss = expiries()

    assert [("first", day(2)), ("second", day(3)), ("later", day(4)), ("last", day(9))] == expired
    assert [] == amiss


def test_a_timer_that_is_not_set_for_the_next_expiry_is_found(monkeypatch):
    monkeypatch.setattr(decisions, "_is_unscheduled", lambda *_, **__: False)

    assert [] == expiries()[0]
