"""Declared consumers on a real log: each event takes effect once, in order, and one that fails harms its key alone."""

import contextlib
from datetime import UTC, datetime

import psycopg
import pytest
from prometheus_client import CollectorRegistry

from counterfoil import fencing
from counterfoil.testing.consumers import consume
from domain.operations.events import EventSkipped
from event_store.consumers import parking, tailing
from event_store.consumers.checkpoints import NameTaken
from event_store.consumers.consumer import LogConsumer
from event_store.consumers.errors import FinalError, OpenAgain
from event_store.consumers.parking import NotParked, Scope
from event_store.consumers.starting import HEAD, ORIGIN
from event_store.consumers.tailing import Outdated, Tailing
from event_store.log import reading
from event_store.log.envelope import ANY, AppendRequest, Expectation, NewEvent
from event_store.transport.transport import Fork
from runtime import database
from runtime.settings import Settings
from tests.event_store.consumers.tailing import ask, seeing, seen, session, work_off
from tests.parked import record_skip
from tests.projections.counting import POISON, Faults, counts
from tests.projections.feeding import append, append_requests


def at(url, position):
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        return reading.read_after(conn, position - 1, limit=1)[0]


def parked(url):
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        return parking.of_scope(conn, Scope("seen"))


def requested(url, consumer, kind, key):
    """Request it, let the consumer work, and say what came of it."""
    with database.connect(url, role="counterfoil_writer", name="test") as conn:
        (stands,) = parking.shown(conn, consumer.name, key)
        request = parking.ask(conn, kind, stands, actor="ann")
        consume(url, consumer)
        return parking.outcome_of(conn, request)


def raw(url, stream, type_name, payload):
    event = NewEvent(stream, type_name, payload, b"{}")
    key = (stream.encode() + type_name.encode() + payload + bytes(16))[:16]
    append_requests(url, [AppendRequest(key, bytes(32), (event,), (Expectation(stream, ANY),))])


def test_each_event_is_handled_once_in_order_and_the_checkpoint_says_how_far(database_url):
    consumer, registry = seeing(Faults()), CollectorRegistry()
    append(database_url, counts(("a", 1), ("b", 1), ("a", 2)))
    consume(database_url, consumer)
    append(database_url, counts(("b", 2), ("a", 3)))

    with session(database_url, consumer, registry=registry) as given:
        tail = Tailing(given, consumer)
        behind = tail.round(), registry.get_sample_value(*_lag())
        work_off(tail)

    assert {"a": [1, 2, 3], "b": [1, 2]} == seen(database_url)
    assert (2, 2.0) == behind
    assert [(5, at(database_url, 5).leaf)] == ask(
        database_url, "select position, leaf from consumers.checkpoint where consumer = 'seen'"
    )


def _lag():
    return "counterfoil_consumer_lag_events", {"consumer": "seen", "build": ""}


@pytest.mark.parametrize(
    ("start", "handled"), [(ORIGIN, [1, 2, 3, 4]), (HEAD, [4]), (2, [3, 4]), (2**40, [4])]
)
def test_a_consumer_begins_where_it_was_registered_whatever_is_declared_later(start, handled, database_url):
    append(database_url, counts(("a", 1), ("a", 2), ("a", 3)))
    consume(database_url, seeing(Faults(), start=start))
    append(database_url, counts(("a", 4)))

    consume(database_url, seeing(Faults(), start=HEAD if start == ORIGIN else ORIGIN))

    assert {"a": handled} == seen(database_url)


def test_events_of_other_types_pass_by_and_all_are_handled_where_all_are_asked_for(database_url):
    everything = LogConsumer("everything", start=ORIGIN)
    met = []

    @everything.on_all
    def meet(_conn, recorded):
        met.append((recorded.position, recorded.type))

    append(database_url, counts(("a", 1)))
    raw(database_url, "loan-1", "lending.lent.v1", b'{"nobody": "decodes this"}')
    append(database_url, counts(("a", 2)))

    consume(database_url, seeing(Faults()))
    consume(database_url, everything)

    assert {"a": [1, 2]} == seen(database_url)
    assert [(1, "counting.counted.v1"), (2, "lending.lent.v1"), (3, "counting.counted.v1")] == met


