"""The phases of an import, seen by the shop that it speaks to."""

import csv
import shutil
import threading
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from examples.online_retail import importing
from examples.online_retail.errors import BadFile, ShopUnreachable, UnexpectedAnswer
from examples.online_retail.formats import ONLINE_RETAIL, ONLINE_RETAIL_II, Format
from examples.online_retail.shop import Shop
from tests.online_retail.answering import LOST, Server

PRODUCTS = 620  # two batches of receipts
PAGE = 80


class FakeShop:
    """As little of a shop as an import needs: placed orders are confirmed at once and counted in the totals."""

    def __init__(self):
        self.lock = threading.Lock()
        self.received = 0
        self.stock = {}
        self.adjusted = []
        self.rejected = []
        self.receipts_take_s = 0.0
        self.received_at_first_order = None
        self.placed = []
        self.shipped = []
        self.foreign = ["not-ours"]
        self.refuse = {}
        self.keys = set()
        self.said = {}
        self.broken_after = None
        self.position = 0

    def answer(self, request):
        if isinstance(request, dict):
            return self.take(request["commands"])
        path = urlsplit(request)
        match path.path:
            case "/v1/status":
                consumers = [{"name": "x", "lag_events": 0}]
                body = {"log": {"position": self.position}, "relay": {"lag_events": 0}}
                return 200, {}, {**body, "views": consumers, "process_managers": consumers}
            case "/v1/totals":
                figures = dict.fromkeys(FIGURES, 0) | {"orders": len(self.placed)}
                return 200, {}, {"totals": {"GBP": figures}, "adjustments": 0, "on_hand_total": 0}
            case "/v1/orders":
                return self.listed(parse_qs(path.query))
        held = path.path.removeprefix("/v1/orders/") in {*self.foreign, *self.placed}
        return 200 if held else 404, {}, {}

    def listed(self, query):
        confirmed = {*self.foreign, *self.placed} - {*self.shipped, *self.rejected}
        open_orders = sorted(confirmed if query["status"] == ["confirmed"] else self.rejected)
        first = int(query.get("cursor", ["0"])[0])
        page = open_orders[first : first + PAGE]
        more = str(first + PAGE) if first + PAGE < len(open_orders) else None
        return 200, {}, {"items": [{"order_id": order_id} for order_id in page], "next_cursor": more}

    def take(self, commands):
        if commands[0]["command"] == "receive_stock":
            time.sleep(self.receipts_take_s)
        if self.broken_after is not None and self.position >= self.broken_after:
            return LOST
        with self.lock:
            return 200, {}, {"results": [self.one(command) for command in commands]}

    def one(self, command):
        if command["command"] in self.refuse:
            status, slug = self.refuse[command["command"]]
            return {"status": status, "type": f"/problems/{slug}", "title": "No", "detail": "never"}
        said = self.said.setdefault(command["key"], command["body"])
        if said != command["body"]:
            return {"status": 422, "type": "/problems/idempotency-key-reused", "title": "Reused"}
        if command["command"] == "place_order" and self.is_taken(command):
            return {
                "status": 409,
                "type": "/problems/order-id-taken",
                "title": "Taken",
                "detail": "it is there",
            }
        if command["key"] not in self.keys:
            self.keys.add(command["key"])
            self.position += 1
            match command["command"]:
                case "receive_stock":
                    self.received += 1
                    sku, quantity = command["target"], command["body"]["quantity"]
                    self.stock[sku] = self.stock.get(sku, 0) + quantity
                case "adjust_stock":
                    self.adjusted.append(command["body"]["delta"])
                case "place_order":
                    if self.received_at_first_order is None:
                        self.received_at_first_order = self.received
                    self.placed.append(command["body"]["order_id"])
                case "ship_order":
                    self.shipped.append(command["target"])
        return {"status": 201}

    def is_taken(self, command):
        return command["key"] not in self.keys and command["body"]["order_id"] in {
            *self.foreign,
            *self.placed,
        }


FIGURES = (
    "orders",
    "order_lines",
    "credit_notes",
    "credit_lines",
    "revenue",
    "credited",
    "days",
    "customers",
    "codes_sold",
)


@pytest.fixture(autouse=True)
def status_is_asked_often(monkeypatch):
    monkeypatch.setattr("examples.online_retail.lagging.POLL_EVERY_S", 0.01)


@pytest.fixture
def fake():
    return FakeShop()


@pytest.fixture
def shop(fake):
    server = Server(fake.answer)
    with Shop(server.url, server.url, patience_s=1.0) as client:
        yield client
    server.close()


