"""Global views are fed from the log itself, by one owner, whatever relay and generations do."""

import contextlib
import threading

import pytest
from prometheus_client import CollectorRegistry

from counterfoil.contexts import CONTEXTS
from domain.ordering.events import OrderConfirmed
from event_store.consumers import driver
from event_store.consumers.driver import Waits
from event_store.log import paging, reading
from event_store.log.codec import UnknownEventVersion
from event_store.log.envelope import NewEvent
from event_store.transport import generations, relay
from event_store.transport.following import FollowerMetrics
from event_store.transport.local_transport import LocalTransport
from event_store.transport.transport import WHOLE_LOG
from projections import adopting, catching_up, checkpoints, consumers, rebuild, tailing, verifying
from projections.errors import DeclarationError
from projections.metrics import ProjectionMetrics
from projections.storing import BuildId
from projections.view import DEFERRED, GLOBAL, Row, View
from read_api.status import READ_STATUS, decode_status
from runtime import database
from tests.appends import append_request
from tests.consuming import hosting
from tests.event_store.transport.carrying import wait_until
from tests.projections.counting import Faults, counting_views, counts
from tests.projections.feeding import (
    append,
    append_requests,
    assert_views_hold_the_log,
    feeding,
    history,
    let_builds_stand_apart,
    stored,
)
from tests.projections.test_running import projections

VIEWS = CONTEXTS.views
SUMS = [view for view in VIEWS if view.kind is GLOBAL]
LAG = "counterfoil_consumer_lag_events"


class Countries(Row, frozen=True):
    country: str
    orders: int


def new_view():
    """A global view that nobody knew when the relay was started, over events that are there already."""
    countries = View(name="countries", row=Countries, key=("country",), shape=1, kind=GLOBAL)

    @countries.on(OrderConfirmed)
    def confirmed(row: Countries | None, event: OrderConfirmed) -> Countries | None:
        return Countries(event.country, (row.orders if row else 0) + 1)

    return countries


def cursor(url, name, build=1):
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        names = BuildId(name, 1, build)
        return checkpoints.read(conn, [names], generation=WHOLE_LOG.generation)[names]


def stands_at_the_head(url, name):
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        head = reading.head(conn).position
    return [each.position for each in cursor(url, name).values()] == [head]


def status_of(url):
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        (text,) = conn.execute(READ_STATUS).fetchone() or ("",)
    return decode_status(str(text))


@contextlib.contextmanager
def older_relay(url):
    """A relay that runs since before anything else, and knows no view."""

    carrier = relay.consumer(LocalTransport(url, role="counterfoil_relay"), registry=CollectorRegistry())
    with hosting(url, [carrier]):
        yield


def test_a_global_view_deployed_over_existing_events_under_a_running_older_relay_loses_nothing(database_url):
    events = history(40)
    view = new_view()
    with older_relay(database_url):
        append(database_url, events[:100])
        with projections(database_url):
            append(database_url, events[100:150])
            wait_until(lambda: stands_at_the_head(database_url, "sales_daily"), what="the release before")
        append(database_url, events[150:180])
        with projections(database_url, views=[*VIEWS, view]):
            append(database_url, events[180:])
            wait_until(
                lambda: _stand_at_the_head(database_url, [*SUMS, view]), what="the release with the view"
            )

    assert_views_hold_the_log(database_url, [*SUMS, view])


def _stand_at_the_head(url, views):
    return all(stands_at_the_head(url, view.name) for view in views)


def test_global_views_need_no_relay_at_all(database_url):
    append(database_url, history(41))
    with projections(database_url):
        wait_until(lambda: _stand_at_the_head(database_url, SUMS), what="sums without a relay")

    assert_views_hold_the_log(database_url, SUMS)


