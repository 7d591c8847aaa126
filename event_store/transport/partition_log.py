"""The log seen as the transport's partitions: what a consumer reads when records were lost, and compares.

Partitions are computed here, not in SQL: a page of (position, key) pairs costs little, murmur2 is cached per
key, and only the rows of the wanted partition are then fetched whole.
"""

from collections.abc import Mapping, Sequence
from typing import Final, cast

import msgspec
import psycopg

from event_store.log import paging, reading
from event_store.log.envelope import RecordedEvent
from event_store.transport import generations
from event_store.transport.partitioning import partition_of
from event_store.transport.transport import Fork, Generation, Partition, Record

Connection = psycopg.Connection[tuple[object, ...]]

ROWS_PER_PAGE: Final = 5_000
"""Log rows that one page of a partition covers; it holds as many records at most."""

_KEYS: Final = """
select position, coalesce(partition_key, stream) from log.event
where position > %(after)s and position <= %(upto)s order by position limit %(limit)s
"""


class PartitionPage(msgspec.Struct):
    """Records of one partition in (after, reached]; there are none between the last record and `reached`."""

    records: list[Record]
    reached: int


class PartitionLog:
    """The log as partitions of one generation. One thread, one connection."""

    def __init__(self, conn: Connection, *, generation: Generation) -> None:
        self._conn = conn
        self._generation = generation

    def page(self, partition: Partition, *, after: int, upto: int) -> PartitionPage:
        """Read the next records of a partition from the log; call again from `reached` until it is `upto`."""
        return read_partition(self._conn, partition, generation=self._generation, after=after, upto=upto)

    def published(self) -> generations.Published:
        """Read how far the relay of this generation came."""
        return generations.published(self._conn, generation=self._generation.generation)

    def verify(self, carried: Mapping[int, bytes]) -> None:
        """Raise Fork unless the log holds each of these leaves at its position."""
        verify_leaves(self._conn, carried)


def read_partition(
    conn: Connection,
    partition: Partition,
    *,
    generation: Generation,
    after: int,
    upto: int,
    rows_max: int = ROWS_PER_PAGE,
    bytes_max: int = paging.PAGE_BYTES_MAX,
) -> PartitionPage:
    """Read what one partition carries behind `after` up to `upto`, one bounded page of it.

    The first record's `prev` is `after`, so the page links to whatever stood there.
    """
    reached, positions = _positions(conn, partition, generation.partitions, after, upto, rows_max)
    events = paging.page_at(conn, positions, bytes_max=bytes_max)
    complete = len(events) == len(positions)
    if not events:
        return PartitionPage(records=[], reached=reached)
    records = as_records(events, partition, generations.epochs(conn), prev=after)
    return PartitionPage(records=records, reached=reached if complete else records[-1].position)


def as_records(
    events: Sequence[RecordedEvent], partition: Partition, epochs: generations.Epochs, *, prev: int
) -> list[Record]:
    """Link events of one partition into records."""
    records = []
    for event in events:
        records.append(as_record(event, partition=partition, prev=prev, epoch=epochs.at(event.position)))
        prev = event.position
    return records


def as_record(event: RecordedEvent, *, partition: Partition, prev: int, epoch: int) -> Record:
    """Render one row of the log as a record."""
    return Record(
        partition,
        prev,
        event.position,
        event.key,
        event.stream,
        event.version,
        event.type,
        event.payload,
        event.metadata,
        event.recorded_at,
        event.leaf,
        epoch,
    )


def verify_leaves(conn: Connection, carried: Mapping[int, bytes]) -> None:
    """Compare carried leaves with the log's, by position.

    Raises:
        Fork: the log has another event there, or none. What was carried comes from a history the log no
        longer has.
    """
    if not carried:
        return
    logged = reading.leaves_at(conn, carried)
    for position, leaf in carried.items():
        if logged.get(position) != leaf:
            raise Fork(position=position, carried=leaf, logged=logged.get(position))


def _positions(
    conn: Connection, partition: int, partitions: int, after: int, upto: int, rows_max: int
) -> tuple[int, list[int]]:
    parameters = {"after": after, "upto": upto, "limit": rows_max}
    rows = cast("list[tuple[int, str]]", conn.execute(_KEYS, parameters, binary=True).fetchall())
    reached = rows[-1][0] if len(rows) == rows_max else upto
    return reached, [position for position, key in rows if partition_of(key, partitions) == partition]
