from datetime import timedelta

import pytest

from counterfoil.testing.spec import folded
from domain.event import Event
from domain.money import Minor
from projections.ordering.views import OrderDetails, OrderSummary, order_details, order_summary
from tests.examples import (
    COUNTRY,
    CUSTOMER,
    GBP,
    LINES,
    LONG_AGO,
    NOW,
    ORDER,
    cancelled,
    confirmed,
    placed,
    price_changed,
    rejected,
    shipped,
)

FATES = {
    "placed": (),
    "confirmed": (confirmed(),),
    "rejected": (rejected(),),
    "cancelled": (confirmed(), cancelled()),
    "shipped": (confirmed(), shipped()),
}


def details(*later: Event) -> OrderDetails:
    (order,) = folded(order_details, placed(), *later).values()
    return order


def test_a_placed_order_shows_every_line():
    order = details()

    assert LINES == order.lines
    assert (1265, 4, GBP, COUNTRY) == (order.total, order.units, order.currency, order.country)
    assert (CUSTOMER, LONG_AGO) == (order.customer_id, order.placed_at)


def test_an_order_shows_what_was_sold_whatever_the_catalogue_says_later():
    """sylius 8628, openfoodnetwork 13969: a product that changed rewrote old orders."""
    assert details() == details(price_changed(unit_price="99"))


@pytest.mark.parametrize("status", FATES)
def test_page_and_list_say_where_the_order_stands(status):
    (entry,) = folded(order_summary, placed(), *FATES[status]).values()

    assert (status, status) == (details(*FATES[status]).status, entry.status)


def test_each_step_leaves_its_time():
    soon, later = NOW + timedelta(hours=1), NOW + timedelta(hours=2)
    order = details(confirmed(confirmed_at=soon), shipped(shipped_at=later))

    assert (soon, later, None, None) == (
        order.confirmed_at,
        order.shipped_at,
        order.cancelled_at,
        order.rejected_at,
    )


def test_a_cancelled_order_says_why():
    order = details(cancelled(reason="fraud", was_confirmed=False))

    assert ("fraud", NOW, None) == (order.cancellation_reason, order.cancelled_at, order.confirmed_at)
    assert LINES == order.lines


def test_a_rejected_order_says_why_and_what_was_missing():
    order = details(rejected())

    assert ("stock", rejected().missing) == (order.rejection_reason, order.missing)
    assert order.rejected_at == NOW


def test_a_list_entry_counts_lines_and_not_pieces():
    entry = OrderSummary(
        order_id=ORDER,
        customer_id=CUSTOMER,
        status="placed",
        placed_at=LONG_AGO,
        country=COUNTRY,
        currency=GBP,
        total=Minor(1265),
        lines=3,
    )

    assert folded(order_summary, placed()) == {(ORDER,): entry}


def test_an_anonymous_order_is_listed_too():
    (entry,) = folded(order_summary, placed(customer_id=None)).values()

    assert entry.customer_id is None
