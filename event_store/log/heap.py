"""Reading a whole table in the order in which it is stored, some ten kilobytes a statement.

No statement, and so no snapshot, takes longer than its part. Of a table whose rows are only ever inserted, every row
that was committed when the first statement began is met: new ones stand behind or between, none moves.
"""

from collections.abc import Iterator
from typing import Any, Final, cast

import psycopg
from psycopg import sql

BLOCKS_PER_STATEMENT: Final = 4
"""Of 8 KiB each, unless Postgres was built otherwise."""

Connection = psycopg.Connection[tuple[Any, ...]]

_BLOCKS: Final = "select pg_relation_size(%s::regclass) / current_setting('block_size')::bigint"
_PART: Final = sql.SQL("{ctid} >= {first}::tid and {ctid} < {behind}::tid")


def rows(
    connection: Connection, statement: sql.SQL, *, table: str, alias: str
) -> Iterator[list[tuple[Any, ...]]]:
    """The rows that a statement answers, part by part of a table.

    Args:
        connection: in autocommit mode.
        statement: reads the table; `{part}` in its `where` clause is where the part is chosen.
        table: name of the table, with its schema.
        alias: what the statement calls it.
    """
    (blocks,) = cast("tuple[int]", connection.execute(_BLOCKS, [table]).fetchone())
    for first in range(0, blocks, BLOCKS_PER_STATEMENT):
        part = _PART.format(
            ctid=sql.Identifier(alias, "ctid"),
            first=sql.Literal(f"({first},0)"),
            behind=sql.Literal(f"({first + BLOCKS_PER_STATEMENT},0)"),
        )
        yield connection.cursor(binary=True).execute(statement.format(part=part)).fetchall()
