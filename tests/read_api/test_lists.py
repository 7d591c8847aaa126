"""Lists: pages that never shift, filters that mean what they say, sums of one moment."""

import itertools
import threading
from datetime import date, timedelta

import psycopg
import pytest
from msgspec.structs import replace

from counterfoil.contexts import CONTEXTS
from event_store.transport import position_token
from projections.catalogue.views import ProductPage, product_page
from projections.folding import Versioned
from projections.inventory.views import StockLevel, stock_level
from projections.ordering.views import (
    CustomerTotals,
    SalesDay,
    SkuSales,
    customer_totals,
    order_details,
    order_summary,
    sales_daily,
    sku_sales,
)
from projections.storing import Table
from read_api import connections
from read_api.totals import Figures
from tests.projections.feeding import append, feeding, history, publish
from tests.read_api.stage import summary, token

pytestmark = pytest.mark.anyio


async def _pages(client, address, **query):
    """All pages of a list, by the links that the answers give."""
    answer = await client.get(address, params=query)
    while True:
        assert answer.status_code == 200, answer.text
        yield answer.json()["items"]
        if answer.json()["next_cursor"] is None:
            assert "link" not in answer.headers
            return
        answer = await client.get(answer.links["next"]["url"])


async def _items(client, address, **query):
    return [item async for page in _pages(client, address, **query) for item in page]


async def test_orders_of_a_customer_come_newest_first(stage, open_api):
    stage.write(
        order_summary, [summary(n, customer="17850" if n % 2 else "12345") for n in range(10)], position=7
    )
    stage.everybody_stands(9)

    async with open_api() as client:
        items = await _items(client, "/v1/orders", customer="17850", limit=2)

    assert [item["order_id"] for item in items] == ["536374", "536372", "536370", "536368", "536366"]
    assert items[0] == {
        "order_id": "536374",
        "customer_id": "17850",
        "status": "confirmed",
        "placed_at": "2026-01-31T08:35:00Z",
        "country": "United Kingdom",
        "currency": "GBP",
        "total": 109,
        "lines": 1,
    }


async def test_orders_placed_at_the_same_moment_are_all_listed_once(stage, open_api):
    same = summary(0).placed_at
    stage.write(order_summary, [replace(summary(n), placed_at=same) for n in range(25)], position=7)
    stage.everybody_stands(9)

    async with open_api() as client:
        items = await _items(client, "/v1/orders", status="confirmed", limit=4)

    assert [item["order_id"] for item in items] == [f"{536365 + n}" for n in reversed(range(25))]


async def test_pages_do_not_shift_while_orders_come_in_and_move_out(stage, open_api):
    stage.write(order_summary, [summary(n) for n in range(0, 40, 2)], position=7)
    stage.everybody_stands(9)
    seen = []

    async with open_api() as client:
        async for page in _pages(client, "/v1/orders", status="confirmed", limit=5):
            seen += [item["order_id"] for item in page]
            at = len(seen)
            stage.write(order_summary, [summary(100 + at), summary(39 - at)], position=10 + at)
            stage.write(order_summary, [summary(40 - at, status="shipped")], position=11 + at)

    before = [f"{536365 + n}" for n in range(38, -1, -2)]
    assert len(seen) == len(set(seen))
    assert set(before[:5]) <= set(seen)
    assert not any(int(order_id) >= 536465 for order_id in seen), (
        "nothing newer than the first page comes later"
    )


async def test_customer_and_status_together_mean_both(stage, open_api):
    stage.write(
        order_summary, [summary(1), summary(2, status="placed"), summary(3, customer="1")], position=7
    )
    stage.everybody_stands(9)

    async with open_api() as client:
        items = await _items(client, "/v1/orders", customer="17850", status="placed")

    assert [item["order_id"] for item in items] == ["536367"]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("?sort=total", "sort"),
        ("?sort=--placed_at", "sort"),
        ("?from=2026-01-31T00:00:00Z", "from"),
        ("?country=%0a", "country"),
        ("?pinned=yes", "pinned"),
        ("?ids=", "ids"),
        ("?ids=1,,2", "ids"),
        ("?ids=1,2&status=placed", "status"),
        ("?ids=" + ",".join(map(str, range(101))), "ids"),
        ("?ids=" + ",".join(["1"] * 101), "ids"),
        ("?status=lost", "status"),
        ("?status=placed&limit=0", "limit"),
        ("?status=placed&limit=101", "limit"),
        ("?status=placed&limit=ten", "limit"),
        ("?status=placed&limit=1&limit=2", "limit"),
        ("?status=placed&offset=3", "offset"),
        ("?customer=%00", "customer"),
        ("?customer=", "customer"),
    ],
)
async def test_what_a_list_does_not_know_is_refused_by_name(api, query, parameter):
    answer = await api.get(f"/v1/orders{query}")

    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid-parameter"
    assert [error["parameter"] for error in answer.json()["errors"]] == [parameter]


