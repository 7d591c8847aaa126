"""Snapshots of long streams: written by one owner that tails the log, read for decisions on such streams.

A snapshot is an aggregate's state at a version. It is trusted only while the log has the same leaf at that version and
the program declares the state as it was declared then; else the stream is folded from its first event.
"""

import functools
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import psycopg
import structlog
from msgspec import Struct

from domain.aggregate import Aggregate, category_of
from event_store.consumers import checkpoints
from event_store.consumers.checkpoints import Mark
from event_store.consumers.driver import Consumer, ConsumerSession, Waits
from event_store.consumers.parking import Active
from event_store.consumers.starting import ORIGIN
from event_store.log import codec, reading
from event_store.log.envelope import RecordedEvent
from event_store.log.reading import AsyncConnection, Connection
from projections.performing import SESSION
from runtime.decoders import json_decoder

NAME: Final = "snapshots"
"""Its name among all consumers of the log."""
LEASE_NAME: Final = "projections:snapshots"
POSITIONS_PER_ROUND: Final = 5_000
"""Positions of the log that one round looks through for streams that are due."""
WAITS: Final = Waits(first_s=0.5, longest_s=0.5, unhinted_s=0.5, pace_s=1.0, backlog=POSITIONS_PER_ROUND)
"""A stream is long before a snapshot of it is due: it may be a second longer."""

_VALID: Final = (
    "select s.stream, s.version, s.position, s.partition_key, s.state::text"
    " from unnest(%s::text[], %s::bytea[]) as w (stream, declaration)"
    " join views.snapshot s on s.stream = w.stream and s.declaration = w.declaration"
    " join log.event e on e.stream = s.stream and e.version = s.version and e.position = s.position and e.leaf = s.leaf"
)
_DUE: Final = (
    "select e.stream, max(e.version) from log.event e"
    " join unnest(%s::text[], %s::bigint[]) as a (category, every) on a.category = split_part(e.stream, '-', 1)"
    " where e.position > %s and e.position <= %s and e.version %% a.every = 0 group by e.stream"
)
_TAKE: Final = """
insert into views.snapshot (stream, version, position, partition_key, leaf, declaration, state)
values (%s, %s, %s, %s, %s, %s, %s)
on conflict (stream) do update set version = excluded.version, position = excluded.position,
    partition_key = excluded.partition_key, leaf = excluded.leaf, declaration = excluded.declaration,
    state = excluded.state, taken_at = clock_timestamp()
"""
_TAKEN: Final = "select stream from views.snapshot order by md5(stream || %s) limit %s"

log = structlog.get_logger()


class Snapshot(Struct, frozen=True):
    """The state of a stream at a version, with position and partition key of the event that led to it."""

    state: Any
    version: int
    position: int
    key: str


class Refolded(Struct, frozen=True):
    """A snapshot next to what the log says now."""

    stream: str
    position: int
    matches: bool


async def load_async(
    connection: AsyncConnection, wanted: Mapping[str, Aggregate[Any]]
) -> dict[str, Snapshot]:
    """The valid snapshots of these streams; streams without one are absent."""
    async with connection.cursor(binary=True) as cursor:
        rows = await (await cursor.execute(_VALID, _asked(wanted))).fetchall()
    return dict(_snapshots(rows, wanted))


def load(connection: Connection, wanted: Mapping[str, Aggregate[Any]]) -> dict[str, Snapshot]:
    """The same."""
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(_VALID, _asked(wanted)).fetchall()
    return dict(_snapshots(rows, wanted))


def refold(
    connection: Connection, aggregates: Sequence[Aggregate[Any]], *, seed: str, limit: int
) -> Iterator[Refolded]:
    """Fold the streams of some snapshots again from their first event, and compare.

    Snapshots that are void (another leaf, another declaration) are not used by anybody and are passed over.
    """
    kinds = {aggregate.category: aggregate for aggregate in aggregates}
    for (stream,) in connection.execute(_TAKEN, [seed, limit]).fetchall():
        aggregate = kinds.get(category_of(stream))
        found = {} if aggregate is None else load(connection, {stream: aggregate})
        if aggregate is None or stream not in found:
            continue
        snapshot = found[stream]
        try:
            folded = _folded(connection, stream, aggregate, None, upto=snapshot.version)
        except (
            codec.CodecError
        ):  # damage since it was taken; at which position, the log's own verification says
            folded = None
        matches = folded is not None and folded[0] == snapshot.state
        yield Refolded(stream, snapshot.position, matches=matches)


