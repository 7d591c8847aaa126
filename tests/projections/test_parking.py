"""An event that cannot be folded parks its key and nothing else, until an operator lets it go on."""

from typing import Any

import pytest

from domain.event import Event, event_type, upcasts
from domain.operations.events import EventSkipped
from domain.operations.skips import SKIPS
from event_store.consumers import parking
from event_store.consumers.parking import NotParked
from event_store.log.codec import UnknownEventVersion
from event_store.log.envelope import NewEvent
from event_store.transport.partitioning import PARTITIONS, partition_of
from projections import rebuild, verifying
from projections.errors import FoldFailed
from projections.retry_requests import REQUESTS_PER_CHECK
from projections.view import Row, View
from runtime import database
from tests.appends import append_request
from tests.examples import NOW
from tests.parked import request_retry, request_skip
from tests.projections.counting import POISON, Faults, counting_views, counts
from tests.projections.feeding import append, append_requests, feeding, settle, stored

UNSTORABLE = 2**62
"""Two of these are more than a bigint holds: the fold takes them, the database does not."""


@event_type("counting.weighed.v1")
class WeighedInKilograms(Event, frozen=True):
    counter: str
    kilograms: int


@event_type("counting.weighed.v2")
class Weighed(Event, frozen=True):
    counter: str
    grams: int


@upcasts(WeighedInKilograms)
def weighed(event):
    return Weighed(event.counter, 1_000 * event.kilograms)


class Weight(Row, frozen=True):
    counter: str
    grams: int


@pytest.fixture
def faults():
    return Faults()


@pytest.fixture
def views(faults):
    return counting_views(faults)


@pytest.fixture
def url(database_url, views):
    settle(database_url)
    return database_url


@pytest.fixture
def conn(url):
    with database.connect(url, role="counterfoil_projector", name="test") as conn:
        yield conn


def numbers(conn, view, build=1):
    shown: dict[Any, Any] = {key[0]: row.row for key, row in stored(conn, view, build=build).items()}
    return {key: row.numbers for key, row in shown.items()}


def sums(conn, view):
    shown: list[Any] = [row.row for row in stored(conn, view).values()]
    return [(row.count, row.total) for row in shown]


def raw(type_name, payload):
    """A request whose event was not made by this program's classes."""
    return append_request("counter-a", events=(NewEvent("counter-a", type_name, payload, b"{}"),))


def skip(url, view, position, key):
    decoded = EventSkipped(
        consumer=view.name,
        shape=view.shape,
        partition_key=key,
        position=position,
        actor="operator",
        reason="test",
        skipped_at=NOW,
    )
    append(url, [(SKIPS.stream(view.name), decoded)])


def test_a_poison_event_parks_only_its_key_and_later_events_queue_in_order(url, conn, views):
    keyed = views[:1]
    append(url, counts(("a", 1), ("b", 1), ("a", POISON), ("b", 2), ("a", 3)))
    with feeding(url, keyed) as feeder:
        feeder.catch_up()
        append(url, counts(("a", 4), ("b", 3)))
        feeder.catch_up()

    (parked,) = parking.listed(conn)
    assert (parked.partition_key, parked.position, parked.queued) == ("counter-a", 3, 2)
    assert "cannot take -1" in parked.reason
    assert numbers(conn, keyed[0]) == {"a": (1,), "b": (1, 2, 3)}


def test_a_retry_after_the_fix_folds_what_waited_in_order(url, conn, views, faults):
    keyed = views[:1]
    append(url, counts(("a", 1), ("a", POISON), ("a", 3)))
    with feeding(url, keyed) as feeder:
        feeder.catch_up()
        append(url, counts(("a", 4)))
        feeder.catch_up()
        faults.numbers.clear()
        request = request_retry(conn, "counters", "counter-a")
        feeder.catch_up()

    assert parking.listed(conn) == []
    assert "continued with 3 events" in (parking.outcome_of(conn, request) or "")
    assert numbers(conn, keyed[0]) == {"a": (1, POISON, 3, 4)}