def test_entering_a_generation_does_nothing_to_a_global_view(shop_url):
    append(shop_url, history(42))
    with feeding(shop_url, VIEWS) as feeder:
        feeder.catch_up()
    before = cursor(shop_url, "sales_daily")
    with database.connect(shop_url, role="counterfoil_owner", name="test") as conn:
        generations.settle(conn, carrier="local", partitions=5)
    with database.connect(shop_url, role="counterfoil_projector", name="test") as conn:
        current = generations.current_generation(conn)
        adopting.enter_generation(conn, VIEWS, generation=current, stop=threading.Event())
        known = checkpoints.generations(conn, BuildId("sales_daily", 1, 1))

    assert known == [WHOLE_LOG.generation]
    assert cursor(shop_url, "sales_daily") == before


def test_status_says_where_a_global_view_stands_and_how_far_behind_the_log(database_url):
    append(database_url, history(48))
    with feeding(database_url, SUMS) as feeder:
        feeder.catch_up()
        at_the_head = status_of(database_url)
        head = append(database_url, history(49, steps=10))
        behind = status_of(database_url)

    assert {(0, 0.0)} == {(each.lag_events, each.lag_seconds) for each in at_the_head.views}
    assert {at_the_head.log.position} == {each.position for each in behind.views}
    assert {head - at_the_head.log.position} == {each.lag_events for each in behind.views}
    assert at_the_head.relay.position == 0, "nothing was published"


def test_an_owner_that_lost_its_lease_without_knowing_writes_nothing_more(database_url):
    views = counting_views(Faults())[1:]
    with feeding(database_url, views) as zombie, feeding(database_url, views) as successor:
        append(database_url, counts(("a", 1), ("b", 2)))
        zombie.tail.round()
        for _ in range(7):  # the counter stands still for longer than a standby's patience
            successor.round()
        append(database_url, counts(("a", 3)))
        successor.round()
        append(database_url, counts(("b", 4)))
        assert zombie.lease.held, "its clock stood still too"
        zombie.tail.round()
        with database.connect(database_url, role="counterfoil_projector", name="test") as conn:
            after_the_zombie = stored(conn, views[0])
        successor.round()
        zombie.round()

        assert [each.row.total for each in after_the_zombie.values()] == [6], "nothing came of the last event"
        assert zombie.count("counterfoil_projection_conflicts_total") == 1
        assert not zombie.lease.held
        assert_views_hold_the_log(database_url, views)


def test_only_who_feeds_a_global_view_shows_where_it_stands(database_url):
    views = counting_views(Faults())[1:]
    with feeding(database_url, views) as one, feeding(database_url, views) as other:
        append(database_url, counts(("a", 1)))
        one.round()
        other.round()
        before = [
            each.registry.get_sample_value(LAG, {"consumer": "totals", "build": "s1_b1"})
            for each in (one, other)
        ]
        for _ in range(7):
            other.round()
        one.round()
        after = [
            each.registry.get_sample_value(LAG, {"consumer": "totals", "build": "s1_b1"})
            for each in (one, other)
        ]
        tails = [each.count("counterfoil_consumer_active", consumer="global-views") for each in (one, other)]

    assert before == [0, None]
    assert after == [None, 0]
    assert tails == [0, 1]


def test_a_build_that_summed_what_the_log_no_longer_holds_is_stopped_and_rebuilt(shop_url):
    append(shop_url, history(43))
    with feeding(shop_url, VIEWS) as feeder:
        feeder.catch_up()
    view = next(view for view in VIEWS if view.name == "sales_daily")
    with database.connect(shop_url, role="counterfoil_projector", name="test") as conn:
        let_builds_stand_apart(conn)
        conn.execute("update views.build_checkpoint set leaf = '\\x00' where view = 'sales_daily'")
        with feeding(shop_url, VIEWS) as feeder:
            feeder.catch_up()
            stopped = feeder.stopped()
            append(shop_url, history(44))
            feeder.catch_up()
            held = cursor(shop_url, "sales_daily")
            *_, last = rebuild.rebuild(shop_url, view)
            feeder.catch_up()
            rebuild.promote(shop_url, view, last.build)

        assert "rebuild the view" in (stopped["sales_daily"] or "")
        assert [name for name, reason in stopped.items() if reason] == ["sales_daily"]
        assert [each.leaf for each in held.values()] == [b"\x00"], "never patched"
        assert verifying.verify(conn, [view])[0].matches


