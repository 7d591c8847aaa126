"""A file goes in through HTTP, and the query API shows exactly what plain arithmetic says it must."""

import csv
import gzip
from pathlib import Path

import pytest

from counterfoil.contexts import CONTEXTS
from tests.acceptance import reference
from tests.acceptance.running import last_json, run, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(params=["sold", "sold_distributed"], ids=["standalone", "distributed"])
def imported(request):
    """A shop into which the small file was imported, and what the import printed last."""
    return request.getfixturevalue(request.param)


def test_the_figures_are_those_of_plain_arithmetic(imported, small_file):
    _, printed = imported
    expected, _ = reference.figures(small_file)

    assert {name: printed[name] for name in expected} == expected
    assert printed["not_shipped"] == 0


def test_no_order_was_rejected_however_long_ago_it_says_it_was_placed(imported):
    shop, _ = imported

    rejected = [order["order_id"] for order in shop.get("/v1/orders?status=rejected")["items"]]
    reasons = {each: shop.get(f"/v1/orders/{each}")["rejection_reason"] for each in rejected}
    assert "undecided" not in reasons.values(), reasons


def test_refused_lines_are_written_with_row_and_reason(imported, small_file):
    _, printed = imported
    _, rows = reference.figures(small_file)
    with Path(printed["refused_file"]).open(newline="", encoding="utf-8") as source:
        refused = list(csv.DictReader(source))

    assert [int(line["row"]) for line in refused] == rows
    assert all(line["column"] and line["reason"] for line in refused)


def settled(shop):
    """The status once nobody is behind: other tests sell in this shop, too."""
    found = []

    def nobody_is_behind():
        found.append(last_json(shop.run("status", "--json")))
        each = [found[-1]["relay"], *found[-1]["views"], *found[-1]["process_managers"]]
        return {0} == {one["lag_events"] for one in each}

    wait_until(nobody_is_behind, within_s=240, what="nobody is behind")
    return found[-1]


def test_nobody_is_behind_afterwards(imported):
    shop, printed = imported
    status = settled(shop)

    assert {"log", "relay", "views", "process_managers", "servers", "urls"} <= status.keys()
    assert status["log"]["position"] >= printed["events"]
    assert status["relay"]["lag_events"] == 0
    assert [(view["name"], view["lag_events"], view["parked"]) for view in status["views"]] == [
        (name, 0, 0)
        for name in (
            "account_activity",
            "account_details",
            "cart_addresses",
            "cart_details",
            "cart_summary",
            "category_details",
            "category_listing",
            "channel_details",
            "channel_listing",
            "channel_price_lists",
            "coupon_details",
            "customer_details",
            "customer_email",
            "customer_group",
            "customer_summary",
            "customer_totals",
            "listing_details",
            "listing_search",
            "listing_summary",
            "located_stock",
            "mail_details",
            "order_activity",
            "order_contact",
            "order_details",
            "order_history",
            "order_payments",
            "order_summary",
            "payment_details",
            "payment_ledger",
            "price_timeline",
            "product_page",
            "product_search",
            "promotion_details",
            "sales_daily",
            "shipment_details",
            "sku_sales",
            "stock_backorders",
            "stock_level",
            "stock_locations",
            "stock_reservations",
            "store_credit_details",
            "tax_rates",
            "timers_carts_left",
            "timers_credit_expiry",
            "timers_fulfilment",
            "timers_purchases",
            "title_word",
        )
    ]
    assert [(process["name"], process["lag_events"]) for process in status["process_managers"]] == [
        ("account-closing", 0),
        ("carts-left", 0),
        ("credit-expiry", 0),
        ("credit-holds", 0),
        ("fulfilment", 0),
        ("purchases", 0),
        ("restock", 0),
    ]


def test_the_whole_log_and_every_view_verify(imported):
    shop, _ = imported
    head = settled(shop)["log"]["position"]
    finished = shop.run("audit", "verify", "--json")
    report = last_json(finished)

    assert ([], 0, True) == (report["findings"], finished.returncode, report["ok"])
    assert report["head"] == report["events"] == head
    assert all(view["matches"] and view["digest"] for view in report["views"])
    waiting = last_json(shop.run("timers", "list", "--json"))
    assert [each for each in waiting if each["name"] != "overdue"] == [], (
        "each was decided, however old it says it is"
    )
    assert sorted(view["name"] for view in report["views"]) == sorted(view.name for view in CONTEXTS.views)


def test_importing_the_same_file_again_changes_nothing(imported, small_file):
    shop, first = imported
    before = settled(shop)["log"]["position"]
    again = last_json(shop.run("import", "online-retail", small_file, "--json"))

    assert {
        again[name] for name in ("orders", "revenue", "credited", "adjustments", "on_hand_total", "events")
    } == {0}
    assert again["refused"] == first["refused"]
    assert last_json(shop.run("status", "--json"))["log"]["position"] == before


def test_an_order_can_be_read_and_replayed(imported, small_file):
    shop, _ = imported
    order = shop.get("/v1/orders/500000")
    replayed = shop.run("replay", "order-500000")

    assert order["status"] == "shipped"
    assert replayed.returncode == 0
    assert [word in replayed.stdout for word in ("order_placed", "order_confirmed", "order_shipped")] == [
        True
    ] * 3


