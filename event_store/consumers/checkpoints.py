"""Checkpoints of consumers that tail the log itself: where each was registered, and how far it came.

The checkpoint's row is locked and moved in one transaction, from where the consumer left it, and only while the lease
is still held. What a consumer writes in that same transaction takes effect once.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal, cast

from msgspec import Struct

from event_store.consumers import parking, starting
from event_store.consumers.errors import OpenAgain
from event_store.consumers.parking import Active, Scope
from event_store.consumers.starting import Start
from event_store.log.reading import Connection
from event_store.transport.transport import Fork

_REGISTER: Final = """
with registered as (
    insert into consumers.registration (consumer, kind, registered_position)
    select %(consumer)s, %(kind)s, least(%(start)s::bigint, h.position) from log.head h
    on conflict (consumer) do nothing returning registered_position
)
insert into consumers.checkpoint (consumer, position, leaf)
select %(consumer)s, r.registered_position, e.leaf
from registered r left join log.event e on e.position = r.registered_position
"""
_ENTER: Final = """
select c.position, c.leaf, e.leaf, c.position = r.registered_position
from consumers.checkpoint c
join consumers.registration r on r.consumer = c.consumer
left join log.event e on e.position = c.position
where c.consumer = %(consumer)s and c.generation = 0 and r.kind = %(kind)s
for update of c
"""
_ANSWERS: Final = """
insert into consumers.answered_type (consumer, type, since_position)
select %(consumer)s, t.type, %(since)s from unnest(%(types)s::text[]) as t (type)
on conflict do nothing
"""
_HOLD: Final = """
select from consumers.checkpoint
where consumer = %(consumer)s and generation = 0 and position = %(position)s
    and exists (select from runtime.lease l where l.name = %(lease)s and l.owner = %(owner)s)
for update
"""
_CONTRADICTED: Final = """
select r.consumer
from consumers.registration r
join consumers.checkpoint c on c.consumer = r.consumer and c.generation = 0
cross join log.head h
left join log.event e on e.position = c.position
where r.kind = %(kind)s and (
    %(all)s
    or r.registered_position > h.position
    or (c.position > 0 and c.leaf is distinct from e.leaf)
    or exists (select from consumers.parked k where k.consumer = r.consumer and k.last_position > h.position)
)
order by r.consumer
"""
_KIND: Final = "select kind from consumers.registration where consumer = %(consumer)s"
_SET_BACK: Final = """
with back as (
    update consumers.registration r set registered_position = least(r.registered_position, h.position)
    from log.head h where r.consumer = any(%(consumers)s)
    returning r.consumer, r.registered_position
), again as (
    update consumers.answered_type t set since_position = b.registered_position
    from back b where t.consumer = b.consumer
)
update consumers.checkpoint c set position = b.registered_position, moved_at = clock_timestamp(),
    leaf = (select e.leaf from log.event e where e.position = b.registered_position)
from back b where c.consumer = b.consumer and c.generation = 0
"""
_MOVE: Final = """
update consumers.checkpoint set position = %(position)s, leaf = %(leaf)s, moved_at = clock_timestamp()
where consumer = %(consumer)s and generation = 0
"""
_ADVANCE: Final = """
update consumers.checkpoint c set position = e.position, leaf = e.leaf, moved_at = clock_timestamp()
from log.event e
where e.position = %(to)s and c.consumer = %(consumer)s and c.generation = 0 and c.position = %(position)s
    and exists (select from runtime.lease l where l.name = %(lease)s and l.owner = %(owner)s)
"""


Kind = Literal["consumer", "process"]
"""Process managers answer each event that concerns them with an outcome in the log, and are shown apart."""


class NameTaken(Exception):
    """A consumer of another kind is registered under the name."""


class Mark(Struct, frozen=True):
    """A position of the log and the leaf that stands there; None before the first event."""

    position: int
    leaf: bytes | None = None


class Entered(Struct, frozen=True):
    """A consumer's checkpoint, and whether it is that of its registration: nothing was handled yet."""

    mark: Mark
    begins: bool


