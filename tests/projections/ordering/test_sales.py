from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from counterfoil.testing.spec import folded
from domain.money import Minor
from domain.ordering.events import CreditNoteIssued, OrderCancelled, OrderConfirmed
from projections.ordering.views import (
    CustomerTotals,
    SalesDay,
    SkuSales,
    customer_totals,
    order_details,
    sales_daily,
    sku_sales,
)
from projections.view import View
from tests.examples import (
    COUNTRY,
    CUSTOMER,
    GBP,
    LONG_AGO,
    POSTAGE,
    SKU,
    cancelled,
    confirmed,
    credit_note_issued,
    placed,
    rejected,
    shipped,
)
from tests.histories import history

SUMS: tuple[View[Any], ...] = (customer_totals, sku_sales, sales_daily)
DAY = date(2010, 12, 1)
A_DAY = SalesDay(day=DAY, country=COUNTRY, currency=GBP, orders=1, lines=3, units=4, revenue=1265)
A_CUSTOMER = CustomerTotals(customer_id=CUSTOMER, currency=GBP, orders=1, lines=3, units=4, revenue=1265)
HEARTS = SkuSales(sku=SKU, currency=GBP, orders=1, units=3, revenue=765)
STAMPS = SkuSales(sku=POSTAGE, currency=GBP, orders=1, units=1, revenue=500)


def test_a_confirmed_order_is_a_sale():
    assert folded(sales_daily, confirmed()) == {(DAY, COUNTRY, GBP): A_DAY}
    assert folded(customer_totals, confirmed()) == {(CUSTOMER, GBP): A_CUSTOMER}
    assert folded(sku_sales, confirmed()) == {(SKU, GBP): HEARTS, (POSTAGE, GBP): STAMPS}


@pytest.mark.parametrize("view", SUMS, ids=lambda view: view.name)
def test_an_order_is_no_sale_before_it_is_confirmed(view):
    assert folded(view, placed(), rejected()) == {}
    assert folded(view, placed(), cancelled(was_confirmed=False)) == {}


@pytest.mark.parametrize("view", SUMS, ids=lambda view: view.name)
def test_shipping_changes_no_sum(view):
    assert folded(view, confirmed()) == folded(view, confirmed(), shipped())


@pytest.mark.parametrize("view", SUMS, ids=lambda view: view.name)
def test_a_cancelled_confirmed_order_leaves_the_sums_as_if_it_had_never_been(view):
    other = confirmed(order_id="536366", total=900, units=2)

    assert folded(view, confirmed(), cancelled()) == {}
    assert folded(view, other) == folded(view, other, confirmed(), cancelled())


@pytest.mark.parametrize("view", SUMS, ids=lambda view: view.name)
def test_cancelling_what_was_never_confirmed_takes_nothing_out(view):
    assert folded(view, confirmed()) == folded(
        view, confirmed(), cancelled(order_id="536366", was_confirmed=False)
    )


@pytest.mark.parametrize("view", SUMS, ids=lambda view: view.name)
def test_a_credit_keeps_the_row_of_a_sale_that_was_cancelled(view):
    credit = credit_note_issued()

    assert folded(view, credit) == folded(view, confirmed(), credit, cancelled())


def test_a_credit_counts_next_to_the_sale_and_takes_nothing_from_it():
    credit = credit_note_issued()
    day = SalesDay(day=DAY, country=COUNTRY, currency=GBP, credit_notes=1, credit_lines=1, credited=255)
    customer = CustomerTotals(customer_id=CUSTOMER, currency=GBP, credit_notes=1, credited=255)
    code = SkuSales(sku=SKU, currency=GBP, credited_units=1, credited=255)

    assert folded(sales_daily, credit) == {(DAY, COUNTRY, GBP): day}
    assert folded(customer_totals, credit) == {(CUSTOMER, GBP): customer}
    assert folded(sku_sales, credit) == {(SKU, GBP): code}
    assert folded(sales_daily, confirmed(), credit)[DAY, COUNTRY, GBP].revenue == 1265


def test_a_sale_counts_on_the_day_it_was_asked_for():
    late = confirmed(confirmed_at=LONG_AGO + timedelta(days=30))

    assert folded(sales_daily, late) == {(DAY, COUNTRY, GBP): A_DAY}


def test_days_are_days_in_utc():
    eastern = timezone(timedelta(hours=14))
    next_day_there = datetime(2010, 12, 2, 1, 0, tzinfo=eastern)

    assert next_day_there.astimezone(UTC).date() == DAY
    assert folded(sales_daily, confirmed(placed_at=next_day_there)) == {(DAY, COUNTRY, GBP): A_DAY}
    assert (DAY, COUNTRY, GBP) in folded(sales_daily, credit_note_issued(issued_at=next_day_there))


@pytest.mark.parametrize("view", SUMS, ids=lambda view: view.name)
def test_currencies_are_never_added_up(view):
    pounds, yen = confirmed(), confirmed(order_id="536366", currency="JPY")
    both = folded(view, pounds, yen)

    assert both == folded(view, pounds) | folded(view, yen)
    assert set(folded(view, pounds)).isdisjoint(folded(view, yen))


def test_anonymous_sales_and_credits_are_in_nobodys_totals():
    anonymous = (
        confirmed(customer_id=None),
        credit_note_issued(customer_id=None),
        cancelled(customer_id=None),
    )

    assert folded(customer_totals, *anonymous) == {}
    assert folded(sales_daily, *anonymous[:1]) == {(DAY, COUNTRY, GBP): A_DAY}


def test_a_free_line_is_a_sale_of_its_code():
    (code, _) = confirmed().skus
    free = confirmed(skus=(type(code)(sku=SKU, units=2, total=Minor(0), stocked=True),), total=0, units=2)

    assert folded(sku_sales, free)[SKU, GBP] == SkuSales(sku=SKU, currency=GBP, orders=1, units=2, revenue=0)


@pytest.mark.parametrize("seed", range(10))
def test_every_sum_agrees_with_the_orders_it_is_made_of(seed):
    events = [recorded.event for recorded in history(seed)]
    orders = [
        row for row in folded(order_details, *events).values() if row.status in {"confirmed", "shipped"}
    ]
    days = folded(sales_daily, *events).values()
    codes = folded(sku_sales, *events).values()

    for currency in ("GBP", "EUR", "JPY"):
        ours = [order for order in orders if order.currency == currency]
        revenue = sum(order.total for order in ours)
        assert revenue == sum(day.revenue for day in days if day.currency == currency)
        assert revenue == sum(code.revenue for code in codes if code.currency == currency)
        assert len(ours) == sum(day.orders for day in days if day.currency == currency)
        lines = sum(len(order.lines) for order in ours)
        assert lines == sum(day.lines for day in days if day.currency == currency)


@pytest.mark.parametrize("seed", range(10))
def test_a_shop_that_cancels_every_sale_has_sold_nothing(seed):
    sales = [r.event for r in history(seed) if isinstance(r.event, OrderConfirmed | OrderCancelled)]
    lost = {event.order_id for event in sales if isinstance(event, OrderCancelled)}
    undone = [
        cancelled(
            **{field: getattr(event, field) for field in event.__struct_fields__ if field != "confirmed_at"}
        )
        for event in sales
        if isinstance(event, OrderConfirmed) and event.order_id not in lost
    ]

    assert undone
    for view in SUMS:
        assert folded(view, *sales, *undone) == {}


def test_the_sums_fold_nothing_but_sales_and_credits():
    for view in SUMS:
        assert {OrderConfirmed, OrderCancelled, CreditNoteIssued} == set(view.folds)