def test_a_retry_before_the_fix_parks_again_at_the_same_event(url, conn, views):
    keyed = views[:1]
    append(url, counts(("a", 1), ("a", POISON), ("a", 3)))
    with feeding(url, keyed) as feeder:
        feeder.catch_up()
        request = request_retry(conn, "counters", "counter-a")
        feeder.catch_up()

    (parked,) = parking.listed(conn)
    assert (parked.position, parked.queued, parked.tries) == (2, 1, 6)
    assert "parked again" in (parking.outcome_of(conn, request) or "")


def test_a_retry_that_meets_the_next_poison_parks_there(url, conn, views, faults):
    keyed = views[:1]
    faults.numbers = {-1, -2}
    append(url, counts(("a", -1), ("a", 2), ("a", -2), ("a", 4)))
    with feeding(url, keyed) as feeder:
        feeder.catch_up()
        faults.numbers = {-2}
        request_retry(conn, "counters", "counter-a")
        feeder.catch_up()

    (parked,) = parking.listed(conn)
    assert (parked.position, parked.queued) == (3, 1)
    assert numbers(conn, keyed[0]) == {"a": (-1, 2)}


def test_requests_about_keys_of_another_worker_hold_up_none_of_ours(url, conn, views, faults):
    keyed = views[:1]
    append(url, counts(("a", POISON), ("b", POISON)))
    with feeding(url, keyed) as feeder:
        feeder.catch_up()
    ours, theirs = (partition_of(f"counter-{name}", PARTITIONS) for name in "ab")
    assert ours != theirs
    others = [request_retry(conn, "counters", "counter-b") for _ in range(REQUESTS_PER_CHECK + 1)]
    request = request_retry(conn, "counters", "counter-a")
    faults.numbers.clear()
    with feeding(url, keyed, sources=[ours]) as feeder:
        feeder.catch_up()

    assert "continued" in (parking.outcome_of(conn, request) or "")
    assert [None] * len(others) == [parking.outcome_of(conn, each) for each in others]
    assert ["counter-b"] == [key.partition_key for key in parking.listed(conn)]


def test_a_skip_that_is_in_the_log_lets_the_key_go_on_without_the_event(url, conn, views):
    keyed = views[:1]
    append(url, counts(("a", 1), ("a", POISON), ("a", 3)))
    with feeding(url, keyed) as feeder:
        feeder.catch_up()
        skip(url, keyed[0], 2, "counter-a")
        request_skip(conn, "counters", "counter-a", position=2)
        feeder.catch_up()

    assert parking.listed(conn) == []
    assert numbers(conn, keyed[0]) == {"a": (1, 3)}


def test_a_skip_that_is_not_in_the_log_is_refused(url, conn, views):
    append(url, counts(("a", POISON)))
    with feeding(url, views[:1]) as feeder:
        feeder.catch_up()
        request = request_skip(conn, "counters", "counter-a", position=1)
        feeder.catch_up()

    assert "refused" in (parking.outcome_of(conn, request) or "")
    assert len(parking.listed(conn)) == 1


def test_rebuild_and_verification_leave_out_what_was_skipped(url, conn, views):
    keyed = views[:1]
    append(url, counts(("a", 1), ("a", POISON), ("a", 3)))
    with feeding(url, keyed) as feeder:
        feeder.catch_up()
        skip(url, keyed[0], 2, "counter-a")
        request_skip(conn, "counters", "counter-a", position=2)
        feeder.catch_up()
        *_, last = rebuild.rebuild(url, keyed[0])
        feeder.catch_up()

        assert rebuild.compare_with_live(url, keyed[0], last.build).matches
    assert verifying.verify(conn, keyed)[0].matches


def test_a_parked_key_is_verified_up_to_where_it_stands(url, conn, views):
    append(url, counts(("a", 1), ("a", POISON), ("a", 3), ("b", 1)))
    with feeding(url, views[:1]) as feeder:
        feeder.catch_up()

    (found,) = verifying.verify(conn, views[:1])

    assert (found.matches, found.parked, found.keys) == (True, 1, 2)


def test_a_stopped_global_view_is_verified_up_to_where_it_stands(url, conn, views):
    append(url, counts(("a", 1), ("b", POISON), ("a", 2), ("c", 3)))
    with feeding(url, views) as feeder:
        feeder.catch_up()

    found = verifying.verify(conn, views)

    assert [(each.name, each.matches, each.keys) for each in found] == [
        ("counters", True, 2),
        ("totals", True, 1),
    ]


