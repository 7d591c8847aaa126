"""An event as a proof shows it: every value that its leaf is computed over, and nothing else."""

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct

from event_store.log.envelope import RecordedEvent, decode_metadata
from event_store.log.leaf import leaf_of
from event_store.proofs.note import MalformedNote
from runtime.decoders import of_any_depth

_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Evidence(Struct, frozen=True, gc=False):
    """One event: `recorded_at` is microseconds since 1970, `metadata` and `payload` are the texts that were stored."""

    position: int
    epoch: int
    stream: str
    version: int
    type: str
    recorded_at: int
    metadata: str
    payload: str

    @property
    def leaf(self) -> bytes:
        """The hash that stands in the tree at index `position - 1` if this is what happened.

        Raises:
            MalformedNote: no event can have these values.
        """
        try:
            return leaf_of(self._recorded(), epoch=self.epoch)
        except (OverflowError, UnicodeEncodeError) as error:
            raise MalformedNote(f"no event can have these values: {error}") from error

    def recorded(self) -> RecordedEvent:
        """The event as a reader of the log gets it, the partition key as its metadata says; without a leaf."""
        try:
            partition_key = decode_metadata(self.metadata.encode()).partition_key
        except msgspec.DecodeError:
            partition_key = None
        return self._recorded(partition_key)

    def _recorded(self, partition_key: str | None = None) -> RecordedEvent:
        return RecordedEvent(
            position=self.position,
            stream=self.stream,
            version=self.version,
            type=self.type,
            payload=self.payload.encode(),
            metadata=self.metadata.encode(),
            recorded_at=_UNIX_EPOCH + self.recorded_at * _MICROSECOND,
            leaf=b"",
            partition_key=partition_key,
        )


def of(event: RecordedEvent, *, epoch: int) -> Evidence:
    """What shows a recorded event."""
    return Evidence(
        position=event.position,
        epoch=epoch,
        stream=event.stream,
        version=event.version,
        type=event.type,
        recorded_at=(event.recorded_at - _UNIX_EPOCH) // _MICROSECOND,
        metadata=event.metadata.decode(),
        payload=event.payload.decode(),
    )


def parse(content: bytes) -> Evidence:
    """Read what `encode` wrote.

    Raises:
        MalformedNote: it is no event.
    """
    try:
        return _decode(content)
    except msgspec.DecodeError as error:
        raise MalformedNote(f"this is no event: {error}") from error


encode = msgspec.json.Encoder().encode
_decode = of_any_depth(msgspec.json.Decoder(Evidence).decode)
