"""Two installations in one Postgres cluster, on one Redis and one Kafka: neither ever sees what is the other's."""

import contextlib
import struct

import psycopg
import pytest
import redis
from kafka import KafkaConsumer, TopicPartition
from prometheus_client import CollectorRegistry
from psycopg import sql

from counterfoil import fencing
from counterfoil.contexts import CONTEXTS
from event_store.log import reading
from event_store.transport import generations, relay
from event_store.transport.kafka_topics import Topic
from event_store.transport.kafka_transport import KafkaTransport
from projections import verifying
from read_api.status import READ_STATUS, decode_status
from runtime import database
from runtime.settings import Settings
from tests.commands.conftest import opened
from tests.commands.processes.running import SHOP, running
from tests.consuming import hosting
from tests.event_store.transport.carrying import wait_until
from tests.projections.test_running import projections
from tests.read_api import conftest as querying

pytestmark = pytest.mark.anyio

SKU = "85123A"


class Installation:
    """One log, and the workers that carry, show and decide what is in it."""

    def __init__(self, url, *, redis_url, kafka):
        self.url = url
        self.redis_url = redis_url
        self.kafka = kafka

    @contextlib.contextmanager
    def working(self):
        """Relay, projections and process managers at work; inside the block nothing of them fails."""
        registry = CollectorRegistry

        def transport():
            return KafkaTransport(self.kafka, registry=registry())

        carrier = relay.consumer(transport(), registry=registry())
        showing = projections(self.url, self.redis_url, transport=transport())
        deciding = running(self.url, processes=SHOP)

        with hosting(self.url, [carrier]), showing, deciding:
            yield
            self.wait_until_everybody_stands_at_the_head()

    def wait_until_everybody_stands_at_the_head(self):
        def stands():
            with self.reader() as conn:
                status = decode_status(conn.execute(READ_STATUS).fetchone()[0])
            consumers = [*status.views, *status.process_managers]
            return len(consumers) == len(CONTEXTS.views) + len(SHOP) and all(
                each.lag_events == 0 for each in consumers
            )

        wait_until(stands, what="everybody stands at the head", timeout_s=240)

    async def sell(self, order_id, *, pieces):
        """Sell through the command API; the first time the product is created and delivered."""
        line = {"sku": SKU, "quantity": pieces, "unit_price": "1.00"}
        order = {
            "order_id": order_id,
            "customer_id": "17850",
            "country": "United Kingdom",
            "currency": "GBP",
            "lines": [line],
        }
        async with opened(self.url) as shop:
            if shop.position == 0:
                product = {"sku": SKU, "title": "lantern", "stocked": True}
                (await shop.post("/v1/products", product)).then_accepted(stream=f"product-{SKU}", version=1)
                await shop.post(f"/v1/stock/{SKU}/receipts", {"quantity": 1_000})
            (await shop.post("/v1/orders", order)).then_accepted(stream=f"order-{order_id}", version=1)

    async def shown(self, *order_ids):
        """Units and status of orders, as the query API answers with its cache."""
        async with querying.running(self.url, self.redis_url) as client:
            answers = [await client.get(f"/v1/orders/{order_id}") for order_id in order_ids]
        return [(answer.json()["units"], answer.json()["status"]) for answer in answers]

    def log(self):
        """Leaf by position."""
        with self.reader() as conn:
            return {event.position: event.leaf for event in reading.copy_log(conn)}

    def carried(self, *, generation):
        """Leaf by position of what the topic holds, and the sources that its records name."""
        with self.reader() as conn:
            topic = Topic(generations.generation_numbered(conn, generation=generation))
        places = [TopicPartition(topic.name, number) for number in range(topic.generation.partitions)]
        found, sources = {}, set()
        with contextlib.closing(KafkaConsumer(bootstrap_servers=self.kafka)) as consumer:
            consumer.assign(places)
            ends = consumer.end_offsets(places)
            consumer.seek_to_beginning()
            while any(consumer.position(place) < end for place, end in ends.items()):
                for messages in consumer.poll(timeout_ms=200).values():
                    for headers in (dict(message.headers) for message in messages):
                        found[int(headers["ce_id"].split(b".")[1])] = struct.unpack(
                            ">qq32s", headers["cf_link"]
                        )[2]
                        sources.add(headers["ce_source"].decode())
        return found, sources

    def documents(self):
        """Every key of this installation in Redis, with its value."""
        with redis.Redis.from_url(self.redis_url) as client:
            keys = sorted(client.scan_iter(match=f"{self.id}:*"))
            return dict(zip(keys, client.mget(keys), strict=True)) if keys else {}

    def views_match(self):
        with database.connect(self.url, role="counterfoil_projector", name="test") as conn:
            return all(each.matches for each in verifying.verify(conn, CONTEXTS.views))

    @property
    def id(self):
        with self.reader() as conn:
            return reading.history(conn).installation

    def reader(self):
        return database.connect(self.url, role="counterfoil_reader", name="test")