def test_a_rebuild_parks_the_same_key_and_the_builds_stay_comparable(url, conn, views):
    append(url, counts(("a", 1), ("a", POISON), ("a", 3), ("b", 1)))
    with feeding(url, views[:1]) as feeder:
        feeder.catch_up()
        *_, last = rebuild.rebuild(url, views[0])
        feeder.catch_up()

        assert rebuild.compare_with_live(url, views[0], last.build).matches
    parked = {(each.build, each.partition_key, each.queued) for each in parking.listed(conn)}
    assert parked == {(1, "counter-a", 1), (2, "counter-a", 1)}


@pytest.mark.parametrize("together", [True, False])
def test_an_event_whose_row_the_database_refuses_parks_only_its_key(url, conn, views, together):
    keyed = views[:1]
    first = counts(("a", 1), ("b", 1), ("a", UNSTORABLE))
    then = counts(("a", UNSTORABLE), ("b", 2), ("a", 3), ("c", 1))
    with feeding(url, keyed) as feeder:
        for part in [first + then] if together else [first, then]:
            append(url, part)
            feeder.catch_up()

    (parked,) = parking.listed(conn)
    assert (parked.partition_key, parked.position, parked.queued) == ("counter-a", 4, 1)
    assert numbers(conn, keyed[0]) == {"a": (1, UNSTORABLE), "b": (1, 2), "c": (1,)}


def test_a_global_view_stops_at_a_poison_event_while_others_go_on(url, conn, views):
    keyed, total = views
    append(url, counts(("a", 1), ("b", POISON), ("a", 2)))
    with feeding(url, views) as feeder:
        feeder.catch_up()
        append(url, counts(("c", 5)))
        feeder.catch_up()
        stopped = feeder.stopped()

    assert stopped["counters"] is None
    assert "cannot take -1" in (stopped["totals"] or "")
    assert numbers(conn, keyed) == {"a": (1, 2), "c": (5,)}
    assert sums(conn, total) == [(1, 1)]
    assert {(each.consumer, each.position) for each in parking.listed(conn)} == {
        ("counters", 2),
        ("totals", 2),
    }


def test_a_global_view_stops_at_an_event_whose_row_the_database_refuses(url, conn, views):
    append(url, counts(("a", 1), ("b", UNSTORABLE), ("c", UNSTORABLE), ("a", 2)))
    with feeding(url, views) as feeder:
        feeder.catch_up()

    assert sums(conn, views[1]) == [(2, 1 + UNSTORABLE)]
    assert [(each.consumer, each.position) for each in parking.listed(conn)] == [("totals", 3)]


def test_a_stopped_global_view_goes_on_after_the_fix_and_a_retry(url, conn, views, faults):
    append(url, counts(("a", 1), ("b", POISON), ("a", 2)))
    with feeding(url, views) as feeder:
        feeder.catch_up()
        append(url, counts(("c", 5)))
        feeder.catch_up()
        faults.numbers.clear()
        request_retry(conn, "totals", "counter-b")
        feeder.catch_up()

    assert sums(conn, views[1]) == [(4, 7)]


def test_a_stopped_global_view_goes_on_behind_a_skipped_event(url, conn, views):
    append(url, counts(("a", 1), ("b", POISON), ("a", 2)))
    with feeding(url, views) as feeder:
        feeder.catch_up()
        skip(url, views[1], 2, "counter-b")
        request_skip(conn, "totals", "counter-b", position=2)
        feeder.catch_up()

    assert sums(conn, views[1]) == [(2, 3)]


def test_a_global_view_stays_stopped_over_a_restart(url, conn, views):
    append(url, counts(("b", POISON), ("a", 2)))
    for _ in range(2):
        with feeding(url, views) as feeder:
            feeder.catch_up()

    assert stored(conn, views[1]) == {}


def test_a_rebuild_of_a_global_view_ends_at_a_poison_event(url, views):
    append(url, counts(("a", 1), ("b", POISON)))
    with feeding(url, views) as feeder:
        feeder.catch_up()

    with pytest.raises(FoldFailed, match="position 2"):
        list(rebuild.rebuild(url, views[1]))


