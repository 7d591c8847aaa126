"""Reading one thing by its id."""

import asyncio
import http.client
import time

import msgspec
import psycopg
import pytest
from pydantic import SecretStr

from counterfoil.applications import query_app
from projections import builds
from projections.inventory.views import StockLevel, stock_level
from projections.ordering.views import CustomerTotals, SkuSales, customer_totals, order_details, sku_sales
from projections.storing import BuildId
from read_api import polling
from read_api.reading import documents
from runtime import tracked_documents
from runtime.settings import Settings
from tests.read_api.stage import order
from tests.runtime.http.applying import listening

pytestmark = pytest.mark.anyio


async def test_an_order_is_answered_from_sql_without_a_cache(stage, open_api):
    stage.write(order_details, [order()], position=7)
    stage.everybody_stands(9)

    async with open_api(redis_url=None) as client:
        answer = await client.get("/v1/orders/536365")

    assert answer.status_code == 200, answer.text
    assert answer.content == msgspec.json.encode(order())
    assert answer.headers["etag"] == '"1.s1_b1.7"'
    assert answer.headers["content-type"] == "application/json"


async def test_cache_and_sql_give_the_same_bytes(stage, open_api):
    stage.write(order_details, [order()], position=7)
    stage.everybody_stands(9)
    stage.mirror(order_details, [order()], position=7, upto=9)

    async with open_api(redis_url=None) as sql_only, open_api() as cached:
        from_sql = await sql_only.get("/v1/orders/536365")
        from_cache = await cached.get("/v1/orders/536365")

    assert from_sql.content == from_cache.content
    assert from_sql.headers["etag"] == from_cache.headers["etag"]


def test_an_order_in_the_client_cache_is_answered_with_the_same_bytes(stage, monkeypatch):
    monkeypatch.setattr(polling, "POLL_INTERVAL_S", 60.0)
    monkeypatch.setattr(documents, "ANSWER_TIMEOUT_S", 60.0)
    monkeypatch.setattr(tracked_documents, "CONNECT_TIMEOUT_S", 60.0)
    stage.write(order_details, [order("order 7")], position=7)
    stage.everybody_stands(9)
    stage.mirror(order_details, [order("order 7")], position=7, upto=9)

    settings = Settings.model_construct(
        database_url=SecretStr(stage.database_url), redis_url=SecretStr(stage.redis_url)
    )
    with listening(query_app(settings)) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.config.port)
        while _asked(connection, "/readyz")[0] != 200:
            time.sleep(0.01)
        answers = [_asked(connection, "/v1/orders/order%207") for _ in range(2)]
        kept = _asked(connection, "/v1/orders/order%207", {"If-None-Match": answers[1][1]["etag"]})
        metrics = _asked(connection, "/metrics")[2].decode()
        connection.close()

    assert answers[0] == answers[1]
    assert (200, 304) == (answers[0][0], kept[0])
    for source, count in (("cache", 1.0), ("client_cache", 2.0), ("sql", 0.0)):
        assert f'counterfoil_reads_total{{source="{source}",view="order_details"}} {count}' in metrics


def _asked(connection, path, headers=None):
    """Status, headers but those of the moment, and body."""
    connection.request("GET", path, headers=headers or {})
    answer = connection.getresponse()
    of_the_moment = {"date", "correlation-id"}
    return answer.status, {k: v for k, v in answer.getheaders() if k not in of_the_moment}, answer.read()


async def test_what_was_never_there_is_not_found(api):
    answer = await api.get("/v1/orders/7")

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "not-found"
    assert "applied-position" in answer.headers


@pytest.mark.parametrize(
    "address", ["/v1/orders/%00", "/v1/orders/-a", "/v1/orders/" + "a" * 65, "/v1/orders/é", "/v1/orders/a~b"]
)
async def test_an_id_that_nobody_can_have_is_not_found(api, address):
    answer = await api.get(address)

    assert answer.status_code == 404


async def test_what_was_removed_is_not_found_and_says_since_when(stage, open_api):
    stage.write(order_details, [order()], position=7)
    stage.bury(order_details, ("536365",), position=8)
    stage.everybody_stands(9)

    async with open_api() as client:
        answer = await client.get("/v1/orders/536365")

    assert answer.status_code == 404
    assert answer.json()["facts"]["deleted_at"] == 8


