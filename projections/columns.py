"""From a row type to SQL columns and back: which Postgres type a field has and how its value travels.

| field | column |
|---|---|
| str, and literals of text | text |
| int, and literals of integers | bigint |
| bool | boolean |
| datetime | timestamptz |
| date | date |
| X or None | the same, nullable |
| struct, tuple, list, dict | json, the encoder's bytes |
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import inspect

from projections.errors import DeclarationError
from runtime.decoders import json_decoder

RESERVED: Final = frozenset({"position", "deleted"})
"""Columns that every build's table has in addition to the row's own."""

COLUMNS_MAX: Final = 64
"""Fields of one row type."""

_PLAIN: Final[dict[type[inspect.Type], str]] = {
    inspect.StrType: "text",
    inspect.IntType: "bigint",
    inspect.BoolType: "boolean",
    inspect.DateTimeType: "timestamptz",
    inspect.DateType: "date",
}
_NESTED: Final = (
    inspect.StructType,
    inspect.VarTupleType,
    inspect.TupleType,
    inspect.ListType,
    inspect.DictType,
)

_encoder = msgspec.json.Encoder()


class Column(msgspec.Struct, frozen=True):
    """One column: its name, its Postgres type, and how text becomes the value (None: the driver does)."""

    name: str
    sql_type: str
    nullable: bool
    read: Callable[[str], Any] | None

    @property
    def is_json(self) -> bool:
        """The value is nested and kept as JSON text."""
        return self.read is not None

    @property
    def array_type(self) -> str:
        """The Postgres type of many values on their way in."""
        return f"{self.sql_type}[]"


def of_row(row: type[msgspec.Struct], *, view: str) -> tuple[Column, ...]:
    """The columns of a row type, in the order of its fields.

    Raises:
        DeclarationError: the row type is mutable or holds a field that no column can.
    """
    if not issubclass(row, msgspec.Struct):
        raise DeclarationError(f"view {view}: {row!r} is not a row type (a frozen msgspec Struct)")
    if not row.__struct_config__.frozen:
        raise DeclarationError(f"view {view}: {row.__name__} is mutable; declare it with frozen=True")
    described = inspect.type_info(row)
    assert isinstance(described, inspect.StructType)
    if not described.fields or len(described.fields) > COLUMNS_MAX:
        raise DeclarationError(f"view {view}: {row.__name__} needs 1 to {COLUMNS_MAX} fields")
    hints = {field.name: field.type for field in msgspec.structs.fields(row)}
    return tuple(_column(field, hint=hints[field.name], view=view) for field in described.fields)


def write_json(value: object) -> str | None:
    """A nested value as the JSON text of its column."""
    return None if value is None else _encoder.encode(value).decode()


def _column(field: inspect.Field, *, hint: Any, view: str) -> Column:
    if field.name in RESERVED:
        raise DeclarationError(f"view {view}: every table has a column {field.name!r}; rename the field")
    kind, nullable = _without_none(field.type)
    if isinstance(kind, _NESTED):
        read = json_decoder(hint).decode
        return Column(name=field.name, sql_type="json", nullable=nullable, read=read)
    sql_type = _literal(kind) if isinstance(kind, inspect.LiteralType) else _PLAIN.get(type(kind))
    if sql_type is None:
        raise DeclarationError(
            f"view {view}: no column can hold field {field.name!r} ({type(kind).__name__}): use str, int,"
            " bool, datetime, date, a struct, a tuple or a dict, or one of these or None"
        )
    return Column(name=field.name, sql_type=sql_type, nullable=nullable, read=None)


def _without_none(kind: inspect.Type) -> tuple[inspect.Type, bool]:
    """The type without its None, and whether it had one; other unions stay as they are and fit no column."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    if not isinstance(kind, inspect.UnionType):
        return kind, False
    rest: Sequence[inspect.Type] = [each for each in kind.types if not isinstance(each, inspect.NoneType)]
    if len(rest) != 1:
        return kind, False
    inner, _ = _without_none(rest[0])
    return inner, len(rest) < len(kind.types)


def _literal(kind: inspect.LiteralType) -> str | None:
    if all(isinstance(value, str) for value in kind.values):
        return "text"
    if all(isinstance(value, int) for value in kind.values):
        return "bigint"
    return None
