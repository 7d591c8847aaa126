"""Faults of a real broker and of real relay processes: detected, repaired from the log, counted."""

import contextlib
import os
import signal
import sys
import time

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from prometheus_client import CollectorRegistry

from devservers import chosen
from devservers.kafka import KafkaServer
from event_store.transport import following, generations, kafka_client
from event_store.transport.following import Follower, FollowerMetrics
from event_store.transport.kafka_topics import prefix
from event_store.transport.kafka_transport import KafkaTransport
from event_store.transport.partition_log import PartitionLog
from event_store.transport.partitioning import PARTITIONS, partition_of
from event_store.transport.relay import PostgresRelayRows, carry
from event_store.transport.transport import Partition
from runtime import database
from tests import forking
from tests.event_store.transport import carrying

RELAYING = "tests.event_store.transport.relaying"
RELAY_KILLS = 4
CORES_WITHOUT_A_BROKER_MAX = 0.2
"""What relay and consumer together may use while they try to reach their broker again."""
BUSY = partition_of("order-0", PARTITIONS)
"""Where all events are when there is one stream."""


class Reader:
    """A consumer that applies in memory and keeps its checkpoints there."""

    def __init__(self, url, transport, *, registry=None):
        self.registry = registry or CollectorRegistry()
        self.generation = carrying.current(url)
        self.conn = database.connect(url, role="counterfoil_projector", name="test")
        self.applied = {}
        self.follower = Follower(
            transport.subscribe("readers", generation=self.generation),
            log=PartitionLog(self.conn, generation=self.generation),
            metrics=FollowerMetrics(self.registry),
        )

    def poll(self):
        followed = self.follower.poll(0.1)
        for source in followed.assigned:
            applied = self.applied.get(source)
            leaf, position = (applied[-1].leaf, applied[-1].position) if applied else (None, 0)
            self.follower.start(source, position=position, leaf=leaf)
        for source, records in followed.records.items():
            self.applied.setdefault(source, []).extend(records)
            self.follower.commit(source, position=records[-1].position)

    def read_until(self, count):
        def done():
            self.poll()
            return sum(map(len, self.applied.values())) >= count

        carrying.wait_until(done, what=f"{count} records")

    def counted(self, name):
        return self.registry.get_sample_value(f"counterfoil_transport_{name}_total") or 0

    def close(self):
        self.follower.close()
        self.conn.close()


def used_while_polling(consumer, *, seconds):
    """Processor time of this process over time, in cores."""
    began, before = time.monotonic(), time.process_time()
    while time.monotonic() - began < seconds:
        consumer.poll()
    return (time.process_time() - before) / (time.monotonic() - began)


def topics_of(admin, url):
    """The topics of one installation that are there."""
    beginning = prefix(carrying.current(url))
    return [name for name in admin.list_topics() if name.startswith(f"{beginning}.")]


@pytest.fixture
def transport_registry():
    return CollectorRegistry()


@pytest.fixture(params=["kafka-python", "confluent-kafka"])
def client(request):
    """The library that the transport speaks through."""
    return request.param


@pytest.fixture
def transport(kafka, transport_registry, client):
    return KafkaTransport(kafka, registry=transport_registry, client=client)


@pytest.fixture
def reader(transport, database_url):
    with contextlib.ExitStack() as stack:

        def make(transport=transport):
            made = Reader(database_url, transport)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def admin(kafka):
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=kafka)) as admin:
        yield admin


def expected(url):
    partitions: dict[Partition, list[int]] = {}
    for event in carrying.logged(url):
        partitions.setdefault(partition_of(event.key, PARTITIONS), []).append(event.position)
    return partitions


def applied(reader):
    return {source: carrying.positions(records) for source, records in reader.applied.items()}


