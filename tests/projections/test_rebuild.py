"""A build next to the live one: equal to it, resumable, promoted, rolled back and dropped."""

import threading

import pytest

from counterfoil.contexts import CONTEXTS
from event_store.consumers import parking
from event_store.consumers.parking import Failure
from event_store.log import reading
from projections import builds, rebuild, replay, verifying
from projections.errors import BuildRefused, DeclarationError, NoSuchBuild, NotCaughtUp
from projections.storing import BuildId, Table
from projections.view import View
from runtime import database
from tests.examples import placed, stock_reserved
from tests.projections.feeding import (
    append,
    assert_views_hold_the_log,
    feeding,
    fold_plainly,
    history,
    let_builds_stand_apart,
    publish,
    stored,
)

BY_NAME = {view.name: view for view in CONTEXTS.views}
ORDERS = BY_NAME["order_details"]
SALES = BY_NAME["sales_daily"]


@pytest.fixture
def projector(shop_url):
    with database.connect(shop_url, role="counterfoil_projector", name="test") as conn:
        yield conn


def rebuilt(url, view):
    """Fold a new build to the end; its name."""
    *_, last = rebuild.rebuild(url, view)
    return last.build


@pytest.fixture(scope="module")
def rebuilt_url(new_shop):
    """A log of which every view was rebuilt while events arrived: build 2 of each; no test changes it."""
    url = new_shop()
    events = history(3)
    append(url, events[:200])
    with feeding(url, CONTEXTS.views) as feeder:
        feeder.catch_up()
        assert {2} == {rebuilt(url, view).build for view in CONTEXTS.views}
        append(url, events[200:])
        feeder.catch_up()
    return url


@pytest.mark.parametrize("view", CONTEXTS.views, ids=lambda view: view.name)
def test_a_rebuild_while_events_arrive_ends_equal_to_the_live_build(rebuilt_url, view):
    compared = rebuild.compare_with_live(rebuilt_url, view, BuildId(view.name, view.shape, 2))

    with database.connect(rebuilt_url, role="counterfoil_projector", name="test") as conn:
        keys = len(stored(conn, view, build=2))
    assert compared.matches
    assert compared.digest == compared.expected_digest
    assert compared.keys == keys > 0
    assert_views_hold_the_log(rebuilt_url, [view], build=2)


def test_a_build_that_stands_behind_waits_for_the_log_before_it_takes_new_records(shop_url):
    events = history(3)
    append(shop_url, events[:150])
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.catch_up()
        append(shop_url, events[150:200])
        rebuilt(shop_url, ORDERS)
        for first in range(200, len(events), 10):
            append(shop_url, events[first : first + 10])
            feeder.round()
        feeder.catch_up()

    assert_views_hold_the_log(shop_url, [ORDERS], build=1)
    assert_views_hold_the_log(shop_url, [ORDERS], build=2)


def test_an_interrupted_rebuild_goes_on_where_it_was(shop_url, projector, monkeypatch):
    monkeypatch.setattr(rebuild, "EVENTS_PER_BATCH", 20)
    append(shop_url, history(4))
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.catch_up()
    killed = rebuild.rebuild(shop_url, ORDERS)
    first = [next(killed), next(killed)]
    killed.close()

    resumed = list(rebuild.rebuild(shop_url, ORDERS))

    assert {each.build for each in first + resumed} == {BuildId("order_details", 1, 2)}
    assert resumed[0].done > first[-1].done
    assert_views_hold_the_log(shop_url, [ORDERS], build=2)


def test_a_stopped_rebuild_keeps_what_it_did(shop_url, monkeypatch):
    monkeypatch.setattr(rebuild, "EVENTS_PER_BATCH", 20)
    append(shop_url, history(4))
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.catch_up()
    stop = threading.Event()
    for _ in rebuild.rebuild(shop_url, ORDERS, stop=stop):
        stop.set()

    resumed = list(rebuild.rebuild(shop_url, ORDERS))

    assert resumed[-1].done == resumed[-1].total
    assert_views_hold_the_log(shop_url, [ORDERS], build=2)


def test_two_rebuilds_of_one_build_do_not_both_write(shop_url, monkeypatch):
    monkeypatch.setattr(rebuild, "EVENTS_PER_BATCH", 20)
    append(shop_url, history(4))
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.catch_up()
    one, other = rebuild.rebuild(shop_url, ORDERS), rebuild.rebuild(shop_url, ORDERS)
    next(one)
    next(other)

    with pytest.raises(BuildRefused, match="another rebuild"):
        next(one)


