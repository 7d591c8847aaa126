"""What a consumer has read and not answered: where its checkpoint stands, what parks, waits and is tried again."""

import contextlib

import pytest

from event_store.consumers import backlog as product
from event_store.consumers import checkpoints, parking, skips
from event_store.consumers.backlog import Backlog
from event_store.consumers.checkpoints import NameTaken
from event_store.consumers.errors import OpenAgain
from event_store.consumers.parking import Scope
from event_store.consumers.starting import HEAD, ORIGIN
from event_store.consumers.tailing import Outdated
from runtime import database
from tests.event_store.consumers.tailing import ask, seeing, session
from tests.projections.counting import Faults, counts
from tests.projections.feeding import append

NAME = "answering"
TYPES = ("counting.counted.v1",)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(product, "CHECKPOINT_S", 0.0)
    monkeypatch.setattr(product, "CHECK_EVERY_S", 0.0)


@contextlib.contextmanager
def working(url, *, start=ORIGIN, **given):
    with session(url, seeing(Faults(), name=NAME)) as at:
        yield Backlog(at, NAME, types=TYPES, start=start, **given)


def read(url, backlog):
    with database.connect(url, role="counterfoil_writer", name="test") as conn:
        return backlog.take(product.read(conn, [backlog], stems=backlog.stems))


def saved(url):
    return ask(url, "select position from consumers.checkpoint where consumer = %s", NAME)


def parked(url):
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        return parking.of_scope(conn, Scope(NAME))


def positions(events):
    return [event.position for event in events]


def requested(url, kind="retry"):
    with database.connect(url, role="counterfoil_writer", name="test") as conn:
        (key,) = parked(url).values()
        return parking.ask(conn, kind, key, actor="ann")


def outcome(url, request):
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        return parking.outcome_of(conn, request)


def test_the_checkpoint_stands_before_the_first_event_without_an_answer(database_url):
    append(database_url, counts(("a", 1), ("b", 1), ("c", 1)))

    with working(database_url) as backlog:
        first, second, third = read(database_url, backlog)
        found = []
        for event in (second, first, third):
            backlog.done(event)
            backlog.save()
            found += saved(database_url)

    assert [(0,), (2,), (3,)] == found


def test_it_goes_on_from_the_checkpoint_and_reads_nothing_twice(database_url):
    append(database_url, counts(("a", 1), ("b", 1)))
    with working(database_url) as backlog:
        first, _ = read(database_url, backlog)
        backlog.done(first)
        backlog.save()
        again = read(database_url, backlog)

    with working(database_url) as backlog:
        assert ([], [2]) == (again, positions(read(database_url, backlog)))


def test_consumers_that_read_together_each_take_what_is_new_to_them_and_of_their_types(database_url):
    append(database_url, counts(("a", 1), ("b", 1)))
    with session(database_url, seeing(Faults(), name=NAME)) as at:
        ahead, behind, other = (
            Backlog(at, name, types=types, start=ORIGIN)
            for name, types in ((NAME, TYPES), ("behind", TYPES), ("other", ("ordering.order_placed.v3",)))
        )
        ahead.take(product.read(at.conn, [ahead], stems=ahead.stems))
        append(database_url, counts(("c", 1)))
        tail = product.read(at.conn, [ahead, behind, other], stems=ahead.stems)
        found = [positions(each.take(tail)) for each in (ahead, behind, other)]
        again = [each.take(tail) for each in (ahead, behind, other)]

    assert [[3], [1, 2, 3], []] == found
    assert [[], [], []] == again


def test_events_of_other_types_are_passed(database_url):
    append(database_url, counts(("a", 1)))
    with session(database_url, seeing(Faults(), name=NAME)) as at:
        backlog = Backlog(at, NAME, types=("ordering.order_placed.v3",), start=ORIGIN)
        assert [] == read(database_url, backlog)
        backlog.save()

    assert [(1,)] == saved(database_url)


def test_an_event_of_a_version_that_is_not_known_yet_is_not_passed(database_url):
    append(database_url, counts(("a", 1)))
    with database.connect(database_url, role=None, name="test") as owner:
        owner.execute("update log.event set type = 'counting.counted.v9'")

    with working(database_url) as backlog, pytest.raises(Outdated, match="deploy readers before writers"):
        read(database_url, backlog)


