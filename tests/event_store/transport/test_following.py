"""The follower between a transport that misbehaves and a log that does not; both in memory, time moved by the test."""

from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry

from event_store.transport import following
from event_store.transport.following import PUBLISHED_EVERY_S, STALE_AFTER_S, Follower, FollowerMetrics
from event_store.transport.generations import Published
from event_store.transport.partition_log import PartitionPage
from event_store.transport.transport import Batch, Fork, GenerationEnded, Record

SOURCE = 0
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PAGE_ROWS = 4


def record(position, *, prev, leaf=b"leaf"):
    return Record(0, prev, position, "k", "order-1", 1, "shop.happened.v1", b"{}", b"{}", NOW, leaf, 1)


def chain(first, last):
    """Records of a partition that has every position."""
    return [record(position, prev=position - 1) for position in range(first, last + 1)]


class Subscription:
    """Hands over what the test laid out, one poll at a time."""

    def __init__(self):
        self.batches = []
        self.started = []

    def lay_out(self, records, *, drained=True, assigned=(), revoked=()):
        held = {SOURCE: records} if records else {}
        batch = Batch(records=held, assigned=set(assigned), revoked=set(revoked), drained=drained)
        self.batches.append(batch)

    def poll(self, timeout_s, *, max_records=100):
        del timeout_s, max_records
        return self.batches.pop(0) if self.batches else Batch(records={}, assigned=set(), revoked=set())

    def start_at(self, source, *, position):
        self.started.append((source, position))
        return position

    def commit(self, source, *, position):
        raise NotImplementedError

    def close(self):
        raise NotImplementedError


class Log:
    """A log whose one partition has every position up to its head."""

    def __init__(self, head):
        self.head = head
        self.upto = 0
        self.newest = 1
        self.pages = 0
        self.broken = False

    def page(self, _source, *, after, upto):
        if self.broken:
            raise ConnectionError("the database is gone")
        self.pages += 1
        reached = min(upto, after + PAGE_ROWS)
        return PartitionPage(records=chain(after + 1, reached), reached=reached)

    def published(self):
        return Published(generation=1, newest=self.newest, position=self.upto, partitions={SOURCE: self.upto})

    def verify(self, carried):
        for position, leaf in carried.items():
            if position > self.head or leaf != b"leaf":
                raise Fork(position=position, carried=leaf, logged=None)


class Followed:
    def __init__(self):
        self.subscription, self.log, self.registry, self.now = (
            Subscription(),
            Log(head=100),
            CollectorRegistry(),
            0.0,
        )
        self.follower = Follower(
            self.subscription, log=self.log, metrics=FollowerMetrics(self.registry), clock=lambda: self.now
        )
        self.follower.start(SOURCE, position=0, leaf=None)

    def poll(self):
        return [each.position for each in self.follower.poll(0.0).records.get(SOURCE, [])]

    def counted(self, name):
        return self.registry.get_sample_value(f"counterfoil_transport_{name}_total") or 0


@pytest.fixture
def followed():
    return Followed()


def test_a_lost_record_is_read_from_the_log_before_what_follows_it(followed):
    first, second, _lost, fourth = chain(1, 4)
    followed.subscription.lay_out([first, second, fourth])

    assert [1, 2, 3, 4] == followed.poll()
    assert (1, 1) == (followed.counted("gaps"), followed.counted("repaired_records"))


def test_swapped_records_are_delivered_in_order_and_counted_once(followed):
    first, second, third = chain(1, 3)
    followed.subscription.lay_out([first, third, second])

    assert [1, 2, 3] == followed.poll()
    assert (1, 1) == (followed.counted("gaps"), followed.counted("duplicates"))


def test_repeats_are_dropped_and_counted(followed):
    followed.subscription.lay_out(chain(1, 3))
    followed.subscription.lay_out(chain(2, 4))

    assert ([1, 2, 3], [4]) == (followed.poll(), followed.poll())
    assert 2 == followed.counted("duplicates")