def test_promotion_moves_the_pointer_and_roll_back_returns_it(shop_url, projector):
    append(shop_url, history(5))
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.catch_up()
        build = rebuilt(shop_url, ORDERS)
        feeder.catch_up()
        rebuild.promote(shop_url, ORDERS)
        promoted = builds.live(projector, "order_details")
        rows = projector.execute("select count(*) from views.order_details").fetchone()
        append(shop_url, history(6))
        feeder.catch_up()
        rebuild.rollback(shop_url, ORDERS)

    assert promoted == build
    assert rows == (len(stored(projector, ORDERS, build=2)),) or rows[0] > 0
    assert builds.live(projector, "order_details") == BuildId("order_details", 1, 1)
    assert_views_hold_the_log(shop_url, [ORDERS], build=1)
    assert_views_hold_the_log(shop_url, [ORDERS], build=2)


def test_a_build_that_stands_behind_is_not_promoted(shop_url):
    append(shop_url, history(5))
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.catch_up()
    rebuilt(shop_url, ORDERS)
    append(shop_url, history(6))
    with feeding(shop_url, [SALES]) as feeder:  # somebody feeds others only
        feeder.catch_up()
    with database.connect(shop_url, role="counterfoil_projector", name="test") as conn:
        let_builds_stand_apart(conn)
        conn.execute(
            "update views.build_checkpoint set position = position + 1 where view = 'order_details' and build = 1"
        )

    with pytest.raises(BuildRefused, match="wait for the workers"):
        rebuild.promote(shop_url, ORDERS)
    with pytest.raises(NotCaughtUp, match="projection worker"):
        list(rebuild.catch_up(shop_url, ORDERS, BuildId("order_details", 1, 2), timeout_s=0.2))


def test_a_build_still_folded_is_not_promoted(shop_url, monkeypatch):
    monkeypatch.setattr(rebuild, "EVENTS_PER_BATCH", 20)
    append(shop_url, history(5))
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.catch_up()
    killed = rebuild.rebuild(shop_url, ORDERS)
    next(killed)
    killed.close()

    with pytest.raises(BuildRefused, match="still being folded"):
        rebuild.promote(shop_url, ORDERS)


def test_a_view_has_two_builds_at_most(shop_url):
    with feeding(shop_url, CONTEXTS.views) as feeder:
        append(shop_url, history(5))
        feeder.catch_up()
        rebuilt(shop_url, ORDERS)

        with pytest.raises(BuildRefused, match="drop the one that is not live"):
            rebuilt(shop_url, ORDERS)


def test_a_dropped_build_leaves_nothing_and_the_worker_goes_on(shop_url, projector):
    with feeding(shop_url, CONTEXTS.views) as feeder:
        append(shop_url, history(5))
        feeder.catch_up()
        build = rebuilt(shop_url, ORDERS)
        feeder.catch_up()
        for each in (build, builds.live(projector, ORDERS.name)):
            parking.park(projector, each.scope, Failure("order-none", 1, "order-none", 1, "t", "a defect"))
        assert rebuild.drop(shop_url, ORDERS) == build
        append(shop_url, history(6))
        feeder.catch_up()

    assert projector.execute("select to_regclass('views.order_details_s1_b2')").fetchone() == (None,)
    assert [1] == [key.build for key in parking.shown(projector, ORDERS.name, "order-none")]
    assert_views_hold_the_log(shop_url, CONTEXTS.views)


def test_the_live_build_is_not_dropped(shop_url):
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.catch_up()

    with pytest.raises(BuildRefused, match="is live"):
        rebuild.drop(shop_url, ORDERS, BuildId("order_details", 1, 1))
    with pytest.raises(NoSuchBuild):
        rebuild.drop(shop_url, ORDERS)
    with pytest.raises(NoSuchBuild):
        rebuild.rollback(shop_url, ORDERS)


def test_a_verification_finds_every_view_equal_to_the_log(shop_url, projector):
    waiting = [
        ("order-waiting", placed(order_id="waiting")),
        ("stock-85123A", stock_reserved(order_id="waiting")),
    ]
    append(shop_url, [*history(7), *waiting])
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.catch_up()
    seen = []

    found = verifying.verify(
        projector, CONTEXTS.views, on_progress=lambda done, total: seen.append((done, total))
    )

    assert [(each.name, each.matches) for each in found] == [(view.name, True) for view in CONTEXTS.views]
    assert [] == [each.name for each in found if each.digest != each.expected_digest or each.keys == 0]
    assert seen[-1][0] == seen[-1][1]


