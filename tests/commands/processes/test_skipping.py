"""An operator's skip is one event, however often it is repeated, and never beside another outcome of a trigger."""

import asyncio

import pytest

from commands import skipping
from commands.processes.trigger import outcome_key
from event_store.consumers import skips
from event_store.log import reading
from event_store.log.codec import decode
from event_store.log.envelope import decode_metadata
from runtime import database
from tests.commands.processes.running import append, eventually, outcomes, placed, received, running
from tests.examples import event_skipped

SKIP = {"partition_key": "order-o1", "position": 2}


@pytest.fixture
def conn(database_url):
    append(database_url, [received("A", 10), placed("o1", [("A", 1)])])
    with database.connect(database_url, role="counterfoil_writer", name="test") as conn:
        yield conn


def record(url, skip, *, by_process):
    asyncio.run(skipping.record(url, skip, by_process=by_process))


@pytest.mark.parametrize(("consumer", "shape"), [("order_details", 1), ("fulfilment", None)])
def test_a_skip_that_is_repeated_is_one_event_of_the_operator(database_url, conn, consumer, shape):
    skip = event_skipped(consumer=consumer, shape=shape, **SKIP)
    for _ in range(2):
        record(database_url, skip, by_process=shape is None)

    (recorded,) = reading.read_stream(conn, f"skips-{consumer}")
    assert skip == decode(recorded.type, recorded.payload)
    assert ("operator:jo", "skip_event") == (
        decode_metadata(recorded.metadata).actor,
        decode_metadata(recorded.metadata).command,
    )
    assert {2} == skips.read(conn, consumer, shape=shape)
    assert frozenset() == skips.read(conn, consumer, shape=7)


def test_a_skipped_trigger_has_its_outcome_under_its_own_key_and_is_never_decided(database_url, conn):
    record(database_url, event_skipped(consumer="fulfilment", shape=None, **SKIP), by_process=True)
    key = outcome_key("fulfilment", epoch=1, position=2)
    found = conn.execute("select first_position from log.outcome where key = %s", [key]).fetchall()
    append(database_url, [placed("o2", [("A", 1)])])
    with running(database_url):
        eventually(lambda: outcomes(database_url) == 5)

    assert [(3,)] == found
    assert 1 == len(reading.read_stream(conn, "order-o1"))
    assert 2 == len(reading.read_stream(conn, "order-o2"))


def test_a_trigger_that_was_decided_is_not_skipped_afterwards(database_url, conn):
    with running(database_url):
        eventually(lambda: outcomes(database_url) == 3)
    head = reading.head(conn).position
    record(database_url, event_skipped(consumer="fulfilment", shape=None, **SKIP), by_process=True)

    assert head == reading.head(conn).position
    assert frozenset() == skips.read(conn, "fulfilment", shape=None)