class SnapshotTaker:
    """Tails the log while the lease is held. One thread."""

    def __init__(self, session: ConsumerSession, *, aggregates: Sequence[Aggregate[Any]]) -> None:
        """Go on from the checkpoint, at the log's first event if there is none.

        Raises:
            Fork: the log does not hold the event at the checkpoint.
        """
        assert session.lease is not None, "one process at a time takes snapshots"
        self._connection: Connection = session.conn
        self._lease = session.lease
        self._metrics = session.metrics
        self._active = Active(session.lease.name, session.lease.owner)
        with self._connection.transaction():
            self._mark = checkpoints.enter(self._connection, NAME, start=ORIGIN).mark
        self._every = {each.category: each.snapshot_every for each in aggregates if each.snapshot_every}
        self._kinds = {each.category: each for each in aggregates}

    def round(self) -> int:
        """Read one stretch of the log; how many positions it held.

        Raises:
            OpenAgain: another process was here.
        """
        head = reading.head(self._connection).position
        self._metrics.stands(NAME, lag_events=max(0, head - self._mark.position))
        upto = min(self._mark.position + POSITIONS_PER_ROUND, head)
        if upto <= self._mark.position:
            return 0
        given = [list(self._every), list(self._every.values()), self._mark.position, upto]
        for stream, version in self._connection.execute(_DUE, given).fetchall():
            try:
                self._take(stream, upto=version)
            except psycopg.Error:
                raise
            except Exception:  # one stream that cannot be folded keeps no other from its snapshot
                log.exception("snapshot_failed", stream=stream)
            if not self._lease.hold():
                return 0
        reached = Mark(upto, reading.leaf_at(self._connection, upto))
        with self._connection.transaction():
            checkpoints.hold(self._connection, NAME, self._mark, active=self._active)
            checkpoints.move(self._connection, NAME, reached)
        read, self._mark = upto - self._mark.position, reached
        return read

    def close(self) -> None:
        """Remove its metrics."""
        self._metrics.left(NAME)

    def _take(self, stream: str, *, upto: int) -> None:
        aggregate = self._kinds[category_of(stream)]
        base = load(self._connection, {stream: aggregate}).get(stream)
        folded = _folded(self._connection, stream, aggregate, base, upto=upto)
        if folded is None:
            return
        state, last = folded
        given = [stream, last.version, last.position, last.key, last.leaf]
        self._connection.execute(_TAKE, [*given, declaration(aggregate), msgspec.json.encode(state).decode()])


def consumer(aggregates: Sequence[Aggregate[Any]]) -> Consumer:
    """The consumer that takes snapshots, of the aggregates that declare them."""
    wanting = [each for each in aggregates if each.snapshot_every]

    return Consumer(
        name=NAME,
        role="counterfoil_projector",
        open=lambda session: SnapshotTaker(session, aggregates=wanting),
        lease=LEASE_NAME,
        waits=WAITS,
        settings=SESSION,
    )


@functools.lru_cache(maxsize=256)
def declaration(aggregate: Aggregate[Any]) -> bytes:
    """The digest of how an aggregate's state is declared: fields, their types and their defaults."""
    return hashlib.sha256(msgspec.json.encode(_shape(msgspec.json.schema(aggregate.state_type)))).digest()


def _shape(schema: Any) -> Any:
    """A schema without descriptions."""
    match schema:
        case dict():
            return {name: _shape(schema[name]) for name in sorted(schema) if name != "description"}
        case list():
            return [_shape(each) for each in schema]
    return schema


def _asked(wanted: Mapping[str, Aggregate[Any]]) -> list[list[Any]]:
    return [list(wanted), [declaration(aggregate) for aggregate in wanted.values()]]


def _snapshots(
    rows: Sequence[tuple[Any, ...]], wanted: Mapping[str, Aggregate[Any]]
) -> Iterator[tuple[str, Snapshot]]:
    for stream, version, position, key, state in rows:
        yield stream, Snapshot(json_decoder(wanted[stream].state_type).decode(state), version, position, key)


def _folded(
    connection: Connection, stream: str, aggregate: Aggregate[Any], base: Snapshot | None, *, upto: int
) -> tuple[Any, RecordedEvent] | None:
    """The state of a stream at a version and the event that led to it, page by page; None if that is the base."""
    state, version = (None, -1) if base is None else (base.state, base.version)
    last = None
    while page := reading.read_stream(
        connection, stream, after_version=version, limit=reading.EVENTS_PER_STREAM_MAX
    ):
        for event in page:
            if event.version > upto:
                break
            state, last = aggregate.evolve(state, codec.decode(event.type, event.payload)), event
        version = page[-1].version
        if version >= upto:
            break
    return None if last is None else (state, last)
