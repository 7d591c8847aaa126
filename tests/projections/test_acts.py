"""Operators' acts: each is carried out once, in the order of the log, whatever is killed, and a row tells of it."""

import contextlib
import threading

import pytest
from prometheus_client import CollectorRegistry

from counterfoil.contexts import CONTEXTS
from event_store.consumers import checkpoints, parking, pausing
from event_store.consumers.driver import ConsumerSession
from event_store.consumers.lease import Lease, new_owner
from event_store.consumers.metrics import ConsumerMetrics
from event_store.consumers.news import News
from event_store.consumers.parking import Failure, Scope
from projections import acts, builds, rebuild, worker
from projections.acts import Acts
from projections.performing import SESSION
from projections.storing import BuildId
from runtime import database
from tests.examples import (
    drop_requested,
    event_skipped,
    pause_requested,
    placed,
    promotion_requested,
    rebuild_requested,
    resume_requested,
    retry_requested,
    rollback_requested,
)
from tests.projections.feeding import (
    append,
    assert_views_hold_the_log,
    feeding,
    history,
    let_builds_stand_apart,
    publish,
)

ORDERS = next(view for view in CONTEXTS.views if view.name == "order_details")
KEY = "order-1"
ROUNDS_MAX = 200


@pytest.fixture
def conn(shop_url):
    with database.connect(shop_url, role="counterfoil_projector", name="test") as conn:
        yield conn


@contextlib.contextmanager
def at_work(url):
    """What the driver would open, until it is killed or the block ends."""
    with database.connect(url, role="counterfoil_projector", name="test acts", settings=SESSION) as conn:
        lease = Lease(conn, name=acts.LEASE, owner=new_owner())
        assert lease.hold()
        metrics = ConsumerMetrics(CollectorRegistry())
        session = ConsumerSession(conn, lease, threading.Event(), News(), metrics, url)
        step = Acts(session, CONTEXTS.views, documents=None)
        try:
            yield step
        finally:
            step.close()
            lease.give_back()


def carry_out(url):
    """Rounds until there is nothing to do at once."""
    with at_work(url) as step:
        for _ in range(ROUNDS_MAX):
            if not step.round():
                return
    raise AssertionError(f"there is still something to do after {ROUNDS_MAX} rounds")


def act(url, event):
    """Have an act in the log; its position."""
    subject = getattr(event, "view", None) or event.consumer
    return append(url, [(f"acts-{subject}", event)])


def came(conn, position):
    found = conn.execute("select state, outcome from consumers.act where position = %s", [position])
    return found.fetchone()


def builds_of_orders(conn):
    return sum(each.id.view == ORDERS.name for each in builds.listed(conn))


def live(conn):
    return builds.live(conn, ORDERS.name).build


def test_a_view_is_rebuilt_promoted_rolled_back_and_its_other_build_dropped(shop_url, conn):
    append(shop_url, history(3))
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.catch_up()
        rebuilt = act(shop_url, rebuild_requested())
        carry_out(shop_url)
        publish(shop_url)
        feeder.catch_up()
        assert_views_hold_the_log(shop_url, [ORDERS], build=2)
        promoted = act(shop_url, promotion_requested())
        carry_out(shop_url)
        after_promotion = live(conn)
        publish(shop_url)
        feeder.catch_up()
        back = act(shop_url, rollback_requested())
        carry_out(shop_url)
        after_rollback = live(conn)
        dropped = act(shop_url, drop_requested(build=2))
        carry_out(shop_url)

    assert ("done", "order_details_s1_b2 is where the live build is") == came(conn, rebuilt)
    assert (("done", "order_details_s1_b2 answers"), 2) == (came(conn, promoted), after_promotion)
    assert (("done", "order_details_s1_b1 answers"), 1) == (came(conn, back), after_rollback)
    assert ("done", "order_details_s1_b2 is gone") == came(conn, dropped)
    assert [BuildId(ORDERS.name, 1, 1)] == [
        each.id for each in builds.listed(conn) if each.id.view == ORDERS.name
    ]