def test_a_large_log_is_read_in_pages_bounded_in_events_positions_and_bytes(shop_url, monkeypatch):
    pages = []
    true_page = paging.page_after

    def page_after(*given, **options):
        pages.append(true_page(*given, **options))
        return pages[-1]

    monkeypatch.setattr(catching_up, "EVENTS_PER_PAGE", 7)
    monkeypatch.setattr(catching_up, "POSITIONS_PER_PAGE", 40)
    monkeypatch.setattr(paging, "page_after", page_after)
    append(shop_url, history(45))
    with feeding(shop_url, SUMS) as feeder:
        feeder.catch_up()

    assert max(map(len, pages)) == 7
    assert all(page[-1].position - page[0].position < 40 for page in pages if page)
    assert_views_hold_the_log(shop_url, SUMS)


@pytest.mark.parametrize("event", ["ordering.order_confirmed.v9", "ordering.credit_note_issued.v2"])
def test_an_event_of_a_newer_version_ends_the_role(database_url, event):
    append_requests(
        database_url, [append_request("order-1", events=(NewEvent("order-1", event, b"{}", b"{}"),))]
    )
    with projections(database_url, views=SUMS, fails=True) as hosted:
        wait_until(lambda: bool(hosted.failures), what="the role's end")

    assert [type(failure) for failure in hosted.failures] == [UnknownEventVersion]


def test_a_worker_that_saw_records_wakes_the_tail(database_url, monkeypatch):
    monkeypatch.setattr(tailing, "WAITS", Waits(first_s=0.005, unhinted_s=3_600.0))
    monkeypatch.setattr(driver, "IDLE_WAIT_GROWTH", 1e6)
    with older_relay(database_url), projections(database_url) as hosted:
        wait_until(lambda: hosted.health.ready, what="a role that follows")
        append(database_url, history(47, steps=20))
        wait_until(
            lambda: stands_at_the_head(database_url, "sales_daily"), what="sums without a look of their own"
        )


def test_a_role_is_ready_when_its_global_views_are_fed_here_or_elsewhere(database_url):
    with older_relay(database_url), projections(database_url) as hosted:
        wait_until(lambda: hosted.health.ready, what="the owner")
        with projections(database_url) as other:
            wait_until(lambda: other["global-views"].condition == "standby", what="the standby")
            wait_until(lambda: other.health.ready, what="a ready standby")


def test_a_global_view_cannot_be_a_document_view():
    with pytest.raises(DeclarationError, match="global view"):
        View(name="x", row=Countries, key=("country",), shape=1, kind=GLOBAL, document="a:b")


def test_kinds_of_views_that_are_not_declared_have_no_consumer(database_url):
    keyed, totals = counting_views(Faults())[:1], counting_views(Faults())[1:]
    with projections(database_url, views=keyed) as one, projections(database_url, views=totals) as other:
        names = [list(each.health.consumers) for each in (one, other)]

    assert [["keyed-views"], ["global-views"]] == names


def test_keyed_views_that_are_deferred_have_a_consumer_with_a_slower_pace():
    keyed, total = counting_views(Faults())
    deferred = View(name="deferred", row=Countries, key=("country",), shape=1, kind=DEFERRED)
    newer = View(name="counters", row=Countries, key=("country",), shape=2, kind=DEFERRED)

    def hosted(*views):
        registry = CollectorRegistry()
        return consumers.consumers(
            views,
            transport=LocalTransport("postgresql://"),
            metrics=ProjectionMetrics(registry),
            followed=FollowerMetrics(registry),
        )

    assert {"keyed-views": 0.02, "deferred-views": 0.25, "global-views": 0.25} == {
        each.name: each.waits.pace_s for each in hosted(deferred, total, keyed)
    }
    with pytest.raises(DeclarationError, match="of one kind"):
        hosted(keyed, newer)
