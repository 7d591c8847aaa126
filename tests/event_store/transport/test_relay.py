"""The relay over a real database, with a publisher that the test makes fail; `carry` as a pure function."""

import contextlib
import itertools
import time
from datetime import UTC, datetime

import psycopg
import pytest
from prometheus_client import CollectorRegistry

from event_store.consumers.backoff import FIRST_S, JITTER
from event_store.log.envelope import RecordedEvent
from event_store.transport import generations
from event_store.transport.generations import Epochs, Frame
from event_store.transport.local_transport import LocalTransport
from event_store.transport.partitioning import PARTITIONS, partition_of
from event_store.transport.relay import (
    BrokenLog,
    NotActive,
    PostgresRelayRows,
    Relay,
    RelayMetrics,
    RelayState,
    carry,
)
from event_store.transport.transport import (
    Fork,
    Generation,
    Partition,
    PublishFailed,
    RefusedByWitness,
    TransportUnavailable,
)
from runtime import database
from tests.event_store.transport import carrying

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GENERATION = Generation(
    installation="test",
    generation=1,
    partitions=3,
    start_position=1,
    carrier="kafka",
)
REFUSAL = "w1 has cosigned 9 events of this log, which has 4 now"
EPOCHS = Epochs(first_positions=(1, 3), epochs=(1, 2))


class Broker:
    """Holds what was acknowledged; fails when the test says so."""

    def __init__(self):
        self.records = []
        self.opened = 0
        self.closed = 0
        self.fail_after = None
        self.down = False

    def open(self, _generation):
        if self.down:
            raise TransportUnavailable("no broker")
        self.opened += 1
        return self

    def publish(self, records):
        if self.fail_after is not None:
            kept, self.fail_after = self.fail_after, None
            self.records += records[:kept]
            raise PublishFailed("a future failed")
        self.records += records

    def last_records(self):
        return {record.partition: record for record in self.records}

    def close(self):
        self.closed += 1

    @property
    def events(self):
        return [record.position for record in self.records]


@pytest.fixture
def broker():
    return Broker()


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def conn(database_url):
    with database.connect(database_url, role="counterfoil_relay", name="test") as conn:
        generations.settle(conn, carrier="kafka", partitions=PARTITIONS)
        yield conn


@pytest.fixture
def new_relay(conn, broker, registry):
    metrics = RelayMetrics(registry)

    def make(owner="me"):
        return Relay(
            PostgresRelayRows(conn, owner=owner),
            open_publisher=broker.open,
            metrics=metrics,
            rows_per_round=10,
        )

    return make


def event(position, *, stream="order-1", kind="a.v1"):
    return RecordedEvent(position, stream, position, kind, b"{}", b"{}", NOW, b"leaf")


def state(position=0):
    return RelayState(GENERATION, position, dict.fromkeys(range(GENERATION.partitions), 0))


def test_carried_records_are_linked_per_partition_and_the_state_holds_the_last_of_each():
    rows = [event(1), event(2, stream="order-2"), event(3), event(4, stream="order-2")]
    carried = carry(state(), rows=rows, frame=Frame(epochs=EPOCHS))
    one, two = (partition_of(name, 3) for name in ("order-1", "order-2"))

    assert [(0, 1), (0, 2), (1, 3), (2, 4)] == [(record.prev, record.position) for record in carried.records]
    assert [1, 1, 2, 2] == [record.epoch for record in carried.records]
    assert (4, 3, 4) == (carried.state.position, carried.state.partitions[one], carried.state.partitions[two])
    assert one != two


def test_every_event_is_one_record_whatever_its_type():
    rows = [event(1, kind="b.v1"), event(2), event(3, kind="b.v1")]
    carried = carry(state(), rows=rows, frame=Frame(epochs=EPOCHS))

    assert [1, 2, 3] == [record.position for record in carried.records]


