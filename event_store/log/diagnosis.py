"""Says which part of a row was changed, as far as the row and its neighbours can tell.

A leaf covers epoch, stream, version, type, time, metadata and payload. If putting one likely earlier value back makes
the leaf match again, that part was changed and this was its value. Otherwise it was payload, metadata or the leaf
itself, and the form of the stored bytes is the only witness left.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from event_store.log import codec, envelope
from event_store.log.envelope import RecordedEvent
from event_store.log.leaf import leaf_of
from runtime.decoders import of_any_depth

_members_of: Final = of_any_depth(msgspec.json.Decoder(dict[str, Any]).decode)


class Clues(Struct, frozen=True):
    """What the rest of the log offers as earlier values of a row's parts."""

    epoch: int
    epochs: Sequence[int]
    types: Sequence[str]
    times: Sequence[datetime]
    versions: Sequence[int]
    streams: Sequence[str]


def diagnose(event: RecordedEvent, clues: Clues) -> str:
    """One sentence: what was changed and, where it can be computed, what stood there before."""
    for part, before, suspected, epoch in _suspicions(event, clues):
        if leaf_of(suspected, epoch=epoch) == event.leaf:
            return f"{part} was changed: the leaf was computed over {before}"
    return _by_form(event)


def _suspicions(event: RecordedEvent, clues: Clues) -> Iterator[tuple[str, object, RecordedEvent, int]]:
    """(part, likely earlier value, the row with it, the epoch to compute with)."""
    replace = msgspec.structs.replace
    for version in clues.versions:
        yield "version", version, replace(event, version=version), clues.epoch
    for time in clues.times:
        yield "recorded_at", time.isoformat(), replace(event, recorded_at=time), clues.epoch
    for type_name in clues.types:
        yield "type", type_name, replace(event, type=type_name), clues.epoch
    for stream in (*clues.streams, *_streams_named_in(event)):
        for version in (event.version, *clues.versions):
            yield "stream", stream, replace(event, stream=stream, version=version), clues.epoch
    for epoch in clues.epochs:
        yield "the epochs' first positions", f"epoch {epoch}", event, epoch


def _streams_named_in(event: RecordedEvent) -> Iterator[str]:
    """Streams of the same category whose id stands in the payload: an event names what it is about."""
    category = event.stream.partition("-")[0]
    try:
        members = _members_of(event.payload)
    except msgspec.MsgspecError:
        return
    for value in members.values():
        if isinstance(value, str):
            yield f"{category}-{value}"


def _by_form(event: RecordedEvent) -> str:
    if _reads_differently(event.metadata, _metadata_again):
        return "metadata was changed: it is not in the form in which it is written"
    if _reads_differently(event.payload, lambda stored: codec.encode(codec.decode(event.type, stored))[1]):
        return "payload was changed: it is not in the form in which it is written"
    return "payload, metadata or leaf was changed: the leaf is not the one computed over this row"


def _metadata_again(stored: bytes) -> bytes:
    return envelope.encode_metadata(envelope.decode_metadata(stored))


def _reads_differently(stored: bytes, again: Callable[[bytes], bytes]) -> bool:
    """Whether bytes that we wrote do not come out the same when read and written again."""
    try:
        return again(stored) != stored
    except codec.UnknownEventType:
        return False  # another application's event: its form is not ours to know
    except (msgspec.MsgspecError, codec.CodecError):
        return True
