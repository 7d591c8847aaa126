"""Opaque keyset cursors: where a list goes on, bound to the list they were given for.

A cursor is URL-safe base64 of a format byte, a digest and the msgpack array of the last row's sort key. The
digest covers the list's scope (route and filters) too, so a damaged cursor, or one of another list, is
recognised. It guards against mistakes, not malice: a cursor can only name a place in a list its holder may
read anyway.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import Final, TypeVar
from urllib.parse import urlencode

import msgspec

CURSOR_CHARACTERS_MAX: Final = 1024

_FORMAT: Final = b"\x01"
_DIGEST_BYTES: Final = 8
_BODY_START: Final = len(_FORMAT) + _DIGEST_BYTES

_encoder = msgspec.msgpack.Encoder()

Place = TypeVar("Place")


class MalformedCursor(ValueError):
    """The text is not a cursor, or a cursor of another list."""


def encode_cursor(place: tuple[object, ...], *, scope: str) -> str:
    """The cursor that goes on after `place`, the sort key of the last row given out."""
    return _text(_encoder.encode(place), scope=scope)


def decode_cursor(text: str, *, scope: str, place: type[Place]) -> Place:
    """The sort key in a cursor, as the tuple type `place`.

    Raises:
        MalformedCursor: it was damaged, made up, or given out for other filters than those of `scope`.
    """
    if len(text) > CURSOR_CHARACTERS_MAX or not text.isascii():
        raise MalformedCursor("not a cursor")
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise MalformedCursor("not a cursor") from error
    body = raw[_BODY_START:]
    # Comparing texts also refuses characters and bits that a lax base64 reader would pass over.
    if text != _text(body, scope=scope):
        raise MalformedCursor("not a cursor of this list")
    try:
        return msgspec.msgpack.decode(body, type=place)
    except msgspec.MsgspecError as error:
        raise MalformedCursor("a cursor of another format") from error


def next_link(path: str, query: Iterable[tuple[str, str]], *, cursor: str, parameter: str = "cursor") -> str:
    """The value of a `Link` header from the page that was asked for by `path` and `query` to the next one."""
    kept = [(name, value) for name, value in query if name != parameter]
    return f'<{path}?{urlencode([*kept, (parameter, cursor)])}>; rel="next"'


def _text(body: bytes, *, scope: str) -> str:
    said = scope.encode() + b"\x00" + body
    digest = hashlib.blake2b(said, digest_size=_DIGEST_BYTES, person=b"keyset-cursor").digest()
    return base64.urlsafe_b64encode(_FORMAT + digest + body).rstrip(b"=").decode()
