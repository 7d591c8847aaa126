"""Members of one subscription: each gets everything, whenever it polls, and none needs another one."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_store.transport import shared_transport
from event_store.transport.shared_transport import SharedTransport
from event_store.transport.transport import Batch, Generation, Record, TransportUnavailable

GENERATION = Generation(installation="shop", generation=1, partitions=2, start_position=1, carrier="kafka")
SOURCES = (0, 1)
MOMENT = datetime(2026, 11, 29, tzinfo=UTC)
PER_POLL = 3
PATIENCE_S = 60.0


def record(source, position):
    """Positions of a partition are those that leave its number when divided by how many there are."""
    prev = max(0, position - len(SOURCES))
    return Record(
        source, prev, position, "k", "order-1", 1, "shop.counted.v1", b"{}", b"{}", MOMENT, b"leaf", 1
    )


def positions_of(source, *, after, upto):
    return [each for each in range(after + 1, upto + 1) if each % len(SOURCES) == source]


class Subscription:
    """Delivers started partitions of a topic in pieces; what is asked of it by two threads at once is refused."""

    def __init__(self, topic):
        self.topic = topic
        self.stands, self.committed = {}, {}
        self.assigning, self.revoking = set(SOURCES), set()
        self.polls, self.closed, self.failing = 0, 0, False
        self.entered = threading.Event()
        self.held = None
        self._busy = threading.Lock()

    def poll(self, timeout_s, *, max_records):
        del timeout_s
        assert self._busy.acquire(blocking=False), "polled by two at once"
        try:
            self.polls += 1
            self.entered.set()
            if self.held is not None:
                assert self.held.wait(PATIENCE_S)
            if self.failing:
                raise TransportUnavailable("the broker is gone")
            return self._batch(max_records)
        finally:
            self._busy.release()

    def start_at(self, source, *, position):
        assert not self._busy.locked(), "started while it is polled"
        self.stands[source] = position
        return position

    def commit(self, source, *, position):
        assert not self._busy.locked(), "committed while it is polled"
        self.committed[source] = position

    def close(self):
        self.closed += 1

    def _batch(self, max_records):
        assigned, self.assigning = self.assigning, set()
        revoked, self.revoking = self.revoking, set()
        for source in assigned | revoked:
            self.stands.pop(source, None)
        records, asked = {}, max_records
        for source in () if assigned or revoked else sorted(self.stands):
            some = positions_of(source, after=self.stands[source], upto=self.topic.head)[:max_records]
            if some:
                records[source] = [record(source, each) for each in some]
                self.stands[source], max_records = some[-1], max_records - len(some)
        count = sum(map(len, records.values()))
        return Batch(records=records, assigned=assigned, revoked=revoked, drained=count < asked)


class Topic:
    """A transport that counts what is opened."""

    carrier = "kafka"

    def __init__(self, head=0):
        self.head = head
        self.opened = []

    def publisher(self, generation):
        raise NotImplementedError

    def subscribe(self, group, *, generation):
        del group, generation
        self.opened.append(Subscription(self))
        return self.opened[-1]


class Consumer:
    """What a worker does with its member: it has all up to a checkpoint, by partition, and reads gaps from the log."""

    def __init__(self, shared, topic):
        self.shared, self.topic = shared, topic
        self.applied = {source: [] for source in SOURCES}
        self.gaps = 0
        self.open()

    def open(self):
        self.member = self.shared.subscribe("readers", generation=GENERATION)
        self.owned, self.stands = set(), {}

    def begin_anew(self):
        self.member.close()
        self.open()

    def poll(self, max_records=PER_POLL):
        batch = self.member.poll(0.0, max_records=max_records)
        if batch.assigned or batch.revoked:
            self.owned = (self.owned - batch.revoked) | batch.assigned
            self.stands = {}
            for source in self.owned:
                self.stands[source] = self.member.start_at(source, position=self.checkpoint(source))
                self.read_log(source, upto=self.stands[source])
            return batch
        for source, records in batch.records.items():
            for each in records if source in self.stands else ():
                if each.prev > self.stands[source]:
                    self.gaps += 1
                    self.read_log(source, upto=each.prev)
                if each.position > self.stands[source]:
                    self.applied[source].append(each.position)
                    self.stands[source] = each.position
        return batch

    def checkpoint(self, source):
        return max(self.applied[source], default=0)

    def read_log(self, source, *, upto):
        self.applied[source] += positions_of(source, after=self.checkpoint(source), upto=upto)

    @property
    def has_all(self):
        return all(
            self.applied[source] == positions_of(source, after=0, upto=self.topic.head) for source in SOURCES
        )


@pytest.fixture
def topic():
    return Topic()


@pytest.fixture
def consumers(topic):
    """Two of one process, both with all partitions."""
    shared = SharedTransport(topic)
    both = [Consumer(shared, topic) for _ in range(2)]
    for _ in range(2):
        for each in both:
            each.poll()
    return both


def test_what_one_member_brought_is_taken_by_the_others_without_another_poll(topic, consumers):
    first, second = consumers
    topic.head = 2
    first.poll()
    (opened,) = topic.opened
    before = opened.polls
    second.poll()

    assert first.has_all
    assert second.has_all
    assert opened.polls == before


def test_a_member_polls_although_no_other_does(topic, consumers):
    _, second = consumers
    topic.head = 20
    while not second.has_all:
        second.poll()

    assert second.gaps == 0


def test_a_member_that_comes_later_begins_where_the_others_are(topic, consumers):
    topic.head = 10
    while not consumers[0].has_all:
        consumers[0].poll()
    later = Consumer(consumers[0].shared, topic)
    later.poll()
    (opened,) = topic.opened

    assert {0: 10, 1: 9} == later.stands == opened.stands
    topic.head = 12
    consumers[0].poll()
    later.poll()
    assert later.has_all
    assert later.gaps == 0


def test_what_waited_for_a_member_before_it_started_is_not_missed(topic):
    shared = SharedTransport(topic)
    topic.head = 4
    first, second = Consumer(shared, topic), Consumer(shared, topic)
    first.poll()
    first.poll()  # its records wait for the second, which has not even heard of its partitions
    second.poll()

    assert second.applied == first.applied
    topic.head = 6
    for each in (first, second):
        each.poll()
    assert second.has_all


def test_what_a_member_reads_from_the_log_is_not_taken_again(topic, consumers):
    first, second = consumers
    topic.head = 2
    first.poll()

    assert second.member.start_at(0, position=0) == 2
    assert {1} == second.member.poll(0.0).records.keys()


def test_no_more_is_taken_than_asked_for_and_the_rest_is_taken_next(topic, consumers):
    first, second = consumers
    topic.head = 5
    assert first.poll(max_records=6).drained
    taken = [second.poll(max_records=2) for _ in range(3)]

    assert [(2, False), (2, False), (1, True)] == [(each.count, each.drained) for each in taken]
    assert second.has_all


def test_nothing_of_a_partition_that_went_is_taken(topic, consumers):
    first, second = consumers
    topic.head = 2
    first.poll()
    topic.opened[0].revoking = {1}
    first.poll()
    batch = second.poll()

    assert {1} == batch.revoked
    assert {0} == batch.records.keys()
    assert {0} == second.stands.keys()


def test_a_partition_that_came_and_went_before_a_member_polled_is_not_its_own(topic):
    shared = SharedTransport(topic)
    first, second = Consumer(shared, topic), Consumer(shared, topic)
    first.poll()
    topic.opened[0].revoking = {1}
    first.poll()
    batch = second.poll()

    assert ({0}, {1}) == (batch.assigned, batch.revoked)


def test_a_member_that_does_not_come_costs_no_memory(topic, consumers, monkeypatch):
    monkeypatch.setattr(shared_transport, "WAITING_RECORDS_MAX", 8)
    first, second = consumers
    topic.head = 40
    while not first.has_all:
        first.poll()
        assert second.member._waiting.count <= 8
    topic.head = 44
    for each in (first, second, first, second):
        each.poll(max_records=100)

    assert second.has_all
    assert second.gaps > 0


def test_a_failure_ends_all_members_and_is_closed_once(topic, consumers):
    first, second = consumers
    topic.opened[0].failing = True
    with pytest.raises(TransportUnavailable, match="broker is gone"):
        first.poll()
    with pytest.raises(TransportUnavailable, match="broker is gone"):
        second.poll()
    first.begin_anew()
    second.begin_anew()

    assert len(topic.opened) == 2
    assert [1, 0] == [each.closed for each in topic.opened]
    topic.head = 6
    for each in (first, second) * 3:
        each.poll()
    assert first.has_all
    assert second.has_all


def test_the_last_member_to_leave_closes_and_the_next_subscribes_anew(topic, consumers):
    first, second = consumers
    first.member.close()
    assert topic.opened[0].closed == 0
    second.member.close()
    first.open()

    assert [1, 0] == [each.closed for each in topic.opened]


def test_other_groups_and_generations_are_subscribed_to_by_themselves(topic):
    shared = SharedTransport(topic)
    later = Generation(installation="shop", generation=2, partitions=2, start_position=9, carrier="kafka")
    for group, generation in (("readers", GENERATION), ("others", GENERATION), ("readers", later)):
        shared.subscribe(group, generation=generation)
    shared.subscribe("others", generation=GENERATION)

    assert len(topic.opened) == 3


def test_the_broker_is_given_the_lowest_position_of_all_members(topic, consumers):
    first, second = (each.member for each in consumers)
    first.commit(0, position=8)
    consumers[0].poll()
    assert topic.opened[0].committed == {}
    second.commit(0, position=6)
    first.commit(0, position=9)
    consumers[0].poll()

    assert topic.opened[0].committed == {0: 6}


def test_members_of_several_threads_wait_for_what_one_of_them_brings(topic):
    shared = SharedTransport(topic)
    first, second = (shared.subscribe("readers", generation=GENERATION) for _ in range(2))
    assert set(SOURCES) == first.poll(0.0).assigned
    (opened,) = topic.opened
    opened.held = threading.Event()
    opened.entered.clear()
    with ThreadPoolExecutor(2) as threads:
        polling = threads.submit(first.poll, PATIENCE_S)
        try:
            assert opened.entered.wait(PATIENCE_S)
            assert set(SOURCES) == second.poll(0.01).assigned
            assert second.start_at(0, position=2) == 2  # what is polled at this moment is not touched
            assert second.poll(0.01).count == 0
            waiting = threads.submit(second.poll, PATIENCE_S)
            topic.head = 6
        finally:
            opened.held.set()
        assert polling.result(PATIENCE_S).count == 0
        first.poll(PATIENCE_S)

        assert [4, 6] == [each.position for each in waiting.result(PATIENCE_S).records[0]]


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("poll"), st.integers(0, 2), st.integers(1, 5)),
        st.tuples(st.just("append"), st.integers(1, 9)),
        st.tuples(st.just("begin anew"), st.integers(0, 2)),
        st.tuples(st.just("lose"), st.sampled_from(SOURCES)),
        st.tuples(st.just("win"), st.sampled_from(SOURCES)),
        st.tuples(st.just("fail")),
    ),
    max_size=60,
)


@given(OPERATIONS)
def test_every_member_has_everything_once_and_in_order_whatever_happens(operations):
    topic = Topic(head=4)
    shared = SharedTransport(topic)
    consumers = [Consumer(shared, topic) for _ in range(3)]
    for operation in operations:
        match operation:
            case ("poll", number, count):
                _poll(consumers[number], count)
            case ("append", count):
                topic.head += count
            case ("begin anew", number):
                consumers[number].begin_anew()
            case ("lose", source):
                topic.opened[-1].revoking.add(source)
            case ("win", source):
                topic.opened[-1].assigning.add(source)
            case ("fail",):
                topic.opened[-1].failing = True
    topic.opened[-1].assigning = set(SOURCES)
    for _ in range(20 + topic.head):
        for each in consumers:
            _poll(each, PER_POLL)

    assert all(each.has_all for each in consumers)
    assert [0, 0, 0] == [each.gaps for each in consumers]


def _poll(consumer, count):
    try:
        consumer.poll(count)
    except TransportUnavailable:
        consumer.begin_anew()
