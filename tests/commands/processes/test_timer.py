"""Timers as declared, and the view of those that are set."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs
from psycopg import errors

from commands.processes import timer
from commands.processes.fulfilment import UNDECIDED
from commands.processes.process import Process
from commands.processes.timer import SetTimer, Timer
from counterfoil.contexts import CONTEXTS
from domain.event import type_name
from domain.ordering.events import OrderConfirmed, OrderPlaced
from domain.ordering.order import ORDER
from event_store.consumers.starting import HEAD
from event_store.log import reading
from event_store.transport import record_format
from event_store.transport.partition_log import as_record
from projections import catching_up, rebuild, verifying
from projections.folding import BatchFold, DecodedEvent, decoder_of
from projections.view import Row
from runtime import database
from tests import examples
from tests.projections.feeding import append, feeding, settle

(TIMERS,) = [view for view in CONTEXTS.timers if view.name == "timers_fulfilment"]
NOW = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)
DAY = timedelta(days=1)


def facts(*events, stream="order-1"):
    """What was recorded a minute apart, from position 1 on."""
    return [
        DecodedEvent(
            number, stream, stream, number, type_name(event), b"", event, NOW + timedelta(minutes=number)
        )
        for number, event in enumerate(events, start=1)
    ]


def folded(view, *recorded):
    fold = BatchFold(view, skips=frozenset(), parked=frozenset())
    fold.gather(recorded)
    result = fold.fold({})
    return {key: row.row for key, row in result.rows.items()}, result


def a_day(_event, recorded_at):
    return recorded_at + DAY


def declared(name="reminder", **given):
    process = Process("reminding", writes=(ORDER,), start=HEAD, **given)
    made = Timer(process, name, of=ORDER)
    made.fires(lambda *_: [])
    return made


def test_a_timer_counts_from_when_its_event_was_recorded_and_not_from_what_callers_claim():
    long_ago = examples.placed(placed_at=datetime(2010, 12, 1, tzinfo=UTC))

    rows, _ = folded(TIMERS, *facts(long_ago))

    assert rows == {
        ("fulfilment", "undecided", "order-1"): SetTimer(
            process="fulfilment",
            name="undecided",
            stream="order-1",
            set_at=1,
            due_at=NOW + timedelta(minutes=1),
        )
    }


@pytest.mark.parametrize("decided", [examples.confirmed(), examples.rejected(), examples.cancelled()])
def test_a_timer_that_is_set_and_cleared_in_one_batch_is_never_written(decided):
    rows, result = folded(TIMERS, *facts(examples.placed(), decided))

    assert ({}, 2) == (rows, result.applied)


def test_an_event_that_sets_a_timer_again_replaces_it():
    made = declared()
    made.set_by(OrderPlaced)(a_day)

    rows, _ = folded(timer.view_of(made.process), *facts(examples.placed(), examples.placed()))

    (row,) = rows.values()
    assert (2, NOW + timedelta(minutes=2) + DAY) == (row.set_at, row.due_at)


def test_an_event_may_set_one_timer_and_clear_another_and_need_not_set_any():
    made = declared()
    made.set_by(OrderPlaced)(a_day)
    made.cleared_by(OrderConfirmed)
    other = Timer(made.process, "parcel", of=ORDER)
    other.fires(lambda *_: [])
    other.set_by(OrderConfirmed)(a_day)
    never = Timer(made.process, "never", of=ORDER)
    never.fires(lambda *_: [])
    never.set_by(OrderPlaced)(lambda *_: None)

    rows, _ = folded(timer.view_of(made.process), *facts(examples.placed(), examples.confirmed()))

    assert [("reminding", "parcel", "order-1")] == list(rows)


def test_an_event_of_another_kind_of_stream_parks_its_key():
    _, result = folded(TIMERS, *facts(examples.placed(), stream="basket-1"))

    assert "is about streams of order, not about basket-1" in result.parked["basket-1"].reason


@pytest.mark.parametrize(
    "declare",
    [
        lambda made: Timer(made.process, made.name, of=ORDER),
        lambda made: made.cleared_by(OrderPlaced),
        lambda made: made.set_by(OrderPlaced),
        lambda made: made.fires(lambda *_: []),
    ],
)
def test_what_is_declared_twice_is_refused(declare):
    made = declared()
    made.set_by(OrderPlaced)(a_day)

    with pytest.raises(AssertionError, match="already"):
        declare(made)


def test_a_timer_that_decides_nothing_is_refused():
    process = Process("reminding", writes=(ORDER,), start=HEAD)
    Timer(process, "reminder", of=ORDER)

    with pytest.raises(AssertionError, match="decides nothing"):
        timer.view_of(process)


def test_names_of_processes_become_names_of_views():
    assert isinstance(UNDECIDED, Timer)
    assert "timers_fulfilment" == TIMERS.name
    assert issubclass(TIMERS.row, Row)


def test_a_fold_gets_the_same_time_by_kafka_and_by_the_log(database_url):
    append(database_url, [("order-1", examples.placed())])
    with database.connect(database_url, role="counterfoil_reader", name="test") as conn:
        (read,) = reading.read_after(conn, 0)
        (copied,) = reading.copy_log(conn)
    decoder = decoder_of([TIMERS])

    for event in (read, structs.replace(read, recorded_at=read.recorded_at.replace(microsecond=0))):
        record = as_record(event, partition=1, prev=0, epoch=1)
        message = record_format.encode_record(record, source=b"/test")
        carried = record_format.decode_record(
            message.headers, key=message.key, value=message.value, partition=1
        )
        feed = catching_up.from_records({1: [carried]}, decoder=decoder)
        assert [catching_up.decode(event, decoder=decoder)] == feed[1].decoded_events
    assert read == copied


def test_rows_come_and_go_without_a_trace_and_a_rebuild_comes_to_the_same(database_url):
    settle(database_url)
    waiting = [(f"order-{name}", examples.placed(order_id=name)) for name in ("a", "b", "c")]
    append(database_url, waiting)
    with feeding(database_url, [TIMERS]) as feeder, connected(database_url) as conn:
        feeder.catch_up()
        before = stored(conn)
        append(database_url, [("order-b", examples.rejected(order_id="b"))])
        feeder.catch_up()
        after = stored(conn)
        for _ in rebuild.rebuild(database_url, TIMERS):
            pass
        rebuilt = stored(conn, build=2)
        (verified,) = verifying.verify(conn, [TIMERS])

    assert [("order-a", 1), ("order-b", 2), ("order-c", 3)] == [row[:2] for row in before]
    assert [("order-a", 1), ("order-c", 3)] == [row[:2] for row in after]
    assert after == rebuilt
    assert verified.matches
    assert 2 == verified.keys


def test_who_appends_may_read_timers_and_nothing_else_of_the_views(shop_url):
    with database.connect(shop_url, role="counterfoil_writer", name="test") as conn:
        assert [] == conn.execute("select stream from views.timers_fulfilment_s1_b1").fetchall()
        with pytest.raises(errors.InsufficientPrivilege):
            conn.execute("select order_id from views.order_details_s1_b1")
        with pytest.raises(errors.InsufficientPrivilege):
            conn.execute("delete from views.timers_fulfilment_s1_b1")


def connected(url):
    return database.connect(url, role="counterfoil_projector", name="test")


def stored(conn, *, build=1):
    """All that the table holds, tombstones too."""
    return conn.execute(
        f"select stream, set_at, due_at, deleted from views.timers_fulfilment_s1_b{build} order by stream"
    ).fetchall()
