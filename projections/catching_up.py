"""Reading the log for builds that stand behind: global views always, others after a rebuild, a stop, an old generation.

One page of the log serves every build and partition that is behind, so a dozen partitions cost one read.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from event_store.log import paging, reading
from event_store.log.decoding import Decoder
from event_store.log.envelope import RecordedEvent
from event_store.transport.partitioning import partition_of
from event_store.transport.transport import Partition, Record
from projections.folding import DecodedEvent
from projections.step import Feed, Following, Reach
from projections.storing import Connection

EVENTS_PER_PAGE: Final = 5_000
"""Events that one page holds at most; large ones make it shorter."""
POSITIONS_PER_PAGE: Final = 50_000
"""Positions that one page looks through at most, however few of them are of the wanted types."""


def from_records(records: Mapping[Partition, Sequence[Record]], *, decoder: Decoder) -> Feed:
    """The records of the transport as a feed: per partition, linked, from its position on.

    Raises:
        UnknownEventVersion: a record's event is newer than this program.
    """
    return {
        source: Reach(
            after=some[0].prev,
            position=some[-1].position,
            leaf=some[-1].leaf,
            decoded_events=[
                DecodedEvent(
                    record.position,
                    record.key,
                    record.stream,
                    record.version,
                    record.type,
                    record.leaf,
                    decoder.decode(
                        record.type, record.payload, position=record.position, stream=record.stream
                    ),
                    record.recorded_at,
                )
                for record in some
                if decoder.wants(record.type)
            ],
        )
        for source, some in records.items()
    }


def targets_behind(followings: Iterable[Following], ends: Mapping[Partition, int]) -> dict[Partition, int]:
    """Partitions in which some build that is fed stands before its end, with the lowest position of any."""
    behind: dict[Partition, int] = {}
    for following in followings:
        if following.stopped is not None:
            continue
        for source, cursor in following.cursors.items():
            if cursor.position < ends.get(source, 0):
                behind[source] = min(cursor.position, behind.get(source, cursor.position))
    return behind


def page(
    conn: Connection,
    behind: Mapping[Partition, int],
    ends: Mapping[Partition, int],
    *,
    partitions: int,
    decoder: Decoder,
) -> tuple[Feed, int]:
    """The next page of the log for partitions that stand behind, and how many events were read.

    Args:
        conn: in autocommit mode.
        behind: where each stands, from `targets_behind`.
        ends: up to where each is to be read: positions that the log holds.
        partitions: how many the generation has; 1 for the whole log.
        decoder: of all views.

    Raises:
        UnknownEventVersion: an event is newer than this program.
    """
    after = min(behind.values())
    upto = min(max(ends[source] for source in behind), after + POSITIONS_PER_PAGE)
    events = paging.page_after(conn, after, upto=upto, stems=decoder.stems, rows_max=EVENTS_PER_PAGE)
    reached = paging.reached_by(events, upto=upto, rows_max=EVENTS_PER_PAGE)
    stops = {source: min(reached, ends[source]) for source in behind}
    leaves = reading.leaves_at(conn, set(stops.values()))
    decoded_events = _by_source(events, behind, partitions=partitions, decoder=decoder)
    feed: dict[Partition, Reach] = {}
    for source, end in stops.items():
        if end in leaves:
            here = [decoded for decoded in decoded_events[source] if decoded.position <= end]
            feed[source] = Reach(after=after, position=end, leaf=leaves[end], decoded_events=here)
    return feed, len(events)


def decode(event: RecordedEvent, *, decoder: Decoder) -> DecodedEvent:
    """Decode one recorded event."""
    payload = decoder.decode(event.type, event.payload, position=event.position, stream=event.stream)
    return DecodedEvent(
        event.position,
        event.key,
        event.stream,
        event.version,
        event.type,
        event.leaf,
        payload,
        event.recorded_at,
    )


def _by_source(
    events: Iterable[RecordedEvent],
    wanted: Iterable[Partition],
    *,
    partitions: int,
    decoder: Decoder,
) -> dict[Partition, list[DecodedEvent]]:
    decoded_events: dict[Partition, list[DecodedEvent]] = {source: [] for source in wanted}
    for event in events:
        here = decoded_events.get(partition_of(event.key, partitions))
        if here is not None and decoder.wants(event.type):
            here.append(decode(event, decoder=decoder))
    return decoded_events