def test_a_view_that_is_paused_is_fed_again_when_it_is_resumed(shop_url, conn, monkeypatch):
    monkeypatch.setattr(worker, "CHECK_EVERY_S", 0.0)
    append(shop_url, history(2))
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.catch_up()
        paused = act(shop_url, pause_requested(consumer=ORDERS.name))
        carry_out(shop_url)
        (build,) = [each for each in builds.listed(conn) if each.id.view == ORDERS.name]
        names = pausing.names(conn)
        feeder.catch_up()
        append(shop_url, [("order-late", placed(order_id="late"))])
        publish(shop_url)
        feeder.catch_up()
        meanwhile = rows_of_late(conn)
        resumed = act(shop_url, resume_requested(consumer=ORDERS.name))
        carry_out(shop_url)
        publish(shop_url)
        feeder.catch_up()

    assert ("done", "order_details is paused") == came(conn, paused)
    assert (acts.PAUSED, {ORDERS.name}) == (build.stopped, names)
    assert ("done", "order_details goes on") == came(conn, resumed)
    assert (0, 1) == (meanwhile, rows_of_late(conn))
    assert_views_hold_the_log(shop_url, [ORDERS])


def rows_of_late(conn):
    return len(conn.execute("select from views.order_details where order_id = 'late'").fetchall())


def test_a_build_that_stopped_for_another_reason_is_not_let_go_on_by_the_end_of_a_pause(shop_url, conn):
    builds.set_stopped(conn, BuildId(ORDERS.name, 1, 1), "a contradiction")
    for event in (pause_requested(consumer=ORDERS.name), resume_requested(consumer=ORDERS.name)):
        act(shop_url, event)
    carry_out(shop_url)

    assert "a contradiction" == builds.found(conn, BuildId(ORDERS.name, 1, 1)).stopped


@contextlib.contextmanager
def a_build_behind_the_live_one(url, conn):
    """Two builds, of which the live one is a position further until the block ends."""
    move = "update views.build_checkpoint set position = position + %s where view = %s and build = 1"
    append(url, history(3))
    with feeding(url, CONTEXTS.views) as feeder:
        feeder.catch_up()
        act(url, rebuild_requested())
        carry_out(url)
        publish(url)
        feeder.catch_up()
    let_builds_stand_apart(conn)
    conn.execute(move, [1, ORDERS.name])
    yield
    conn.execute(move, [-1, ORDERS.name])


def test_a_promotion_waits_until_the_workers_have_brought_its_build_to_where_the_live_one_is(shop_url, conn):
    with a_build_behind_the_live_one(shop_url, conn):
        promoted = act(shop_url, promotion_requested())
        carry_out(shop_url)
        state, outcome = came(conn, promoted)
        while_behind = live(conn)
    carry_out(shop_url)

    assert ("running", 1) == (state, while_behind)
    assert "waits until the workers have brought order_details_s1_b2 from" in outcome
    assert ("done", "order_details_s1_b2 answers") == came(conn, promoted)
    assert 2 == live(conn)


def test_a_promotion_that_waited_too_long_has_failed_and_names_the_remedy(shop_url, conn, monkeypatch):
    monkeypatch.setattr(acts, "PROMOTION_WAIT_S", 0.0)
    with a_build_behind_the_live_one(shop_url, conn):
        promoted = act(shop_url, promotion_requested())
        carry_out(shop_url)
    carry_out(shop_url)
    state, outcome = came(conn, promoted)

    assert ("failed", 1) == (state, live(conn))
    assert outcome.endswith(f"were not enough: {acts.REMEDY}")


def test_an_act_that_cannot_be_carried_out_says_why_and_holds_up_no_other(shop_url, conn):
    live_one = act(shop_url, drop_requested(build=1))
    none = act(shop_url, promotion_requested(build=9))
    unknown = act(shop_url, rebuild_requested(view="nobody_knows"))
    good = act(shop_url, rebuild_requested())
    carry_out(shop_url)

    assert ("failed", "order_details_s1_b1 is live: promote another build first") == came(conn, live_one)
    assert ("failed", "there is no build order_details_s1_b9") == came(conn, none)
    assert ("failed", "no context declares the view nobody_knows") == came(conn, unknown)
    assert "failed" != came(conn, good)[0]


def test_a_worker_that_is_killed_before_its_commit_did_nothing_and_the_next_does_it_once(
    shop_url, conn, monkeypatch
):
    position = act(shop_url, rebuild_requested())

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, at_work(shop_url) as step:
        patch.setattr(checkpoints, "move", killed)
        with pytest.raises(KeyboardInterrupt):
            step.round()
    nothing = came(conn, position), builds_of_orders(conn)
    carry_out(shop_url)
    carry_out(shop_url)

    assert (None, 1) == nothing
    assert ["done", 2] == [came(conn, position)[0], builds_of_orders(conn)]


