"""Rows of parked keys and of requests about them, for every consumer."""

import pytest

from event_store.consumers import parking
from event_store.consumers.parking import Active, Failure, NotParked, Scope, Waiting
from runtime import database

COUNTS = Scope("counts")
LEASE = Active("consumer:counts", "me")


@pytest.fixture(params=["counterfoil_writer", "counterfoil_projector"])
def conn(request, database_url):
    with database.connect(database_url, role=request.param, name="test") as conn:
        yield conn


def failure(key="order-1", position=7, **changes):
    return Failure(key, position, stream=key, version=3, type="t.v1", reason="no such row", **changes)


def stands(conn, scope=COUNTS, key="order-1"):
    found = parking.of_scope(conn, scope)[key]
    return found.position, found.tries, found.queued, found.last_position


def test_a_failure_at_the_same_event_adds_up_its_tries_and_one_at_another_event_begins_anew(conn):
    parking.park(conn, COUNTS, failure(tries=3, queued=2, last_position=9))
    first = stands(conn)
    parking.park(conn, COUNTS, failure(tries=3))
    again = stands(conn)
    parking.park(conn, COUNTS, failure(position=8, tries=3))

    assert [(7, 3, 2, 9), (7, 6, 0, 9), (8, 3, 0, 9)] == [first, again, stands(conn)]


def test_events_that_wait_are_counted_once_for_each_key_and_only_where_it_is_parked(conn):
    parking.park(conn, COUNTS, failure())
    parking.park(conn, COUNTS, failure("order-2"))
    for _ in range(2):
        parking.queue(conn, COUNTS, {"order-1": Waiting(2, 9), "order-3": Waiting(1, 9)})
    parking.queue(conn, COUNTS, {"order-1": Waiting(1, 12), "order-2": Waiting(4, 11)})
    parking.queue(conn, Scope("others"), {"order-1": Waiting(1, 99)})

    assert [(7, 1, 3, 12), (7, 1, 4, 11)] == [stands(conn), stands(conn, key="order-2")]
    assert {"order-1", "order-2"} == set(parking.of_scope(conn, COUNTS))


def test_who_lost_the_lease_parks_and_counts_nothing(conn):
    conn.execute("insert into runtime.lease (name, owner) values (%s, 'another')", [LEASE.lease])
    parking.park(conn, COUNTS, failure(), active=LEASE)
    assert {} == parking.of_scope(conn, COUNTS)

    parking.park(conn, COUNTS, failure(), active=Active(LEASE.lease, "another"))
    parking.queue(conn, COUNTS, {"order-1": Waiting(1, 9)}, active=LEASE)

    assert (7, 1, 0, 7) == stands(conn)


def test_the_builds_of_a_view_park_apart_and_are_forgotten_apart(conn):
    builds = [Scope("view", 1, 1), Scope("view", 1, 2), Scope("view", 2, 1)]
    for build in builds:
        parking.park(conn, build, failure())
    parking.park(conn, builds[0], failure("order-2"))

    assert builds == [key.scope for key in parking.shown(conn, "view", "order-1")]
    assert {builds[0]: 2, builds[1]: 1, builds[2]: 1} == parking.counts(conn)
    parking.forget(conn, builds[0])
    parking.unpark(conn, builds[1], "order-1")
    assert builds[2:] == [key.scope for key in parking.listed(conn)]
    parking.unpark(conn, builds[2], "order-1")
    with pytest.raises(NotParked, match="view has nothing parked for 'order-1'"):
        parking.shown(conn, "view", "order-1")


def test_requests_are_read_by_those_they_concern_until_one_says_what_came_of_them(conn):
    parking.park(conn, COUNTS, failure())
    parking.park(conn, Scope("view", 2, 1), failure())
    (counts,) = parking.shown(conn, "counts", "order-1")
    (view,) = parking.shown(conn, "view", "order-1")
    asked = [
        parking.ask(conn, "retry", counts, actor="op"),
        parking.ask(conn, "skip", view, actor="op", note="twice"),
        parking.ask(conn, "retry", counts, actor="op"),
    ]

    both = parking.pending(conn, {"counts", "view"})
    assert asked == [request.request for request in both]
    assert ("skip", "view", 2, "order-1", 7, "op", "twice") == (
        *(both[1].kind, both[1].consumer, both[1].shape, both[1].partition_key),
        *(both[1].position, both[1].actor, both[1].note),
    )
    assert asked[:1] == [request.request for request in parking.pending(conn, ["counts"], limit=1)]
    assert parking.outcome_of(conn, asked[0]) is None
    parking.close(conn, asked[0], outcome="done")
    assert "done" == parking.outcome_of(conn, asked[0])
    assert asked[2:] == [request.request for request in parking.pending(conn, ["counts"])]


def test_what_postgres_cannot_keep_of_a_text_is_left_out(conn):
    long = "x" * parking.TEXT_CHARACTERS_MAX
    parking.park(conn, COUNTS, Failure("order-1", 7, "order-1", 1, "t", reason=f"\x00{long}and more"))
    (key,) = parking.shown(conn, "counts", "order-1")
    request = parking.ask(conn, "retry", key, actor="op", note=f"\x00{long}and more")
    (asked,) = parking.pending(conn, ["counts"])
    parking.close(conn, request, outcome=f"\x00{long}and more")

    assert [long] * 3 == [key.reason, asked.note, parking.outcome_of(conn, request)]


@pytest.mark.parametrize(
    ("queued", "named"),
    [
        ({"order-1": parking.WAITING_PER_KEY_MAX}, None),
        ({"order-1": parking.WAITING_PER_KEY_MAX + 1}, "behind parked key order-1"),
        (dict.fromkeys(map(str, range(10)), parking.WAITING_PER_KEY_MAX), None),
        (dict.fromkeys(map(str, range(11)), parking.WAITING_PER_KEY_MAX), "behind parked keys"),
    ],
)
def test_limits_of_waiting_events_are_named_when_they_are_passed(queued, named):
    found = parking.overflow(queued)

    assert found is None if named is None else named in str(found)
