"""Folding the log again: one key's prefix, or whole views in bounded memory, and digests that name what differs.

Everything here uses the folds and the batching of the workers, so it proves storage and transport, not the
folds themselves.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from event_store.consumers import skips
from event_store.log import reading
from event_store.log.decoding import Decoder
from event_store.log.envelope import RecordedEvent
from event_store.transport.partitioning import partition_of
from event_store.transport.transport import Partition
from projections import catching_up
from projections.buckets import Bucket
from projections.errors import FoldFailed
from projections.folding import BatchFold, DecodedEvent, FoldedBatch, Versioned, decoder_of
from projections.storing import Connection
from projections.view import Key, Row, View
from runtime.decoders import json_decoder

FACTS_PER_BATCH: Final = 5_000
"""Events folded at a time."""
ROWS_UNPACKED_MAX: Final = 5_000
"""Rows of a view kept as objects while it is folded; the others are kept as JSON, a fraction of the size."""

WHOLE: Final = Bucket(0, 1)
"""All rows of a view."""

R = TypeVar("R", bound=Row)

_encoder = msgspec.json.Encoder(order="deterministic")


class TooManyRows(Exception):
    """More rows than memory may hold: fold a smaller bucket."""


class TooManyEvents(Exception):
    """More events would have to be folded than was allowed."""


class Target(msgspec.Struct, frozen=True):
    """Which events of the log belong into a view: per partition up to a position, per parked key before one.

    `reach` None: every event that is read. `partitions` is how many the generation of `reach` has.
    """

    view: View[Any]
    skips: frozenset[int]
    reach: Mapping[Partition, int] | None = None
    parked: Mapping[str, int] = {}
    partitions: int = 1

    def holds(self, decoded: DecodedEvent) -> bool:
        """Whether the event is in the rows."""
        parked = self.parked.get(decoded.partition_key)
        if parked is not None and decoded.position >= parked:
            return False
        if self.reach is None:
            return True
        return decoded.position <= self.reach.get(partition_of(decoded.partition_key, self.partitions), 0)


def fold_prefix(
    conn: Connection, view: View[R], key: Key, *, upto: int, partition_key: str | None = None
) -> R | None:
    """The row of a keyed view as it was at a position of the log, None where there was none.

    Args:
        conn: in autocommit mode.
        view: a keyed view.
        key: values of its key columns.
        upto: the last position that counts.
        partition_key: what the row belongs to; the view's category and the key say it if it is left out.

    Raises:
        FoldFailed: an event of the key cannot be folded (the key is parked, then).
        DeclarationError: the view does not say which stream a key belongs to.
    """
    name = view.partition_key_of(key) if partition_key is None else partition_key
    folding = Folding(Target(view, skips.read(conn, view.name, shape=view.shape)))
    decoder = decoder_of([view])
    after = 0
    while page := reading.read_key(conn, name, after=after, upto=upto):
        folding.take(_decoded_events(page, decoder))
        after = page[-1].position
    folded = folding.rows.get(key)
    return None if folded is None else folded.row  # type: ignore[return-value]


def fold_keys(
    conn: Connection, view: View[R], partition_keys: Sequence[str], *, upto: int, events_max: int
) -> dict[Key, R]:
    """The rows of some partition keys as they were at a position of the log; those that were not there are absent.

    A key that stands still at an event has the rows from before it, as in the table.

    Raises:
        TooManyEvents: more than `events_max` would have to be folded.
    """
    decoder = decoder_of([view])
    events = reading.read_keys(conn, partition_keys, upto=upto, types=decoder.types, limit=events_max + 1)
    if len(events) > events_max:
        raise TooManyEvents(events_max)
    fold = BatchFold(view, skips=skips.read(conn, view.name, shape=view.shape), parked=frozenset())
    fold.gather(_decoded_events(events, decoder))
    folded = fold.fold({})
    return {key: each.row for key, each in folded.rows.items() if each.row is not None}  # type: ignore[misc]


def fold_all(
    conn: Connection,
    targets: Sequence[Target],
    *,
    upto: int,
    bucket: Bucket = WHOLE,
    rows_max: int | None = None,
    on_progress: Callable[[int], None] = lambda _position: None,
) -> "list[Folding]":
    """Fold several views from the log in one pass, a segment of the log in each transaction.

    Args:
        conn: nothing else may use it meanwhile (COPY).
        targets: what to fold.
        upto: the last position that is read.
        bucket: the part of each view's rows that is folded.
        rows_max: how many rows of all these views memory may hold; None: as many as there are.
        on_progress: called with the position reached, now and then.

    Raises:
        FoldFailed: an event that should be in the rows cannot be folded.
        TooManyRows: there are more than `rows_max`.
    """
    types = decoder_of([target.view for target in targets]).types
    short = reading.POSITIONS_PER_SHORT_SEGMENT  # appends go on meanwhile
    # An error holds the frames that it passed, and with them a COPY that was not read to its end: the connection's next
    # statement would wait for it for ever.
    with contextlib.closing(reading.copy_segments(conn, upto=upto, types=types, positions=short)) as events:
        foldings = fold_events(events, targets, bucket=bucket, rows_max=rows_max, on_progress=on_progress)
    on_progress(upto)
    return foldings


def fold_events(
    events: Iterable[RecordedEvent],
    targets: Sequence[Target],
    *,
    bucket: Bucket = WHOLE,
    rows_max: int | None = None,
    on_progress: Callable[[int], None] = lambda _position: None,
) -> "list[Folding]":
    """Fold several views from events in the order of the log; see `fold_all`."""
    foldings = [Folding(target, bucket) for target in targets]
    decoder = decoder_of([target.view for target in targets])
    for decoded_events in _batches(_decoded_events(events, decoder)):
        for folding in foldings:
            folding.take(decoded_events)
        if rows_max is not None and sum(len(folding.rows) for folding in foldings) > rows_max:
            raise TooManyRows(rows_max)
        on_progress(decoded_events[-1].position)
    return foldings


class Folding:
    """One view on its way through the log."""

    def __init__(self, target: Target, bucket: Bucket = WHOLE) -> None:
        self.target = target
        self._concerns = None if bucket.of == 1 else bucket.holds
        self.rows = PackedRows(target.view)
        self._types = frozenset(decoder_of([target.view]).types)
        self._whole_upto = -1 if target.parked else min((target.reach or {}).values(), default=0)

    def take(self, decoded_events: Iterable[DecodedEvent]) -> None:
        """Fold what belongs to the view.

        Raises:
            FoldFailed: an event cannot be folded.
        """
        target = self.target
        fold = BatchFold(target.view, skips=target.skips, parked=frozenset(), concerns=self._concerns)
        fold.gather(
            [decoded for decoded in decoded_events if decoded.type in self._types and self._holds(decoded)]
        )
        folded = fold.fold(self.rows)
        self._refuse(folded)
        self.rows.update(folded.rows)

    def _holds(self, decoded: DecodedEvent) -> bool:
        """Up to the lowest checkpoint everything is in the rows; only behind it the partition matters."""
        return decoded.position <= self._whole_upto or self.target.holds(decoded)

    def _refuse(self, folded: FoldedBatch) -> None:
        poisons = [*folded.parked.values(), *([folded.halted] if folded.halted else [])]
        if poisons:
            first = min(poisons, key=lambda poison: poison.decoded.position)
            raise FoldFailed(
                view=self.target.view.name,
                partition_key=first.decoded.partition_key,
                position=first.decoded.position,
                reason=first.reason,
            )


class PackedRows(Mapping[Key, Versioned]):
    """Rows by key, most of them as JSON: memory grows with the view, not with the log, and slowly."""

    def __init__(self, view: View[Any]) -> None:
        self._decoder = json_decoder(view.row)
        self._live: dict[Key, Versioned] = {}
        self._packed: dict[Key, tuple[bytes, int]] = {}

    def __getitem__(self, key: Key) -> Versioned:
        found = self._live.get(key)
        if found is not None:
            return found
        body, position = self._packed[key]
        return Versioned(self._decoder.decode(body), position)

    def __contains__(self, key: object) -> bool:
        return key in self._live or key in self._packed

    def __iter__(self) -> Iterator[Key]:
        yield from self._live
        yield from self._packed

    def __len__(self) -> int:
        return len(self._live) + len(self._packed)

    def update(self, rows: Mapping[Key, Versioned]) -> None:
        """Take over changed rows; those that are None are gone."""
        for key, after in rows.items():
            self._packed.pop(key, None)
            self._live.pop(key, None)
            if after.row is not None:
                self._live[key] = after
        for key in list(self._live)[: max(0, len(self._live) - ROWS_UNPACKED_MAX)]:
            self._packed[key] = canonical(self._live[key].row), self._live[key].position
            del self._live[key]

    def body(self, key: Key) -> tuple[bytes, int] | None:
        """The canonical bytes of a row and its position, None where there is no row."""
        packed = self._packed.get(key)
        if packed is not None:
            return packed
        live = self._live.get(key)
        return None if live is None else (canonical(live.row), live.position)


class Digest:
    """A digest over the rows of a view that does not depend on their order: hashes of (key, row), summed."""

    def __init__(self) -> None:
        self.keys = 0
        self._sum = 0

    def add(self, key: Key, body: bytes) -> None:
        """Take in one row by its canonical bytes."""
        self.keys += 1
        hashed = hashlib.sha256(_encoder.encode(key) + b"\x00" + body).digest()
        self._sum = (self._sum + int.from_bytes(hashed, "big")) % 2**256

    @property
    def text(self) -> str:
        """64 hex digits."""
        return f"{self._sum:064x}"


def canonical(row: object) -> bytes:
    """The same bytes for the same row, whatever it was made from."""
    return _encoder.encode(row)


def _decoded_events(events: Iterable[RecordedEvent], decoder: Decoder) -> Iterator[DecodedEvent]:
    return (catching_up.decode(event, decoder=decoder) for event in events if decoder.wants(event.type))


def _batches(decoded_events: Iterable[DecodedEvent]) -> Iterator[list[DecodedEvent]]:
    batch: list[DecodedEvent] = []
    for decoded in decoded_events:
        batch.append(decoded)
        if len(batch) == FACTS_PER_BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
