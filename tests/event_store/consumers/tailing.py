"""A declared consumer at work in a test: rounds driven by hand, over real sessions and leases."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from prometheus_client import CollectorRegistry

from event_store.consumers.consumer import LogConsumer, Start
from event_store.consumers.driver import ConsumerSession
from event_store.consumers.lease import Lease, new_owner
from event_store.consumers.metrics import ConsumerMetrics
from event_store.consumers.news import News
from event_store.consumers.tailing import SESSION, Tailing
from event_store.log.reading import Connection
from runtime import database
from tests.projections.counting import Counted, Faults

ROUNDS_MAX = 1_000

SEEN = "select counter, array_agg(number order by seen) from consumer_tables.seen group by counter"


def seeing(faults: Faults, *, start: Start = "origin", name: str = "seen") -> LogConsumer:
    """Notes every Counted in the order in which it sees them, and fails on those in `faults`."""
    consumer = LogConsumer(name, start=start)

    @consumer.begin
    def tables(conn: Connection) -> None:
        conn.execute("drop table if exists consumer_tables.seen")
        conn.execute(
            "create table consumer_tables.seen (seen bigint generated always as identity, counter text, number int)"
        )
        conn.execute("grant select on consumer_tables.seen to counterfoil_reader")

    @consumer.on(Counted)
    def see(conn: Connection, event: Counted) -> None:
        conn.execute(
            "insert into consumer_tables.seen (counter, number) values (%s, %s)",
            [event.counter, event.number],
        )
        faults.check(event.number)

    return consumer


@contextmanager
def session(
    url: str, consumer: LogConsumer, *, registry: CollectorRegistry | None = None
) -> Iterator[ConsumerSession]:
    """What the driver would give it; the lease is held."""
    with database.connect(url, role="counterfoil_writer", name="test", settings=SESSION) as conn:
        lease = Lease(conn, name=consumer.lease, owner=new_owner())
        metrics = ConsumerMetrics(registry or CollectorRegistry())
        assert lease.hold()
        try:
            yield ConsumerSession(conn, lease, threading.Event(), News(), metrics, url)
        finally:
            lease.give_back()


def work_off(tail: Tailing) -> None:
    """Rounds until there is nothing to do."""
    for _ in range(ROUNDS_MAX):
        if not tail.round():
            return
    raise AssertionError(f"there is still something to do after {ROUNDS_MAX} rounds")


def ask(url: str, question: str, *given: object) -> list[tuple[object, ...]]:
    """What the database answers to anybody who may see everything."""
    with psycopg.connect(url, autocommit=True) as conn:
        return conn.execute(question, given).fetchall()  # type: ignore[arg-type]


def seen(url: str) -> dict[object, object]:
    """What a consumer of `seeing` noted, by counter, in its order."""
    return dict(ask(url, SEEN))
