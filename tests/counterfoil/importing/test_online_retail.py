"""The phases of an import, seen by the shop that it speaks to."""

import csv
import threading
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from counterfoil.importing import online_retail
from counterfoil.importing.errors import BadFile, ShopUnreachable
from counterfoil.importing.retail_file import HEADER
from counterfoil.importing.shop import Shop
from tests.counterfoil.importing.answering import LOST, Server

PRODUCTS = 620  # two batches of receipts
PAGE = 80


class FakeShop:
    """As little of a shop as an import needs: placed orders are confirmed at once and counted in the totals."""

    def __init__(self):
        self.lock = threading.Lock()
        self.received = 0
        self.receipts_take_s = 0.0
        self.received_at_first_order = None
        self.placed = []
        self.shipped = []
        self.foreign = ["not-ours"]
        self.refuse = {}
        self.keys = set()
        self.broken_after = None
        self.position = 0

    def answer(self, request):
        if isinstance(request, dict):
            return self.take(request["commands"])
        path = urlsplit(request)
        match path.path:
            case "/status":
                standing = [{"name": "x", "lag_events": 0}]
                body = {"log": {"position": self.position}, "relay": {"lag_events": 0}}
                return 200, {}, {**body, "views": standing, "policies": standing}
            case "/totals":
                figures = dict.fromkeys(FIGURES, 0) | {"orders": len(self.placed)}
                return 200, {}, {"totals": {"GBP": figures}, "adjustments": 0, "on_hand_total": 0}
            case "/orders":
                return self.confirmed(parse_qs(path.query))
        return 404, {}, {}

    def confirmed(self, query):
        open_orders = sorted({*self.foreign, *self.placed} - set(self.shipped))
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
        if command["key"] not in self.keys:
            self.keys.add(command["key"])
            self.position += 1
            match command["command"]:
                case "receive_stock":
                    self.received += 1
                case "place_order":
                    if self.received_at_first_order is None:
                        self.received_at_first_order = self.received
                    self.placed.append(command["body"]["order_id"])
                case "ship_order":
                    self.shipped.append(command["target"])
        return {"status": 201}


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
        rows.writerow(HEADER)
        for number in range(PRODUCTS):
            invoice, code = str(1_000 + number // 3), str(20_000 + number)
            rows.writerow((invoice, code, "CLOCK", 1, "2026-01-01 00:00:00", "1.00", "", "Italy"))
        rows.writerow(("A1", "B", "", 1, "2026-01-01 00:00:00", "1.00", "", "Italy"))
    return path


def test_every_receipt_is_acknowledged_before_the_first_order(fake, shop, file, tmp_path):
    fake.receipts_take_s = 0.2
    online_retail.run(file, shop=shop, kept_in=tmp_path / "kept")

    assert fake.received_at_first_order == PRODUCTS


def test_every_order_of_the_file_is_shipped_and_no_other(fake, shop, file, tmp_path):
    outcome = online_retail.run(file, shop=shop, kept_in=tmp_path / "kept")

    assert sorted(fake.shipped) == sorted(fake.placed)
    assert (outcome.figures["orders"], outcome.not_shipped) == (len(fake.placed), 0)


def test_lines_that_the_shop_refuses_join_those_of_the_mapping(fake, shop, file, tmp_path):
    fake.refuse["place_order"] = (422, "unknown-sku")
    outcome = online_retail.run(file, shop=shop, kept_in=tmp_path / "kept")
    with open(outcome.refused_file, newline="") as source:  # noqa: PTH123 - its name is text
        refused = list(csv.DictReader(source))

    assert outcome.refused == PRODUCTS + 1 == len(refused)
    assert refused[0] == {"row": "2", "reason": "place_order answered 422 unknown-sku: No: never"}
    assert refused[-1] == {"row": str(PRODUCTS + 2), "reason": "InvoiceNo is neither digits nor C and digits"}


def test_a_product_that_is_there_already_is_no_refusal(fake, shop, file, tmp_path):
    fake.refuse["create_product"] = (409, "sku-taken")
    outcome = online_retail.run(file, shop=shop, kept_in=tmp_path / "kept")

    assert outcome.refused == 1


def test_a_shipment_that_is_refused_is_counted(fake, shop, file, tmp_path):
    fake.refuse["ship_order"] = (409, "already-cancelled")
    outcome = online_retail.run(file, shop=shop, kept_in=tmp_path / "kept")

    assert outcome.not_shipped == len(fake.placed)


def test_a_run_after_a_broken_one_reports_the_whole_file_and_a_repetition_nothing(
    fake, shop, file, tmp_path, monkeypatch
):
    monkeypatch.setattr("counterfoil.importing.sending.BATCH_COMMANDS_MAX", 25)
    kept = tmp_path / "kept"
    fake.broken_after = PRODUCTS * 2 + 50  # somewhere among the orders
    with pytest.raises(ShopUnreachable):
        online_retail.run(file, shop=shop, kept_in=kept)
    begun = len(fake.placed)
    fake.broken_after = None
    with Shop(shop._command_url, shop._query_url) as again:
        resumed = online_retail.run(file, shop=again, kept_in=kept)
        told_twice = online_retail.run(file, shop=again, kept_in=kept)
        online_retail.finish(told_twice)
        repeated = online_retail.run(file, shop=again, kept_in=kept)

    assert 0 < begun < len(fake.placed) == resumed.figures["orders"]
    assert told_twice.figures == resumed.figures
    assert resumed.events == fake.position
    assert (repeated.figures["orders"], repeated.events, repeated.refused) == (0, 0, 1)


def test_the_refused_lines_are_written_even_when_the_run_breaks(fake, shop, file, tmp_path):
    fake.broken_after = 0
    with pytest.raises(ShopUnreachable):
        online_retail.run(file, shop=shop, kept_in=tmp_path / "kept")
    (written,) = (tmp_path / "kept").glob("*-refused.csv")

    assert written.read_text().splitlines() == [
        "row,reason",
        f"{PRODUCTS + 2},InvoiceNo is neither digits nor C and digits",
    ]


def test_a_bad_file_reaches_no_shop(fake, shop, file, tmp_path):
    file.write_text(file.read_text() + "cut off")
    with pytest.raises(BadFile):
        online_retail.run(file, shop=shop, kept_in=tmp_path / "kept")

    assert fake.position == 0
    assert not (tmp_path / "kept").exists()