def test_too_many_events_behind_one_key_stop_the_view_and_say_so(url, conn, views, monkeypatch, faults):
    monkeypatch.setattr(parking, "WAITING_PER_KEY_MAX", 3)
    keyed = views[:1]
    append(url, counts(("a", POISON), ("a", 1), ("a", 2), ("a", 3), ("a", 4), ("b", 1)))
    with feeding(url, keyed) as feeder:
        feeder.catch_up()
        append(url, counts(("b", 2)))
        feeder.catch_up()
        (before,) = feeder.worker.followings
        reason = before.stopped
        assert numbers(conn, keyed[0]) == {"b": (1,)}
        faults.numbers.clear()
        request_retry(conn, "counters", "counter-a")
        feeder.catch_up()

    assert "wait behind parked key counter-a" in (reason or "")
    assert numbers(conn, keyed[0]) == {"a": (POISON, 1, 2, 3, 4), "b": (1, 2)}


def test_too_many_events_behind_all_keys_stop_the_view(url, views, monkeypatch):
    monkeypatch.setattr(parking, "WAITING_MAX", 3)
    append(url, counts(*[(key, number) for number in (POISON, 1, 2) for key in "abc"]))
    with feeding(url, views[:1]) as feeder:
        feeder.catch_up()

        assert "wait behind parked keys" in (feeder.worker.followings[0].stopped or "")


def test_a_payload_of_another_shape_parks_its_key(url, conn, views):
    append_requests(url, [raw("counting.counted.v1", b'{"counter":"a","number":"many"}')])
    append(url, counts(("b", 1)))
    with feeding(url, views[:1]) as feeder:
        feeder.catch_up()

    (parked,) = parking.listed(conn)
    assert parked.partition_key == "counter-a"
    assert "number" in parked.reason
    assert numbers(conn, views[0]) == {"b": (1,)}


def test_a_malformed_event_of_an_older_version_parks_its_key_as_one_of_the_newest_does(url, conn):
    weights = View(name="weights", row=Weight, key=("counter",), shape=1)
    weights.on(Weighed)(lambda _row, event: Weight(event.counter, event.grams))
    append_requests(
        url,
        [
            raw("counting.weighed.v1", b'{"counter":"a","kilograms":"many"}'),
            raw("counting.weighed.v1", b'{"counter":"a","kilograms":1}'),
        ],
    )
    with feeding(url, [weights]) as feeder:
        feeder.catch_up()

    (parked,) = parking.listed(conn)
    assert ("counter-a", "counting.weighed.v1") == (parked.partition_key, parked.type)
    assert "kilograms" in parked.reason
    assert {} == stored(conn, weights)


def test_an_unknown_version_of_a_known_event_stops_the_worker(url, conn, views):
    append(url, counts(("b", 1)))
    append_requests(url, [raw("counting.counted.v2", b"{}")])

    with (
        feeding(url, views[:1]) as feeder,
        pytest.raises(UnknownEventVersion, match=r"counting\.counted\.v2"),
    ):
        feeder.catch_up()
    assert parking.listed(conn) == []


def test_events_that_no_view_knows_are_passed_over(url, conn, views):
    append_requests(url, [raw("other.happened.v1", b"{}")])
    append(url, counts(("b", 1)))
    with feeding(url, views[:1]) as feeder:
        feeder.catch_up()

    assert numbers(conn, views[0]) == {"b": (1,)}


def test_what_is_not_parked_cannot_be_retried_or_skipped(conn):
    with pytest.raises(NotParked, match="counters has nothing parked for 'counter-a'"):
        request_retry(conn, "counters", "counter-a")


def test_a_parked_key_is_shown_with_how_far_its_events_wait(url, conn, views):
    append(url, counts(("a", 1), ("a", POISON), ("a", 3), ("b", 1)))
    with feeding(url, views[:1]) as feeder:
        feeder.catch_up()
        append(url, counts(("b", 2), ("a", 4), ("b", 3)))
        feeder.catch_up()

    (parked,) = parking.shown(conn, "counters", "counter-a")

    assert (parked.consumer, parked.shape, parked.build) == ("counters", 1, 1)
    assert (parked.position, parked.queued, parked.last_position) == (2, 2, 6)
