"""The query API over what real workers wrote: the same bytes from cache and SQL, and the cache is really used."""

import pytest

from counterfoil.contexts import CONTEXTS
from event_store.log import reading
from event_store.transport.partitioning import PARTITIONS, partition_of
from projections.catalogue.views import product_page
from projections.inventory.views import stock_level
from projections.ordering.views import order_details
from runtime.documents import RedisDocuments
from tests.examples import placed
from tests.projections.feeding import append, feeding, fold_plainly, history, publish
from tests.read_api.stage import token

pytestmark = pytest.mark.anyio

KEYED = ((product_page, "/v1/products/"), (stock_level, "/v1/stock/"), (order_details, "/v1/orders/"))


@pytest.fixture
def traded(stage):
    """A small shop's history in SQL and cache; what a test does then, `more` carries on."""
    documents = RedisDocuments(stage.redis_url)
    events = history(23, steps=120)
    with feeding(stage.database_url, CONTEXTS.views, documents=documents) as feeder:

        def carry(facts):
            head = append(stage.database_url, facts)
            publish(stage.database_url)
            feeder.catch_up()
            return head

        carry(events[:-20])
        yield carry, events[-20:]
    documents.close()


async def test_documents_of_workers_are_trusted_and_are_the_bytes_of_sql(stage, traded, open_api):
    async with open_api() as cached, open_api(redis_url=None) as sql_only:
        for view, address in KEYED:
            ids = [row[0] for row in stage.conn.execute(f"select {view.key[0]} from views.{view.name}")]
            assert ids
            from_sql = {each: await sql_only.get(f"{address}{each}") for each in ids}
            stage.conn.execute(f"update views.{view.name}_s1_b1 set position = 0")
            from_cache = {each: await cached.get(f"{address}{each}") for each in ids}

            for each in ids:
                assert from_cache[each].content == from_sql[each].content
                assert from_cache[each].headers["etag"] == from_sql[each].headers["etag"], "SQL was not asked"


async def test_what_was_just_written_is_read(stage, traded, open_api):
    carry, rest = traded

    async with open_api() as client:
        for stream, event in rest:
            head = carry([(stream, event)])
            at = {partition_of(stream, PARTITIONS): head}
            for address in ("/v1/totals", "/v1/orders?status=placed", "/v1/sales/daily"):
                answer = await client.get(address, headers={"Min-Position": token(at), "Prefer": "wait=10"})
                assert answer.status_code == 200, answer.text
            log = stage.conn.execute("select count(*) from log.event").fetchone()
            assert log == (head,)
            if stream.startswith("order-"):
                key = stream.removeprefix("order-")
                read = await client.get(f"/v1/orders/{key}", headers={"Min-Position": token(at)})
                then = await client.get(f"/v1/orders/{key}?as_of={head}")
                assert read.content == then.content


async def test_every_row_is_the_fold_of_the_log(stage, traded, open_api):
    log = reading.read_after(stage.conn, 0)

    async with open_api() as client:
        for view, address in KEYED:
            for key, versioned in fold_plainly(view, log).items():
                answer = await client.get(f"{address}{key[0]}")
                assert answer.headers["etag"] == f'"1.s1_b1.{versioned.position}"'


async def test_a_read_says_who_has_not_decided_yet(stage, traded, open_api):
    carry, _ = traded
    stage.conn.execute(
        "insert into consumers.registration (consumer, registered_position) values ('fulfilment', 0)"
    )
    head = carry([("order-open", placed(order_id="open"))])
    asked = {"Min-Position": token({partition_of("order-open", PARTITIONS): head}), "Prefer": "until=settled"}

    async with open_api() as client:
        answers = [
            await client.get(path, headers=asked) for path in ("/v1/orders/open", "/v1/orders", "/v1/totals")
        ]

    assert 3 * [(200, "no; pending=fulfilment", "until=settled")] == [
        (each.status_code, each.headers["settled"], each.headers["preference-applied"]) for each in answers
    ]
