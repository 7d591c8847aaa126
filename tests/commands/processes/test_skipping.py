"""An operator's skip is one event, however often it is repeated, and never added to another outcome of a trigger."""

import asyncio

import pytest

from commands.processes.trigger import outcome_key
from counterfoil.testing import http
from event_store.consumers import parking, skips
from event_store.consumers.parking import Failure, Scope
from event_store.log import reading
from event_store.log.codec import decode
from event_store.log.envelope import decode_metadata
from runtime import database
from tests.commands.processes.running import (
    append,
    eventually,
    outcomes,
    placed,
    received,
    register,
    running,
)

KEY = "order-o1"
POSITION = 2
BODY = {"partition_key": KEY, "position": POSITION, "reason": "entered twice", "operator": "jo"}


@pytest.fixture
def conn(database_url):
    register(database_url)
    append(database_url, [received("A", 10), placed("o1", [("A", 1)])])
    with database.connect(database_url, role="counterfoil_writer", name="test") as conn:
        yield conn


def park(conn, consumer, *, shape=0, build=0):
    failure = Failure(KEY, POSITION, KEY, version=1, type="t", reason="a defect")
    parking.park(conn, Scope(consumer, shape, build), failure)


def sent(url, consumer, *, key="k", **changes):
    async def send():
        async with http.opened(url) as api:
            return await api.post(f"/v1/operations/consumers/{consumer}/skips", BODY | changes, key=key)

    return asyncio.run(send())


@pytest.mark.parametrize(("consumer", "shape"), [("order_details", 1), ("fulfilment", None)])
def test_a_skip_that_is_repeated_is_one_event_of_the_operator(database_url, conn, consumer, shape):
    park(conn, consumer, shape=shape or 0, build=shape or 0)
    first = sent(database_url, consumer)
    again = sent(database_url, consumer)

    assert (201, first.bytes, "true") == (again.status, again.bytes, again.headers["idempotent-replayed"])
    (recorded,) = reading.read_stream(conn, f"skips-{consumer}")
    skip = decode(recorded.type, recorded.payload)
    assert (shape, KEY, POSITION, "operator:jo", "entered twice") == (
        *(skip.shape, skip.partition_key, skip.position),
        *(skip.actor, skip.reason),
    )
    assert ("anonymous", "skip_event") == (
        decode_metadata(recorded.metadata).actor,
        decode_metadata(recorded.metadata).command,
    )
    assert {2} == skips.read(conn, consumer, shape=shape)
    assert frozenset() == skips.read(conn, consumer, shape=7)


def test_a_skip_that_is_in_the_log_is_refused_to_whoever_asks_anew(database_url, conn):
    park(conn, "order_details", shape=1, build=1)
    sent(database_url, "order_details")
    refused = sent(database_url, "order_details", key="another")

    assert (409, "already-skipped") == (refused.status, refused.body["code"])


def test_a_skipped_trigger_has_its_outcome_under_its_own_key_and_is_never_decided(database_url, conn):
    park(conn, "fulfilment")
    sent(database_url, "fulfilment")
    key = outcome_key("fulfilment", epoch=1, position=2)
    found = conn.execute("select first_position from log.outcome where key = %s", [key]).fetchall()
    append(database_url, [placed("o2", [("A", 1)])])
    parking.unpark(conn, Scope("fulfilment"), KEY)
    with running(database_url):
        eventually(lambda: outcomes(database_url) == 5)

    assert [(3,)] == found
    assert 1 == len(reading.read_stream(conn, "order-o1"))
    assert 2 == len(reading.read_stream(conn, "order-o2"))


@pytest.mark.parametrize("parked", [True, False])
def test_a_trigger_that_was_decided_is_not_skipped_afterwards(database_url, conn, parked):
    with running(database_url):
        eventually(lambda: outcomes(database_url) == 3)
    head = reading.head(conn).position
    if parked:
        park(conn, "fulfilment")
    refused = sent(database_url, "fulfilment")

    assert (409, "already-decided") == (refused.status, refused.body["code"])
    assert head == reading.head(conn).position
    assert frozenset() == skips.read(conn, "fulfilment", shape=None)


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"partition_key": "order-none"}, 404, "key-not-parked"),
        ({"position": 1}, 409, "parked-elsewhere"),
        ({"reason": ""}, 422, "validation-failed"),
        ({"operator": "Jo Smith"}, 422, "validation-failed"),
    ],
)
def test_what_cannot_be_skipped_is_refused_and_nothing_is_appended(database_url, conn, changes, status, code):
    park(conn, "fulfilment")
    head = reading.head(conn).position
    refused = sent(database_url, "fulfilment", **changes)

    assert (status, code, head) == (refused.status, refused.body["code"], reading.head(conn).position)
