from datetime import timedelta, timezone

from domain.ordering import credit_note
from domain.ordering.credit_note import CreditNoteIdTaken
from domain.ordering.lines import LineCountOutOfRange
from tests.examples import (
    COUNTRY,
    CUSTOMER,
    GBP,
    LONG_AGO,
    NOTE,
    ORDER,
    REQUESTS,
    SKU,
    credit_note_issued,
)
from tests.spec import given

ISSUE = {
    "credit_note_id": NOTE,
    "order_id": ORDER,
    "customer_id": CUSTOMER,
    "issued_at": LONG_AGO,
    "country": COUNTRY,
    "currency": GBP,
    "lines": [REQUESTS[2]],
}


def test_a_credit_note_prices_its_lines_and_sums_its_codes():
    (fact,) = given().when(credit_note.issue, **ISSUE).decided

    (line,) = fact.lines
    assert ("2.550", 255, 1) == (line.unit_price, line.total, line.line_id)
    assert credit_note_issued().skus == fact.skus
    assert (255, 1) == (fact.total, fact.units)


def test_a_credit_note_needs_neither_an_order_nor_a_customer():
    (fact,) = given().when(credit_note.issue, **ISSUE | {"order_id": None, "customer_id": None}).decided

    assert (None, None) == (fact.order_id, fact.customer_id)
    assert [SKU] == [code.sku for code in fact.skus]


def test_a_credit_note_is_issued_once():
    given(credit_note_issued()).when(credit_note.issue, **ISSUE).then_refused(
        CreditNoteIdTaken, credit_note_id=NOTE
    )


def test_a_credit_note_has_a_line():
    given().when(credit_note.issue, **ISSUE | {"lines": []}).then_refused(LineCountOutOfRange, lines=0)


def test_the_day_of_a_credit_note_is_its_day_in_utc():
    there = LONG_AGO.astimezone(timezone(timedelta(hours=14)))

    (fact,) = given().when(credit_note.issue, **ISSUE | {"issued_at": there}).decided

    assert LONG_AGO == fact.issued_at
    assert timedelta(0) == fact.issued_at.utcoffset()
