import pytest

from domain.ordering.lines import LINES_MAX
from examples.online_retail.formats import ONLINE_RETAIL_II
from examples.online_retail.mapping import Adjustment, InvoiceLine, Product, amount, opening_stock, plan
from examples.online_retail.retail_line import Refusal, RetailLine

NOON = "2011-03-01T12:00:00Z"


def line(row, invoice="100", sku="10001A", quantity=1, price="2.50", **other: str):
    texts = {"description": "CLOCK", "invoiced_at": NOON, "customer": "17850", "country": "Italy"} | other
    return RetailLine(row=row, invoice=invoice, sku=sku, quantity=quantity, unit_price=price, **texts)


def test_an_invoice_of_digits_becomes_one_order_even_when_its_lines_are_apart():
    planned = plan([line(2), line(3, invoice="101"), line(4, sku="10002", quantity=3)])

    assert [order.order_id for order in planned.orders] == ["100", "101"]
    assert planned.orders[0].lines == (
        InvoiceLine(2, "10001A", 1, "2.50"),
        InvoiceLine(4, "10002", 3, "2.50"),
    )


def test_repeated_skus_stay_separate_lines():
    planned = plan([line(2, quantity=1), line(3, quantity=2)])

    assert [sold.quantity for sold in planned.orders[0].lines] == [1, 2]


def test_an_order_is_placed_at_the_earliest_time_of_its_invoice():
    planned = plan([line(2), line(3, invoiced_at="2011-03-01T11:59:00Z")])

    assert planned.orders[0].placed_at == "2011-03-01T11:59:00Z"


def test_an_order_may_have_no_customer():
    planned = plan([line(2, customer="")])

    assert planned.orders[0].customer is None


def test_a_free_line_belongs_to_the_order_when_the_invoice_also_sells():
    planned = plan([line(2, price="0"), line(3, sku="10002")])

    assert [sold.row for sold in planned.orders[0].lines] == [2, 3]
    assert planned.adjustments == []


def test_free_lines_of_an_invoice_that_sells_nothing_adjust_stock():
    planned = plan([line(2, price="0", quantity=7, description="found")])

    assert planned.orders == []
    assert planned.adjustments == [Adjustment(2, "100", "10001A", 7, "found", 1)]


def test_a_negative_line_of_a_selling_invoice_adjusts_stock_with_its_description_as_note():
    planned = plan([line(2), line(3, sku="10002", quantity=-4, price="0", description="")])

    assert planned.adjustments == [Adjustment(3, "100", "10002", -4, "", 1)]


def test_an_adjustment_of_a_service_is_refused():
    planned = plan([line(2, sku="POST", price="0")])

    assert [(refusal.row, refusal.column) for refusal in planned.refusals] == [(2, "StockCode")]
    assert planned.products == []


def test_an_adjustment_by_nothing_is_refused():
    planned = plan([line(2, quantity=0)])

    assert [refusal.row for refusal in planned.refusals] == [2]


def test_an_invoice_with_a_c_becomes_a_credit_note_with_positive_quantities():
    planned = plan([line(2, invoice="C100", quantity=-2), line(3, invoice="C100", quantity=-1, price="0")])

    assert planned.credit_notes[0].credit_note_id == "C100"
    assert planned.credit_notes[0].lines == (
        InvoiceLine(2, "10001A", 2, "2.50"),
        InvoiceLine(3, "10001A", 1, "0"),
    )


def test_a_credit_line_that_takes_nothing_back_is_refused():
    planned = plan([line(2, invoice="C100", quantity=2), line(3, invoice="C100", quantity=0)])

    assert [refusal.row for refusal in planned.refusals] == [2, 3]
    assert planned.credit_notes == []


def test_what_the_reader_refused_stands_among_the_refusals_in_order():
    planned = plan(
        [line(2, sku="POST", price="0", invoice="7"), Refusal(3, "Country", "why"), line(4, quantity=0)]
    )

    assert [refusal.row for refusal in planned.refusals] == [2, 3, 4]
    assert planned.refusals[1] == Refusal(3, "Country", "why")


@pytest.mark.parametrize("credit", [False, True])
@pytest.mark.parametrize(
    ("one", "other", "column"),
    [
        ({"customer": "1"}, {"customer": "2"}, "Customer ID"),
        ({"country": "Italy"}, {"country": "Spain"}, "Country"),
        ({"price": "9999999.99", "quantity": 900}, {"price": "9999999.99", "quantity": 900}, "Price"),
    ],
)
def test_an_invoice_that_cannot_be_one_document_is_refused_as_a_whole(credit, one, other, column):
    invoice, sign = ("C100", -1) if credit else ("100", 1)
    lines = [
        line(row, invoice=invoice, **given | {"quantity": sign * given.get("quantity", 1)})
        for row, given in ((2, one), (5, other))
    ]
    planned = plan(
        [*lines, line(3, invoice="101"), line(4, invoice="102", quantity=-1)], columns=ONLINE_RETAIL_II
    )

    assert [(refusal.row, refusal.column) for refusal in planned.refusals] == [(2, column), (5, column)]
    assert ([order.order_id for order in planned.orders], planned.credit_notes) == (["101"], [])
    assert [adjustment.row for adjustment in planned.adjustments] == [4]