def records_of(url):
    """The whole log as the relay would carry it."""
    with database.connect(url, role="counterfoil_relay", name="test") as conn:
        generations.settle(conn, carrier="kafka", partitions=PARTITIONS)
        ledger = PostgresRelayRows(conn, owner="test")
        state = ledger.load()
        rows = ledger.rows_after(0, limit=5_000)
        carried = carry(state, rows=rows, frame=ledger.frame(state.generation))
        ledger.save(carried.state)
        return state.generation, carried.records


@pytest.fixture
def patient(monkeypatch):
    """However slow the machine is, what is read comes from the topic, and not from the log because it came late."""
    monkeypatch.setattr(following, "STALE_AFTER_S", float("inf"))


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.usefixtures("patient")
def test_a_relay_killed_again_and_again_repeats_and_never_skips(
    transport, database_url, kafka, reader, client
):
    with carrying.relaying(database_url, transport):
        carrying.append(database_url, 10)
    for _ in range(RELAY_KILLS):
        # No standby: the next one has to wait until the lease's counter stood still, so take it from the dead.
        with carrying.owner(database_url) as conn:
            conn.execute("update runtime.lease set owner = null")
        before = carrying.published(database_url).position
        process = forking.popen([sys.executable, "-m", RELAYING, database_url, kafka, client])
        carrying.append(database_url, 2_500)
        carrying.wait_until(
            lambda: carrying.published(database_url).position > before,  # noqa: B023  # called at once
            what="progress",
        )
        process.send_signal(signal.SIGKILL)
        process.wait()
    with carrying.owner(database_url) as conn:
        conn.execute("update runtime.lease set owner = null")
    with carrying.relaying(database_url, transport):
        carrying.wait_published(database_url)
    consumer = reader()
    truth = expected(database_url)
    consumer.read_until(sum(map(len, truth.values())))

    assert truth == applied(consumer)
    assert (0, 0) == (consumer.counted("gaps"), consumer.counted("repaired_records"))


@pytest.mark.faults
@pytest.mark.usefixtures("patient")
def test_records_swapped_lost_and_repeated_on_the_topic_are_each_counted_once(
    transport, database_url, reader
):
    carrying.append(database_url, 40, streams=1)
    generation, records = records_of(database_url)
    source = partition_of("order-0", PARTITIONS)
    swapped = [*records[:5], records[6], records[5], *records[7:20]]
    with contextlib.closing(transport.publisher(generation)) as publisher:
        publisher.publish([*swapped, records[19], *records[21:]])
    consumer = reader()
    consumer.read_until(40)
    consumer.poll()

    assert list(range(1, 41)) == applied(consumer)[source]
    assert (2, 2) == (consumer.counted("gaps"), consumer.counted("repaired_records"))
    assert 2 == consumer.counted("duplicates")


@pytest.mark.faults
def test_newest_records_that_the_broker_lost_are_read_from_the_log(
    transport, transport_registry, database_url, reader, admin
):
    with carrying.relaying(database_url, transport):
        carrying.append(database_url, 30)
        carrying.wait_published(database_url)
    topics = topics_of(admin, database_url)
    admin.delete_records(
        {TopicPartition(name, number): -1 for name in topics for number in range(PARTITIONS)}
    )
    consumer = reader()
    truth = expected(database_url)
    consumer.read_until(sum(map(len, truth.values())))

    assert truth == applied(consumer)
    assert len(truth) == consumer.counted("stale")


@pytest.mark.faults
@pytest.mark.slow
def test_a_topic_deleted_under_our_feet_is_made_again_and_what_it_held_comes_from_the_log(
    transport, transport_registry, database_url, reader, admin
):
    with carrying.relaying(database_url, transport):
        carrying.append(database_url, 20)
        consumer = reader()
        consumer.read_until(20)
        created = transport_registry.get_sample_value("counterfoil_transport_topics_created_total")
        admin.delete_topics(topics_of(admin, database_url))
        carrying.append(database_url, 20)
        carrying.wait_until(
            lambda: carrying.published(database_url).position == 40, what="publishing to go on"
        )
        truth = expected(database_url)
        consumer.read_until(sum(map(len, truth.values())))
        carrying.append(database_url, 20)
        truth = expected(database_url)
        consumer.read_until(sum(map(len, truth.values())))

    assert truth == applied(consumer)
    assert 1 == created
    assert 2 == transport_registry.get_sample_value("counterfoil_transport_topics_created_total")