def test_a_verification_reads_each_partition_up_to_its_checkpoint(shop_url, projector):
    append(shop_url, history(7))
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.catch_up()
    append(shop_url, history(8))

    assert [each.matches for each in verifying.verify(projector, CONTEXTS.views)] == [True] * len(
        CONTEXTS.views
    )


def test_rows_changed_behind_the_back_are_named_by_key_position_and_column(shop_url, projector):
    append(shop_url, history(7))
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.catch_up()
    rows = sorted(stored(projector, ORDERS))
    changed, removed = rows[0][0], rows[1][0]
    projector.execute("update views.order_details_s1_b1 set total = 1 where order_id = %s", [changed])
    projector.execute("delete from views.order_details_s1_b1 where order_id = %s", [removed])
    projector.execute(
        "insert into views.order_details_s1_b1 (order_id, status, country, currency, placed_at, total, units,"
        " lines, position) values ('invented', 'placed', 'x', 'GBP', now(), 1, 1, '[]', 5)"
    )

    (found,) = verifying.verify(projector, [ORDERS])

    expected = fold_plainly(ORDERS, list(reading.copy_log(projector)))
    assert not found.matches
    assert found.digest != found.expected_digest
    assert {(each.key, each.kind) for each in found.differences} == {
        (changed, "row-changed"),
        (removed, "row-missing"),
        ("invented", "row-unexpected"),
    }
    by_key = {each.key: each for each in found.differences}
    assert by_key[changed].position == expected[changed,].position
    assert "total is 1, not" in by_key[changed].message


def test_a_prefix_of_the_log_gives_the_row_as_it_was(shop_url, projector):
    append(shop_url, history(9))
    recorded = list(reading.copy_log(projector))
    for upto in (0, len(recorded) // 3, len(recorded)):
        expected = fold_plainly(ORDERS, recorded[:upto])
        for key in fold_plainly(ORDERS, recorded):
            row = replay.fold_prefix(projector, ORDERS, key, upto=upto)

            assert row == (expected[key].row if key in expected else None)


def test_folding_everything_keeps_most_rows_packed_and_equal(shop_url, projector, monkeypatch):
    monkeypatch.setattr(replay, "ROWS_UNPACKED_MAX", 2)
    monkeypatch.setattr(replay, "FACTS_PER_BATCH", 7)
    head = append(shop_url, history(10))
    targets = [replay.Target(view, frozenset()) for view in CONTEXTS.views]

    foldings = replay.fold_all(projector, targets, upto=head)

    recorded = list(reading.copy_log(projector))
    for folding in foldings:
        assert dict(folding.rows) == fold_plainly(folding.target.view, recorded)


def test_a_page_of_rows_includes_tombstones_and_goes_on_behind_the_last_key(shop_url, projector):
    append(shop_url, history(11))
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.catch_up()
        publish(shop_url)
    table = Table(SALES, BuildId("sales_daily", 1, 1))

    keys = [key for page in table.pages(projector, limit=3) for key, _ in page]

    assert len(keys) == len(set(keys)) >= len(stored(projector, SALES))


def test_a_new_shape_is_rebuilt_next_to_the_old_one_and_promoted(shop_url, projector):
    newer = View(
        name="sales_daily", row=SALES.row, key=SALES.key, shape=2, kind=SALES.kind, document=SALES.document
    )
    newer._folds.update(SALES.folds)
    append(shop_url, history(12))
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.catch_up()
    both = [*CONTEXTS.views, newer]
    with feeding(shop_url, both) as feeder:
        feeder.catch_up()
        before = [each.build for each in verifying.verify(projector, both)]
        build = rebuilt(shop_url, newer)
        append(shop_url, history(13))
        feeder.catch_up()
        rebuild.promote(shop_url, newer, build)
        after = [each.build for each in verifying.verify(projector, both)]

    assert build == BuildId("sales_daily", 2, 2)
    assert BuildId("sales_daily", 1, 1) in before
    assert build in after
    assert len(before) == len(after) == len(CONTEXTS.views)


def test_an_empty_shop_begins_with_the_newest_shape(database_url):
    newer = View(name="sales_daily", row=SALES.row, key=SALES.key, shape=2, kind=SALES.kind)
    with database.connect(database_url, role="counterfoil_projector", name="test") as conn:
        builds.ensure_builds(conn, [SALES, newer])

        assert builds.live(conn, "sales_daily") == BuildId("sales_daily", 2, 1)


def test_a_shape_is_declared_once(projector):
    with pytest.raises(DeclarationError, match="twice"):
        builds.ensure_builds(projector, [SALES, SALES])
