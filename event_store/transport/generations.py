"""Generations of the transport: which is current, how far its relay came, and how a new one begins.

A generation begins behind the log's last event of that moment. It is begun when the partition count, the
carrier changes, and by `fence`, after the log was restored or a standby
promoted.
"""

import bisect
from collections.abc import Callable, Mapping
from typing import Final, LiteralString, cast

import msgspec
import psycopg

from event_store.log import cutting
from event_store.transport.transport import WHOLE_LOG, Carrier, Generation, Numbering, Partition

Connection = psycopg.Connection[tuple[object, ...]]

_COLUMNS: LiteralString = """(select id::text from log.installation), generation, partitions, start_position,
    carrier"""
_CURRENT: Final = f"select {_COLUMNS} from transport.generation order by generation desc limit 1"
_NAMED: Final = f"select {_COLUMNS} from transport.generation where generation = %(generation)s"
_SETTLE: Final = """
update transport.generation set carrier = %(carrier)s
where generation = %(generation)s and carrier is null
"""
_BEGIN: Final = "select transport.begin_generation(%(partitions)s, %(carrier)s, %(reason)s)"
_LOCK_NEWEST: Final = (
    "select generation from transport.generation order by generation desc limit 1 for update"
)
_LOCK_HEAD: Final = "select position from log.head for update"
_RAISE_EPOCH: Final = "update log.head set epoch = epoch + 1 returning epoch, position"
_NOTE_EPOCH: Final = """
insert into log.epoch (epoch, first_position, started_at, reason)
values (%(epoch)s, %(first_position)s, clock_timestamp(), %(reason)s)
"""
_NEW_INSTALLATION: Final = """
update log.installation set id = gen_random_uuid(), began_at = clock_timestamp(), copied = true
"""
_EPOCHS: Final = "select first_position, epoch from log.epoch order by epoch"
_FRAME: Final = """
select (select min(start_position) from transport.generation where generation > %(generation)s),
    array_agg(first_position order by epoch), array_agg(epoch order by epoch),
    (select refusal from seal.witness where refusal is not null
        and origin = (select origin from seal.tree order by sealed_at desc limit 1) limit 1)
from log.epoch
"""
_PUBLISHED: Final = """
select (select max(generation) from transport.generation), relay.position,
    array_agg(part.partition), array_agg(part.position)
from transport.relay join transport.relay_partition part using (generation)
where relay.generation = %(generation)s
group by relay.position
"""


class NoGeneration(LookupError):
    """The database has no such generation: it was never migrated, or the number is wrong."""


class Published(msgspec.Struct, frozen=True):
    """How far the relay of a generation came, in one snapshot.

    Every event up to `position` is acknowledged; `partitions` holds the last position published to each;
    `newest` is the number of the newest generation, larger than `generation` once this one has ended.
    """

    generation: int
    newest: int
    position: int
    partitions: dict[Partition, int]


class Epochs(msgspec.Struct, frozen=True):
    """The epochs of the log by first position, ascending; to be read after the rows they are asked about."""

    first_positions: tuple[int, ...]
    epochs: tuple[int, ...]

    def at(self, position: int) -> int:
        """Return the epoch in which a position was written."""
        # Epochs raised without an event between them share a first position: the last of them wrote the
        # event.
        return self.epochs[bisect.bisect_right(self.first_positions, position) - 1]


class Frame(msgspec.Struct, frozen=True):
    """What bounds and labels a generation's events; to be read after the rows it is asked about.

    Read later, it knows every epoch and every end that those rows could belong to. `end` is the start of the
    next generation, None while there is none. `refusal` is why a witness cosigns this log no more, None while none
    refuses.
    """

    epochs: Epochs
    end: int | None = None
    refusal: str | None = None


def current_generation(conn: Connection) -> Generation:
    """Read the newest generation; raise NoGeneration on a database without one."""
    return _generation(conn.execute(_CURRENT).fetchone())


def generation_numbered(conn: Connection, *, generation: int) -> Generation:
    """Read a generation by its number; raise NoGeneration when there is none."""
    return _generation(conn.execute(_NAMED, {"generation": generation}).fetchone())


def numbering(conn: Connection, *, generation: int) -> Numbering:
    """The scope of a checkpoint's generation: partitions of the transport, or the whole log."""
    return (
        WHOLE_LOG if generation == WHOLE_LOG.generation else generation_numbered(conn, generation=generation)
    )


