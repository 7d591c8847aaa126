"""The query API's hot reads stay on their indexes: their plans on builds of 20,000 rows, after `analyze`.

Every combination of filters, sort, direction and page that any declared list offers is composed and planned, so a list
that is declared is a list that is tested.
"""

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any, Final

import psycopg
import pytest
from msgspec import Struct
from msgspec.structs import replace
from psycopg import sql

from counterfoil.contexts import CONTEXTS
from projections import builds
from projections.columns import Column
from projections.storing import BuildId
from projections.view import View
from read_api.catalogue import CATEGORY_LISTINGS, CHANNEL_LISTINGS
from read_api.lists import statements
from read_api.lists.declaring import OWNER, Comparison, Filter, ListOf, Sort, by_member
from read_api.ordering import HISTORIES, ORDERS
from read_api.reading import rows, tables
from runtime import database
from tests.architecture.test_plans import plan

ROWS: Final = 20_000
LISTS: Final = [each for queries in CONTEXTS.queries.values() for each in queries.lists]

HOLDS: Final = by_member("hold", "holds", description="", example="stock")
HELD: Final = replace(HISTORIES.sorts[0], filters=("hold",))

MODULI: Final = (5, 7, 11, 13)
"""How many values the text columns of a table have, in turn; so that all combinations of values occur."""
LOW: Final = {"bigint": 1_234, "date": date(2020, 6, 1), "timestamptz": datetime(2020, 1, 3, tzinfo=UTC)}
HIGH: Final = {"bigint": 18_765, "date": date(2022, 6, 1), "timestamptz": datetime(2020, 1, 12, tzinfo=UTC)}
BETWEEN: Final = {
    "text": "value 3",
    "bigint": 9_876,
    "boolean": True,
    "date": date(2021, 1, 1),
    "timestamptz": datetime(2020, 1, 8, tzinfo=UTC),
}
GIVEN: Final = {
    Comparison.EQUAL: BETWEEN,
    Comparison.AT_LEAST: LOW,
    Comparison.AT_MOST: HIGH,
    Comparison.HAS: {"json": "value 3"},
}
FILLED: Final = {
    "bigint": "n",
    "boolean": "n % 3 = 0",
    "date": "'2020-01-01'::date + n / 20",
    "timestamptz": "'2020-01-01'::timestamptz + n * interval '1 minute'",
    "json": "json_build_array('value ' || n % 5)",
}

LEFT: Final = 200
"""Rows that are left where nearly all were removed."""
SKEWED: Final = sql.SQL("""
update {table} set customer_id = 'buyer ' || position % 1000,
    status = case when position % 20 = 0 then 'cancelled' else 'shipped' end
""")
"""Most orders are in one status, and of one buyer there are few."""


class Combination(Struct, frozen=True):
    """One thing that can be asked of a list."""

    listed: ListOf
    sort: Sort
    filters: tuple[Filter, ...]
    falling: bool
    after: bool

    def __str__(self) -> str:
        names = ", ".join(each.name for each in self.filters) or "everything"
        return f"{self.listed.path}: {names} by {'-' * self.falling}{self.sort.name}, after: {self.after}"


def combinations(listed: ListOf) -> Iterator[Combination]:
    for sort in listed.sorts:
        offered = [listed.by_name[name] for name in sort.filters]
        for count in range(len(offered) + 1):
            for filters in itertools.combinations(offered, count):
                for falling, after in itertools.product((False, True), repeat=2):
                    yield Combination(listed, sort, filters, falling, after)


@pytest.fixture(scope="module")
def filled(new_database: Callable[[], str]) -> Iterator[psycopg.Connection]:
    url = new_database()
    with database.connect(url, role="counterfoil_projector", name="test") as connection:
        builds.ensure_builds(connection, CONTEXTS.views)
        for view in {each.view.name: each.view for each in LISTS}.values():
            fill(connection, view)
        yield connection


def fill(connection: psycopg.Connection, view: View[Any]) -> None:
    moduli = itertools.cycle(MODULI)
    values = [filling(view, each, modulus=next(moduli)) for each in view.columns]
    connection.execute(
        sql.SQL("insert into {} ({}, position) select {}, n from generate_series(1, {}) n").format(
            table_of(view),
            sql.SQL(", ").join(sql.Identifier(each.name) for each in view.columns),
            sql.SQL(", ").join(sql.SQL(each) for each in values),
            ROWS,
        )
    )
    connection.execute(sql.SQL("analyze {}").format(table_of(view)))