def test_a_long_gap_is_read_in_bounded_pages_while_what_follows_waits(followed):
    followed.subscription.lay_out([record(10, prev=9)])
    followed.subscription.lay_out([record(11, prev=10)])
    rounds = [followed.poll(), followed.poll(), followed.poll(), followed.poll()]

    assert [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11], []] == rounds


def test_the_transport_is_not_asked_for_more_than_may_wait(followed, monkeypatch):
    monkeypatch.setattr(following, "WAITING_RECORDS_MAX", 3)
    followed.subscription.lay_out([record(position, prev=position - 1) for position in range(30, 34)])
    followed.subscription.lay_out(chain(34, 36))
    followed.poll()
    followed.poll()

    assert 1 == len(followed.subscription.batches)


def test_what_was_delivered_counts_for_nothing_when_the_round_fails(followed):
    followed.log.broken = True
    first, _lost, third = chain(1, 3)
    followed.subscription.lay_out([first, third])
    with pytest.raises(ConnectionError):
        followed.poll()
    followed.log.broken = False
    followed.subscription.lay_out([record(4, prev=3)])

    assert [1, 2, 3, 4] == followed.poll()


def test_newest_records_that_never_come_are_read_from_the_log(followed):
    followed.log.upto = 3
    before = [followed.poll()]
    followed.now += STALE_AFTER_S
    before.append(followed.poll())

    assert [[], []] == before
    assert [1, 2, 3] == followed.poll()
    assert 1 == followed.counted("stale")


def test_a_partition_that_keeps_moving_is_not_taken_for_silent(followed):
    followed.log.upto = 50
    for position in range(1, 9):
        followed.subscription.lay_out(chain(position, position))
        followed.now += STALE_AFTER_S - 0.1
        followed.poll()

    assert (0, 0) == (followed.counted("stale"), followed.log.pages)


def test_a_transport_that_has_more_to_bring_is_not_taken_for_silent(followed):
    followed.log.upto = 3
    for _ in range(10):
        followed.subscription.lay_out([], drained=False)
        followed.now += STALE_AFTER_S
        followed.poll()

    assert (0, 0) == (followed.counted("stale"), followed.log.pages)


def test_a_long_wait_between_polls_is_not_taken_for_silence(followed):
    followed.log.upto = 1
    followed.subscription.lay_out(chain(1, 1))
    followed.poll()
    followed.now += STALE_AFTER_S * 10
    followed.log.upto = 2
    followed.poll()
    followed.poll()

    assert 0 == followed.counted("stale")


def test_a_record_that_the_log_does_not_hold_is_a_fork_and_nothing_is_delivered(followed):
    followed.subscription.lay_out([*chain(1, 2), record(3, prev=2, leaf=b"other")])

    with pytest.raises(Fork, match="position 3"):
        followed.poll()
    assert {SOURCE: 0} == followed.follower.positions


def test_a_checkpoint_that_the_log_does_not_hold_is_a_fork(followed):
    with pytest.raises(Fork, match="position 101"):
        followed.follower.start(SOURCE, position=101, leaf=b"leaf")


def test_a_newer_generation_ends_this_one(followed):
    followed.log.newest = 2
    followed.now += PUBLISHED_EVERY_S

    with pytest.raises(GenerationEnded):
        followed.poll()


def test_a_partition_started_again_goes_on_from_its_checkpoint(followed):
    followed.subscription.lay_out(chain(1, 5))
    followed.poll()
    followed.follower.start(SOURCE, position=2, leaf=b"leaf")
    followed.subscription.lay_out(chain(1, 6))

    assert [3, 4, 5, 6] == followed.poll()
    assert (SOURCE, 2) == followed.subscription.started[-1]


def test_records_of_a_revoked_partition_are_not_delivered(followed):
    followed.subscription.lay_out(chain(1, 2), revoked=[SOURCE])

    assert [] == followed.poll()
    assert {} == followed.follower.positions
