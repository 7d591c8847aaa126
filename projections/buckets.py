"""Dividing the rows of a view by their keys, the same way here and in Postgres, so that a part fits into memory."""

import hashlib
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import msgspec
from psycopg import sql

from projections.columns import Column
from projections.view import Key

_SEPARATOR: Final = "\x1f"
_HASH_BYTES: Final = 4
_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_TEXTS: Final = {
    "text": sql.SQL("{}"),
    "bigint": sql.SQL("{}::text"),
    "boolean": sql.SQL("{}::int::text"),
    "date": sql.SQL("to_char({}, 'YYYY-MM-DD')"),
    "timestamptz": sql.SQL("(extract(epoch from {}) * 1000000)::bigint::text"),
}
"""A key column as the text that is hashed, by its Postgres type; `_text` makes the same of the value."""

_HASHED: Final = "substr(sha256(convert_to(concat_ws(chr(31), {texts}), 'UTF8')), 1, 4)"
_CONDITION: Final = sql.SQL(f"mod(('x' || encode({_HASHED}, 'hex'))::bit(32)::bigint, %s) = %s")


class Bucket(msgspec.Struct, frozen=True):
    """One part of `of` parts, counted from 0."""

    number: int
    of: int

    def holds(self, key: Key) -> bool:
        """Whether the row of this key is in this part."""
        if self.of == 1:
            return True
        hashed = hashlib.sha256(_SEPARATOR.join(map(_text, key)).encode()).digest()[:_HASH_BYTES]
        return int.from_bytes(hashed, "big") % self.of == self.number


def condition(key: tuple[Column, ...], *, alias: str) -> sql.Composed:
    """The same in SQL, with `of` and `number` for parameters."""
    texts = [_TEXTS[column.sql_type].format(sql.Identifier(alias, column.name)) for column in key]
    return _CONDITION.format(texts=sql.SQL(", ").join(texts))


def _text(value: Any) -> str:
    match value:
        case bool():
            return str(int(value))
        case datetime():
            return str((value - _UNIX_EPOCH) // _MICROSECOND)
        case date():
            return value.isoformat()
        case _:
            return str(value)
