"""Decoding events of some types in whatever version they were recorded, also in one that is not known yet."""

import string
from collections.abc import Iterable
from typing import Final

import msgspec

from domain import event as domain_event
from domain.event import Event
from event_store.log import codec
from event_store.log.codec import MalformedEvent, UnknownEventType, UnknownEventVersion

VERSIONS_AHEAD: Final = 20
"""Versions beyond the known ones that a filter by type still lets through, so that they are noticed."""


class Decoder:
    """Decodes the events whose types are named, older and newer versions of them included."""

    def __init__(self, names: Iterable[str]) -> None:
        chosen = set(names)
        self.types: Final = _with_other_versions(chosen)
        """What a reader of the log may filter by without missing an event that `wants` answers."""
        self.stems: Final = sorted({stem(name) for name in chosen})
        """The same for a filter by stems, which is shorter and lets through what it does not want."""
        self._unversioned = {domain_event.unversioned(name) for name in chosen}
        self._wanted: dict[str, bool] = {}
        id_fields = {name: domain_event.id_field_of(domain_event.EVENT_TYPES[name]) for name in chosen}
        self._id_fields = {name: field for name, field in id_fields.items() if field is not None}

    def wants(self, type_name: str) -> bool:
        """Whether this is an event of the named types, in whatever version."""
        known = self._wanted.get(type_name)
        if known is None:
            known = self._wanted[type_name] = domain_event.unversioned(type_name) in self._unversioned
        return known

    def decode(self, type_name: str, payload: bytes, *, position: int, stream: str) -> Event | MalformedEvent:
        """The event in its newest shape, or the error when the payload has another shape than declared.

        A foreign event gets the id that its stream is called after.

        Raises:
            UnknownEventVersion: the event is known, this version of it is not.
        """
        try:
            event = codec.decode(type_name, payload)
            if self._id_fields and (field := self._id_fields.get(type_name)) is not None:
                return msgspec.structs.replace(event, **{field: stream.partition("-")[2]})
            return event
        except MalformedEvent as error:
            return error
        except UnknownEventType:
            raise UnknownEventVersion(type_name, position=position) from None


def stem(type_name: str) -> str:
    """The type name without the digits at its end: all versions of an event have it in common."""
    return type_name.rstrip(string.digits)


def _with_other_versions(names: set[str]) -> list[str]:
    """The names with older and newer versions: the older are upcast, the newer refused."""
    newest = _newest_versions()
    found: set[str] = set()
    for name in names:
        bare = domain_event.unversioned(name)
        if bare == name:  # a foreign type has one form for ever
            found.add(name)
            continue
        known = max(_version(name, bare), newest.get(bare, 0))
        found |= {f"{bare}.v{number}" for number in range(1, known + VERSIONS_AHEAD + 1)}
    return sorted(found)


def _newest_versions() -> dict[str, int]:
    """The newest version that is declared of each event, by its name without a version."""
    newest: dict[str, int] = {}
    for name in domain_event.EVENT_TYPES:
        bare = domain_event.unversioned(name)
        if bare != name:
            newest[bare] = max(newest.get(bare, 0), _version(name, bare))
    return newest


def _version(name: str, bare: str) -> int:
    return int(name.removeprefix(f"{bare}.v"))