@pytest.mark.parametrize(
    "day", ["0", "20110327", "1301184000", "2011-3-7", "2011-02-30", "2011-03-27T00:00:00Z"]
)
async def test_only_a_date_is_a_date(api, day):
    answer = await api.get("/v1/sales/daily", params={"from": day})

    assert answer.status_code == 400
    assert [error["parameter"] for error in answer.json()["errors"]] == ["from"]


async def test_a_misspelt_filter_gets_a_hint(api):
    answer = await api.get("/v1/orders?state=placed&costumer=1")

    hints = [error["detail"] for error in answer.json()["errors"]]
    assert hints == [
        "There is no parameter state here; did you mean status?",
        "There is no parameter costumer here; did you mean customer?",
    ]


async def test_a_cursor_belongs_to_its_filters(stage, open_api):
    stage.write(order_summary, [summary(n) for n in range(5)], position=7)
    stage.everybody_stands(9)

    async with open_api() as client:
        cursor = (await client.get("/v1/orders?status=confirmed&limit=2")).json()["next_cursor"]
        other = await client.get(f"/v1/orders?status=placed&limit=2&cursor={cursor}")
        damaged = await client.get(f"/v1/orders?status=confirmed&cursor={cursor[:-2]}AA")

    assert (other.status_code, other.json()["code"]) == (400, "malformed-cursor")
    assert (damaged.status_code, damaged.json()["code"]) == (400, "malformed-cursor")
    assert ["cursor"] == [fault["parameter"] for fault in damaged.json()["errors"]]


async def test_a_list_that_is_behind_says_so(stage, open_api):
    stage.everybody_stands(9)
    stage.head(12)

    async with open_api() as client:
        answer = await client.get("/v1/orders?status=placed", headers={"Min-Position": token({3: 12})})
        lenient = await client.get(
            "/v1/orders?status=placed", headers={"Min-Position": token({3: 12}), "Prefer": "handling=lenient"}
        )

    assert answer.status_code == 503
    assert lenient.json() == {"items": [], "next_cursor": None}


async def test_days_are_listed_in_order_within_bounds(stage, open_api):
    first = date(2026, 1, 1)
    stage.write(
        sales_daily,
        [
            SalesDay(day=first + timedelta(days=n), country=country, currency="GBP", orders=n + 1)
            for n in range(10)
            for country in ("EIRE", "United Kingdom")
        ],
        position=7,
    )
    stage.bury(sales_daily, (first, "France", "GBP"), position=8)
    stage.everybody_stands(9)

    async with open_api() as client:
        within = await _items(
            client, "/v1/sales/daily", **{"from": "2026-01-03", "to": "2026-01-05", "limit": 1}
        )
        one = await _items(client, "/v1/sales/daily", country="EIRE", limit=3)

    assert [(item["day"], item["country"]) for item in within] == [
        (f"2026-01-0{n}", country) for n in (3, 4, 5) for country in ("EIRE", "United Kingdom")
    ]
    assert [item["orders"] for item in one] == list(range(1, 11))


@pytest.fixture
def sold(stage):
    """Two currencies, a customer and a code without an order, and a stock row that is gone."""
    first, second = date(2026, 1, 1), date(2026, 1, 2)
    days = [
        SalesDay(day=first, country="EIRE", currency="GBP", orders=2, lines=5, units=9, revenue=100),
        SalesDay(day=first, country="France", currency="GBP", orders=1, lines=1, units=1, revenue=7),
        SalesDay(day=first, country="France", currency="EUR", orders=1, lines=1, units=1, revenue=3),
        SalesDay(day=second, country="EIRE", currency="GBP", credit_notes=1, credit_lines=2, credited=50),
    ]
    customers = [
        CustomerTotals(customer_id="1", currency="GBP", orders=3),
        CustomerTotals(customer_id="2", currency="GBP", credit_notes=1),
    ]
    codes = [
        SkuSales(sku="A", currency="GBP", orders=1, units=10),
        SkuSales(sku="B", currency="GBP", credited_units=2),
        SkuSales(sku="A", currency="EUR", orders=1, units=1),
    ]
    stage.write(sales_daily, days, position=7)
    stage.write(customer_totals, customers, position=7)
    stage.write(sku_sales, codes, position=7)
    levels = [StockLevel(sku="A", on_hand=5, adjustments=2), StockLevel(sku="B", on_hand=7)]
    stage.write(stock_level, levels, position=7)
    stage.bury(stock_level, ("C",), position=8)
    stage.everybody_stands(9)