def test_an_act_whose_row_is_there_is_not_carried_out_again(shop_url, conn):
    act(shop_url, rebuild_requested())
    carry_out(shop_url)
    rebuild.drop(shop_url, ORDERS)
    conn.execute("update consumers.checkpoint set position = 0, leaf = null where consumer = 'acts'")
    carry_out(shop_url)

    assert 1 == builds_of_orders(conn)


def test_a_rebuild_that_is_killed_goes_on_where_it_was(shop_url, conn, monkeypatch):
    monkeypatch.setattr(rebuild, "EVENTS_PER_BATCH", 20)
    append(shop_url, history(4))
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.catch_up()
        position = act(shop_url, rebuild_requested())
        with at_work(shop_url) as step:
            for _ in range(3):
                step.round()
        (before,) = [each.folded_to for each in builds.listed(conn) if each.state == "folding"]
        carry_out(shop_url)
        publish(shop_url)
        feeder.catch_up()
        carry_out(shop_url)

    assert before > 0
    assert "done" == came(conn, position)[0]
    assert_views_hold_the_log(shop_url, [ORDERS], build=2)


def test_a_rebuild_does_not_keep_other_acts_waiting(shop_url, conn, monkeypatch):
    monkeypatch.setattr(rebuild, "EVENTS_PER_BATCH", 20)
    append(shop_url, history(4))
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.catch_up()
    act(shop_url, rebuild_requested())
    with at_work(shop_url) as step:
        step.round()
        dropped = act(shop_url, drop_requested(build=2))
        rebuilding = len(builds.listed(conn))
        step.round()
        step.round()

    assert "done" == came(conn, dropped)[0]
    assert rebuilding - 1 == len(builds.listed(conn))
    assert [("failed", "there is no build order_details_s1_b2")] == conn.execute(
        "select state, outcome from consumers.act where kind = 'rebuild'"
    ).fetchall()


def parked(conn, *, position):
    failure = Failure(KEY, position, KEY, version=1, type="t", reason="a defect")
    parking.park(conn, Scope(ORDERS.name, 1, 1), failure)


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_retry_is_one_request_and_came_to_what_the_key_came_to(shop_url, conn, goes_on):
    append(shop_url, [(KEY, placed(order_id="1"))])
    parked(conn, position=1)
    position = act(shop_url, retry_requested(partition_key=KEY, position=1))
    for _ in range(2):
        carry_out(shop_url)
    (request,) = parking.pending(conn, [ORDERS.name])
    running = came(conn, position)
    if goes_on:
        parking.unpark(conn, Scope(ORDERS.name, 1, 1), KEY)
    parking.close(conn, request.request, outcome="what its owner says")
    carry_out(shop_url)

    assert ("retry", KEY, 1, "operator:jo", "the fold is repaired") == (
        *(request.kind, request.partition_key, request.position),
        *(request.actor, request.note),
    )
    assert ("running", "") == running
    assert ("done" if goes_on else "failed", "what its owner says") == came(conn, position)


def test_a_skip_asks_for_the_event_that_it_names_alone(shop_url, conn):
    append(shop_url, [(KEY, placed(order_id="1"))])
    parked(conn, position=1)
    other = act(shop_url, event_skipped(partition_key=KEY, position=17))
    same = act(shop_url, event_skipped(partition_key=KEY, position=1))
    carry_out(shop_url)

    assert [("skip", 1)] == [(each.kind, each.position) for each in parking.pending(conn, [ORDERS.name])]
    assert ("done", "nothing to do: the key is not parked") == came(conn, other)
    assert ("running", "") == came(conn, same)


def test_the_checkpoint_follows_a_log_without_acts_so_that_nothing_seems_to_lag(shop_url, conn, monkeypatch):
    monkeypatch.setattr(acts, "SAVED_AFTER_S", 0.0)
    head = append(shop_url, [("order-1", placed(order_id="1"))])

    carry_out(shop_url)

    (saved,) = conn.execute("select position from consumers.checkpoint where consumer = 'acts'").fetchone()
    assert head == saved


def test_the_checkpoint_is_not_moved_for_a_few_events_at_once(shop_url, conn):
    append(shop_url, [("order-1", placed(order_id="1"))])

    carry_out(shop_url)

    (saved,) = conn.execute("select position from consumers.checkpoint where consumer = 'acts'").fetchone()
    assert saved == 0
