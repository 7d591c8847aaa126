from counterfoil.importing import before
from counterfoil.importing.before import Before
from counterfoil.importing.mapping import Adjustment, CreditNote, InvoiceLine, Order, Product
from counterfoil.importing.sending import RECEIPT_UNITS_MAX, Commands

LINES = (InvoiceLine(7, "85 A", 3, "2.55"), InvoiceLine(9, "POST", 1, "18"))
COMMANDS = Commands("ab" * 32, file_name="retail.csv")


def every_command(make):
    product = Product(2, "85 A", "CLOCK", stocked=True, list_price="2.55", opening_units=3)
    return [
        make.create_product(product),
        *make.receive_opening_stock(product),
        make.adjust_stock(Adjustment(4, "85 A", -1, "lost")),
        make.place_order(Order("5", None, "2011-01-01T00:00:00Z", "Italy", LINES)),
        make.issue_credit_note(CreditNote("C5", "1", "2011-01-01T00:00:00Z", "Italy", LINES)),
        make.ship_order("5", row=7),
    ]


def test_the_same_file_makes_the_same_keys_and_another_file_others():
    keys = [command.key for command in every_command(COMMANDS)]

    assert keys == [command.key for command in every_command(Commands("ab" * 32, file_name="renamed.csv"))]
    assert not set(keys) & {
        command.key for command in every_command(Commands("cd" * 32, file_name="retail.csv"))
    }


def test_no_two_commands_share_a_key_and_each_is_visible_ascii():
    keys = [command.key for command in every_command(COMMANDS)]

    assert len(keys) == len(set(keys))
    assert all(33 <= ord(character) <= 126 for key in keys for character in key)


def test_an_order_carries_its_prices_and_time_and_no_customer_when_it_has_none():
    order = COMMANDS.place_order(Order("5", None, "2011-01-01T00:00:00Z", "Italy", LINES))

    assert order.body == {
        "order_id": "5",
        "placed_at": "2011-01-01T00:00:00Z",
        "country": "Italy",
        "currency": "GBP",
        "lines": [
            {"sku": "85 A", "quantity": 3, "unit_price": "2.55"},
            {"sku": "POST", "quantity": 1, "unit_price": "18"},
        ],
    }
    assert order.rows == (7, 9)


def test_a_product_without_a_price_is_created_without_one():
    product = Product(2, "85A", "CLOCK", stocked=True, list_price=None, opening_units=0)

    assert COMMANDS.create_product(product).body == {"sku": "85A", "title": "CLOCK", "stocked": True}
    assert list(COMMANDS.receive_opening_stock(product)) == []


def test_opening_stock_beyond_one_receipt_is_split_with_a_key_each():
    product = Product(2, "85A", "CLOCK", stocked=True, list_price=None, opening_units=RECEIPT_UNITS_MAX + 5)
    receipts = list(COMMANDS.receive_opening_stock(product))

    assert [receipt.body["quantity"] for receipt in receipts] == [RECEIPT_UNITS_MAX, 5]
    assert len({receipt.key for receipt in receipts}) == 2


def test_the_totals_before_are_kept_until_they_are_asked_for(tmp_path):
    kept = Before("retail.csv", "ab" * 32, 17, {"orders": 3})
    path = tmp_path / "imports" / "ab.json"
    before.keep(path, kept)

    assert before.load(path, head=17) == kept
    assert before.load(tmp_path / "other.json", head=17) is None


def test_totals_of_a_log_that_was_replaced_by_a_shorter_one_are_forgotten(tmp_path):
    before.keep(tmp_path / "ab.json", Before("retail.csv", "ab" * 32, 17, {}))

    assert before.load(tmp_path / "ab.json", head=16) is None
