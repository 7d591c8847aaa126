"""Decoders of JSON that any thread may ask for.

Msgspec remembers what it found out about a struct before it has found out all of it. A second thread that asks for a
decoder of the same struct meanwhile, or of one that contains it, gets one that follows pointers which are not there
yet: the process ends with SIGSEGV. So one thread at a time finds out about structs. Decoders that are made when a
module is imported, and those of types without structs, need none of this.
"""

import functools
import threading
from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar, cast

import msgspec

T = TypeVar("T")

DECODERS_MAX: Final = 1_024
"""Decoders that are kept for the next who asks."""

_finding_out = threading.Lock()


def json_decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """A decoder of this type, which all threads share."""
    return cast("msgspec.json.Decoder[T]", _decoder(cast("Hashable", kind)))


def of_any_depth(decode: Callable[[bytes | str], T]) -> Callable[[bytes | str], T]:
    """A decoder of what strangers wrote, for which text that is nested too deeply is malformed, like any other.

    By itself a decoder raises RecursionError, also for a member that it would pass over.
    """

    def decoded(content: bytes | str) -> T:
        try:
            return decode(content)
        except RecursionError as error:
            raise msgspec.DecodeError("the text is nested too deeply") from error

    return decoded


@functools.lru_cache(maxsize=DECODERS_MAX)
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    with _finding_out:
        return msgspec.json.Decoder(kind)