def test_what_is_behind_a_key_that_parks_waits_whether_it_was_read_before_or_comes_later(database_url):
    append(database_url, counts(("a", 1), ("b", 1), ("a", 2)))
    with working(database_url) as backlog:
        first, other, _ = read(database_url, backlog)
        backlog.park(first, "no such row")
        append(database_url, counts(("a", 3), ("b", 2)))
        later = read(database_url, backlog)
        for event in (other, *later):
            backlog.done(event)
        backlog.save()

    (key,) = parked(database_url).values()
    assert [5] == positions(later)
    assert (1, "no such row", 2, 4) == (key.position, key.reason, key.queued, key.last_position)
    assert [(5,)] == saved(database_url)


def test_what_is_read_again_from_an_older_checkpoint_is_not_counted_again(database_url):
    append(database_url, counts(("a", 1)))
    with working(database_url) as backlog:
        backlog.park(read(database_url, backlog)[0], "no such row")
    append(database_url, counts(("a", 2)))

    for _ in range(2):
        with working(database_url) as backlog:
            assert [] == read(database_url, backlog)
            (key,) = parked(database_url).values()
            assert (1, 2) == (key.queued, key.last_position)


def test_a_key_that_is_tried_again_stays_parked_until_all_of_it_has_its_answer(database_url):
    append(database_url, counts(("a", 1), ("a", 2)))
    with working(database_url) as backlog:
        backlog.park(read(database_url, backlog)[0], "no such row")
        backlog.save()
        request = requested(database_url)
        first, second = backlog.take_retries(2)
        backlog.done(first)
        backlog.save()
        between = parked(database_url), outcome(database_url, request), saved(database_url)
        backlog.done(second)

    assert ([1], None, [(2,)]) == ([key.position for key in between[0].values()], *between[1:])
    assert ({}, "done") == (parked(database_url), outcome(database_url, request))


def test_a_key_that_fails_again_further_on_stands_there(database_url):
    append(database_url, counts(("a", 1), ("a", 2), ("a", 3)))
    with working(database_url) as backlog:
        backlog.park(read(database_url, backlog)[0], "no such row")
        request = requested(database_url)
        first, second, _ = backlog.take_retries(3)
        backlog.done(first)
        backlog.park(second, "nor such a one")

    (key,) = parked(database_url).values()
    assert (2, 1, 1, 3) == (key.position, key.tries, key.queued, key.last_position)
    assert "failed again: nor such a one" == outcome(database_url, request)


def test_a_skip_that_the_log_does_not_hold_is_refused(database_url):
    append(database_url, counts(("a", 1)))
    with working(database_url) as backlog:
        backlog.park(read(database_url, backlog)[0], "no such row")
        request = requested(database_url, "skip")

        assert [] == backlog.take_retries(1)

    assert "refused: no skip of position 1 is in the log" == outcome(database_url, request)


def test_an_event_that_is_skipped_lets_the_next_one_of_its_key_go(database_url, monkeypatch):
    append(database_url, counts(("a", 1), ("a", 2)))
    with working(database_url) as backlog:
        backlog.park(read(database_url, backlog)[0], "no such row")
        requested(database_url, "skip")
        monkeypatch.setattr(skips, "read", lambda *_, **__: frozenset({1}))

        assert [2] == positions(backlog.take_retries(2))


@pytest.mark.parametrize(
    ("limit", "given"), [("WAITING_PER_KEY_MAX", {}), ("WAITING_MAX", {}), (None, {"keys_max": 1})]
)
def test_while_too_much_is_parked_no_more_is_read(limit, given, database_url, monkeypatch):
    append(database_url, counts(("a", 1), ("a", 2), ("b", 1)))
    with working(database_url, **given) as backlog:
        backlog.park(read(database_url, backlog)[0], "no such row")
        if limit is not None:
            monkeypatch.setattr(parking, limit, 0)
        append(database_url, counts(("b", 2)))

        assert (True, []) == (backlog.full, read(database_url, backlog))


def test_a_worker_that_lost_its_lease_moves_no_checkpoint(database_url):
    append(database_url, counts(("a", 1)))
    with working(database_url) as backlog:
        backlog.done(read(database_url, backlog)[0])
        with database.connect(database_url, role=None, name="test") as owner:
            owner.execute("update runtime.lease set owner = 'another'")

        with pytest.raises(OpenAgain, match="its lease is lost"):
            backlog.save()

    assert [(0,)] == saved(database_url)


def test_a_process_is_distinct_from_other_consumers_by_its_kind(database_url):
    with database.connect(database_url, role="counterfoil_writer", name="test") as conn:
        checkpoints.register(conn, "deciding", start=HEAD, kind="process")
        checkpoints.register(conn, "counting", start=HEAD)

        assert [True, False, False] == [
            checkpoints.is_process(conn, name) for name in ("deciding", "counting", "order_details")
        ]
        with pytest.raises(NameTaken):
            checkpoints.enter(conn, "deciding", start=HEAD)