def filling(view: View[Any], column: Column, *, modulus: int) -> Any:
    """What a column holds in row n; the columns of a key tell the rows apart."""
    only_texts = all(each.sql_type == "text" for each in view.key_columns)
    if column.name == view.key[-1] and only_texts:
        return "'key ' || n"
    if column.sql_type == "text" and only_texts:
        return f"'value ' || n % {modulus}"
    if column.sql_type == "text":
        return f"'value ' || n % {20 if column.name in view.key else modulus}"
    return FILLED[column.sql_type]


def table_of(view: View[Any]) -> sql.Identifier:
    return sql.Identifier("views", BuildId(view.name, view.shape, 1).table)


def described(connection: psycopg.Connection, view: View[Any]) -> tables.Table:
    build = BuildId(view.name, view.shape, 1)
    return tables.described(build, connection.execute(tables.COLUMNS, [tables.name_of(build)]))


def page(asked: Combination, table: tables.Table) -> sql.Composed:
    return statements.select_page(table, asked.filters, asked.sort, falling=asked.falling, after=asked.after)


def values(asked: Combination) -> dict[str, Any]:
    columns = {each.name: each.sql_type for each in asked.listed.view.columns}
    place = [BETWEEN[columns[name]] for name in asked.sort.columns]
    return {
        **{each.name: GIVEN[each.comparison][columns[each.column]] for each in asked.filters},
        **statements.place(statements.AFTER, asked.sort, place),
        "limit": 21,
    }


