"""The SQL of lists, composed of declarations and of what the catalogue says of a build's table; never of input."""

from collections.abc import Iterable, Sequence
from typing import Final

from psycopg import sql

from read_api.lists.declaring import Comparison, Filter, Sort
from read_api.reading.tables import Table

AFTER: Final = "after_"
LAST: Final = "last_"
"""What the parameters of a row's place begin with."""

_PAGE: Final = sql.SQL(
    "select {columns} from {table} t where not t.deleted{narrowed} order by {order} limit %(limit)s"
)
_WHOLE: Final = sql.SQL("select {columns} from {table} t where not t.deleted{narrowed} order by {order}")
_BY_IDS: Final = sql.SQL(
    "select {columns} from {table} t where not t.deleted and t.{key} = any(%(ids)s){narrowed}"
)
_MOVED: Final = sql.SQL("select exists (select from {table} t where t.position > %(pin)s{narrowed})")

# Each half is a page at most, so what is put together is small. Rows that were folded back are compared and sorted by
# the database too: it alone knows its collation.
_FOLDED_BACK: Final = sql.SQL("""
select {names} from (
    (select {columns} from {table} t
    where not t.deleted and t.{key} <> all(%(changed)s){narrowed} order by {order} limit %(limit)s)
    union all
    (select {columns} from json_populate_recordset(null::{table}, %(rows)s::json) t
    where true{narrowed} order by {order} limit %(limit)s)
) t order by {order} limit %(limit)s
""")


def select_page(
    table: Table, filters: Iterable[Filter], sort: Sort, *, falling: bool, after: bool
) -> sql.Composed:
    """One page; `after`: behind a place."""
    narrowed = _narrowed(filters, sort, falling=falling, after=after)
    return _PAGE.format(**_parts(table, narrowed), order=_order(sort, falling=falling))


def select_whole(table: Table, filters: Iterable[Filter], sort: Sort, *, falling: bool) -> sql.Composed:
    """All rows in order."""
    return _WHOLE.format(**_parts(table, map(_test, filters)), order=_order(sort, falling=falling))


def select_by_ids(table: Table, key: str, *, filters: Iterable[Filter] = ()) -> sql.Composed:
    """The rows of some ids, in no order."""
    return _BY_IDS.format(**_parts(table, map(_test, filters)), key=sql.Identifier(key))


def select_folded_back(
    table: Table, filters: Iterable[Filter], sort: Sort, *, key: str, falling: bool, after: bool
) -> sql.Composed:
    """One page of the rows of keys that have not changed, and of those given as they were."""
    narrowed = _narrowed(filters, sort, falling=falling, after=after)
    return _FOLDED_BACK.format(
        **_parts(table, narrowed),
        names=_commas(sql.Identifier(name) for name in table.columns),
        key=sql.Identifier(key),
        order=_order(sort, falling=falling),
    )


def select_moved(
    table: Table, filters: Iterable[Filter], sort: Sort, *, falling: bool, after: bool, upto: bool
) -> sql.Composed:
    """Whether any row between two places, tombstones included, changed behind a position."""
    narrowed = _narrowed(filters, sort, falling=falling, after=after, upto=upto)
    return _MOVED.format(**_parts(table, narrowed))


def place(prefix: str, sort: Sort, values: Sequence[object]) -> dict[str, object]:
    """A place as parameters of a statement."""
    return {f"{prefix}{name}": value for name, value in zip(sort.columns, values, strict=True)}


def _parts(table: Table, narrowed: Iterable[sql.Composable]) -> dict[str, sql.Composable]:
    return {
        "columns": _commas(
            sql.SQL("t.{0}::text as {0}" if index in table.nested else "t.{0}").format(sql.Identifier(name))
            for index, name in enumerate(table.columns)
        ),
        "table": sql.Identifier("views", table.build.table),
        "narrowed": sql.SQL("").join(narrowed),
    }


def _test(given: Filter) -> sql.Composed:
    column, value = sql.Identifier("t", given.column), sql.Placeholder(given.name)
    return _TESTS[given.comparison].format(column, value)


_TESTS: Final = {
    Comparison.EQUAL: sql.SQL(" and {} = {}"),
    Comparison.AT_LEAST: sql.SQL(" and {} >= {}"),
    Comparison.AT_MOST: sql.SQL(" and {} <= {}"),
    Comparison.HAS: sql.SQL(" and {}::jsonb ? {}"),
}


def _narrowed(
    filters: Iterable[Filter], sort: Sort, *, falling: bool, after: bool, upto: bool = False
) -> list[sql.Composed]:
    filters = list(filters)
    compared = _undecided(sort, filters)
    narrowed = [_test(each) for each in filters]
    if after:
        narrowed.append(_compared(compared, sql.SQL("<" if falling else ">"), AFTER))
    if upto:
        narrowed.append(_compared(compared, sql.SQL(">=" if falling else "<="), LAST))
    return narrowed


def _undecided(sort: Sort, filters: Sequence[Filter]) -> list[str]:
    """The columns of a sort in which rows still differ.

    The planner judges by the first column alone how many rows are behind a place: where all have one value in it, it
    takes them for none, and reads an index that hardly narrows them.
    """
    decided = {each.column for each in filters if each.comparison is Comparison.EQUAL}
    return [name for name in sort.columns if name not in decided] or list(sort.columns)


def _compared(columns: Sequence[str], sign: sql.SQL, prefix: str) -> sql.Composed:
    names = _commas(sql.Identifier("t", name) for name in columns)
    values = _commas(sql.Placeholder(f"{prefix}{name}") for name in columns)
    return sql.SQL(" and ({}) {} ({})").format(names, sign, values)


def _order(sort: Sort, *, falling: bool) -> sql.Composed:
    direction = sql.SQL("{} desc" if falling else "{}")
    return _commas(direction.format(sql.Identifier("t", name)) for name in sort.columns)


def _commas(parts: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(parts)