def test_nothing_behind_the_end_of_a_generation_is_carried():
    carried = carry(state(), rows=[event(1), event(2), event(3)], frame=Frame(epochs=EPOCHS, end=3))

    assert [1, 2] == [record.position for record in carried.records]
    assert 2 == carried.state.position


def test_nothing_behind_a_hole_in_the_log_is_carried():
    with pytest.raises(BrokenLog, match="position 2"):
        carry(state(), rows=[event(1), event(3)], frame=Frame(epochs=EPOCHS))


def test_rounds_carry_the_log_in_bounded_pages_and_remember(new_relay, broker, database_url):
    carrying.append(database_url, 25)
    carrier = new_relay()

    assert [10, 10, 5, 0] == [carrier.round() for _ in range(4)]
    assert list(range(1, 26)) == broker.events
    assert 25 == carrying.published(database_url).position


def test_a_new_relay_goes_on_from_the_rows_with_the_same_links(new_relay, broker, database_url):
    carrying.append(database_url, 15)
    new_relay().round()
    new_relay("successor").round()

    last: dict[Partition, int] = {}
    for record in broker.records:
        assert last.get(record.partition, 0) == record.prev
        last[record.partition] = record.position
    assert list(range(1, 16)) == broker.events


def test_after_a_failed_future_the_producer_is_thrown_away_and_records_repeat(
    new_relay, broker, database_url
):
    carrying.append(database_url, 8)
    carrier = new_relay()
    broker.fail_after = 3
    with pytest.raises(PublishFailed):
        carrier.round()
    after_failure = (carrying.published(database_url).position, broker.closed)
    carrier.round()

    assert (0, 1) == after_failure
    assert 2 == broker.opened
    assert set(range(1, 9)) == set(broker.events)
    assert 8 == carrying.published(database_url).position


def test_a_relay_whose_rows_were_taken_over_remembers_nothing(new_relay, broker, database_url):
    carrying.append(database_url, 12)
    first, second = new_relay("first"), new_relay("second")
    first.round()
    second.round()
    carrying.append(database_url, 3)
    with pytest.raises(NotActive):
        first.round()

    assert 12 == carrying.published(database_url).position
    assert 3 == second.round()


def test_two_relays_at_once_publish_only_true_rows(new_relay, broker, database_url):
    relays = [new_relay("first"), new_relay("second")]
    for number in range(30):
        carrying.append(database_url, 2)
        try:
            relays[number % 2].round()
        except NotActive:
            relays[number % 2].round()
    truth: dict[int, tuple[int, bytes]] = {}
    last: dict[Partition, int] = {}
    for each in carrying.logged(database_url):
        source = partition_of(each.key, PARTITIONS)
        truth[each.position] = (last.get(source, 0), each.leaf)
        last[source] = each.position

    assert set(range(1, 61)) == set(broker.events)
    assert all(truth[record.position] == (record.prev, record.leaf) for record in broker.records)


def test_a_relay_refuses_a_broker_that_holds_another_history(new_relay, broker, database_url):
    carrying.append(database_url, 5)
    new_relay().round()
    before = list(broker.records)
    with carrying.owner(database_url) as conn:
        conn.execute("delete from log.tag")
        conn.execute("delete from log.event where position > 3")
        conn.execute("update log.head set position = 3")
        conn.execute("update transport.relay set position = 3")
    carrying.append(database_url, 9)

    with pytest.raises(Fork):
        new_relay("restarted").round()
    assert before == broker.records


def test_a_generation_that_ended_is_left_for_the_next_one(new_relay, broker, conn, database_url):
    carrier = new_relay()
    carrying.append(database_url, 4)
    carrier.round()
    generations.settle(conn, carrier="local", partitions=PARTITIONS)
    carrying.append(database_url, 3)
    rounds = [carrier.round() for _ in range(3)]

    assert [0, 3, 0] == rounds
    assert 2 == broker.opened
    assert {4} == {record.prev for record in broker.records if record.position > 4}