def settle(conn: Connection, *, carrier: Carrier, partitions: int) -> Generation:
    """Make the current generation one with these properties, beginning a new one when it has others.

    The first to settle a generation that nobody settled yet (the one of the migration) only names its carrier.
    """
    with conn.transaction():
        conn.execute(_LOCK_NEWEST)
        current = current_generation(conn)
        if current.carrier is None and current.partitions == partitions:
            conn.execute(_SETTLE, {"generation": current.generation, "carrier": carrier})
        elif (current.carrier, current.partitions) != (carrier, partitions):
            _begin(conn, partitions=partitions, carrier=carrier, reason="settings changed")
        return current_generation(conn)


class Fenced(msgspec.Struct, frozen=True):
    """The epoch and generation that a fence began, and how many outcomes it removed because their events are gone."""

    epoch: int
    generation: Generation
    outcomes_removed: int


def fence(
    conn: Connection,
    *,
    reason: str,
    empty_documents: Callable[[], None],
    new_installation: bool = False,
) -> Fenced:
    """Declare that the log may have lost a tail: new epoch, new generation, empty document cache.

    Mandatory after a restore or a promotion, with writers stopped or not: a writer of the old epoch is
    refused, a relay of the old generation publishes nothing more. The connection belongs to the owner of the
    schemas. `empty_documents` runs first: were it to fail after the fence, a cache of the lost history might
    be trusted. What else must hold together with the fence belongs into a transaction around it.

    `new_installation` is for a copy of a log whose original lives on: the topics, groups and documents under the
    id that both had are the original's, so none of them is emptied.

    Raises:
        cutting.NotOneMoment: the log has no end that could be fenced.
    """
    if not new_installation:
        empty_documents()
    with conn.transaction():
        conn.execute(_LOCK_HEAD)
        if new_installation:
            conn.execute(_NEW_INSTALLATION)
        outcomes_removed = cutting.remove_outcomes_beyond(conn)
        before = current_generation(conn)
        row = conn.execute(_RAISE_EPOCH).fetchone()
        assert row is not None, "log.head always has its one row"
        epoch, position = cast("tuple[int, int]", row)
        conn.execute(_NOTE_EPOCH, {"epoch": epoch, "first_position": position + 1, "reason": reason})
        _begin(conn, partitions=before.partitions, carrier=before.carrier, reason=reason)
        return Fenced(epoch, current_generation(conn), outcomes_removed)


def published(conn: Connection, *, generation: int) -> Published:
    """Read how far a generation's relay came; raise NoGeneration when there is no such generation."""
    row = conn.execute(_PUBLISHED, {"generation": generation}).fetchone()
    if row is None:
        raise NoGeneration(f"generation {generation}")
    newest, position, partitions, positions = cast("tuple[int, int, list[int], list[int]]", row)
    last = dict(zip(partitions, positions, strict=True))
    return Published(generation=generation, newest=newest, position=position, partitions=last)


def frame(conn: Connection, *, generation: int) -> Frame:
    """Read epochs and end of a generation in one snapshot."""
    row = conn.execute(_FRAME, {"generation": generation}).fetchone()
    assert row is not None, "an aggregate without group by gives one row"
    end, first_positions, numbers, refusal = cast("tuple[int | None, list[int], list[int], str | None]", row)
    return Frame(epochs=Epochs(tuple(first_positions), tuple(numbers)), end=end, refusal=refusal)


def epochs(conn: Connection) -> Epochs:
    """Read the log's epochs."""
    rows = cast("list[tuple[int, int]]", conn.execute(_EPOCHS).fetchall())
    return Epochs(first_positions=tuple(row[0] for row in rows), epochs=tuple(row[1] for row in rows))


def unfinished(positions: Mapping[Partition, int], *, next_generation: Generation) -> list[Partition]:
    """Name the partitions of an old generation that must still be read, from the log, to its end.

    Its end is the next start - 1. Only when none is left may a consumer create its rows of the next
    generation: all of them, at start - 1, in one transaction.
    """
    end = next_generation.start_position - 1
    return sorted(source for source, position in positions.items() if position < end)


def _begin(conn: Connection, *, partitions: int, carrier: Carrier | None, reason: str) -> None:
    conn.execute(_BEGIN, {"partitions": partitions, "carrier": carrier, "reason": reason})


def _generation(row: tuple[object, ...] | None) -> Generation:
    if row is None:
        raise NoGeneration("the database holds no such generation: is it migrated?")
    installation, number, partitions, start, carrier = cast("tuple[str, int, int, int, Carrier | None]", row)
    return Generation(
        installation=installation,
        generation=number,
        partitions=partitions,
        start_position=start,
        carrier=carrier,
    )