def _figures(**given):
    return dict.fromkeys(Figures.__struct_fields__, 0) | given


async def test_totals_are_the_sums_of_all_views(sold, open_api):
    async with open_api() as client:
        answer = await client.get("/v1/totals")

    pounds = _figures(orders=3, order_lines=6, units=10, revenue=107, days=1, customers=1, codes_sold=1)
    credits_ = {"credit_notes": 1, "credit_lines": 2, "credited": 50}
    euros = _figures(orders=1, order_lines=1, units=1, revenue=3, days=1, codes_sold=1)
    assert answer.json() == {
        "totals": {"EUR": euros, "GBP": pounds | credits_},
        "adjustments": 2,
        "on_hand_total": 12,
    }
    assert set(position_token.decode(answer.headers["applied-position"]).partitions.values()) == {9}


async def test_totals_are_only_as_fresh_as_the_slowest_of_their_views(stage, open_api):
    stage.everybody_stands(9)
    stage.stand(stock_level, 4)

    async with open_api() as client:
        answer = await client.get("/v1/totals")
        behind = await client.get("/v1/totals", headers={"Min-Position": token({3: 5})})

    assert set(position_token.decode(answer.headers["applied-position"]).partitions.values()) == {4}
    assert behind.status_code == 503


async def test_rows_and_how_fresh_they_are_come_from_one_snapshot(stage, open_api):
    stage.write(order_summary, [summary(1)], position=7)
    stage.everybody_stands(9)

    async def read(connection, snapshot):
        stage.write(order_summary, [summary(1, status="shipped")], position=12)
        stage.stand(order_summary, 12)
        rows = await (await connection.execute("select status from views.order_summary")).fetchall()
        return snapshot.builds["order_summary"].checkpoints.positions[0], rows

    async with open_api() as client:
        _, seen = await client.app.state.reads.snapshot(read)

    assert seen == (9, [("confirmed",)])


async def test_an_empty_shop_has_empty_totals(api):
    answer = await api.get("/v1/totals")

    assert answer.json() == {"totals": {}, "adjustments": 0, "on_hand_total": 0}


async def test_views_say_where_they_stand(stage, open_api):
    stage.everybody_stands(9)
    stage.stand(order_details, 4)
    stage.park(order_details, "order-1", position=3)

    async with open_api() as client:
        views = {view["name"]: view for view in (await client.get("/v1/views")).json()}

    assert set(views) == {view.name for view in CONTEXTS.views}
    assert (views["order_details"]["position"], views["order_details"]["lag_events"]) == (4, 5)
    assert views["order_details"]["parked"] == 1
    assert (views["sales_daily"]["position"], views["sales_daily"]["lag_events"]) == (9, 0)


async def test_a_workers_views_add_up(stage, open_api):
    """Sums of the days, of the customers with the anonymous, and of the codes are three ways to the same revenue."""
    append(stage.database_url, history(11, steps=150))
    publish(stage.database_url)
    with feeding(stage.database_url, CONTEXTS.views) as feeder:
        feeder.catch_up()

    async with open_api() as client:
        totals = (await client.get("/v1/totals")).json()
        days = await _items(client, "/v1/sales/daily", limit=3)
        shipped = await _items(client, "/v1/orders", status="shipped", limit=7)
        views = (await client.get("/v1/views")).json()

    of_days = {}
    for day in days:
        of_days[day["currency"]] = of_days.get(day["currency"], 0) + day["revenue"]
    assert {currency: of["revenue"] for currency, of in totals["totals"].items()} == of_days
    assert len({item["order_id"] for item in shipped}) == len(shipped)
    assert {view["lag_events"] for view in views} == {0}