def register(conn: Connection, consumer: str, *, start: Start, kind: Kind = "consumer") -> None:
    """Register a consumer at its start, unless it is registered already: only a fence changes that.

    The first to start does it: the worker, or the command API before its routes answer, so that no route records an
    event which a consumer that waits for it would miss. A position that the log has not reached counts as its head.
    """
    given = {"consumer": consumer, "kind": kind, "start": starting.position_of(start)}
    conn.execute(_REGISTER, given)


def enter(conn: Connection, consumer: str, *, start: Start, kind: Kind = "consumer") -> Entered:
    """Where a consumer goes on, its checkpoint locked until the caller's transaction ends; registered if it is new.

    Raises:
        Fork: the log does not hold the event at the checkpoint.
        NameTaken: a consumer of another kind was registered under the name.
    """
    register(conn, consumer, start=start, kind=kind)
    row = conn.execute(_ENTER, {"consumer": consumer, "kind": kind}).fetchone()
    if row is None:
        raise NameTaken(f"another kind of consumer was registered as {consumer}: give it another name")
    position, leaf, logged, begins = cast("tuple[int, bytes | None, bytes | None, bool]", row)
    if position and (leaf is None or leaf != logged):
        raise Fork(position=position, carried=leaf or b"", logged=logged)
    return Entered(Mark(position, leaf), begins=begins)


def note_answers(conn: Connection, consumer: str, types: Iterable[str], *, since: int) -> None:
    """Note that a consumer answers events of these types behind a position, unless that is noted already."""
    conn.execute(_ANSWERS, {"consumer": consumer, "types": list(types), "since": since})


def hold(conn: Connection, consumer: str, at: Mark, *, active: Active) -> None:
    """Lock a checkpoint, first of all in the transaction that writes what the consumer does.

    A process that lost the lease while it was paused waits here for its successor, and then writes nothing.

    Raises:
        OpenAgain: it does not stand where it was left, or the lease is lost.
    """
    given = {"consumer": consumer, "position": at.position, "lease": active.lease, "owner": active.owner}
    if conn.execute(_HOLD, given).rowcount != 1:
        raise _left(consumer, at.position)


def move(conn: Connection, consumer: str, to: Mark) -> None:
    """Move a checkpoint that is held, last of all: a handler that commits by itself skips nothing."""
    conn.execute(_MOVE, {"consumer": consumer, "position": to.position, "leaf": to.leaf})


def advance(conn: Connection, consumer: str, *, after: int, to: int, active: Active) -> None:
    """Move a checkpoint to a later position of the log, where nothing is written with it.

    Raises:
        OpenAgain: it does not stand where it was left, or the lease is lost.
    """
    given = {"consumer": consumer, "position": after, "to": to, "lease": active.lease, "owner": active.owner}
    if conn.execute(_ADVANCE, given).rowcount != 1:
        raise _left(consumer, after)


def is_process(conn: Connection, consumer: str) -> bool:
    """Whether a process manager was registered under this name, also where none is declared."""
    return conn.execute(_KIND, {"consumer": consumer}).fetchone() == ("process",)


def to_set_back(conn: Connection, kind: Kind = "consumer", *, outcomes_lost: bool = False) -> list[str]:
    """The consumers of a kind whose registration, checkpoint or parked keys the log does not lead to.

    Whose outcomes were lost cannot be seen from their keys, so with `outcomes_lost` these are all.
    """
    rows = conn.execute(_CONTRADICTED, {"kind": kind, "all": outcomes_lost}).fetchall()
    return [cast("str", consumer) for (consumer,) in rows]


def set_back(conn: Connection, consumers: Sequence[str]) -> None:
    """Let consumers begin again where they were registered; by the owner, under the log's head lock.

    Their `begin` makes their tables anew, what was parked is met again. One that runs finds its checkpoint moved.
    """
    conn.execute(_SET_BACK, {"consumers": list(consumers)})
    for consumer in consumers:
        parking.forget(conn, Scope(consumer))


def _left(consumer: str, position: int) -> OpenAgain:
    return OpenAgain(f"the checkpoint of {consumer} left position {position:,}, or its lease is lost")
