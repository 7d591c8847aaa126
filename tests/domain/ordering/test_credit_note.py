import functools
from datetime import timedelta, timezone

import pytest
from msgspec.structs import replace

from counterfoil.testing.spec import given
from domain.ordering import credit_note, order
from domain.ordering.credit_note import (
    CreditedInAnotherCountry,
    CreditedInAnotherCurrency,
    CreditedToAnotherCustomer,
    CreditNoteIdTaken,
    Excess,
    MoreCreditedThanShipped,
    NamedOrder,
)
from domain.ordering.events import SkuTotal
from domain.ordering.lines import LineCountOutOfRange, LineRequest
from domain.ordering.order import OrderUnknown
from tests.examples import (
    COUNTRY,
    CUSTOMER,
    GBP,
    LONG_AGO,
    NOTE,
    ORDER,
    POSTAGE,
    REQUESTS,
    SKU,
    cancelled,
    confirmed,
    credit_note_issued,
    placed,
    shipped,
)

ISSUE = {
    "credit_note_id": NOTE,
    "against": None,
    "customer_id": CUSTOMER,
    "issued_at": LONG_AGO,
    "country": COUNTRY,
    "currency": GBP,
    "lines": [REQUESTS[2]],
}


SHIPPED = NamedOrder(ORDER, functools.reduce(order.evolve, (placed(), confirmed(), shipped()), None), {})
"""Three pieces of SKU and one of POSTAGE, in pounds."""


def issued(against, quantities, *, currency=GBP):
    lines = [
        LineRequest(sku=sku, quantity=quantity, unit_price="1", stocked=True)
        for sku, quantity in quantities.items()
    ]
    return given().when(
        credit_note.issue, **ISSUE | {"against": against, "currency": currency, "lines": lines}
    )


def test_a_credit_note_prices_its_lines_and_sums_its_codes():
    (event,) = given().when(credit_note.issue, **ISSUE | {"against": SHIPPED}).decided

    (line,) = event.lines
    assert ORDER == event.order_id
    assert ("2.550", 255, 1) == (line.unit_price, line.total, line.line_id)
    assert credit_note_issued().skus == event.skus
    assert (255, 1) == (event.total, event.units)


def test_a_credit_note_needs_neither_an_order_nor_a_customer():
    (event,) = given().when(credit_note.issue, **ISSUE | {"customer_id": None}).decided

    assert (None, None) == (event.order_id, event.customer_id)
    assert [SKU] == [code.sku for code in event.skus]


def test_a_credit_note_is_issued_once():
    given(credit_note_issued()).when(credit_note.issue, **ISSUE).then_refused(
        CreditNoteIdTaken, credit_note_id=NOTE
    )


def test_a_credit_note_has_a_line():
    given().when(credit_note.issue, **ISSUE | {"lines": []}).then_refused(LineCountOutOfRange, lines=0)


def test_the_day_of_a_credit_note_is_its_day_in_utc():
    there = LONG_AGO.astimezone(timezone(timedelta(hours=14)))

    (event,) = given().when(credit_note.issue, **ISSUE | {"issued_at": there}).decided

    assert LONG_AGO == event.issued_at
    assert timedelta(0) == event.issued_at.utcoffset()


def test_all_pieces_that_were_shipped_may_be_credited_also_of_what_is_not_stocked():
    (event,) = issued(SHIPPED, {SKU: 3, POSTAGE: 1}).decided

    assert 4 == event.units


def test_no_more_pieces_are_credited_than_were_shipped_less_what_was_credited():
    earlier = NamedOrder(ORDER, SHIPPED.order, {SKU: 2})

    issued(earlier, {SKU: 2, "else": 1, POSTAGE: 1}).then_refused(
        MoreCreditedThanShipped,
        order_id=ORDER,
        excess=(
            Excess(sku=SKU, requested=2, shipped=3, credited=2),
            Excess(sku="else", requested=1, shipped=0, credited=0),
        ),
    )
    assert issued(earlier, {SKU: 1}).decided


@pytest.mark.parametrize("facts", [(placed(),), (placed(), confirmed()), (placed(), cancelled())])
def test_an_order_that_was_not_shipped_is_not_credited(facts):
    unshipped = NamedOrder(ORDER, functools.reduce(order.evolve, facts, None), {})

    excess = (Excess(sku=SKU, requested=1, shipped=0, credited=0),)
    issued(unshipped, {SKU: 1}).then_refused(MoreCreditedThanShipped, order_id=ORDER, excess=excess)


def test_an_order_is_credited_in_the_currency_it_was_sold_in():
    issued(SHIPPED, {SKU: 1}, currency="EUR").then_refused(
        CreditedInAnotherCurrency, order_id=ORDER, sold_in=GBP, credited_in="EUR"
    )


def test_an_order_is_credited_to_its_customer_also_by_a_note_that_names_none():
    against = {"against": SHIPPED}
    anonymous = {"against": NamedOrder(ORDER, replace(SHIPPED.order, customer_id=None), {})}

    given().when(credit_note.issue, **ISSUE | against | {"customer_id": "else"}).then_refused(
        CreditedToAnotherCustomer, order_id=ORDER, sold_to=CUSTOMER, credited_to="else"
    )
    given().when(credit_note.issue, **ISSUE | anonymous).then_refused(
        CreditedToAnotherCustomer, order_id=ORDER, sold_to=None, credited_to=CUSTOMER
    )
    (event,) = given().when(credit_note.issue, **ISSUE | against | {"customer_id": None}).decided
    assert CUSTOMER == event.customer_id


def test_an_order_is_credited_in_the_country_it_was_sold_in():
    given().when(credit_note.issue, **ISSUE | {"against": SHIPPED, "country": "Italy"}).then_refused(
        CreditedInAnotherCountry, order_id=ORDER, sold_in=COUNTRY, credited_in="Italy"
    )


def test_an_order_that_does_not_exist_is_not_credited():
    issued(NamedOrder(ORDER, None, {}), {SKU: 1}).then_refused(OrderUnknown, order_id=ORDER)


def test_what_was_credited_on_an_order_is_summed_over_its_notes():
    two = SkuTotal(sku=SKU, units=2, total=0, stocked=True)
    postage = SkuTotal(sku=POSTAGE, units=1, total=0, stocked=False)
    notes = (credit_note_issued(), credit_note_issued(skus=(two, postage)))

    assert {SKU: 3, POSTAGE: 1} == functools.reduce(credit_note.credited, notes, {})
