"""The base of all events: a frozen shape and a type name with its version.

A type name reads `<context>.<event>.v<version>` and is for ever: a shape is changed by declaring the next version and
an upcaster from the one before it, never by editing.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec

_TYPE_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*\.[a-z][a-z0-9]*(_[a-z0-9]+)*\.v[1-9][0-9]*")

_types: dict[str, type["Event"]] = {}
_names: dict[type["Event"], str] = {}
_upcasters: dict[type["Event"], Callable[["Event"], "Event"]] = {}
_id_fields: dict[type["Event"], str] = {}
_partitions: dict[type["Event"], Callable[[Any], str]] = {}
_tags: dict[type["Event"], Callable[[Any], tuple[str, ...]]] = {}

E = TypeVar("E", bound="Event")


class Event(msgspec.Struct, frozen=True, gc=False):
    """An event that has happened. Its payload is the JSON of its fields, in the order they are declared.

    Events are frozen and hold values only, so none can be part of a cycle: the collector need not traverse the
    thousands that a rebuild holds at once, which was a third of its time.
    """


EVENT_TYPES: Mapping[str, type[Event]] = MappingProxyType(_types)
"""Every event class that is loaded, by its type name. Which of them the business has, its contexts declare."""


def event_type(
    name: str,
    *,
    partition: Callable[[Any], str] | None = None,
    tags: Callable[[Any], tuple[str, ...]] | None = None,
) -> Callable[[type[E]], type[E]]:
    """Declare the type name of an event and, where it needs them, its partition key and its tags.

    `partition` gives the stream that an event belongs to if not its own: what keyed views fold together arrives in
    order. All events of one aggregate declare the same function. `tags` are what decisions find the event by; they
    are stored with the event, so tags declared later do not find what was recorded before.

    Raises:
        ValueError: the name is not `<context>.<event>.v<version>`, or another class has it already.
    """
    if not _TYPE_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not an event type: write '<context>.<event>.v<version>' in lower case")
    _refuse_declared(name)

    def declare(cls: type[E]) -> type[E]:
        if partition is not None:
            _partitions[cls] = partition
        if tags is not None:
            _tags[cls] = tags
        return _declared(name, cls)

    return declare


def partition_of(event: type[Event]) -> Callable[[Any], str] | None:
    """How the partition key of an event of this type is found; None where it is the event's stream."""
    return _partitions.get(event)


def partition_key_of(event: Event) -> str | None:
    """The partition key that the event's type declares; None where it is the event's stream."""
    partition = _partitions.get(type(event))
    return None if partition is None else partition(event)


def tags_of(event: Event) -> tuple[str, ...]:
    """The tags that the event's type declares."""
    tags = _tags.get(type(event))
    return () if tags is None else tags(event)


def type_names_of(event: type[Event]) -> tuple[str, ...]:
    """The names of all versions of an event: what was recorded in an older shape is the same event."""
    unversioned_name = unversioned(_names[event])
    return tuple(name for name in _types if unversioned(name) == unversioned_name)


def foreign_event_type(name: str, *, id_field: str) -> Callable[[type[E]], type[E]]:
    """Declare how an event that another application records is read: for views of it, never to be written.

    Its type name is what that application calls it, in whatever form. `id_field` is the field that gets the id its
    stream is called after, since such payloads do not repeat it; it needs a default. Other fields are those of the
    payload that are wanted, each declared by its type, Decimal, UUID and datetime included.

    Raises:
        ValueError: the name has the form of our own types or is declared already, or there is no such field.
    """
    if _TYPE_NAME.fullmatch(name):
        raise ValueError(f"{name!r} has the form of our own types: declare it with event_type")
    _refuse_declared(name)

    def declare(cls: type[E]) -> type[E]:
        optional = cls.__struct_fields__[-len(cls.__struct_defaults__) :] if cls.__struct_defaults__ else ()
        if id_field not in optional:
            raise ValueError(f"{cls.__qualname__} has no field {id_field!r} with a default")
        _id_fields[cls] = id_field
        return _declared(name, cls)

    return declare


def _refuse_declared(name: str) -> None:
    if name in _types:
        raise ValueError(f"{name!r} is already the type of {_types[name].__qualname__}")


def _declared(name: str, cls: type[E]) -> type[E]:
    _types[name] = cls
    _names[cls] = name
    return cls


def unversioned(type_name: str) -> str:
    """The type name without its version. A foreign one has none that we could tell: all of it is the event."""
    return type_name.rpartition(".")[0] if _TYPE_NAME.fullmatch(type_name) else type_name


def id_field_of(event: type[Event]) -> str | None:
    """The field of a foreign event that gets the id its stream is called after; None for events of ours."""
    return _id_fields.get(event)


def upcasts(old: type[E]) -> Callable[[Callable[[E], Event]], Callable[[E], Event]]:
    """Declare how an old shape is read as the next one. Chains of upcasters run until none is left.

    Raises:
        ValueError: the old shape has an upcaster already.
    """
    if old in _upcasters:
        raise ValueError(f"{old.__qualname__} has an upcaster already")

    def declare(upcast: Callable[[E], Event]) -> Callable[[E], Event]:
        _upcasters[old] = upcast  # type: ignore[assignment]
        return upcast

    return declare


def type_name(event: Event | type[Event]) -> str:
    """The declared type name of an event or of its class.

    Raises:
        KeyError: the class was never declared with `event_type`.
    """
    return _names[event if isinstance(event, type) else type(event)]


def current(event: Event) -> Event:
    """The event in its newest shape."""
    while (upcast := _upcasters.get(type(event))) is not None:
        event = upcast(event)
    return event