def test_an_event_that_fails_parks_its_key_behind_what_came_before_and_nothing_else(database_url):
    faults, tried = Faults(), []
    consumer = seeing(faults)
    faults.check, check = lambda number: (tried.append(number), check(number)), faults.check
    append(database_url, counts(("a", 1), ("b", 1), ("a", POISON), ("a", 2), ("b", 2), ("a", 3)))

    consume(database_url, consumer)
    append(database_url, counts(("a", 4), ("b", 3)))
    consume(database_url, consumer)

    assert {"a": [1], "b": [1, 2, 3]} == seen(database_url)
    assert tailing.TRIES_MAX == tried.count(POISON)
    key = parked(database_url)["counter-a"]
    assert (3, 3, 7, tailing.TRIES_MAX) == (key.position, key.queued, key.last_position, key.tries)
    assert "RuntimeError: the fold cannot take -1" == key.reason


def test_a_retry_goes_on_in_order_or_says_that_it_failed_again(database_url):
    faults, tried = Faults(), []
    consumer = seeing(faults)
    faults.check, check = lambda number: (tried.append(number), check(number)), faults.check
    append(database_url, counts(("a", POISON), ("a", 1), ("a", 2), ("a", 3), ("b", 1)))
    raw(
        database_url, "counter-a", "counting.closed.v1", b"{}"
    )  # of the same key, and no concern of the consumer
    append(database_url, counts(("a", 4)))
    consume(database_url, consumer)

    assert "failed again" in requested(database_url, consumer, "retry", "counter-a")
    assert (1, 4, 6) == _stands(parked(database_url)["counter-a"])
    assert 6 == tried.count(POISON)

    faults.numbers = {2}
    assert "position 3" in requested(database_url, consumer, "retry", "counter-a")
    assert (3, 2, 3) == _stands(parked(database_url)["counter-a"])
    assert {"a": [POISON, 1], "b": [1]} == seen(database_url)

    faults.numbers = set()
    assert "done" == requested(database_url, consumer, "retry", "counter-a")
    append(database_url, counts(("a", 5)))
    consume(database_url, consumer)
    assert {"a": [POISON, 1, 2, 3, 4, 5], "b": [1]} == seen(database_url)
    assert {} == parked(database_url)


def _stands(key):
    return key.position, key.queued, key.tries


def test_a_skip_is_an_event_that_whoever_begins_again_passes_over(database_url):
    consumer = seeing(Faults())
    append(database_url, counts(("a", POISON), ("a", 1)))
    consume(database_url, consumer)

    assert "refused: no skip" in requested(database_url, consumer, "skip", "counter-a")

    skip = EventSkipped(
        consumer="seen",
        shape=None,
        partition_key="counter-a",
        position=1,
        actor="ann",
        reason="counted by hand",
        skipped_at=datetime.now(UTC),
    )
    record_skip(database_url, skip)
    assert "done" == requested(database_url, consumer, "skip", "counter-a")
    assert {"a": [1]} == seen(database_url)
    with pytest.raises(NotParked):
        requested(database_url, consumer, "retry", "counter-a")


