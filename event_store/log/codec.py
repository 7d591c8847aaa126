"""Domain events to stored bytes and back, old shapes upcast on reading."""

import functools
from collections.abc import Callable

import msgspec

from domain import event as domain_event
from domain.event import Event
from event_store.consumers.errors import FinalError
from event_store.log import foreign
from runtime.decoders import json_decoder

_encoder = msgspec.json.Encoder()


class CodecError(Exception):
    """The stored bytes cannot be read as an event.

    CodecError
    ├── UnknownEventType      no class declares this type name
    ├── UnknownEventVersion   the event is declared, this version of it is not
    └── MalformedEvent        the payload does not have the declared shape
    """


class UnknownEventType(CodecError):
    """No class declares this type name: readers must be deployed before writers of a new type or version."""

    def __init__(self, type_name: str) -> None:
        super().__init__(
            f"no event is declared as {type_name!r}: deploy readers before writers of a new version"
        )
        self.type_name = type_name


class UnknownEventVersion(CodecError, FinalError):
    """The event is declared, this version of it is not: the log is ahead of this program, which has to stop."""

    def __init__(self, type_name: str, *, position: int) -> None:
        super().__init__(
            f"the event at position {position} is a {type_name}, which this program does not know yet:"
            " deploy readers before writers of a new version"
        )
        self.type_name = type_name
        self.position = position


class MalformedEvent(CodecError):
    """The payload does not have the shape that its type name declares."""

    def __init__(self, type_name: str, reason: str) -> None:
        super().__init__(f"a stored {type_name} cannot be read: {reason}")
        self.type_name = type_name


def encode(event: Event) -> tuple[str, bytes]:
    """The type name and the payload bytes of an event."""
    return domain_event.type_name(event), _encoder.encode(event)


def decode(type_name: str, payload: bytes) -> Event:
    """The event in its newest shape.

    Raises:
        UnknownEventType: no class declares this type name.
        MalformedEvent: the payload does not have the declared shape.
    """
    try:
        return domain_event.current(_decoder(type_name)(payload))
    except (msgspec.MsgspecError, RecursionError) as error:
        raise MalformedEvent(type_name, str(error)) from error


@functools.lru_cache(maxsize=1024)
def _decoder(type_name: str) -> Callable[[bytes], Event]:
    declared = domain_event.EVENT_TYPES.get(type_name)
    if declared is None:
        raise UnknownEventType(type_name)
    if domain_event.id_field_of(declared) is not None:
        return foreign.decoder(declared)
    return json_decoder(declared).decode