def test_a_second_file_adds_to_the_shop(sold, small_file, tmp_path):
    shop, _ = sold
    renumbered = tmp_path / "second.csv.gz"
    text = small_file.read_text().replace("\n5", "\n8").replace("\nC5", "\nC8").replace("\n7", "\n9")
    renumbered.write_bytes(gzip.compress(text.encode()))
    expected, _ = reference.figures(small_file)
    printed = last_json(shop.run("import", "online-retail", renumbered, "--json", timeout_s=600))

    # Days, customers and codes are the same ones in both files, so the second adds none.
    known = dict.fromkeys(("days", "customers", "codes_sold"), 0)
    assert {name: printed[name] for name in expected} == expected | known


HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
OVERLAPPING = """\
610001,61001,LAMP,5,2026-04-01 10:00:00,1.50,90001,Italy
610002,61001,LAMP,3,2026-04-02 10:00:00,1.00,90001,Italy
610003,61001,damaged,-2,2026-04-02 11:00:00,0,,Italy
610004,61001,found,4,2026-04-02 11:00:00,0,,Italy
C610005,61001,LAMP,-1,2026-04-03 11:00:00,1.50,90001,Italy
"""


def test_a_file_that_overlaps_another_adds_what_the_other_did_not_hold(sold, tmp_path):
    shop, _ = sold
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text(HEADER + OVERLAPPING)
    respelled = OVERLAPPING.replace("1.50", "1.5").replace("damaged", "damaged ")
    more = "610006,61001,LAMP,1,2026-04-04 10:00:00,1.00,90001,Italy\n"
    second.write_text(f"\ufeff{HEADER}{respelled}{more}\n\n", encoding="utf-8")
    whole = shop.run("import", "online-retail", first, "--json")
    rest = shop.run("import", "online-retail", second, "--json")
    again = shop.run("import", "online-retail", second, "--json")

    assert [finished.returncode for finished in (whole, rest, again)] == [0, 0, 0]
    assert figures(whole) == {
        "orders": 2,
        "credit_notes": 1,
        "adjustments": 2,
        "on_hand_total": 1 + 4,
        "refused": 0,
    }
    assert figures(rest) == {
        "orders": 1,
        "credit_notes": 0,
        "adjustments": 0,
        "on_hand_total": 0,
        "refused": 0,
    }
    assert (set(figures(again).values()), last_json(again)["events"]) == ({0}, 0)


def figures(finished):
    names = ("orders", "credit_notes", "adjustments", "on_hand_total", "refused")
    return {name: last_json(finished)[name] for name in names}


def test_a_line_that_is_refused_leaves_no_stock_and_shows_in_the_exit_code(sold, tmp_path):
    shop, _ = sold
    path = tmp_path / "retail-ii.csv"
    path.write_text(
        "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country\n"
        "620001,62001,LAMP,5,2026-04-01 10:00:00,1.00,,Italy\n"
        "620001,62002 ,LAMP,5,2026-04-01 10:00:00,1.00,,Italy\n"
        "620001,62003,LAMP,5,2026-04-01 10:00:00,1.250000001,,Italy\n"
        "620001,62004,LAMP,5,2026-04-01 10:00:00,1.00,12345.0,Italy\n"
        "620001,62005,LAMP,11000000,2026-04-01 10:00:00,1.00,,Italy\n"
        "620001,62006,LAMP,5,2026-04-01 10:00:00,1.00,,\n"
        "500000,62007,LAMP,9,2026-04-02 10:00:00,7.00,90001,Italy\n"
    )
    finished = shop.run("import", "online-retail", path, "--format", "retail-ii-csv", "--json")
    with Path(last_json(finished)["refused_file"]).open(newline="", encoding="utf-8") as source:
        refused = [(line["row"], line["column"]) for line in csv.DictReader(source)]

    assert finished.returncode == 3
    assert refused == [
        ("3", "StockCode"),
        ("4", "Price"),
        ("5", "Customer ID"),
        ("6", "Quantity"),
        ("7", "Country"),
        ("8", ""),  # the shop has another order of this number
    ]
    assert (
        "refused: row 6: Quantity: A quantity is between 1 and 10000000 pieces: '11000000'" in finished.stderr
    )
    assert (figures(finished)["orders"], figures(finished)["on_hand_total"]) == (1, 0)


BAD_FILES = {
    "wrong header": ("a,b\n1,2\n", "row 1: the header must be"),
    "bad number": (
        "{header}1,10001,X,six,2026-01-01 00:00:00,1.00,,Italy\n",
        "row 2: Quantity is not a whole number",
    ),
    "cut off": ("{header}1,10001,X,6,2026-01-01 00:00:00,1.00,,Italy\n1,10001,X", "row 3: 3 columns"),
}


@pytest.mark.parametrize(("content", "words"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_bad_file_is_refused_in_one_line_before_anything_is_sent(tmp_path, content, words):
    path = tmp_path / "bad.csv"
    path.write_text(content.format(header=HEADER))
    finished = run(tmp_path / "home", "import", "online-retail", path)

    assert finished.returncode == 1
    assert words in finished.stderr.splitlines()[-1]
    assert "Traceback" not in finished.stderr


def test_a_broken_gzip_is_refused_in_one_line(tmp_path, small_file):
    path = tmp_path / "bad.csv.gz"
    packed = gzip.compress(small_file.read_bytes())
    path.write_bytes(packed[: len(packed) // 2])
    finished = run(tmp_path / "home", "import", "online-retail", path)

    assert finished.returncode == 1
    assert "the gzip stream is broken or cut off here" in finished.stderr.splitlines()[-1]
