"""Chunks of copied rows: all rows in order, bounded, and a connection that can be used afterwards whatever happened."""

import pytest
from psycopg import errors, sql

from event_store.log import copying
from runtime import database


@pytest.fixture
def connection(database_url: str):
    with database.connect(database_url, role="counterfoil_reader", name="test") as connection:
        yield connection


def usable(connection: copying.Connection) -> bool:
    return connection.execute("select 1").fetchone() == (1,)


def numbers(expression: str, *, upto: int) -> sql.Composed:
    return sql.SQL("copy (select {} from generate_series(1, {}) as n) to stdout").format(
        sql.SQL(expression),
        sql.Literal(upto),
    )


@pytest.mark.parametrize("rows", [0, 1, 100_000])
def test_chunks_joined_are_what_the_server_sent(connection: copying.Connection, rows: int):
    chunks = list(copying.chunks(connection, numbers("n", upto=rows)))

    assert b"".join(b"%d\n" % n for n in range(1, rows + 1)) == b"".join(chunks)
    assert usable(connection)


def test_a_chunk_holds_whole_rows_and_at_most_one_more_than_its_size(connection: copying.Connection):
    row_bytes = 30_000
    chunks = list(copying.chunks(connection, numbers("repeat('x', 29999)", upto=100)))

    assert all(chunk.endswith(b"\n") for chunk in chunks if chunk)
    assert max(len(chunk) for chunk in chunks) < copying.CHUNK_BYTES_MAX + row_bytes
    assert 100 * row_bytes == sum(len(chunk) for chunk in chunks)


def test_what_the_server_cannot_go_on_with_is_raised(connection: copying.Connection):
    chunks = copying.chunks(connection, numbers("1 / (50000 - n)", upto=60_000))
    assert next(chunks)

    with pytest.raises(errors.DivisionByZero):
        list(chunks)
    assert usable(connection)


def test_what_the_server_does_not_begin_with_is_raised(connection: copying.Connection):
    with pytest.raises(errors.UndefinedTable):
        list(copying.chunks(connection, sql.SQL("copy {} to stdout").format(sql.Identifier("absent"))))

    assert usable(connection)


def test_whoever_stops_early_can_go_on_with_the_connection(connection: copying.Connection):
    chunks = copying.chunks(connection, numbers("n", upto=20_000_000))
    assert next(chunks).startswith(b"1\n2\n")
    chunks.close()  # type: ignore[attr-defined]

    assert usable(connection)


def test_whoever_stops_at_the_last_chunk_can_go_on_with_the_connection(connection: copying.Connection):
    chunks = copying.chunks(connection, numbers("n", upto=10))
    assert next(chunks).endswith(b"10\n")
    chunks.close()  # type: ignore[attr-defined]

    assert usable(connection)
