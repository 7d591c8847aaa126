"""What every transport promises, asked of Kafka through each client and of the local tail with the same tests."""

import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client import CollectorRegistry

from event_store.transport.following import Follower, FollowerMetrics
from event_store.transport.kafka_transport import KafkaTransport
from event_store.transport.local_transport import LocalTransport
from event_store.transport.partition_log import PartitionLog
from event_store.transport.partitioning import partition_of
from event_store.transport.transport import Partition
from runtime import database
from tests.event_store.transport import carrying

EVENT_COUNT = 60
BUSY = partition_of("order-0", 12)
"""A partition that surely holds events."""
LARGE_BYTES = 3_900_000


@pytest.fixture(params=["local", "kafka-python", "confluent-kafka"])
def transport(request, database_url):
    if request.param == "local":
        return LocalTransport(database_url)
    return KafkaTransport(
        request.getfixturevalue("kafka"), registry=CollectorRegistry(), client=request.param
    )


@pytest.fixture
def published(transport, database_url):
    """A log of which everything was published; its address."""
    with carrying.relaying(database_url, transport):
        carrying.append(database_url, EVENT_COUNT)
        carrying.wait_published(database_url)
        yield database_url


@pytest.fixture
def member(transport, published):
    """Joins the group under test; all its members leave at the end."""
    members = []

    def join(*, group="readers"):
        members.append(transport.subscribe(group, generation=carrying.current(published)))
        return members[-1]

    yield join
    for each in members:
        each.close()


def started(member, *, position=0):
    subscription = member()
    for source in carrying.wait_assigned(subscription, count=12):
        subscription.start_at(source, position=position)
    return subscription


def test_every_event_is_brought_in_log_order_of_its_partition(member, published):
    expected: dict[Partition, list[int]] = {}
    for event in carrying.logged(published):
        expected.setdefault(partition_of(event.key, 12), []).append(event.position)

    brought = carrying.bring(started(member), until=lambda brought: carrying.total(brought) == EVENT_COUNT)

    assert expected == {source: carrying.positions(records) for source, records in brought.items()}


def test_a_record_carries_exactly_what_the_log_holds(member, published):
    brought = carrying.bring(
        started(member),
        until=lambda brought: carrying.total(brought) == EVENT_COUNT,
    )
    carried = {record.position: record for records in brought.values() for record in records}

    for event in carrying.logged(published):
        record = carried[event.position]

        assert (event.key, event.stream, event.version) == (record.key, record.stream, record.version)
        assert (event.type, event.payload, event.metadata) == (record.type, record.payload, record.metadata)
        assert (event.recorded_at, event.leaf, 1) == (record.recorded_at, record.leaf, record.epoch)


def test_every_record_names_the_one_before_it_in_its_partition(member):
    brought = carrying.bring(started(member), until=lambda brought: carrying.total(brought) == EVENT_COUNT)

    for records in brought.values():
        assert [0, *carrying.positions(records)[:-1]] == [record.prev for record in records]


