"""Verification in passes over parts of the rows: as exact as in one, in bounded memory, without a long snapshot."""

from datetime import UTC, date, datetime
from itertools import starmap

import psycopg
import pytest
from psycopg import sql

from counterfoil.contexts import CONTEXTS
from event_store.log import reading
from projections import buckets, replay, storing, verifying
from projections.buckets import Bucket
from projections.columns import Column
from projections.storing import BuildId, Table
from runtime import database
from tests.projections.feeding import append, feeding, history, publish

BY_NAME = {view.name: view for view in CONTEXTS.views}
ORDERS = BY_NAME["order_details"]

KEYS = [
    ("", 0, False, date(1, 1, 1), datetime(1970, 1, 1, tzinfo=UTC)),
    (
        "Zürich · 東京 \x1f",
        -(2**63),
        True,
        date(999, 12, 31),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ),
    ("a'b%s", 2**63 - 1, False, date(9999, 12, 31), datetime(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC)),
]
COLUMNS = tuple(
    starmap(
        Column,
        [
            ("t", "text", False, None),
            ("i", "bigint", False, None),
            ("b", "boolean", False, None),
            ("d", "date", False, None),
            ("z", "timestamptz", False, None),
        ],
    )
)


@pytest.fixture
def projector(shop_url):
    with database.connect(shop_url, role="counterfoil_projector", name="test") as conn:
        yield conn


@pytest.fixture
def shop(shop_url):
    """A shop with some history, all of it in the views."""
    append(shop_url, history(21))
    with feeding(shop_url, CONTEXTS.views) as feeder:
        feeder.catch_up()
        publish(shop_url)
        yield feeder


@pytest.fixture(scope="module")
def untouched(new_shop):
    """A projector's connection to a shop as above that no test changes."""
    url = new_shop()
    append(url, history(21))
    with feeding(url, CONTEXTS.views) as feeder:
        feeder.catch_up()
    publish(url)
    with database.connect(url, role="counterfoil_projector", name="test") as conn:
        yield conn


@pytest.fixture
def small_passes(monkeypatch):
    monkeypatch.setattr(verifying, "ROWS_PER_PASS_MAX", 12)
    monkeypatch.setattr(verifying, "FOLDED_ROWS_MAX", 30)
    monkeypatch.setattr(reading, "POSITIONS_PER_SHORT_SEGMENT", 11)
    monkeypatch.setattr(replay, "FACTS_PER_BATCH", 3)


@pytest.fixture
def few_passes(monkeypatch):
    """Several, each of several segments and batches: for all views at once, since each folds all of the log again."""
    monkeypatch.setattr(verifying, "ROWS_PER_PASS_MAX", 90)
    monkeypatch.setattr(verifying, "FOLDED_ROWS_MAX", 600)
    monkeypatch.setattr(reading, "POSITIONS_PER_SHORT_SEGMENT", 29)
    monkeypatch.setattr(replay, "FACTS_PER_BATCH", 17)


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_in_the_same_bucket_here_and_in_postgres(untouched, key):
    condition = buckets.condition(COLUMNS, alias="k")
    statement = sql.SQL(
        "select {} from (values (%s::text, %s::bigint, %s::boolean, %s::date, %s::timestamptz)) as k (t, i, b, d, z)"
    ).format(condition)
    found = [
        number for number in range(7) if untouched.execute(statement, [7, number, *key]).fetchone() == (True,)
    ]

    assert [number for number in range(7) if Bucket(number, 7).holds(key)] == found
    assert 1 == len(found)


@pytest.mark.parametrize("view", CONTEXTS.views, ids=lambda view: view.name)
def test_the_buckets_of_a_view_are_all_its_rows_each_once(untouched, view):
    table = Table(view, BuildId(view.name, view.shape, 1))
    with untouched.transaction():
        parts = [dict(table.bucket(untouched, Bucket(number, 4))) for number in range(4)]
    whole = {key: row for page in table.pages(untouched) for key, row in page if row.row is not None}

    assert whole == {key: row for part in parts for key, row in part.items()}
    assert len(whole) == sum(map(len, parts)) == table.count(untouched) > 0