def nodes(node: dict[str, Any], parent: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield parent, node
    for child in node.get("Plans", ()):
        yield from nodes(child, node["Node Type"])


def plan_of(
    connection: psycopg.Connection, statement: sql.Composed, given: dict[str, Any]
) -> list[tuple[str, dict[str, Any]]]:
    (found,) = connection.execute(sql.SQL("explain (format json) ") + statement, given).fetchone() or ()
    return list(nodes(found[0]["Plan"]))


def faults(connection: psycopg.Connection, asked: Combination, table: tables.Table) -> Iterator[str]:
    """What keeps a page from being read from one index in order, or from the few rows that one value has."""
    few, members = {each.column for each in asked.filters if each.few}, members_of(asked)
    found = [node for _, node in plan_of(connection, page(asked, table), values(asked))]
    kinds = {node["Node Type"] for node in found}
    if "Seq Scan" in kinds or ("Sort" in kinds and not (few or members)):
        yield f"{asked}: {kinds}"
    if missing := sorted(members - members_indexed(connection, table)):
        yield f"{asked}: no index of the members of {missing}"
    equal = few or {each.column for each in asked.filters if each.comparison is Comparison.EQUAL}
    wanted = [(columns[: len(equal)], columns[len(equal) :]) for columns in indexes(connection, table)]
    if not any(set(first) == equal and rest == rest_of(asked.sort, equal) for first, rest in wanted):
        yield f"{asked}: no index of {sorted(equal)} in this order"


def members_of(asked: Combination) -> set[str]:
    """The columns among whose members one is sought. Postgres knows how many rows have it, and chooses by that."""
    return {each.column for each in asked.filters if each.comparison is Comparison.HAS}


def members_indexed(connection: psycopg.Connection, table: tables.Table) -> set[str]:
    """The columns that have an index of their members."""
    found = connection.execute(
        "select substring(pg_get_indexdef(indexrelid) from 'USING gin \\(\\(\\((\\w+)\\)::jsonb\\)\\)')"
        " from pg_index where indrelid = %s::regclass",
        [table.name],
    )
    return {column for (column,) in found if column is not None}


def rest_of(sort: Sort, equal: set[str]) -> tuple[str, ...]:
    return tuple(name for name in sort.columns if name not in equal)


def indexes(connection: psycopg.Connection, table: tables.Table) -> list[tuple[str, ...]]:
    """The columns of each index of a table."""
    found = connection.execute(
        "select array_agg(a.attname::text order by k.n) from pg_index i"
        " cross join unnest(i.indkey) with ordinality k (attnum, n)"
        " join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum"
        " where i.indrelid = %s::regclass group by i.indexrelid",
        [table.name],
    )
    return [tuple(columns) for (columns,) in found]


@pytest.mark.parametrize("listed", LISTS, ids=lambda each: each.path)
def test_a_page_reads_one_index_in_order_whatever_is_asked(listed: ListOf, filled: psycopg.Connection):
    table = described(filled, listed.view)

    found = [fault for asked in combinations(listed) for fault in faults(filled, asked, table)]

    assert [] == found


@pytest.mark.parametrize(
    ("listed", "planted", "reason"),
    [
        (ORDERS, {"sorts": (replace(ORDERS.sorts[0], columns=("total", "order_id")),)}, "Sort"),
        (ORDERS, {"filters": tuple(replace(each, few=False) for each in ORDERS.filters)}, "no index of"),
        (HISTORIES, {"filters": (HOLDS,), "sorts": (HELD,)}, "no index of the members of"),
    ],
)
def test_what_no_index_holds_is_noticed(
    listed: ListOf, planted: Any, reason: str, filled: psycopg.Connection
):
    listed = replace(listed, **planted)
    table = described(filled, listed.view)

    found = [fault for asked in combinations(listed) for fault in faults(filled, asked, table)]

    assert any(reason in fault for fault in found)


@pytest.mark.parametrize("listed", [each for each in LISTS if each.folds_back], ids=lambda each: each.path)
def test_a_page_with_rows_folded_back_reads_its_index_in_order_too(
    listed: ListOf, filled: psycopg.Connection
):
    table = described(filled, listed.view)
    for asked in combinations(listed):
        statement = statements.select_folded_back(
            table, asked.filters, asked.sort, key=listed.view.key[0], falling=asked.falling, after=asked.after
        )
        given = {**values(asked), "changed": ["key 7"], "rows": "[]"}

        found = plan_of(filled, statement, given)

        parents = {parent for parent, node in found if node.get("Relation Name") == table.build.table}
        sought = members_of(asked) or any(each.few for each in asked.filters)
        assert parents == {"Limit"} or sought, f"{asked}: {parents}"
        assert "Seq Scan" not in {node["Node Type"] for _, node in found}, str(asked)


@pytest.mark.parametrize("listed", [CHANNEL_LISTINGS, CATEGORY_LISTINGS], ids=lambda each: each.path)
def test_a_page_passes_through_no_rows_that_were_removed(listed: ListOf, filled: psycopg.Connection):
    table = described(filled, listed.view)
    with filled.transaction(force_rollback=True):
        bury(filled, listed.view)
        found = {str(asked): removed(filled, asked, table) for asked in combinations(listed)}

    assert max(found.values()) <= LEFT, found


def bury(connection: psycopg.Connection, view: View[Any]) -> None:
    """Make tombstones of all rows but `LEFT`."""
    emptied = [
        sql.SQL("{} = null, ").format(sql.Identifier(each.name))
        for each in view.columns
        if each.name not in view.key
    ]
    connection.execute(
        sql.SQL("update {} set {}deleted = true where position > {}").format(
            table_of(view), sql.SQL("").join(emptied), LEFT
        )
    )
    connection.execute(sql.SQL("analyze {}").format(table_of(view)))


def removed(connection: psycopg.Connection, asked: Combination, table: tables.Table) -> float:
    """How many rows a page reads and leaves out."""
    explained = sql.SQL("explain (analyze, format json) ") + page(asked, table)
    (found,) = connection.execute(explained, values(asked)).fetchone() or ()
    return sum(node.get("Rows Removed by Filter", 0) for _, node in nodes(found[0]["Plan"]))


def test_behind_a_place_the_orders_of_a_buyer_are_not_sought_among_all_of_their_status(
    filled: psycopg.Connection,
):
    table, sort = described(filled, HISTORIES.view), HISTORIES.sorts[1]
    narrowed = [HISTORIES.own, HISTORIES.by_name["status"]]
    place = statements.place(statements.AFTER, sort, ["shipped", BETWEEN["timestamptz"], "key 9000"])
    with filled.transaction(force_rollback=True):
        filled.execute(SKEWED.format(table=table_of(HISTORIES.view)))
        filled.execute(sql.SQL("analyze {}").format(table_of(HISTORIES.view)))
        for falling in (False, True):
            statement = statements.select_page(table, narrowed, sort, falling=falling, after=True)
            found = plan_of(filled, statement, {OWNER: "buyer 7", "status": "shipped", "limit": 21, **place})

            used = {node["Index Name"] for _, node in found if "Index Name" in node}
            assert {"order_history_s1_b1_customer_id_placed_at_order_id_idx"} == used


def test_reading_by_key_uses_the_key(filled: psycopg.Connection):
    (view,) = [view for view in CONTEXTS.views if view.name == "stock_level"]
    statement: Any = rows._by_key(described(filled, view), key=view.key[0]).as_string(filled)

    used, scanned = plan(filled, statement, {"keys": ["key 7", "key 8"], "partition_keys": ["stock-key 7"]})

    assert "stock_level_s1_b1_pkey" in used
    assert "stock_level_s1_b1" not in scanned