def test_rows_of_an_ended_generation_are_not_moved(conn, database_url):
    carrying.append(database_url, 4)
    ledger = PostgresRelayRows(conn, owner="me")
    before = ledger.load()
    carried = carry(before, rows=ledger.rows_after(0, limit=10), frame=ledger.frame(before.generation))
    generations.settle(conn, carrier="local", partitions=PARTITIONS)

    with pytest.raises(NotActive):
        ledger.save(carried.state)


def test_a_tail_that_the_broker_lost_is_counted(new_relay, broker, registry, database_url):
    carrying.append(database_url, 9)
    new_relay().round()
    broker.records.clear()
    new_relay("restarted").round()

    assert (registry.get_sample_value("counterfoil_relay_lost_tails_total") or 0) > 0


def test_without_a_broker_nothing_is_lost_that_could_be_counted(conn, registry, database_url):
    def relay(owner):
        rows, local = PostgresRelayRows(conn, owner=owner), LocalTransport(database_url)
        return Relay(rows, open_publisher=local.publisher, metrics=metrics)

    metrics = RelayMetrics(registry)
    carrying.append(database_url, 9)
    assert 9 == relay("me").round()
    relay("restarted").round()

    assert 2 == registry.get_sample_value("counterfoil_relay_rebuilds_total")
    assert 0 == registry.get_sample_value("counterfoil_relay_lost_tails_total")