@pytest.mark.faults
def test_a_relay_refuses_a_topic_of_another_history_and_publishes_nothing(transport, database_url, reader):
    with carrying.relaying(database_url, transport):
        carrying.append(database_url, 12)
        carrying.wait_published(database_url)
    with carrying.owner(
        database_url
    ) as conn:  # a restored backup: the log is shorter, then goes on differently
        conn.execute("delete from log.event where position > 6")
        conn.execute("update log.head set position = 6")
        conn.execute("update transport.relay set position = 6")
    carrying.append(database_url, 12)
    with carrying.relaying(database_url, transport, settled=False) as health:
        carrying.wait_until(lambda: health.condition == "fork", what="the fork to be seen")
        with carrying.owner(database_url) as conn:
            position = carrying.published(database_url).position
            generations.fence(conn, reason="restored", empty_documents=lambda: None)
        carrying.append(database_url, 5, epoch=2)
        carrying.wait_until(
            lambda: carrying.published(database_url).position == 23, what="the new generation"
        )

    assert 6 == position
    assert 2 == carrying.current(database_url).generation


@pytest.mark.faults
def test_a_message_that_no_relay_wrote_is_dropped_and_counted(
    transport, transport_registry, database_url, reader, kafka
):
    with carrying.relaying(database_url, transport):
        carrying.append(database_url, 6)
        carrying.wait_published(database_url)
        with contextlib.closing(KafkaProducer(bootstrap_servers=kafka)) as producer:
            producer.send(
                f"{prefix(carrying.current(database_url))}.events.g1", value=b"hello", partition=0
            ).get(timeout=60)
        carrying.append(database_url, 6)
        carrying.wait_published(database_url)
    consumer = reader()
    truth = expected(database_url)
    consumer.read_until(sum(map(len, truth.values())))

    def dropped():  # its partition may have no event after it, so that it is the last message to come
        consumer.poll()
        return transport_registry.get_sample_value("counterfoil_transport_malformed_total")

    carrying.wait_until(dropped, what="the message to be counted")
    assert 1 == dropped()
    assert truth == applied(consumer)


def hinted(admin, url):
    """How many records the group's committed offsets say that are read; commits leave once a second, with the polls."""
    group = f"{prefix(carrying.current(url))}.readers.g1"
    return sum(each.offset for each in admin.list_group_offsets({group: None})[group].values())


@pytest.mark.usefixtures("patient")
def test_a_new_member_starts_from_the_hint_of_the_one_before(transport, database_url, reader, admin):
    with carrying.relaying(database_url, transport):
        carrying.append(database_url, 30)
        carrying.wait_published(database_url)
        first = reader()
        first.read_until(30)
        carrying.wait_until(lambda: first.poll() or hinted(admin, database_url) == 30, what="hints of all")
        first.close()
        second = reader()
        second.applied = {source: list(records) for source, records in first.applied.items()}
        carrying.append(database_url, 30)
        second.read_until(60)

    assert expected(database_url) == applied(second)
    assert 0 == second.counted("duplicates")


def test_a_hint_that_lies_behind_the_checkpoint_wanted_is_not_followed(transport, database_url, admin):
    with carrying.relaying(database_url, transport):
        carrying.append(database_url, 30, streams=1)
        carrying.wait_published(database_url)
    generation = carrying.current(database_url)
    brought: carrying.Brought = {}
    for _ in range(2):
        with contextlib.closing(transport.subscribe("readers", generation=generation)) as member:
            carrying.wait_assigned(member, count=PARTITIONS)
            member.start_at(BUSY, position=0)
            brought = carrying.bring(member, until=lambda brought: carrying.total(brought) == 30)
            member.commit(BUSY, position=30)
            carrying.wait_until(
                lambda: member.poll(0.1) and hinted(admin, database_url) == 30, what="the hint"
            )

    assert 30 == carrying.total(brought)