def test_an_event_as_large_as_a_request_may_be_is_carried(member, published):
    noise = secrets.token_hex(LARGE_BYTES // 2)
    carrying.append(published, 1, padding=noise)
    subscription = started(member, position=EVENT_COUNT)

    def large(brought):
        return [each for records in brought.values() for each in records if each.position == EVENT_COUNT + 1]

    brought = carrying.bring(subscription, until=large)

    assert carrying.logged(published)[-1].payload == large(brought)[0].payload


def test_a_partition_that_was_not_started_stays_silent(member):
    subscription = member()
    first, *_ = sorted(carrying.wait_assigned(subscription, count=12))
    subscription.start_at(first, position=0)

    brought = carrying.bring(subscription, until=bool)

    assert {first} == brought.keys()
    assert {} == subscription.poll(0.3).records


def test_a_start_in_the_middle_brings_everything_behind_it(member, published):
    middle = EVENT_COUNT // 2
    expected = {event.position for event in carrying.logged(published) if event.position > middle}

    def behind(brought):
        return {each for records in brought.values() for each in carrying.positions(records) if each > middle}

    subscription = started(member, position=middle)
    brought = carrying.bring(subscription, until=lambda brought: behind(brought) == expected)

    assert expected == behind(brought)


def test_a_partition_started_again_is_brought_again(member):
    subscription = started(member)
    first = carrying.bring(subscription, until=lambda brought: carrying.total(brought) == EVENT_COUNT)
    subscription.start_at(BUSY, position=0)

    again = carrying.bring(subscription, until=lambda brought: carrying.total(brought) == len(first[BUSY]))

    assert {BUSY: first[BUSY]} == again


def test_starting_one_partition_again_repeats_no_other(member):
    subscription = started(member)
    first = carrying.bring(subscription, until=lambda brought: carrying.total(brought) == EVENT_COUNT)
    subscription.start_at(BUSY, position=0)
    again = carrying.bring(subscription, until=lambda brought: carrying.total(brought) == len(first[BUSY]))
    again = carrying.bring(subscription, until=lambda _: subscription.poll(0.3).records == {}, into=again)

    assert {BUSY} == again.keys()


def test_a_poll_brings_no_more_records_than_asked_for(member):
    subscription = started(member)
    sizes = []
    brought: carrying.Brought = {}

    def poll():
        batch = subscription.poll(0.1, max_records=7)
        sizes.append(batch.count)
        for source, records in batch.records.items():
            brought.setdefault(source, []).extend(records)
        return carrying.total(brought) == EVENT_COUNT

    carrying.wait_until(poll, what="all records")

    assert max(sizes) <= 7


def test_two_members_never_own_the_same_partition(member):
    """Each polls all the time, as a worker does: kafka-python 3.0.12 begins a join anew that ends between two polls."""
    owned: dict[str, set[Partition]] = {"first": set(), "second": set()}
    ended = threading.Event()

    def keep_polling(name, subscription):
        while not ended.is_set():
            batch = subscription.poll(0.05)
            owned[name] = (owned[name] - batch.revoked) | batch.assigned

    def shared():
        return len(owned["first"] | owned["second"]) == 12 and not owned["first"] & owned["second"]

    with ThreadPoolExecutor(2) as threads:
        polling = [threads.submit(keep_polling, name, member()) for name in owned]
        try:
            carrying.wait_until(shared, what="all partitions owned")
            time.sleep(1)  # the second may join only now: what the first gives up is nobody's for a moment
            carrying.wait_until(shared, what="all partitions owned again")
        finally:
            ended.set()
        for each in polling:
            each.result()

    assert set() == owned["first"] & owned["second"]


def test_a_member_that_leaves_hands_its_partitions_to_the_next(member):
    first = member()
    carrying.wait_assigned(first, count=12)
    first.close()

    assert 12 == len(carrying.wait_assigned(member(), count=12))


def test_events_of_the_next_generation_are_not_brought_by_this_one(member, published):
    subscription = started(member)
    carrying.bring(subscription, until=lambda brought: carrying.total(brought) == EVENT_COUNT)
    with carrying.owner(published) as conn:
        conn.execute("select transport.begin_generation(12, null, 'test')")
    carrying.append(published, 10)

    assert {} == subscription.poll(1.0).records


def test_a_follower_delivers_the_whole_log_once_and_in_order(transport, published):
    generation = carrying.current(published)
    delivered: carrying.Brought = {}
    with database.connect(published, role="counterfoil_projector", name="test") as conn:
        follower = Follower(
            transport.subscribe("followers", generation=generation),
            log=PartitionLog(conn, generation=generation),
            metrics=FollowerMetrics(CollectorRegistry()),
        )

        def poll():
            followed = follower.poll(0.1)
            for source in followed.assigned:
                follower.start(source, position=0, leaf=None)
            for source, records in followed.records.items():
                delivered.setdefault(source, []).extend(records)
            return sum(len(records) for records in delivered.values()) >= EVENT_COUNT

        carrying.wait_until(poll, what="the whole log")
        follower.close()

    everywhere = sorted(
        position for records in delivered.values() for position in carrying.positions(records)
    )
    assert list(range(1, EVENT_COUNT + 1)) == everywhere
    assert all(
        carrying.positions(records) == sorted(carrying.positions(records)) for records in delivered.values()
    )
