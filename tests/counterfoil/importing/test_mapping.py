from counterfoil.importing.mapping import Adjustment, InvoiceLine, Product, Refusal, amount, plan
from counterfoil.importing.retail_file import RetailLine

NOON = "2011-03-01T12:00:00Z"


def line(row, invoice="100", code="10001A", quantity=1, price="2.50", **other: str):
    texts = {"description": "CLOCK", "invoiced_at": NOON, "customer": "17850", "country": "Italy"} | other
    return RetailLine(row=row, invoice=invoice, code=code, quantity=quantity, unit_price=price, **texts)


def test_an_invoice_of_digits_becomes_one_order_even_when_its_lines_are_apart():
    planned = plan([line(2), line(3, invoice="101"), line(4, code="10002", quantity=3)])

    assert [order.order_id for order in planned.orders] == ["100", "101"]
    assert planned.orders[0].lines == (
        InvoiceLine(2, "10001A", 1, "2.50"),
        InvoiceLine(4, "10002", 3, "2.50"),
    )


def test_repeated_codes_stay_separate_lines():
    planned = plan([line(2, quantity=1), line(3, quantity=2)])

    assert [sold.quantity for sold in planned.orders[0].lines] == [1, 2]


def test_an_order_is_placed_at_the_earliest_time_of_its_invoice():
    planned = plan([line(2), line(3, invoiced_at="2011-03-01T11:59:00Z")])

    assert planned.orders[0].placed_at == "2011-03-01T11:59:00Z"


def test_an_order_may_have_no_customer():
    planned = plan([line(2, customer="")])

    assert planned.orders[0].customer is None


def test_a_free_line_belongs_to_the_order_when_the_invoice_also_sells():
    planned = plan([line(2, price="0"), line(3, code="10002")])

    assert [sold.row for sold in planned.orders[0].lines] == [2, 3]
    assert planned.adjustments == []


def test_free_lines_of_an_invoice_that_sells_nothing_adjust_stock():
    planned = plan([line(2, price="0", quantity=7, description="found")])

    assert planned.orders == []
    assert planned.adjustments == [Adjustment(2, "10001A", 7, "found")]


def test_a_negative_line_of_a_selling_invoice_adjusts_stock_with_its_description_as_note():
    planned = plan([line(2), line(3, code="10002", quantity=-4, price="0", description="")])

    assert planned.adjustments == [Adjustment(3, "10002", -4, "")]


def test_an_adjustment_of_a_service_is_refused():
    planned = plan([line(2, code="POST", price="0")])

    assert [refusal.row for refusal in planned.refusals] == [2]
    assert planned.products == []


def test_an_adjustment_by_nothing_is_refused():
    planned = plan([line(2, quantity=0)])

    assert [refusal.row for refusal in planned.refusals] == [2]


def test_a_negative_price_is_refused_wherever_it_stands():
    planned = plan([line(2), line(3, price="-1.00"), line(4, invoice="C9", quantity=-1, price="-1.00")])

    assert planned.refusals == [Refusal(3, "UnitPrice is negative"), Refusal(4, "UnitPrice is negative")]


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


def test_any_other_invoice_number_is_refused():
    planned = plan([line(row, invoice=invoice) for row, invoice in enumerate(["A1", "", "C", "1C", "٣"], 2)])

    assert [refusal.row for refusal in planned.refusals] == [2, 3, 4, 5, 6]


def test_opening_stock_is_what_the_file_sells_plus_what_its_adjustments_remove():
    planned = plan(
        [
            line(2, quantity=5),
            line(3, quantity=2),
            line(4, invoice="102", quantity=-4, price="0"),
            line(5, invoice="103", quantity=9, price="0"),
            line(6, invoice="C104", quantity=-3),
        ]
    )

    assert [product.opening_units for product in planned.products] == [5 + 2 + 4]


def test_a_service_has_no_stock_and_needs_none():
    planned = plan([line(2, code="1234", quantity=5)])

    assert planned.products == [Product(2, "1234", "CLOCK", False, "2.50", 0)]


def test_a_title_is_the_first_description_that_is_not_empty_else_the_code():
    planned = plan(
        [
            line(2, description=""),
            line(3, description="RED CLOCK"),
            line(4, description="BLUE CLOCK"),
            line(5, code="10002", description=" "),
        ]
    )

    assert [product.title for product in planned.products] == ["RED CLOCK", "10002"]


def test_a_list_price_is_the_first_positive_price_as_written_else_none():
    planned = plan(
        [
            line(2, price="0"),
            line(3, price="2.10"),
            line(4, price="3"),
            line(5, invoice="1", code="10002", price="0"),
        ]
    )

    assert [product.list_price for product in planned.products] == ["2.10", None]


def test_codes_that_differ_in_case_are_two_products():
    planned = plan([line(2, code="85123A"), line(3, code="85123a")])

    assert [product.code for product in planned.products] == ["85123A", "85123a"]


def test_products_stand_in_the_order_of_their_first_line_that_was_not_refused():
    planned = plan([line(2, invoice="A1"), line(3, code="10002"), line(4)])

    assert [(product.code, product.row) for product in planned.products] == [("10002", 3), ("10001A", 4)]


def test_amounts_are_exact():
    assert amount("0.30") == amount("0.10") * 3