def test_many_passes_come_to_what_one_comes_to(untouched, few_passes, monkeypatch):
    in_many = verifying.verify(untouched, CONTEXTS.views)
    monkeypatch.setattr(verifying, "ROWS_PER_PASS_MAX", 10**6)
    monkeypatch.setattr(verifying, "FOLDED_ROWS_MAX", 10**6)

    assert verifying.verify(untouched, CONTEXTS.views) == in_many
    assert all(each.matches and each.digest == each.expected_digest for each in in_many)


@pytest.mark.usefixtures("shop", "small_passes")
def test_damage_in_whichever_part_is_found_and_rows_that_are_gone_need_more_passes(projector):
    keys = sorted(key for (key,) in projector.execute("select order_id from views.order_details_s1_b1"))
    changed, removed = keys[0], keys[1:]
    projector.execute("update views.order_details_s1_b1 set total = 1 where order_id = %s", [changed])
    projector.execute("delete from views.order_details_s1_b1 where order_id = any(%s)", [removed])
    (found,) = verifying.verify(projector, [ORDERS])

    assert len(keys) > verifying.FOLDED_ROWS_MAX
    assert {(changed, "row-changed"), *((key, "row-missing") for key in removed)} == {
        (each.key, each.kind) for each in found.differences
    }
    assert (1, len(keys)) == (found.keys, found.differing)


def test_a_fold_that_comes_to_more_rows_than_it_may_says_so(untouched):
    with pytest.raises(replay.TooManyRows):
        replay.fold_all(
            untouched, [replay.Target(ORDERS, frozenset())], upto=reading.head(untouched).position, rows_max=3
        )


@pytest.mark.usefixtures("few_passes")
def test_a_verification_is_exact_while_workers_write_and_holds_no_snapshot_for_long(
    shop, shop_url, projector, monkeypatch
):
    later = iter(history(22)[:10])
    begun = set()
    with psycopg.connect(shop_url, autocommit=True) as admin:

        def trade(_done, _total):
            if (event := next(later, None)) is not None:
                append(shop_url, [event])
                shop.catch_up()
            begun.add(
                admin.execute(
                    "select xact_start from pg_stat_activity where pid = %s", [projector.info.backend_pid]
                ).fetchone()
            )

        found = verifying.verify(projector, CONTEXTS.views, on_progress=trade)

    assert all(each.matches for each in found)
    assert len(begun) > len(CONTEXTS.views)


def test_a_verification_is_exact_also_where_the_views_move_on_between_two_pages_of_its_rows(
    shop, shop_url, projector, monkeypatch
):
    """Rows come, change and go on either side of the page that is read next."""
    for module in (verifying, storing):
        monkeypatch.setattr(module, "ROWS_PER_PAGE", 1)
    later = iter(history(22)[:30])
    moved = []

    def trade(done, _total):
        if (
            done == 0 and (event := next(later, None)) is not None
        ):  # the log is not folded yet: a page of rows
            append(shop_url, [event])
            shop.catch_up()
            moved.append(event)

    found = verifying.verify(projector, CONTEXTS.views, on_progress=trade)

    assert [] == [each.differences for each in found if not each.matches]
    assert 30 == len(moved)


@pytest.mark.usefixtures("shop")
def test_progress_is_reported_after_each_page_of_rows_so_that_an_audit_can_pause_there(
    projector, monkeypatch
):
    def calls():
        reported = []
        found = verifying.verify(projector, [ORDERS], on_progress=lambda *reached: reported.append(reached))
        return len(reported), found[0].keys

    in_one_page, keys = calls()
    monkeypatch.setattr(verifying, "ROWS_PER_PAGE", 1)

    assert calls() == (in_one_page + keys, keys)