@pytest.mark.parametrize(
    "failure",
    [
        psycopg.OperationalError("the server closed the connection"),
        psycopg.errors.DeadlockDetected("deadlock"),
        psycopg.errors.UndefinedTable("relation does not exist"),
        ConnectionRefusedError("connection refused"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_what_fails_because_a_server_does_parks_nothing_and_is_handled_later(failure, database_url):
    faults = Faults()
    consumer = seeing(faults)
    check = faults.check
    append(database_url, counts(("a", 1), ("a", 2)))

    def fail(number):
        if number == 2:
            raise failure

    faults.check = fail
    with pytest.raises(type(failure)):
        consume(database_url, consumer)
    assert {} == seen(database_url) == parked(database_url)

    faults.check = check
    consume(database_url, consumer)
    assert {"a": [1, 2]} == seen(database_url)


@pytest.mark.parametrize("statement", ["select 1 / 0", "rollback", "commit"])
def test_a_handler_that_breaks_its_transaction_in_silence_is_parked(statement, database_url):
    consumer, handled = LogConsumer("seen", start=ORIGIN), []

    @consumer.on_all
    def handle(conn, recorded):
        handled.append(recorded.position)
        if recorded.stream == "counter-a":
            with contextlib.suppress(psycopg.DataError):
                conn.execute(statement)

    append(database_url, counts(("b", 1), ("a", 1), ("b", 2)))
    consume(database_url, consumer)

    assert "the handler ended the transaction" in parked(database_url)["counter-a"].reason
    assert [(3,)] == ask(database_url, "select position from consumers.checkpoint")
    assert {1, 3} <= set(handled)


def test_a_payload_of_another_shape_is_parked_and_a_version_from_the_future_is_waited_at(database_url):
    consumer = seeing(Faults())
    raw(database_url, "counter-a", "counting.counted.v1", b'{"counter": 7}')
    append(database_url, counts(("b", 1)))
    raw(database_url, "counter-b", "counting.counted.v9", b"{}")
    append(database_url, counts(("b", 2)))

    with pytest.raises(Outdated, match=r"position 3 is a counting\.counted\.v9"):
        consume(database_url, consumer)

    assert not issubclass(Outdated, FinalError)  # which would end the other consumers of the process too
    assert "MalformedEvent" in parked(database_url)["counter-a"].reason
    assert [(1,)] == ask(database_url, "select position from consumers.checkpoint")


def test_whoever_lost_the_lease_in_a_pause_writes_nothing_more(database_url):
    consumer = seeing(Faults())
    append(database_url, counts(("a", 1)))
    with session(database_url, consumer) as given:
        paused = Tailing(given, consumer)
        ask_owner(database_url, "update runtime.lease set owner = null, counter = counter + 1")
        consume(database_url, consumer)  # another took over, did the work and is gone
        append(database_url, counts(("a", 2)))

        with pytest.raises(OpenAgain):
            paused.round()
        assert {"a": [1]} == seen(database_url)

        with pytest.raises(OpenAgain):  # it stands where the log is, and still may not write
            Tailing(given, consumer).round()
    assert {"a": [1]} == seen(database_url)


def ask_owner(url, statement):
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(statement)


def test_a_consumer_that_handled_what_the_log_lost_is_a_fork_until_a_fence_sets_it_back_to_its_beginning(
    database_url, tmp_path
):
    consumer, later = seeing(Faults(), start=1), seeing(Faults(), start=HEAD, name="later")
    shop = Settings(home=tmp_path, database_url=database_url, redis_url=None)
    append(database_url, counts(("a", 0), ("a", 1), ("b", POISON), ("a", 2), ("a", 3)))
    consume(database_url, consumer)
    with session(database_url, consumer) as given:
        running = Tailing(given, consumer)  # it keeps its session, as one that the outage did not reach
        cut_off(database_url, 3)
        append(database_url, counts(("b", 1), ("a", 4), ("a", 5)))
        with pytest.raises(Fork, match="counterfoil log fence"):
            Tailing(given, consumer)
        consume(database_url, later)

        assert ("seen",) == fencing.intent(shop).consumers
        assert "1 consumers too (seen)" in fencing.fence(shop, reason="restored")
        assert () == fencing.intent(shop).consumers
        append(database_url, counts(("a", 6)), epoch=2)
        with pytest.raises(OpenAgain):
            running.round()

    consume(database_url, consumer)
    assert {"a": [1, 4, 5, 6]} == seen(database_url)
    assert (3, 1) == _stands(parked(database_url)["counter-b"])[:2]
    assert [(1,)] == ask(
        database_url, "select registered_position from consumers.registration where consumer = 'seen'"
    )


def cut_off(url, position):
    ask_owner(url, "delete from log.outcome")
    ask_owner(url, f"delete from log.event where position > {position}")
    ask_owner(url, f"update log.head set position = {position}")


def test_a_name_under_which_a_process_manager_was_registered_is_refused(database_url):
    with database.connect(database_url, role="counterfoil_writer", name="test") as conn:
        conn.execute(
            "insert into consumers.registration (consumer, kind, registered_position) values ('seen', 'process', 0)"
        )

    with pytest.raises(NameTaken, match="give it another name"):
        consume(database_url, seeing(Faults()))


def test_a_consumer_with_too_much_parked_takes_no_more_until_something_is_done_about_it(
    database_url, monkeypatch
):
    monkeypatch.setattr(parking, "WAITING_PER_KEY_MAX", 2)
    faults = Faults()
    consumer = seeing(faults)
    append(database_url, counts(("a", POISON), *(("a", number) for number in range(3))))
    consume(database_url, consumer)
    append(database_url, counts(("b", 1)))
    consume(database_url, consumer)
    assert {} == seen(database_url)

    faults.numbers = set()
    requested(database_url, consumer, "retry", "counter-a")
    assert {"a": [POISON, 0, 1, 2], "b": [1]} == seen(database_url)
