"""Timers that are due, on a real log: which fire, which wait, and that each comes to one outcome."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from psycopg import sql

from commands.processes import due, timers
from commands.processes.fulfilment import UNDECIDED
from commands.processes.process import Process
from commands.processes.timer import Timer, view_of
from counterfoil import parking as operators
from counterfoil.acts.on_the_log import OnTheLog
from counterfoil.contexts import CONTEXTS
from domain.ids import OrderId
from domain.ordering import order as ordering
from domain.ordering.events import OrderPlaced, OrderRejected
from domain.ordering.order import ORDER
from event_store.consumers import backoff, parking
from event_store.consumers.parking import Failure, Scope
from event_store.consumers.starting import HEAD
from event_store.log import codec
from event_store.log.envelope import decode_metadata
from projections import builds
from projections.storing import Table
from runtime import database
from tests.commands.processes.running import NOW, append, counted, placed
from tests.commands.processes.timing import firing, head, recorded, running_timers, stands
from tests.projections.feeding import feeding, settle

(TIMERS,) = [view for view in CONTEXTS.timers if view.name == "timers_fulfilment"]
SIX_MINUTES = timedelta(minutes=6)


@pytest.fixture
def url(database_url):
    settle(database_url)
    return database_url


def place(url, *names):
    append(url, [placed(name, [("A", 1)]) for name in names])


def decide(url, name, decision, **given):
    """What the process would append to an order that was placed."""
    state = None
    events = recorded(url, f"order-{name}")
    for event in events:
        state = ordering.evolve(state, codec.decode(event.type, event.payload))
    append(url, [(f"order-{name}", len(events), decision(state, order_id=OrderId(name), now=NOW, **given))])


def facts(url, name):
    return [codec.decode(event.type, event.payload) for event in recorded(url, f"order-{name}")]


def rejected(url):
    return counted(url).get("ordering.order_rejected.v2", 0)


def catch_up(url, view=TIMERS):
    with feeding(url, [view]) as feeder:
        feeder.catch_up()


def test_an_order_that_its_process_left_undecided_is_rejected_once_and_its_timer_is_gone(url):
    place(url, "1")
    stands(url, through=head(url))
    catch_up(url)

    with firing(url) as work:
        work.one_pass()
        work.one_pass()
        assert (1, 0) == (work.count("fired"), work.count("stale"))
    waits_for_the_view = running_timers(url, TIMERS)
    catch_up(url)

    _, rejection = facts(url, "1")
    caused = decode_metadata(recorded(url, "order-1")[1].metadata)
    assert isinstance(rejection, OrderRejected)
    assert decode_metadata(recorded(url, "order-1")[0].metadata).actor == caused.on_behalf_of
    assert ("undecided", ()) == (rejection.reason, rejection.missing)
    assert ("timer:fulfilment", "fulfilment.undecided", "1.1", "order-1") == (
        caused.actor,
        caused.command,
        caused.causation,
        caused.correlation_id,
    )
    assert ["order-1"] == waits_for_the_view
    assert [] == running_timers(url, TIMERS)


def test_a_timer_that_is_not_due_does_not_fire(url):
    place(url, "1")
    stands(url, through=head(url))
    catch_up(url)

    with firing(url, delays={UNDECIDED: timedelta(hours=1)}) as work:
        work.one_pass()
        assert 0 == work.shown("due")

    assert 0 == rejected(url)


def test_while_its_process_is_merely_behind_a_timer_waits(url):
    place(url, "1", "2")
    stands(url, through=0)
    catch_up(url)

    with firing(url) as work:
        work.one_pass()
        assert (2, 2) == (work.shown("due"), work.shown("waiting"))
        assert 0 == rejected(url)
        stands(url, through=head(url))
        work.one_pass()

    assert 2 == rejected(url)


def test_a_process_is_off_when_its_lease_stood_still_between_two_reads(url):
    place(url, "1")
    stands(url, through=0, runs=False)
    catch_up(url)

    with firing(url) as work:
        work.one_pass()
        assert 0 == rejected(url), "it may be starting, just as who fires did"
        work.step._since -= SIX_MINUTES
        stands(url, through=0, runs=True)
        work.one_pass()
        assert 0 == rejected(url), "its lease is alive"
        stands(url, through=0, runs=False)
        work.one_pass()

    assert 1 == rejected(url)


def test_a_process_that_only_waits_for_another_try_is_never_called_off():
    assert timers.OFF_AFTER.total_seconds() >= 10 * backoff.LONGEST_S


def test_an_order_whose_trigger_is_parked_is_rejected_and_those_not_read_yet_wait(url):
    place(url, "1", "2")
    stands(url, through=1)
    catch_up(url)
    with database.connect(url, role="counterfoil_writer", name="test") as conn:
        failure = Failure("order-1", 1, "order-1", 1, "ordering.order_placed.v3", "cannot be decided")
        parking.park(conn, Scope("fulfilment"), failure)

    with firing(url) as work:
        work.one_pass()

    assert [2, 1] == [len(facts(url, name)) for name in ("1", "2")]


def test_a_process_that_takes_no_more_is_not_waited_for(url):
    place(url, "1")
    stands(url, through=0)
    catch_up(url)
    with database.connect(url, role="counterfoil_writer", name="test") as conn:
        full = Failure(
            "order-x", 1, "order-x", 1, "t", "cannot be decided", queued=parking.WAITING_PER_KEY_MAX + 1
        )
        parking.park(conn, Scope("fulfilment"), full)

    with firing(url) as work:
        work.one_pass()

    assert 1 == rejected(url)


@pytest.mark.parametrize("name", ["confirmed", "rejected", "cancelled"])
def test_a_row_that_is_out_of_date_gives_an_outcome_without_events(url, name):
    place(url, "1")
    catch_up(url)
    decision, given = {
        "confirmed": (ordering.confirm, {}),
        "rejected": (ordering.reject, {"missing": ()}),
        "cancelled": (ordering.cancel, {"reason": "customer"}),
    }[name]
    decide(url, "1", decision, **given)
    stands(url, through=head(url))
    before = head(url)

    with firing(url) as work:
        work.one_pass()
        work.one_pass()
        assert (0, 1) == (work.count("fired"), work.count("stale"))

    assert ["order-1"] == running_timers(url, TIMERS)
    assert before == head(url)


def test_who_dies_between_the_append_and_the_end_of_the_row_leaves_one_rejection(url):
    place(url, "1", "2")
    stands(url, through=head(url))
    catch_up(url)
    with firing(url) as dying:
        (page,) = due.pages(dying.step._conn, UNDECIDED, after=timedelta())
        dying.one_pass()
    with database.connect(url, role=None, name="test") as owner:
        owner.execute("update runtime.lease set owner = null where name = 'timers'")

    with firing(url) as heir:
        heir.one_pass()
        assert 0 == heir.count("fired")
        heir.step._fire(UNDECIDED, page)  # what it read before the first one appended

    assert 2 == heir.count("stale")
    assert 2 == rejected(url)
    assert [2, 2] == [len(facts(url, name)) for name in ("1", "2")]


def test_rows_that_cannot_go_keep_nobody_from_firing(url, monkeypatch):
    monkeypatch.setattr(due, "DUE_PER_PAGE", 3)
    names = [f"o{number:02}" for number in range(20)]
    place(url, *names)
    stands(url, through=12)
    catch_up(url)
    with database.connect(url, role="counterfoil_writer", name="test") as conn:
        for position, name in enumerate(names[:5], start=1):
            failure = Failure(f"order-{name}", position, f"order-{name}", 1, "t", "cannot be decided")
            parking.park(conn, Scope(UNDECIDED.consumer), failure)

    with firing(url) as work:
        work.one_pass()
        assert (15, 8) == (work.shown("due"), work.shown("waiting"))

    assert 7 == rejected(url)


def test_a_page_of_what_is_due_is_read_from_an_index_in_order_and_nothing_that_is_not_due(url):
    catch_up(url)
    with database.connect(url, role=None, name="test") as owner:
        owner.execute(
            "insert into log.event (position, version, recorded_at, stream, type, leaf, metadata, payload)"
            " select p, 1, now(), 'order-' || p, 't', '', '{}', '{}' from generate_series(1, 5000) p"
        )
        owner.execute(
            "insert into views.timers_fulfilment_s1_b1 (process, name, stream, set_at, due_at, position)"
            " select 'fulfilment', 'undecided', 'order-' || p, p, now() + (p - 500) * interval '1 minute', p"
            " from generate_series(1, 5000) p"
        )
        owner.execute("analyze log.event, views.timers_fulfilment_s1_b1")
        statement = due._DUE.format(table=sql.Identifier("views", "timers_fulfilment_s1_b1"), open=due._OPEN)
        given = {"name": "undecided", "after": timedelta(), "due_at": "-infinity", "stream": "", "limit": 100}
        plan = "\n".join(line for (line,) in owner.execute(sql.SQL("explain ") + statement, given).fetchall())

    assert "Index Scan using timers_fulfilment_s1_b1_name_due_at_stream_idx" in plan
    assert re.search(r"Index Cond: .*due_at <= ", plan), plan
    assert "Index Scan using event_pkey" in plan
    assert "Sort" not in plan


class Reminding:
    """A process with a timer of its own, whose decision fails for some orders as long as `broken` says so."""

    def __init__(self):
        self.process = Process("reminding", writes=(ORDER,), start=HEAD)
        self.timer = Timer(self.process, "reminder", of=ORDER)
        self.timer.set_by(OrderPlaced)(lambda _event, recorded_at: recorded_at)
        self.timer.cleared_by(OrderRejected)
        self.timer.fires(self._decide)
        self.view = view_of(self.process)
        self.broken = {"1"}

    def _decide(self, order, _view, now):
        if order.order_id in self.broken:
            raise ZeroDivisionError("no parts")
        return ordering.reject_undecided(order, order_id=order.order_id, now=now)

    def begin(self, url):
        stands(url, through=head(url), processes=(self.process,), lease="processes:order")
        catch_up(url, self.view)


def test_a_timer_that_cannot_be_decided_is_parked_by_itself_and_tried_again_on_request(url):
    reminding = Reminding()
    place(url, "1", "2")
    reminding.begin(url)

    with firing(url, [reminding.process]) as work:
        work.one_pass()
        work.one_pass()
        (key,) = parked_keys(url)
        assert (1, 1) == tuple(work.count(name, reminding.timer) for name in ("failed", "fired"))
        first = requested(url, "retry", work)
        reminding.broken.clear()
        second = requested(url, "retry", work)

    assert ("reminding-reminder", "order-1", 1) == (key.consumer, key.partition_key, key.position)
    assert "ZeroDivisionError: no parts" == key.reason
    assert ("failed again: ZeroDivisionError: no parts", "done") == (first, second)
    assert [] == parked_keys(url)
    assert 2 == rejected(url)


def test_a_parked_timer_that_an_operator_skips_has_an_outcome_without_events(url):
    reminding = Reminding()
    place(url, "1")
    reminding.begin(url)

    with firing(url, [reminding.process]) as work:
        work.one_pass()
        without_the_skip = requested(url, "skip", work)
        with (
            ThreadPoolExecutor(1) as operator,
            OnTheLog(url, CONTEXTS, redis_url=None, operator="jo") as asked,
        ):
            skipping = operator.submit(
                operators.skip,
                asked,
                "reminding-reminder",
                "order-1",
                position=1,
                reason="it is known",
            )
            while not skipping.done():
                work.one_pass()
        work.one_pass()
        assert (1, 0) == tuple(work.count(name, reminding.timer) for name in ("skipped", "fired"))

    assert "refused: no skip of position 1 is in the log" == without_the_skip
    assert "done" == skipping.result()
    assert [] == parked_keys(url)
    assert {"ordering.order_placed.v3": 1, "operations.event_skipped.v1": 1} == counted(url)


def test_a_parked_timer_that_is_cleared_meanwhile_is_parked_no_longer(url):
    reminding = Reminding()
    place(url, "1")
    reminding.begin(url)

    with firing(url, [reminding.process]) as work:
        work.one_pass()
        assert 1 == len(parked_keys(url))
        decide(url, "1", ordering.reject, missing=())
        catch_up(url, reminding.view)
        work.one_pass()

    assert [] == parked_keys(url)


def test_a_timer_that_is_set_again_has_an_outcome_of_its_own(url):
    reminding = Reminding()
    reminding.timer.decide = lambda *_: []
    place(url, "1")
    reminding.begin(url)

    with firing(url, [reminding.process]) as work:
        work.one_pass()
        append(url, [("order-1", 1, placed("1", [("A", 2)])[2])])
        reminding.begin(url)
        work.one_pass()
        work.one_pass()
        assert 2 == work.count("stale", reminding.timer)
        (row,) = rows(url, reminding.view)

    assert 2 == row.set_at


def test_a_decision_for_streams_that_the_process_does_not_write_is_parked(url):
    reminding = Reminding()
    reminding.process.categories = frozenset({"stock"})
    place(url, "2")
    reminding.begin(url)

    with firing(url, [reminding.process]) as work:
        work.one_pass()

    assert "without declaring it" in parked_keys(url)[0].reason


def parked_keys(url):
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        return parking.listed(conn)


def requested(url, kind, work):
    """What comes of a request about the one parked key."""
    with database.connect(url, role="counterfoil_writer", name="test") as conn:
        request = parking.ask(conn, kind, parking.listed(conn)[0], actor="op")
        work.one_pass()
        return parking.outcome_of(conn, request)


def rows(url, view):
    with database.connect(url, role="counterfoil_projector", name="test") as conn:
        table = Table(view, builds.live(conn, view.name))
        return [row.row for page in table.pages(conn) for _, row in page]