def test_an_invoice_has_as_many_lines_as_an_order_may_have():
    planned = plan([line(row) for row in range(2, 2 + LINES_MAX)])
    beyond = plan([line(row) for row in range(2, 2 + LINES_MAX + 1)])

    assert (len(planned.orders), planned.refusals) == (1, [])
    assert (beyond.orders, len(beyond.refusals), beyond.products) == ([], LINES_MAX + 1, [])
    assert beyond.refusals[0].reason == "Between 1 and 2000 lines are needed, and 2001 were given"


def test_lines_without_a_customer_belong_to_that_of_the_others():
    planned = plan([line(2, customer=""), line(3, customer="7")])

    assert [order.customer for order in planned.orders] == ["7"]


def test_opening_stock_is_what_the_orders_take():
    planned = plan(
        [
            line(2, quantity=5),
            line(3, quantity=2),
            line(4, invoice="102", quantity=-4, price="0"),
            line(5, invoice="103", quantity=9),
            line(6, invoice="C104", quantity=-3),
            line(7, sku="POST", quantity=5),
        ]
    )

    assert opening_stock(planned, held=()) == {"10001A": 5 + 2 + 9}


def test_opening_stock_holds_nothing_for_lines_that_were_refused_or_orders_that_the_shop_has():
    planned = plan(
        [line(2, quantity=5), line(3, quantity=2, country="Spain"), line(4, invoice="103", quantity=9)]
    )

    assert opening_stock(planned, held=()) == {"10001A": 9}
    assert opening_stock(planned, held={"103"}) == {}


def test_equal_adjustments_of_an_invoice_are_counted():
    planned = plan([line(row, price="0", quantity=delta) for row, delta in ((4, -1), (3, -2), (2, -1))])

    assert [(one.row, one.delta, one.ordinal) for one in planned.adjustments] == [
        (2, -1, 1),
        (3, -2, 1),
        (4, -1, 2),
    ]


def test_a_service_has_no_stock_and_needs_none():
    planned = plan([line(2, sku="1234", quantity=5)])

    assert planned.products == [Product("1234", "CLOCK", False, "2.50")]
    assert opening_stock(planned, held=()) == {}


def test_a_title_is_the_first_description_that_is_not_empty_else_the_sku():
    planned = plan(
        [
            line(2, description=""),
            line(3, invoice="101", description="RED CLOCK"),
            line(4, description="BLUE CLOCK"),
            line(5, sku="10002", description=" "),
        ]
    )

    assert [product.title for product in planned.products] == ["RED CLOCK", "10002"]


def test_a_title_is_one_line():
    planned = plan([line(2, description=" RED\r\nCLOCK\t1  X\n")])

    assert [product.title for product in planned.products] == ["RED CLOCK 1  X"]


def test_a_list_price_is_the_first_positive_price_as_written_else_none():
    planned = plan(
        [
            line(2, price="0"),
            line(3, invoice="101", price="2.10"),
            line(4, price="3"),
            line(5, invoice="1", sku="10002", price="0"),
        ]
    )

    assert [product.list_price for product in planned.products] == ["2.10", None]


def test_neither_title_nor_price_come_from_a_line_that_only_adjusts_stock_or_was_refused():
    planned = plan(
        [
            line(2, quantity=-1, description="damaged", price="99"),
            line(3, invoice="101", description="ONE", country="Spain", price="98"),
            line(4, invoice="101", description="TWO", price="97"),
            line(5, invoice="C102", quantity=1, description="THREE", price="96"),
            line(6, invoice="103", description="CLOCK", price="2.50"),
            line(7, invoice="104", sku="10002", quantity=5, price="0", description="found"),
        ]
    )

    assert planned.products == [
        Product("10001A", "CLOCK", True, "2.50"),
        Product("10002", "10002", True, None),
    ]


def test_skus_that_differ_in_case_are_two_products():
    planned = plan([line(2, sku="85123A"), line(3, sku="85123a")])

    assert [product.sku for product in planned.products] == ["85123A", "85123a"]


def test_products_stand_in_the_order_of_their_first_line_that_was_not_refused():
    planned = plan(
        [line(2, sku="10003", invoice="A", quantity=0), line(4), line(3, invoice="9", sku="10002")]
    )

    assert [product.sku for product in planned.products] == ["10002", "10001A"]


def test_amounts_are_exact():
    assert amount("0.30") == amount("0.10") * 3
