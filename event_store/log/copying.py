"""COPY to here, many rows at a time: asking the driver for each row alone costs as much as all that is done with it."""

from collections.abc import Iterator
from typing import Any, Final

import psycopg
from psycopg import errors, generators, pq, sql
from psycopg.abc import PQGen
from psycopg.waiting import Wait

CHUNK_BYTES_MAX: Final = 64 * 1024
"""Rows in one chunk, with one row more at most: they stay in the processor's cache, more is slower."""

Connection = psycopg.Connection[tuple[Any, ...]]


def chunks(connection: Connection, statement: sql.Composed) -> Iterator[bytes]:
    """The rows of COPY, in order, as chunks of whole rows.

    Raises:
        psycopg.Error: the server refused the statement or gave it up.
    """
    with connection.cursor() as cursor, cursor.copy(statement):
        ended = False
        while not ended:
            rows: list[memoryview] = []
            ended = connection.wait(_receive(connection.pgconn, rows))
            yield b"".join(rows)


def _receive(pgconn: pq.abc.PGconn, rows: list[memoryview]) -> PQGen[bool]:
    """Add a chunk of rows as they arrive, waiting only when none is there; whether the COPY ended with them."""
    size = 0
    while size < CHUNK_BYTES_MAX:
        length, row = pgconn.get_copy_data(1)
        if length > 0:
            rows.append(row)
            size += length
        elif length == 0:
            while not (yield Wait.R):
                pass  # Nothing came for a moment. The connection uses it to notice interrupts.
            pgconn.consume_input()
        else:
            (result,) = yield from generators.fetch_many(pgconn)
            if result.status != pq.ExecStatus.COMMAND_OK:
                raise errors.error_from_result(result)
            return True
    return False