@pytest.fixture
def two(new_database, postgres, redis_url, kafka):
    both = [Installation(new_database(), redis_url=redis_url, kafka=kafka) for _ in range(2)]
    yield both
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        for each in both:
            admin.execute(sql.SQL("drop database {} with (force)").format(name_of(each)))


def name_of(installation):
    return sql.Identifier(str(psycopg.conninfo.conninfo_to_dict(installation.url)["dbname"]))


@contextlib.contextmanager
def copied(postgres, installation):
    """A backup of this database; it takes the database's place at the end of the block."""
    backup = sql.Identifier(f"{name_of(installation).as_string()[1:-1]}_backup")
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(sql.SQL("create database {} template {}").format(backup, name_of(installation)))
        yield
        admin.execute(sql.SQL("drop database {} with (force)").format(name_of(installation)))
        admin.execute(sql.SQL("alter database {} rename to {}").format(backup, name_of(installation)))


async def test_two_installations_side_by_side_never_meet_also_when_one_is_restored_and_fenced(two, postgres):
    ours, theirs = two
    with ours.working():
        await ours.sell("1", pieces=1)
        with theirs.working():
            await theirs.sell("1", pieces=10)
        with copied(postgres, theirs), theirs.working():
            await ours.sell("2", pieces=2)
            await theirs.sell("2", pieces=20)
            theirs.wait_until_everybody_stands_at_the_head()
            lost = await theirs.shown("1", "2")
        ours.wait_until_everybody_stands_at_the_head()
        before = ours.documents()
        fencing.fence(settings_of(theirs), reason="restored")
        emptied = theirs.documents()
        after_the_fence = ours.documents()
        with theirs.working():
            await theirs.sell("2", pieces=200)

    assert lost == [(10, "confirmed"), (20, "confirmed")]
    assert emptied == {}
    assert before
    assert before == after_the_fence == ours.documents()
    assert await ours.shown("1", "2") == [(1, "confirmed"), (2, "confirmed")]
    assert await theirs.shown("1", "2") == [(10, "confirmed"), (200, "confirmed")]
    assert ours.carried(generation=1) == (ours.log(), {f"/counterfoil/{ours.id}/log"})
    carried, sources = theirs.carried(generation=2)
    assert carried.items() <= theirs.log().items()
    assert {f"/counterfoil/{theirs.id}/log"} == sources
    assert ours.views_match()
    assert theirs.views_match()


def settings_of(installation):
    return Settings(database_url=installation.url, redis_url=installation.redis_url)


async def test_a_copy_that_lives_next_to_its_original_gets_an_id_of_its_own_and_leaves_the_originals_documents(
    two,
):
    original, copy = two
    with original.working():
        await original.sell("1", pieces=1)
    with database.connect(copy.url, role="counterfoil_owner", name="test") as conn:
        conn.execute("update log.installation set id = %s", [original.id])
    documents = original.documents()

    said = fencing.fence(settings_of(copy), reason="a copy to try things on", new_installation=True)

    assert copy.id in said
    assert copy.id != original.id
    assert documents
    assert documents == original.documents()