def refuse(url):
    """As a sealer notes what a witness said."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            "insert into seal.tree (origin, size, root, checkpoint) values ('o', 4, sha256(''), 'a note')"
        )
        admin.execute("insert into seal.witness (origin, key, refusal) values ('o', 'w1', %s)", [REFUSAL])


def test_nothing_more_is_carried_of_a_log_that_a_witness_refuses(new_relay, broker, database_url):
    carrier = new_relay()
    carrying.append(database_url, 4)
    carrier.round()
    refuse(database_url)
    carrying.append(database_url, 3)

    for _ in range(2):
        with pytest.raises(RefusedByWitness, match=f"nothing is carried: {REFUSAL}"):
            carrier.round()
    assert [1, 2, 3, 4] == sorted(broker.events)


def test_a_relay_that_has_nothing_to_carry_stops_after_a_refusal_too(database_url):
    with carrying.relaying(database_url, LocalTransport(database_url)) as health:
        carrying.append(database_url, 5)
        carrying.wait_published(database_url)
        refuse(database_url)
        carrying.wait_until(
            lambda: health.detail == f"nothing is carried: {REFUSAL}", what="the relay to stop"
        )
        shown = (health.ready, health.condition)

    assert (False, "fork") == shown


def test_a_local_subscription_brings_nothing_more_of_a_log_that_a_witness_refuses(database_url):
    generation = carrying.current(database_url)
    subscription = LocalTransport(database_url).subscribe("group", generation=generation)
    with contextlib.closing(subscription):
        for source in carrying.wait_assigned(subscription, count=generation.partitions):
            subscription.start_at(source, position=0)
        refuse(database_url)
        carrying.append(database_url, 3)
        with pytest.raises(RefusedByWitness):
            subscription.poll(60.0)


class Unreachable(LocalTransport):
    """A transport whose broker is away until the test says otherwise."""

    away = True

    def publisher(self, generation):
        if self.away:
            raise TransportUnavailable("no broker")
        return super().publisher(generation)


def test_a_broker_that_is_away_shows_in_readiness_and_is_waited_for(database_url):
    transport = Unreachable(database_url)
    with carrying.relaying(database_url, transport, settled=False) as health:
        carrying.wait_until(lambda: health.detail == "no broker", what="the outage to show")
        shown = (health.ready, health.condition)
        transport.away = False
        carrying.wait_until(lambda: health.condition == "active", what="an active relay")

    assert (False, "retrying") == shown


class Refusing(LocalTransport):
    """A transport that takes no records, and remembers when it was given some."""

    def __init__(self, url):
        super().__init__(url)
        self.refused_at = []

    def publisher(self, _generation):
        return self

    def last_records(self):
        return {}

    def publish(self, _records):
        self.refused_at.append(time.monotonic())
        raise PublishFailed("a future failed")

    def close(self):
        """Nothing is open."""


def test_behind_a_send_that_failed_a_relay_waits_longer_each_time(database_url):
    transport = Refusing(database_url)
    carrying.append(database_url, 3)
    with carrying.relaying(database_url, transport, settled=False):
        carrying.wait_until(lambda: len(transport.refused_at) >= 4, what="four sends")
    pauses = [after - before for before, after in itertools.pairwise(transport.refused_at[:4])]

    assert all(pause > (1 - JITTER) * FIRST_S * 2**number for number, pause in enumerate(pauses)), (
        f"it sent again after {pauses} s"
    )


def test_a_second_relay_stands_by_and_takes_over_when_the_first_leaves(database_url):
    transport = LocalTransport(database_url)
    with carrying.relaying(database_url, transport, settled=False) as second:
        carrying.wait_until(lambda: second.condition == "active", what="an active relay")
        with carrying.relaying(database_url, transport, settled=False) as standby:
            carrying.wait_until(lambda: standby.condition == "standby", what="a standby")
            assert standby.ready
    carrying.append(database_url, 5)
    with carrying.relaying(database_url, transport):
        carrying.wait_published(database_url)

    assert "stopped" == second.condition


class OtherCarrier(LocalTransport):
    """What a generation carried by Kafka would be to relays."""

    carrier = "kafka"


@pytest.mark.parametrize(
    ("other", "wanted"), [(LocalTransport, {"partitions": 5}), (OtherCarrier, {"partitions": PARTITIONS})]
)
def test_a_standby_with_other_settings_begins_no_generation_before_it_is_active(database_url, other, wanted):
    with contextlib.ExitStack() as stack:
        with carrying.relaying(database_url, LocalTransport(database_url)):
            carrying.append(database_url, 4)
            standby = stack.enter_context(
                carrying.relaying(database_url, other(database_url), settled=False, **wanted)
            )
            carrying.wait_until(lambda: standby.condition == "standby", what="a standby")
            carrying.append(database_url, 3)
            carrying.wait_published(database_url)
            overlapping_the_active_one = carrying.current(database_url)
        carrying.wait_until(lambda: standby.condition == "active", what="the standby takes over")
        carrying.append(database_url, 2)
        carrying.wait_published(database_url)
        afterwards = carrying.current(database_url)

    assert (1, "local", PARTITIONS) == (
        overlapping_the_active_one.generation,
        overlapping_the_active_one.carrier,
        overlapping_the_active_one.partitions,
    )
    assert (2, other.carrier, wanted["partitions"], 8) == (
        afterwards.generation,
        afterwards.carrier,
        afterwards.partitions,
        afterwards.start_position,
    )


def test_a_relay_that_lost_its_lease_without_knowing_settles_nothing(conn):
    conn.execute("insert into runtime.lease (name, owner) values ('relay', 'successor')")
    with pytest.raises(NotActive):
        PostgresRelayRows(conn, owner="sleeper").settle(carrier="local", partitions=5)
    before = generations.current_generation(conn)
    PostgresRelayRows(conn, owner="successor").settle(carrier="local", partitions=5)
    after = generations.current_generation(conn)

    assert (1, 2) == (before.generation, after.generation)


def test_a_relay_survives_its_database_connection(database_url, registry):
    def failed():
        counted = (each for metric in registry.collect() for each in metric.samples)
        return any(each.value for each in counted if each.name == "counterfoil_consumer_failures_total")

    with carrying.relaying(database_url, LocalTransport(database_url), registry=registry):
        with psycopg.connect(database_url, autocommit=True) as admin:
            admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'counterfoil relay' and datname = current_database()"
            )
        carrying.wait_until(failed, what="the outage to be counted")
        carrying.append(database_url, 5)
        carrying.wait_published(database_url)

    assert 5 == carrying.published(database_url).position
