"""Polls between two threads: in order, bounded by records, and a rebalance never behind what came with another poll."""

import threading
from datetime import UTC, datetime

import pytest

from event_store.transport.kafka_handover import Handed, Handover
from event_store.transport.transport import Batch, Record

SOURCE = 3
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def record(position: int) -> Record:
    return Record(
        SOURCE, position - 1, position, "k", "order-k", 1, "a.b.v1", b"{}", b"{}", MOMENT, bytes(32), 1
    )


def poll(*positions: int, assigned: bool = False) -> Handed:
    records = [record(position) for position in positions]
    batch = Batch(
        records={SOURCE: records} if records else {},
        assigned={SOURCE} if assigned else set(),
        revoked=set(),
    )
    return Handed(batch=batch, offsets={}, starts={})


@pytest.fixture
def handover() -> Handover:
    return Handover(3)


def test_polls_come_in_their_order(handover):
    first, second = poll(1), poll(2)
    assert handover.put(first, timeout_s=0)
    assert handover.put(second, timeout_s=0)

    assert [first, second] == [handover.take(timeout_s=0), handover.take(timeout_s=0)]
    assert handover.take(timeout_s=0) is None
    assert handover.empty


def test_there_is_room_until_as_many_records_wait_however_few_polls_they_are(handover):
    assert handover.put(poll(1), timeout_s=0)
    assert handover.put(poll(2, 3, 4), timeout_s=0)

    assert not handover.put(poll(5), timeout_s=0)
    handover.take(timeout_s=0)
    assert not handover.put(poll(5), timeout_s=0)
    handover.take(timeout_s=0)
    assert handover.put(poll(5), timeout_s=0)


def test_more_is_taken_up_to_the_next_rebalance(handover):
    later = poll(2)
    for each in (poll(1), later, poll(assigned=True), poll(3)):
        assert handover.put(each, timeout_s=0)
    handover.take(timeout_s=0)

    assert later == handover.take_more()
    assert handover.take_more() is None
    assert handover.take(timeout_s=0) == poll(assigned=True)


def test_whoever_waits_is_woken(handover):
    waited = poll(1)
    thread = threading.Timer(0.05, handover.put, (waited,), {"timeout_s": 0})
    thread.start()

    assert waited == handover.take(timeout_s=10)
    thread.join()
