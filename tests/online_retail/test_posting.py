import msgspec
import pytest

from commands import payloads, request_parts
from commands.inventory import ReceiveStock
from domain.ids import ID_LENGTH_MAX
from domain.quantity import QUANTITY_MAX
from examples.online_retail import before
from examples.online_retail.before import Before
from examples.online_retail.mapping import Adjustment, CreditNote, InvoiceLine, Order, Product
from examples.online_retail.posting import Commands

NOON = "2011-01-01T12:00:00Z"
LINES = (InvoiceLine(7, "85 A", 3, "2.55"), InvoiceLine(9, "POST", 1, "18"))
COMMANDS = Commands("ab" * 32, file_name="retail.csv")


ADJUSTMENT = Adjustment(4, "9", "85 A", -1, "lost", 1)
OTHER_FILE = Commands("cd" * 32, file_name="other.csv")


def order(number="5", lines=LINES, **other):
    return Order(number, **{"customer": None, "placed_at": NOON, "country": "Italy", "lines": lines} | other)


def credit_note(number="C5", lines=LINES):
    return CreditNote(number, "1", NOON, "Italy", lines)


def every_command(make):
    return [
        make.create_product(Product("85 A", "CLOCK", stocked=True, list_price="2.55")),
        *make.receive_opening_stock("85 A", 3),
        make.receive_for_adjustment(ADJUSTMENT),
        make.adjust_stock(ADJUSTMENT),
        make.place_order(order()),
        make.issue_credit_note(credit_note()),
        make.ship_order("5"),
    ]


def test_the_same_file_makes_the_same_commands_whatever_its_name_is():
    renamed = Commands("ab" * 32, file_name="renamed.csv")

    assert [one.key for one in every_command(COMMANDS)] == [one.key for one in every_command(renamed)]


def test_what_two_files_share_is_one_command_but_for_opening_stock():
    shared = [
        (one.command, one.key == other.key)
        for one, other in zip(every_command(COMMANDS), every_command(OTHER_FILE), strict=True)
    ]

    assert [name for name, same in shared if not same] == ["receive_stock"]
    assert len(shared) == 7


def test_an_invoice_is_the_same_in_another_order_of_lines_and_another_spelling_of_prices():
    respelled = tuple(
        line._replace(row=line.row + 90, unit_price=f"{line.unit_price}0") for line in LINES[:1]
    )
    again = (*LINES[1:], *respelled)

    assert COMMANDS.place_order(order()).key == OTHER_FILE.place_order(order(lines=again)).key
    assert (
        COMMANDS.issue_credit_note(credit_note()).key
        == OTHER_FILE.issue_credit_note(credit_note(lines=again)).key
    )


@pytest.mark.parametrize(
    "other",
    [
        {"lines": LINES[:1]},
        {"lines": (LINES[0], LINES[1]._replace(quantity=2))},
        {"lines": (LINES[0], LINES[1]._replace(unit_price="18.01"))},
        {"customer": "7"},
        {"country": "Spain"},
        {"placed_at": "2011-01-01T12:00:01Z"},
    ],
)
def test_an_invoice_that_says_something_else_is_another_command(other):
    assert COMMANDS.place_order(order()).key != OTHER_FILE.place_order(order(**other)).key


def test_an_adjustment_is_the_same_under_another_note_and_another_with_another_ordinal():
    respelled = ADJUSTMENT._replace(row=99, note="lost ")

    assert COMMANDS.adjust_stock(ADJUSTMENT).key == OTHER_FILE.adjust_stock(respelled).key
    assert COMMANDS.adjust_stock(ADJUSTMENT).key != COMMANDS.adjust_stock(ADJUSTMENT._replace(ordinal=2)).key


def test_no_two_commands_share_a_key_and_each_is_one_that_the_api_takes():
    longest = "9" * ID_LENGTH_MAX
    sku = "A" + " " * (ID_LENGTH_MAX - 2) + "B"
    adjustment = Adjustment(9, longest, sku, -QUANTITY_MAX, "", 1_000_000)
    commands = [
        *every_command(COMMANDS),
        *COMMANDS.receive_opening_stock(sku, 5 * QUANTITY_MAX),
        COMMANDS.receive_for_adjustment(adjustment),
        COMMANDS.adjust_stock(adjustment),
        COMMANDS.place_order(order(longest)),
        COMMANDS.ship_order(longest),
    ]
    keys = [command.key for command in commands]

    assert len(keys) == len(set(keys))
    assert keys == [request_parts.valid_key(key) for key in keys]


def test_an_order_carries_its_prices_and_time_and_no_customer_when_it_has_none():
    placed = COMMANDS.place_order(order())

    assert placed.body == {
        "order_id": "5",
        "placed_at": NOON,
        "country": "Italy",
        "currency": "GBP",
        "lines": [
            {"sku": "85 A", "quantity": 3, "unit_price": "2.55"},
            {"sku": "POST", "quantity": 1, "unit_price": "18"},
        ],
    }
    assert placed.rows == (7, 9)


def test_a_product_without_a_price_is_created_without_one():
    product = Product("85A", "CLOCK", stocked=True, list_price=None)

    assert COMMANDS.create_product(product).body == {"sku": "85A", "title": "CLOCK", "stocked": True}


def test_opening_stock_beyond_one_receipt_is_split_with_a_key_each():
    receipts = list(COMMANDS.receive_opening_stock("85A", QUANTITY_MAX + 5))

    assert [receipt.body["quantity"] for receipt in receipts] == [QUANTITY_MAX, 5]
    assert len({receipt.key for receipt in receipts}) == 2


def test_an_adjustment_that_removes_pieces_finds_them_received():
    assert COMMANDS.receive_for_adjustment(ADJUSTMENT).body["quantity"] == 1


def test_a_file_whose_name_is_no_text_can_be_named():
    (receipt,) = Commands("ab" * 32, file_name="ä\udcff\n.csv" + "x" * 300).receive_opening_stock("85A", 1)

    assert payloads.validated(ReceiveStock, msgspec.json.encode(receipt.body)).reference.startswith(
        "opening stock of ä??.csv"
    )


def test_the_totals_before_are_kept_until_they_are_asked_for(tmp_path):
    kept = Before("retail.csv", "ab" * 32, 17, {"orders": 3}, ["536365"])
    path = tmp_path / "imports" / "ab.json"
    before.keep(path, kept)

    assert before.load(path, head=17) == kept
    assert before.load(tmp_path / "other.json", head=17) is None


def test_totals_of_a_log_that_was_replaced_by_a_shorter_one_are_forgotten(tmp_path):
    before.keep(tmp_path / "ab.json", Before("retail.csv", "ab" * 32, 17, {}, []))

    assert before.load(tmp_path / "ab.json", head=16) is None