async def test_every_filter_and_sort_of_a_list_means_what_it_says(stage, open_api):
    rows = [
        replace(
            summary(n, customer=f"{n % 3}", status=("placed", "shipped")[n % 2]),
            country=("France", "EIRE")[n % 5 == 0],
            placed_at=summary(0).placed_at + timedelta(hours=6 * n),
        )
        for n in range(40)
    ]
    stage.write(order_summary, rows, position=7)
    stage.everybody_stands(9)
    filters = {
        "customer": ("1", lambda row: row.customer_id == "1"),
        "status": ("shipped", lambda row: row.status == "shipped"),
        "country": ("EIRE", lambda row: row.country == "EIRE"),
        "from": ("2026-02-01", lambda row: row.placed_at.date() >= date(2026, 2, 1)),
        "to": ("2026-02-07", lambda row: row.placed_at.date() <= date(2026, 2, 7)),
    }

    async with open_api() as client:
        for count in range(len(filters) + 1):
            for names in itertools.combinations(filters, count):
                query = {name: filters[name][0] for name in names}
                wanted = [row.order_id for row in rows if all(filters[name][1](row) for name in names)]
                rising = await _items(client, "/v1/orders", sort="placed_at", limit=7, **query)
                falling = await _items(client, "/v1/orders", limit=100, **query)

                assert [item["order_id"] for item in rising] == wanted, names
                assert [item["order_id"] for item in falling] == wanted[::-1], names


async def test_products_and_stock_are_lists_too(stage, open_api):
    created = summary(0).placed_at
    stage.write(
        product_page,
        [
            ProductPage(f"p{n}", f"Product {n}", n != 2, None, None, created + timedelta(days=n), None)
            for n in range(5)
        ],
        position=7,
    )
    stage.write(stock_level, [StockLevel(sku=f"p{n}", available=(7 * n) % 5) for n in range(5)], position=7)
    stage.everybody_stands(9)

    async with open_api() as client:

        async def skus(path, **query):
            return [item["sku"] for item in await _items(client, path, limit=2, **query)]

        assert await skus("/v1/products") == ["p0", "p1", "p2", "p3", "p4"]
        assert await skus("/v1/products", stocked="true", sort="-sku") == ["p4", "p3", "p1", "p0"]
        assert await skus("/v1/products", **{"from": "2026-02-02", "to": "2026-02-03"}) == ["p3", "p2"]
        assert await skus("/v1/stock", sort="available") == ["p0", "p3", "p1", "p4", "p2"]
        assert await skus("/v1/stock", available_max=2, available_min=1) == ["p3", "p1"]
        refused = await client.get("/v1/products?sort=sku&from=2026-01-01")

    assert refused.json()["errors"] == [
        {"detail": "The sort sku cannot be combined with from", "parameter": "from"}
    ]


async def test_ids_are_answered_in_one_snapshot_in_their_order_and_missing_ones_are_named(stage, open_api):
    stage.write(order_summary, [summary(n) for n in range(3)], position=7)
    stage.bury(order_summary, ("536366",), position=8)
    stage.everybody_stands(9)

    async with open_api() as client:
        commas = await client.get("/v1/orders?ids=536367,536366,x,536365,x")
        repeated = await client.get(
            "/v1/orders",
            params={"ids": ["536367", "536366", "x", "536365"]},
            headers={"Min-Position": token({3: 9})},
        )

    assert commas.json() == repeated.json()
    assert [item["order_id"] for item in commas.json()["items"]] == ["536367", "536365"]
    assert commas.json()["missing"] == ["536366", "x"]
    assert "applied-position" in commas.headers


async def test_pages_show_every_unchanged_row_once_while_others_are_written(stage, open_api, monkeypatch):
    """Half of the orders change their status, country and customer all the time, the others never."""
    monkeypatch.setattr(
        connections, "READ_TIMEOUT_S", 60.0
    )  # the writer takes all that others leave of the machine
    still = [summary(n) for n in range(0, 400, 2)]
    stage.write(order_summary, [*still, *(summary(n) for n in range(1, 400, 2))], position=7)
    stage.everybody_stands(9)
    stop = threading.Event()

    def write():
        with psycopg.connect(stage.database_url, autocommit=True) as conn:
            table = Table(order_summary, stage.live(order_summary))
            for number in itertools.count(1):
                for n in range(1, 400, 14):
                    row = summary(n, status=("confirmed", "shipped")[number % 2])
                    moved = replace(row, placed_at=row.placed_at + timedelta(minutes=number % 300))
                    table.write(conn, {(row.order_id,): Versioned(moved, 9 + number)})
                if stop.is_set():
                    return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        async with open_api() as client:
            seen = [
                item["order_id"] for item in await _items(client, "/v1/orders", status="confirmed", limit=3)
            ]
    finally:
        stop.set()
        writer.join()

    assert [each for each in seen if int(each) % 2 == 536365 % 2] == [row.order_id for row in reversed(still)]