def test_what_was_fetched_before_a_partition_was_started_again_is_not_brought(transport, database_url):
    with carrying.relaying(database_url, transport):
        carrying.append(database_url, 30, streams=1)
        carrying.wait_published(database_url)
    with contextlib.closing(
        transport.subscribe("readers", generation=carrying.current(database_url))
    ) as member:
        carrying.wait_assigned(member, count=PARTITIONS)
        member.start_at(BUSY, position=0)
        time.sleep(1.0)  # fetched and waiting to be handed over
        member.start_at(BUSY, position=0)
        brought = []
        deadline = time.monotonic() + 60.0
        while len(brought) < 30 and time.monotonic() < deadline:
            brought += member.poll(0.1, max_records=4).records.get(BUSY, [])
        for _ in range(5):  # what would come twice
            brought += member.poll(0.1, max_records=4).records.get(BUSY, [])

    assert sorted(set(carrying.positions(brought))) == carrying.positions(brought)
    assert 30 == len(brought)


@pytest.mark.usefixtures("patient")
def test_a_member_that_is_busy_for_long_keeps_its_partitions_and_misses_nothing(
    transport, database_url, reader, monkeypatch
):
    monkeypatch.setattr(kafka_client, "SESSION_TIMEOUT_MS", 6_000)  # the shortest that a broker allows
    with carrying.relaying(database_url, transport):
        carrying.append(database_url, 2_000)
        carrying.wait_published(database_url)
    consumer = reader()
    consumer.read_until(100)
    time.sleep(7.0)
    truth = expected(database_url)
    consumer.read_until(sum(map(len, truth.values())))

    assert truth == applied(consumer)
    assert (0, 0) == tuple(consumer.counted(name) for name in ("gaps", "duplicates"))


@pytest.fixture(scope="module")
def own_kafka(settings, servers_directory):
    """A broker that may be killed; each test leaves it running."""
    with chosen.kafka_for(settings, directory=servers_directory / "own-kafka") as server:
        yield server
        if isinstance(server, KafkaServer):
            server.kill()  # an orderly stop takes seconds


@pytest.mark.faults
@pytest.mark.slow
def test_a_broker_that_freezes_and_is_killed_stops_nothing_for_good_and_costs_little_meanwhile(
    own_kafka, database_url, reader, client
):
    transport = KafkaTransport(own_kafka.url, registry=CollectorRegistry(), client=client)
    with carrying.relaying(database_url, transport) as health:
        carrying.append(database_url, 20)
        consumer = reader(transport)
        consumer.read_until(20)
        os.kill(own_kafka.pid, signal.SIGSTOP)  # its clients wait for answers, and then try again and again
        carrying.append(database_url, 200)
        carrying.wait_until(lambda: not health.ready, what="the outage to show in readiness")
        used = used_while_polling(consumer, seconds=4.0)
        own_kafka.kill()
        own_kafka.start()
        carrying.wait_until(lambda: health.ready, what="the relay to carry again")
        truth = expected(database_url)
        consumer.read_until(sum(map(len, truth.values())))

    assert truth == applied(consumer)
    assert used <= CORES_WITHOUT_A_BROKER_MAX


def test_a_member_whose_polls_are_shorter_than_a_join_gets_its_partitions_all_the_same(
    transport, database_url
):
    generation, _ = records_of(database_url)
    owned = []
    for number in range(5):
        with contextlib.closing(transport.subscribe(f"group-{number}", generation=generation)) as member:
            owned.append(len(carrying.wait_assigned(member, count=PARTITIONS, timeout_s=0.002)))

    assert [PARTITIONS] * 5 == owned
