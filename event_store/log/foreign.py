"""Payloads of applications of the `eventsourcing` library, read into the fields that a view declares.

The library's transcoder writes a value that JSON has no type for, like a Decimal, a UUID or a datetime, as an object of
two members: the name of a transcoding and what that wrote. The three that the library registers by itself become their
values again; of an application's own a field gets what they wrote.
"""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec

from runtime.decoders import json_decoder

T = TypeVar("T")

_READ: Final[dict[str, Callable[[str], Any]]] = {
    "decimal_str": Decimal,
    "uuid_hex": UUID,
    "datetime_iso": datetime.fromisoformat,
}

_NAME: Final = "_type_"
_WRITTEN: Final = "_data_"
_TRANSCODED: Final = {_NAME, _WRITTEN}
_MARK: Final = b'"_type_"'

_loose: Final = msgspec.json.Decoder(float_hook=Decimal)
"""Keeps the digits of a number until the declared type is known: 1.10 is no binary fraction."""


def decoder(declared: type[T]) -> Callable[[bytes], T]:
    """What reads payloads into a declared shape; it raises `msgspec.MsgspecError`, or RecursionError if too deep."""
    typed = json_decoder(declared)

    def decode(payload: bytes) -> T:
        if _MARK not in payload:
            return typed.decode(payload)
        return msgspec.convert(_plain(_loose.decode(payload)), declared)

    return decode


def _plain(value: Any) -> Any:
    """The value without the objects of transcodings."""
    match value:
        case dict() if value.keys() == _TRANSCODED:
            return _transcoded(value[_NAME], _plain(value[_WRITTEN]))
        case dict():
            return {name: _plain(member) for name, member in value.items()}
        case list():
            return [_plain(member) for member in value]
        case _:
            return value


def _transcoded(name: object, written: Any) -> Any:
    read = _READ.get(name) if isinstance(name, str) else None
    if read is None:
        return written
    try:
        return read(written)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise msgspec.ValidationError(f"{written!r} is no {name}") from error
