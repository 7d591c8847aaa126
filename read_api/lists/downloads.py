"""A whole list as NDJSON or CSV: one snapshot, read as fast as the caller reads.

An export holds a connection and a snapshot as long as it runs, so there are few at a time, over connections of their
own, and none lasts for ever. One that is cut off ends in mid-air: the transfer is not complete, and callers notice.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import date, datetime
from typing import Any, Final

import msgspec
from msgspec import Raw
from psycopg import sql
from starlette.responses import StreamingResponse
from starlette.types import Message, Send

from read_api.connections import AsyncConnection, HeldConnection
from read_api.reading.resource import RowDict
from read_api.reading.tables import Table
from read_api.reveal import Shown

NDJSON: Final = "application/x-ndjson"
CSV: Final = "text/csv"

ROWS_PER_CHUNK: Final = 500
"""Rows read and sent at a time: what an export holds in memory."""

EXPORT_TIMEOUT_S: Final = 300.0
"""How long one export may take: its snapshot keeps the vacuum from cleaning up."""

READER_TIMEOUT_S: Final = 30.0
"""How long a caller may take to read a chunk."""

_DECLARE: Final = sql.SQL("declare export no scroll cursor for {}")
_FETCH: Final = f"fetch forward {ROWS_PER_CHUNK} from export"

_LINE_END: Final = "\r\n"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for the beginning of a formula: `= + - @`, also in full width, or white space before."""

_encoder = msgspec.json.Encoder()

Rows = AsyncIterator[list[RowDict]]
Write = Callable[[Iterable[RowDict]], bytes]
"""Rows as bytes of one media type."""


async def read(
    held: HeldConnection, table: Table, statement: sql.Composed, given: Mapping[str, object]
) -> Rows:
    """The rows of a statement in chunks, the first of which has been read: what is wrong with it is known by now.

    Raises:
        ViewUnavailable: the database does not answer.
    """

    async def declare(connection: AsyncConnection) -> None:
        await connection.execute(_DECLARE.format(statement), given, prepare=False)

    await held.run(declare)
    return _rows(held, table, await held.run(_fetch))


async def _rows(held: HeldConnection, table: Table, chunk: list[tuple[Any, ...]]) -> Rows:
    while chunk:
        yield [table.row(list(values)) for values in chunk]
        chunk = await held.run(_fetch) if len(chunk) == ROWS_PER_CHUNK else []


async def _fetch(connection: AsyncConnection) -> list[tuple[Any, ...]]:
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(_FETCH, prepare=False)
        return await cursor.fetchall()


class Export(StreamingResponse):
    """An export on its way: sent chunk by chunk, as fast as the caller reads."""

    def __init__(
        self, rows: Rows, table: Table, *, media_type: str, headers: Mapping[str, str], name: str
    ) -> None:
        """Send `rows` in a media type; `name` is that of the file in which a browser saves them."""
        as_csv = media_type == CSV
        file = f"{name}.{'csv' if as_csv else 'ndjson'}"
        super().__init__(
            _chunks(rows, table, as_csv=as_csv),
            media_type=f"{CSV}; charset=utf-8; header=present" if as_csv else NDJSON,
            headers={**headers, "Content-Disposition": f'attachment; filename="{file}"'},
        )

    async def stream_response(self, send: Send) -> None:
        """Send everything, unless the caller reads too slowly, or for too long."""

        async def patiently(message: Message) -> None:
            async with asyncio.timeout(READER_TIMEOUT_S):
                await send(message)

        async with asyncio.timeout(EXPORT_TIMEOUT_S):
            await super().stream_response(patiently)


async def _chunks(rows: Rows, table: Table, *, as_csv: bool) -> AsyncIterator[bytes]:
    if as_csv:
        yield csv_line(table.columns)
    write = csv if as_csv else ndjson
    async for chunk in rows:
        yield write(chunk)


def ndjson(rows: Iterable[RowDict]) -> bytes:
    """One JSON text per line."""
    return _encoder.encode_lines(rows)


def csv(rows: Iterable[RowDict]) -> bytes:
    """One record of RFC 4180 per row."""
    return b"".join(csv_line(row.values()) for row in rows)


def csv_line(values: Iterable[object]) -> bytes:
    """One record. Nothing stands for null, two quotes for an empty text, JSON for what is nested.

    Text that a spreadsheet would take for a formula gets an apostrophe before it: a product called `=HYPERLINK(…)` must
    not become one on the machine of the file's reader.
    """
    return (",".join(map(_cell, values)) + _LINE_END).encode()


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return _text(value)
        case bool():
            return "true" if value else "false"
        case datetime() | date():
            return _encoder.encode(value).decode().strip('"')
        case int():
            return str(value)
        case Raw():
            return _text(bytes(value).decode())
        case Shown():
            return _text(value.shown if value.text is None else value.text)
        case dict() | list():
            return _text(_encoder.encode(value).decode())
    raise AssertionError(f"no column of a view holds a {type(value).__name__}")


def _text(value: str) -> str:
    if value.startswith(_FORMULA):
        value = "'" + value
    if not value or value != value.strip() or any(each in value for each in ',"\r\n'):
        return '"' + value.replace('"', '""') + '"'
    return value