@pytest.fixture
def file(tmp_path):
    """Every product sold once, three to an order, and one line that can become nothing."""
    path = tmp_path / "retail.csv"
    with path.open("w", newline="") as target:
        rows = csv.writer(target)
        rows.writerow(ONLINE_RETAIL)
        for number in range(PRODUCTS):
            invoice, code = str(1_000 + number // 3), str(20_000 + number)
            rows.writerow((invoice, code, "CLOCK", 1, "2026-01-01 00:00:00", "1.00", "", "Italy"))
        rows.writerow(("A1", "B", "", 1, "2026-01-01 00:00:00", "1.00", "", "Italy"))
    return path


def test_every_receipt_is_acknowledged_before_the_first_order(fake, shop, file, tmp_path):
    fake.receipts_take_s = 0.2
    importing.run(file, shop=shop, kept_in=tmp_path / "kept")

    assert fake.received_at_first_order == PRODUCTS


def test_every_order_of_the_file_is_shipped_and_no_other(fake, shop, file, tmp_path):
    outcome = importing.run(file, shop=shop, kept_in=tmp_path / "kept")

    assert sorted(fake.shipped) == sorted(fake.placed)
    assert (outcome.figures["orders"], outcome.not_shipped) == (len(fake.placed), 0)


def test_lines_that_the_shop_refuses_join_those_of_the_mapping(fake, shop, file, tmp_path):
    fake.refuse["place_order"] = (422, "unknown-sku")
    outcome = importing.run(file, shop=shop, kept_in=tmp_path / "kept")
    with open(outcome.refused_file, newline="") as source:  # noqa: PTH123 - its name is text
        refused = list(csv.DictReader(source))

    assert outcome.refused == PRODUCTS + 1 == len(refused)
    reason = "place_order answered 422 unknown-sku: No: never"
    assert refused[0] == {"row": "2", "column": "", "reason": reason}
    assert refused[-1] == {
        "row": str(PRODUCTS + 2),
        "column": "InvoiceNo",
        "reason": "Neither digits nor C and digits: 'A1'",
    }


def test_a_product_that_is_there_already_is_no_refusal(fake, shop, file, tmp_path):
    fake.refuse["create_product"] = (409, "sku-taken")
    outcome = importing.run(file, shop=shop, kept_in=tmp_path / "kept")

    assert outcome.refused == 1


def test_a_shipment_that_is_refused_is_counted(fake, shop, file, tmp_path):
    fake.refuse["ship_order"] = (409, "already-cancelled")
    outcome = importing.run(file, shop=shop, kept_in=tmp_path / "kept")

    assert outcome.not_shipped == len(fake.placed)


def test_a_run_after_a_broken_one_reports_the_whole_file_and_a_repetition_nothing(
    fake, shop, file, tmp_path, monkeypatch
):
    monkeypatch.setattr("examples.online_retail.posting.BATCH_COMMANDS_MAX", 25)
    kept = tmp_path / "kept"
    fake.broken_after = PRODUCTS * 2 + 50  # somewhere among the orders
    with pytest.raises(ShopUnreachable):
        importing.run(file, shop=shop, kept_in=kept)
    begun = len(fake.placed)
    fake.broken_after = None
    with Shop(shop._command_url, shop._query_url) as again:
        resumed = importing.run(file, shop=again, kept_in=kept)
        shown_twice = importing.run(file, shop=again, kept_in=kept)
        importing.finish(shown_twice)
        repeated = importing.run(file, shop=again, kept_in=kept)

    assert 0 < begun < len(fake.placed) == resumed.figures["orders"]
    assert shown_twice.figures == resumed.figures
    assert resumed.events == fake.position
    assert (repeated.figures["orders"], repeated.events, repeated.refused) == (0, 0, 1)


def test_the_refused_lines_are_written_even_when_the_run_breaks(fake, shop, file, tmp_path):
    fake.broken_after = 0
    with pytest.raises(ShopUnreachable):
        importing.run(file, shop=shop, kept_in=tmp_path / "kept")
    (written,) = (tmp_path / "kept").glob("*-refused.csv")

    assert written.read_text().splitlines() == [
        "row,column,reason",
        f"{PRODUCTS + 2},InvoiceNo,Neither digits nor C and digits: 'A1'",
    ]


def test_a_bad_file_reaches_no_shop(fake, shop, file, tmp_path):
    file.write_text(file.read_text() + "cut off")
    with pytest.raises(BadFile):
        importing.run(file, shop=shop, kept_in=tmp_path / "kept")

    assert fake.position == 0
    assert not (tmp_path / "kept").exists()


@pytest.fixture
def imports(shop, tmp_path):
    """Imports rows of a file that is written for it."""

    def run(*rows, header=ONLINE_RETAIL, name="file.csv", patience_s=1.0, **how):
        path = tmp_path / name
        with path.open("w", newline="") as target:
            csv.writer(target).writerows((header, *rows))
        with Shop(shop._command_url, shop._query_url, patience_s=patience_s) as client:
            outcome = importing.run(path, shop=client, kept_in=tmp_path / "kept", **how)
        importing.finish(outcome)
        return outcome

    return run


def row(invoice="100", sku="10001", quantity=1, price="1.00", **other):
    texts = {"title": "CLOCK", "date": "2026-01-01 00:00:00", "customer": "", "country": "Italy"} | other
    return invoice, sku, texts["title"], quantity, texts["date"], price, texts["customer"], texts["country"]


FIRST = (
    row("100", quantity=5),
    row("101", quantity=3, price="2.50"),
    row("102", quantity=-2, price="0", title="damaged"),
    row("103", quantity=4, price="0", title="found"),
)


def test_a_file_that_overlaps_another_adds_what_the_other_did_not_hold(fake, imports):
    first = imports(*FIRST)
    stock = dict(fake.stock)
    second = imports(*FIRST, row("104"), row("105", quantity=-1, price="0"))

    assert (stock, fake.stock) == ({"10001": 5 + 3 + 2}, {"10001": 5 + 3 + 2 + 1 + 1})
    assert fake.adjusted == [-2, 4, -1]
    assert fake.placed == ["100", "101", "104"]
    assert (first.complete, second.complete) == (True, True)


def test_the_same_lines_in_another_form_change_nothing(fake, imports):
    imports(*FIRST)
    before = fake.position
    again = imports(
        row("103", quantity=4, price="0.0", title="found "),
        row("101", quantity=3, price="2.5"),
        FIRST[0],
        FIRST[2],
        header=ONLINE_RETAIL_II,
        form=Format.RETAIL_II_CSV,
    )

    assert (fake.position, again.complete, again.events) == (before, True, 0)


def test_an_invoice_that_says_something_else_in_a_second_file_is_refused_without_stock(fake, imports):
    imports(*FIRST)
    stock = dict(fake.stock)
    second = imports(row("100", quantity=6), row("104"))

    assert fake.stock == {"10001": stock["10001"] + 1}
    assert (second.refused, fake.placed) == (1, ["100", "101", "104"])


def test_an_order_of_somebody_else_with_the_number_of_an_invoice_is_not_shipped(fake, imports):
    imports(row("7"))
    fake.foreign.append("100")
    outcome = imports(row("100"))

    assert (outcome.refused, outcome.not_shipped, outcome.complete) == (1, 0, False)
    assert fake.shipped == ["7"]
    assert fake.stock == {"10001": 1}


def test_stock_is_received_for_nothing_that_was_refused(fake, imports):
    outcome = imports(
        row("100", quantity=9, country=""),
        row("101", quantity=2),
        row("101", sku="10002 ", quantity=7),
        row("102", quantity=-3, price="0", customer="nan"),
    )

    assert fake.stock == {"10001": 2}
    assert (outcome.refused, fake.placed, fake.adjusted) == (3, ["101"], [])


@pytest.mark.parametrize("home_is_lost", [False, True])
@pytest.mark.parametrize(
    "commands", [2, 4, 5, 7]
)  # among receipts, behind them, among orders, while shipping
def test_a_broken_import_of_an_overlapping_file_doubles_nothing(
    fake, imports, tmp_path, monkeypatch, commands, home_is_lost
):
    monkeypatch.setattr("examples.online_retail.posting.BATCH_COMMANDS_MAX", 1)
    monkeypatch.setattr("examples.online_retail.posting.BATCHES_IN_FLIGHT_MAX", 1)
    imports(*FIRST)
    stock = fake.stock["10001"]
    fake.broken_after = fake.position + commands
    rows = (
        *FIRST,
        row("104", quantity=7),
        row("105", sku="10002", quantity=8),
        row("106", quantity=-6, price="0"),
    )
    with pytest.raises(ShopUnreachable):
        imports(*rows, name="second.csv", patience_s=0.05)
    fake.broken_after = None
    if home_is_lost:
        shutil.rmtree(tmp_path / "kept")
    imports(*rows, name="second.csv")

    assert fake.stock == {"10001": stock + 7 + 6, "10002": 8}
    assert sorted(fake.placed) == sorted(fake.shipped) == ["100", "101", "104", "105"]
    assert fake.adjusted == [-2, 4, -6]


def test_an_order_that_came_to_nothing_for_want_of_stock_is_counted(fake, imports):
    fake.rejected = ["100", "not-ours"]
    outcome = imports(row("100"), row("101"))

    assert (outcome.not_shipped, outcome.complete) == (1, False)
    assert fake.shipped == ["101"]


@pytest.mark.parametrize("command", ["create_product", "receive_stock"])
def test_nothing_is_sold_when_what_sales_rely_on_is_refused(fake, imports, command):
    fake.refuse[command] = (422, "validation-failed")
    with pytest.raises(UnexpectedAnswer, match=f"{command} 10001 answered 422 validation-failed"):
        imports(row())

    assert fake.placed == []


def test_a_product_that_the_shop_does_not_count_needs_no_stock(fake, imports):
    fake.refuse["receive_stock"] = (422, "not-stocked")

    assert imports(row()).complete


def test_the_first_refusals_are_said_with_row_column_and_reason(fake, imports, capsys):
    imports(*(row(str(number), country="") for number in range(12)))
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("refused:")]

    assert said[0] == "refused: row 2: Country: String should have at least 1 character: ''"
    assert len(said) == 11
    assert said[-1].startswith("refused: 12 rows in all, see ")