async def test_an_unchanged_row_is_not_sent_again(stage, open_api):
    stage.write(order_details, [order()], position=7)
    stage.everybody_stands(9)

    async with open_api() as client:
        first = await client.get("/v1/orders/536365")
        again = await client.get(
            "/v1/orders/536365", headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'}
        )
        compressed = await client.get(
            "/v1/orders/536365", headers={"If-None-Match": first.headers["etag"][:-1] + '-gzip"'}
        )
        stage.write(order_details, [order(status="confirmed")], position=10)
        changed = await client.get("/v1/orders/536365", headers={"If-None-Match": first.headers["etag"]})

    assert again.status_code == 304
    assert again.content == b""
    assert compressed.status_code == 304
    assert changed.status_code == 200
    assert changed.json()["status"] == "confirmed"


async def test_stock_and_sums_are_answered_by_id(stage, open_api):
    stage.write(stock_level, [StockLevel(sku="85123A", on_hand=5, available=5, received=5)], position=3)
    stage.write(
        sku_sales,
        [SkuSales(sku="85123A", currency=c, units=n) for c, n in (("GBP", 2), ("EUR", 1))],
        position=4,
    )
    stage.write(
        customer_totals,
        [CustomerTotals(customer_id="17850", currency="GBP", orders=2, revenue=99)],
        position=5,
    )
    stage.everybody_stands(9)

    async with open_api() as client:
        stock = await client.get("/v1/stock/85123A")
        sales = await client.get("/v1/skus/85123A/sales")
        totals = await client.get("/v1/customers/17850/totals")

    assert stock.json()["available"] == 5
    assert list(sales.json()["sales"]) == ["EUR", "GBP"]
    assert sales.json()["sku"] == "85123A"
    assert totals.json() == {
        "customer_id": "17850",
        "totals": {
            "GBP": {"orders": 2, "lines": 0, "units": 0, "revenue": 99, "credit_notes": 0, "credited": 0},
        },
    }


async def test_many_reads_at_once_each_get_their_own(stage, open_api):
    stage.write(order_details, [order(f"{number}", total=number) for number in range(100, 400)], position=7)
    stage.everybody_stands(9)

    async with open_api(redis_url=None) as client:
        answers = await asyncio.gather(*(client.get(f"/v1/orders/{number}") for number in range(100, 420)))

    assert [answer.json().get("total") for answer in answers] == [*range(100, 400), *[None] * 20]


async def test_a_promotion_is_followed_without_a_restart(stage, open_api):
    stage.write(order_details, [order()], position=7)
    stage.everybody_stands(9)
    second = BuildId("order_details", 1, 2)
    with stage.conn.transaction():
        builds.add(stage.conn, order_details, second, state="following")
        builds.start_following(stage.conn, order_details, second, position=0)
    stage.write(order_details, [order(total=4)], position=7, build=second)

    async with open_api() as client:
        before = await client.get("/v1/orders/536365")
        with stage.conn.transaction():
            builds.point(stage.conn, order_details, second)
            builds.remove(stage.conn, order_details, BuildId("order_details", 1, 1))
        at_once = await client.get("/v1/orders/536365")

    assert before.json()["total"] == 1530
    assert at_once.json()["total"] == 4
    assert at_once.headers["etag"] == '"1.s1_b2.7"'


async def test_a_build_of_a_shape_this_program_does_not_know_is_shown_as_it_is(stage, open_api):
    stage.write(order_details, [order()], position=7)
    stage.everybody_stands(9)
    stage.conn.execute("alter table views.order_details_s1_b1 add column gift boolean not null default true")

    async with open_api() as client:
        answer = await client.get("/v1/orders/536365")

    assert answer.json()["gift"] is True


async def test_reads_by_id_use_the_primary_key(stage, open_api):
    stage.write(order_details, [order(f"{number}") for number in range(2_000)], position=7)
    stage.everybody_stands(9)
    stage.conn.execute("analyze views.order_details_s1_b1")

    async with open_api(redis_url=None) as client:
        await client.get("/v1/orders/7")
        rows = client.app.state.reads._readers[0]._rows
        statement = rows._asked[BuildId("order_details", 1, 1), False].statement
    with psycopg.connect(stage.database_url, autocommit=True) as conn, conn.cursor() as cursor:
        given = {"keys": [str(number) for number in range(64)], "partition_keys": []}
        cursor.execute(b"explain " + statement, given)
        plan = "\n".join(line for (line,) in cursor)

    assert "Seq Scan on order_details" not in plan
    assert "order_details_s1_b1_pkey" in plan


async def test_a_read_takes_no_parameters_but_as_of(api):
    answer = await api.get("/v1/orders/1?as-of=3")

    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid-parameter"
    assert "There is no parameter as-of here; did you mean as_of?" == answer.json()["detail"]
