"""Rows in Postgres: every type there and back, tombstones, indexes of a view, and plans that stay on the key."""

import json
from datetime import UTC, date, datetime
from typing import Literal

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counterfoil.contexts import CONTEXTS
from projections.folding import Versioned
from projections.storing import BuildId, Table, index_statements
from projections.view import Row, View
from runtime import database
from tests.examples import NOW

ROWS_FOR_PLANS = 20_000


class Part(msgspec.Struct, frozen=True):
    name: str
    size: int | None


class Sample(Row, frozen=True, kw_only=True):
    code: str
    day: date
    count: int
    open: bool
    kind: Literal["big", "small"]
    at: datetime
    note: str | None
    until: datetime | None
    parts: tuple[Part, ...]
    tags: dict[str, int] | None


SAMPLES = View(name="samples", row=Sample, key=("code", "day"), shape=1)

texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
moments = st.datetimes(datetime(1901, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
bigints = st.integers(-(2**63), 2**63 - 1)
samples = st.builds(
    Sample,
    code=texts,
    day=st.dates(date(1900, 1, 1), date(2100, 1, 1)),
    count=bigints,
    open=st.booleans(),
    kind=st.sampled_from(["big", "small"]),
    at=moments,
    note=st.none() | texts,
    until=st.none() | moments,
    parts=st.lists(st.builds(Part, name=texts, size=st.none() | st.integers(0, 10)), max_size=3).map(tuple),
    tags=st.none() | st.dictionaries(texts, st.integers(0, 9), max_size=2),
)


@pytest.fixture
def conn(database_url):
    with database.connect(database_url, role="counterfoil_projector", name="test") as conn:
        yield conn


@pytest.fixture
def table(conn):
    table = Table(SAMPLES, BuildId("samples", 1, 1))
    table.create(conn)
    return table


def sample(code="a", **changes):
    row = Sample(
        code=code,
        day=date(2011, 1, 2),
        count=1,
        open=True,
        kind="big",
        at=NOW,
        note=None,
        until=None,
        parts=(),
        tags=None,
    )
    return msgspec.structs.replace(row, **changes)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rows=st.lists(samples, max_size=6), position=st.integers(1, 2**62))
def test_rows_of_every_type_are_read_back_as_they_were_written(conn, table, rows, position):
    given_rows = {SAMPLES.key_of(row): Versioned(row, position) for row in rows}

    table.write(conn, given_rows)

    assert table.load(conn, given_rows) == given_rows


def test_a_row_is_replaced_whole(conn, table):
    key = SAMPLES.key_of(sample())
    table.write(conn, {key: Versioned(sample(note="x", parts=(Part("p", 1),)), 1)})
    table.write(conn, {key: Versioned(sample(count=2), 5)})

    assert table.load(conn, [key]) == {key: Versioned(sample(count=2), 5)}


def test_a_row_that_is_gone_leaves_a_tombstone_and_may_come_back(conn, table):
    key = SAMPLES.key_of(sample())
    table.write(conn, {key: Versioned(sample(), 1)})
    table.write(conn, {key: Versioned(None, 2)})
    gone = table.load(conn, [key])
    table.write(conn, {key: Versioned(sample(), 3)})

    assert gone == {key: Versioned(None, 2)}
    assert table.load(conn, [key]) == {key: Versioned(sample(), 3)}


def test_keys_that_were_never_stored_are_absent(conn, table):
    assert table.load(conn, [("nobody", date(2011, 1, 1))]) == {}


def test_more_rows_than_one_statement_takes(conn, table, monkeypatch):
    monkeypatch.setattr("projections.storing.ROWS_PER_STATEMENT_MAX", 3)
    rows = {SAMPLES.key_of(row): Versioned(row, 1) for row in (sample(str(number)) for number in range(10))}
    rows["10", date(2011, 1, 2)] = Versioned(None, 1)

    table.write(conn, rows)

    assert table.load(conn, rows) == rows


def test_a_row_without_a_value_it_needs_is_refused(conn, table):
    with pytest.raises(psycopg.errors.CheckViolation):
        conn.execute("insert into views.samples_s1_b1 (code, day, position) values ('a', '2011-01-01', 1)")


def test_readers_may_read_and_not_write(conn, table, database_url):
    with database.connect(database_url, role="counterfoil_reader", name="test") as reader:
        assert reader.execute("select count(*) from views.samples_s1_b1").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("delete from views.samples_s1_b1")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("update views.live set build = 2")


def test_a_view_gets_the_indexes_of_its_section(conn):
    (summary,) = [view for view in CONTEXTS.views if view.name == "order_summary"]
    Table(summary, BuildId("order_summary", 1, 7)).create(conn)
    indexes = conn.execute(
        "select indexdef from pg_indexes where tablename = 'order_summary_s1_b7' order by indexname"
    ).fetchall()

    assert len(indexes) == 1 + len(index_statements(summary, BuildId("order_summary", 1, 7))) > 1
    assert index_statements(SAMPLES, BuildId("samples", 1, 1)) == []


@pytest.mark.parametrize("keys", [1, 500, 5_000])
def test_rows_of_a_batch_are_found_by_their_key(conn, table, keys):
    conn.execute(
        "insert into views.samples_s1_b1 (code, day, count, open, kind, at, parts, position)"
        " select 'c' || n, '2011-01-02', n, true, 'big', now(), '[]', n from generate_series(1, %s) n",
        [ROWS_FOR_PLANS],
    )
    conn.execute("analyze views.samples_s1_b1")
    arrays = [[f"c{number}" for number in range(keys)], [date(2011, 1, 2)] * keys]

    for mode in ("force_custom_plan", "force_generic_plan"):
        conn.execute(f"set plan_cache_mode = {mode}")
        (plan,) = conn.execute(b"explain (format json) " + table._texts.load, arrays).fetchone() or ("",)

        assert "samples_s1_b1_pkey" in json.dumps(plan), mode


def test_pages_follow_the_key(conn, table):
    conn.execute(
        "insert into views.samples_s1_b1 (code, day, count, open, kind, at, parts, position)"
        " select 'c' || n, '2011-01-02', n, true, 'big', now(), '[]', n from generate_series(1, %s) n",
        [ROWS_FOR_PLANS],
    )
    conn.execute("analyze views.samples_s1_b1")
    (plan,) = conn.execute(
        b"explain (format json) " + table._texts.next_page, ["c5", date(2011, 1, 2), 100]
    ).fetchone() or ("",)

    shown = json.dumps(plan)
    assert "samples_s1_b1_pkey" in shown
    assert "Sort" not in shown
