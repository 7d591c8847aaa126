"""The driver as a role runs it: real transport, relay and cache, from an empty shop, restarted at will."""

import pytest
from prometheus_client import CollectorRegistry

from counterfoil.contexts import CONTEXTS
from event_store.consumers import pausing
from event_store.log import reading
from event_store.log.codec import UnknownEventVersion
from event_store.log.envelope import NewEvent
from event_store.transport import relay
from event_store.transport.following import FollowerMetrics
from event_store.transport.kafka_transport import KafkaTransport
from event_store.transport.local_transport import LocalTransport
from projections import consumers, verifying
from projections.metrics import ProjectionMetrics
from projections.view import KEYED
from runtime import database
from runtime.documents import RedisDocuments, document_key, parse_document, prefix
from tests.appends import append_request
from tests.consuming import hosting
from tests.event_store.transport.carrying import wait_until
from tests.projections.feeding import append, append_requests, assert_views_hold_the_log, history


@pytest.fixture
def relaying(database_url):
    carrier = relay.consumer(
        LocalTransport(database_url, role="counterfoil_relay"), registry=CollectorRegistry()
    )
    with hosting(database_url, [carrier]):
        yield


def projections(url, redis_url=None, *, views=CONTEXTS.views, transport=None, fails=False, **options):
    """The consumers of views at work."""
    registry = CollectorRegistry()
    hosted = consumers.consumers(
        views,
        transport=transport or LocalTransport(url),
        metrics=ProjectionMetrics(registry),
        followed=FollowerMetrics(registry),
        documents=None if redis_url is None else RedisDocuments(redis_url),
        **options,
    )
    return hosting(url, hosted, registry=registry, fails=fails)


def behind(url):
    """The kinds of views that do not have all of the log."""
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        views = conn.execute(
            "select c.view from views.checkpoint c cross join log.head h"
            " left join transport.relay_partition p using (generation, partition)"
            " left join transport.relay r using (generation)"
            " where c.position < coalesce(p.position, h.position) or r.position < h.position"
        ).fetchall()
    return {view.kind for view in CONTEXTS.views if (view.name,) in views}


def caught_up(url):
    with database.connect(url, role="counterfoil_reader", name="test") as conn:
        begun = conn.execute("select count(distinct view) from views.checkpoint").fetchone()
    return begun == (len(CONTEXTS.views),) and not behind(url)  # each kind begins by itself


def test_a_role_that_is_started_and_restarted_keeps_all_views(database_url, redis_url, relaying):
    events = history(30)
    for part in (events[:150], events[150:]):
        append(database_url, part)
        with projections(database_url, redis_url) as hosted:
            wait_until(lambda: hosted.health.ready, what="a ready worker")
            wait_until(lambda: caught_up(database_url), what="views that are caught up")

    assert_views_hold_the_log(database_url, CONTEXTS.views)
    documents = RedisDocuments(redis_url)
    with database.connect(database_url, role="counterfoil_reader", name="test") as conn:
        (sku, position) = conn.execute("select sku, position from views.stock_level limit 1").fetchone() or (
            "",
            0,
        )
        assert all(each.matches for each in verifying.verify(conn, CONTEXTS.views))
        installation = reading.history(conn).installation
    beginning = prefix("inventory:stock", installation=installation, epoch=1, build="s1_b1")
    (value,) = documents.get_many([document_key(beginning, str(sku))])
    assert value is not None
    assert parse_document(value)[0] == position
    documents.close()


def test_of_two_roles_one_takes_over_when_the_other_stops(database_url, relaying):
    events = history(31)
    append(database_url, events[:150])
    with projections(database_url):
        with projections(database_url):
            wait_until(lambda: caught_up(database_url), what="views that are caught up")
        append(database_url, events[150:])
        wait_until(lambda: caught_up(database_url), what="the other one took over")

    assert_views_hold_the_log(database_url, CONTEXTS.views)


def test_deferred_views_are_fed_while_keyed_ones_are_paused(database_url, relaying, monkeypatch):
    monkeypatch.setattr(pausing, "CHECK_EVERY_S", 0.1)
    events = history(34)
    append(database_url, events[:150])
    with projections(database_url) as hosted:
        wait_until(lambda: caught_up(database_url), what="views that are caught up")
        with database.connect(database_url, role="counterfoil_projector", name="test") as operator:
            pausing.pause(operator, "keyed-views", act=1)
            wait_until(lambda: hosted["keyed-views"].condition == "paused", what="the pause")
            append(database_url, events[150:])
            wait_until(lambda: behind(database_url) == {KEYED}, what="deferred and global views go on")
            pausing.resume(operator, "keyed-views")
        wait_until(lambda: caught_up(database_url), what="keyed views are caught up")

    assert_views_hold_the_log(database_url, CONTEXTS.views)


def test_a_role_goes_on_when_the_server_cuts_it_off(database_url, relaying):
    events = history(32)
    append(database_url, events[:150])
    with projections(database_url) as hosted:
        wait_until(lambda: caught_up(database_url), what="views that are caught up")
        with database.connect(database_url, role=None, name="test") as admin:
            admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and application_name like '%-views'"
            )
        append(database_url, events[150:])
        wait_until(lambda: caught_up(database_url), what="views that are caught up again")
        failed = [
            # What a session says depends on whether it reads the server's last words before it writes.
            sum(
                hosted.count("counterfoil_consumer_failures_total", consumer=name, error=error)
                for error in ("AdminShutdown", "OperationalError")
            )
            for name in ("keyed-views", "global-views")
        ]

    assert failed == [1, 1]
    assert_views_hold_the_log(database_url, CONTEXTS.views)


def test_workers_share_the_partitions_of_kafka_and_take_over_from_each_other(database_url, redis_url, kafka):
    carrier = relay.consumer(
        KafkaTransport(kafka, registry=CollectorRegistry()), registry=CollectorRegistry()
    )

    def working():
        transport = KafkaTransport(kafka, registry=CollectorRegistry())
        return projections(database_url, redis_url, transport=transport)

    def done():
        return caught_up(database_url)

    events = history(33)
    with hosting(database_url, [carrier]), working():
        append(database_url, events[:100])
        wait_until(done, what="the first worker is caught up")
        with working():
            for first in range(100, 200, 20):
                append(database_url, events[first : first + 20])
                wait_until(done, what="both together are caught up")
        append(database_url, events[200:])
        wait_until(done, what="the first one has all partitions again")

    assert_views_hold_the_log(database_url, CONTEXTS.views)


def test_an_event_of_a_newer_version_ends_the_role(database_url, relaying):
    newer = NewEvent("order-1", "ordering.order_placed.v9", b"{}", b"{}")
    append_requests(database_url, [append_request("order-1", events=(newer,))])
    with projections(database_url, fails=True) as hosted:
        wait_until(lambda: bool(hosted.failures), what="the role's end")

    (failure,) = hosted.failures
    assert isinstance(failure, UnknownEventVersion)
