"""What the reader takes, the command API takes; what it does not take is named by column and reason."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands import payloads, request_parts
from commands.catalogue import CreateProduct
from commands.inventory import AdjustStock, ReceiveStock
from commands.ordering import IssueCreditNote, PlaceOrder
from domain.money import AMOUNT_MAX
from domain.ordering.events import OrderLine
from domain.ordering.lines import LineRequest, grand_total, priced
from domain.quantity import QUANTITY_MAX
from examples.online_retail import mapping
from examples.online_retail.formats import Format
from examples.online_retail.posting import Commands
from examples.online_retail.retail_line import Reader, Refusal, RetailLine, WrongForm
from tests.examples import GBP

VALUES = {
    "InvoiceNo": "536365",
    "StockCode": "85123A",
    "Description": "WHITE HEART",
    "Quantity": "6",
    "InvoiceDate": "2010-12-01 08:26:00",
    "UnitPrice": "2.55",
    "CustomerID": "17850",
    "Country": "United Kingdom",
}
PAYLOADS = {
    "create_product": CreateProduct,
    "receive_stock": ReceiveStock,
    "adjust_stock": AdjustStock,
    "place_order": PlaceOrder,
    "issue_credit_note": IssueCreditNote,
}


def read(form=Format.CSV, **values):
    return Reader(form).read(7, list((VALUES | values).values()))


def test_a_line_has_the_values_of_its_row():
    assert read() == RetailLine(
        7, "536365", "85123A", "WHITE HEART", 6, "2010-12-01T08:26:00Z", "2.55", "17850", "United Kingdom"
    )


TAKEN = [
    ("InvoiceNo", "C536365"),
    ("InvoiceNo", "000"),
    ("InvoiceNo", "9" * 64),
    ("StockCode", "gift_0001 80"),
    ("StockCode", "9" * 64),
    ("Description", ""),
    ("Description", "x" * 500),
    ("Description", "\ta\r\né"),
    ("Quantity", "0"),
    ("Quantity", str(QUANTITY_MAX)),
    ("Quantity", f"-{QUANTITY_MAX}"),
    ("InvoiceDate", "1900-01-01 00:00:00"),
    ("InvoiceDate", "2199-12-31 23:59:59"),
    ("UnitPrice", "0"),
    ("UnitPrice", "0.00000001"),
    ("UnitPrice", "999999999"),
    ("CustomerID", ""),
    ("CustomerID", "0"),
    ("Country", "x" * 100),
]


@pytest.mark.parametrize(("column", "value"), TAKEN)
def test_a_value_at_its_limit_is_taken(column, value):
    assert isinstance(read(**{column: value}), RetailLine)


REFUSED = [
    ("InvoiceNo", "A563185"),
    ("InvoiceNo", ""),
    ("InvoiceNo", "C"),
    ("InvoiceNo", "1C"),
    ("InvoiceNo", "c536365"),
    ("InvoiceNo", "٣"),
    ("InvoiceNo", "536365.0"),
    ("InvoiceNo", "9" * 65),
    ("StockCode", ""),
    ("StockCode", "85123A "),
    ("StockCode", " 85123A"),
    ("StockCode", "85123É"),
    ("StockCode", "85/123"),
    ("StockCode", "9" * 65),
    ("Description", "x" * 501),
    ("Description", "a\x00b"),
    ("Description", "a\x1bb"),
    ("Quantity", str(QUANTITY_MAX + 1)),
    ("Quantity", f"-{QUANTITY_MAX + 1}"),
    ("Quantity", "9" * 5_000),
    ("InvoiceDate", "1899-12-31 23:59:59"),
    ("InvoiceDate", "2200-01-01 00:00:00"),
    ("InvoiceDate", "2010-02-30 08:26:00"),
    ("InvoiceDate", "2010-12-01 24:00:00"),
    ("InvoiceDate", "0000-01-01 00:00:00"),
    ("UnitPrice", "1.250000001"),
    ("UnitPrice", "01.25"),
    ("UnitPrice", "-1.00"),
    ("UnitPrice", "1000000000"),
    ("CustomerID", "12345.0"),
    ("CustomerID", "nan"),
    ("CustomerID", " 12345"),
    ("CustomerID", "9" * 65),
    ("Country", ""),
    ("Country", "x" * 101),
    ("Country", " "),
    ("Country", "a\nb"),
]


@pytest.mark.parametrize(("column", "value"), REFUSED)
def test_a_value_that_the_shop_would_not_take_is_refused_by_row_and_column(column, value):
    refused = read(**{column: value})

    assert isinstance(refused, Refusal)
    assert (refused.row, refused.column) == (7, column)
    assert repr(value[:80]) in refused.reason


def test_a_line_that_costs_more_than_a_document_may_is_refused():
    at_the_limit = {"UnitPrice": "1000", "Quantity": str(AMOUNT_MAX // 100_000)}
    beyond = read(UnitPrice="1000.01", Quantity=at_the_limit["Quantity"])

    assert isinstance(read(**at_the_limit), RetailLine)
    assert isinstance(beyond, Refusal)
    assert beyond.column == "UnitPrice"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("Quantity", "six"),
        ("Quantity", "6.0"),
        ("Quantity", "٦"),
        ("Quantity", ""),
        ("UnitPrice", "2,55"),
        ("UnitPrice", "1e3"),
        ("UnitPrice", "NaN"),
        ("InvoiceDate", "2010-12-01"),
        ("InvoiceDate", "12/1/2010 8:26"),
    ],
)
def test_a_value_of_another_kind_says_that_the_file_is_another_one(column, value):
    with pytest.raises(WrongForm, match=f"{column} is not"):
        read(**{column: value})


@pytest.mark.parametrize(
    ("text", "time"),
    [("12/1/2010 8:26", "2010-12-01T08:26:00Z"), ("1/31/2011 18:05", "2011-01-31T18:05:00Z")],
)
def test_the_month_comes_first_where_it_is_said_to(text, time):
    line = read(Format.CSV_MONTH_FIRST, InvoiceDate=text)

    assert isinstance(line, RetailLine)
    assert line.invoiced_at == time


def test_a_day_is_no_month():
    refused = read(Format.CSV_MONTH_FIRST, InvoiceDate="31/1/2011 18:05")

    assert isinstance(refused, Refusal)
    assert refused.column == "InvoiceDate"


def texts(alphabet: str):
    return st.text(alphabet, max_size=4) | st.text(alphabet, max_size=600) | st.text(max_size=9)


ODD_VALUES = st.one_of(
    st.sampled_from([*TAKEN, *REFUSED, ("UnitPrice", "100000")]),
    st.tuples(st.just("InvoiceNo"), st.sampled_from(["1", "C1", "2"]) | texts("C0123456789")),
    st.tuples(st.just("StockCode"), st.sampled_from(["POST", "10001"]) | texts("0Aa9_. -~")),
    st.tuples(st.just("Description"), texts("A \x00\n\t\x1c\x85\u2028")),
    st.tuples(st.just("Quantity"), st.sampled_from([*range(-2, 2), QUANTITY_MAX]).map(str)),
    st.tuples(st.just("InvoiceDate"), st.datetimes().map(lambda time: f"{time:%Y-%m-%d %H:%M:%S}")),
    st.tuples(
        st.just("UnitPrice"), st.sampled_from(["0", "0.00", "-1", "999999999.99"]) | texts("0123456789.")
    ),
    st.tuples(st.just("UnitPrice"), st.decimals(0, 10**9, places=8).map(lambda price: format(price, "f"))),
    st.tuples(st.just("CustomerID"), st.sampled_from(["", "2"]) | texts("0123456789.")),
    st.tuples(st.just("Country"), texts("A \x00")),
)
ROWS = st.lists(ODD_VALUES, max_size=2).map(lambda odd: VALUES | dict(odd))


@settings(max_examples=150)
@given(st.lists(ROWS, min_size=1, max_size=6))
def test_whatever_the_reader_takes_the_shop_takes(rows):
    reader = Reader(Format.CSV)
    entries = []
    for row, values in enumerate(rows, start=2):
        try:
            entries.append(reader.read(row, list(values.values())))
        except WrongForm:
            continue
    plan = mapping.plan(entries)
    make = Commands("ab" * 32, file_name="file.csv")
    commands = [
        *map(make.create_product, plan.products),
        *(
            receipt
            for sku, units in mapping.opening_stock(plan, held=()).items()
            for receipt in make.receive_opening_stock(sku, units)
        ),
        *(make.receive_for_adjustment(one) for one in plan.adjustments if one.delta < 0),
        *map(make.adjust_stock, plan.adjustments),
        *map(make.place_order, plan.orders),
        *map(make.issue_credit_note, plan.credit_notes),
    ]
    for command in commands:
        request_parts.valid_key(command.key)
        body = payloads.read(PAYLOADS[command.command], msgspec.json.encode(command.body))
        if isinstance(body, PlaceOrder | IssueCreditNote):
            grand_total(priced(requested(body.lines), line=OrderLine, currency=GBP), currency=GBP)

    assert len({command.key for command in commands}) == len(commands)


def requested(lines):
    return [
        LineRequest(sku=line.sku, quantity=line.quantity, unit_price=line.unit_price, stocked=True)
        for line in lines
    ]
