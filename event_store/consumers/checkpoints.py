"""Checkpoints of consumers that tail the log itself: where each was registered, and how far it came.

The checkpoint's row is locked and moved in the transaction that writes what the consumer does, from where the consumer
left it, and only while the lease is still held: so each event takes effect once.
"""

from collections.abc import Sequence
from typing import Final, cast

from msgspec import Struct

from event_store.consumers import parking, starting
from event_store.consumers.errors import OpenAgain
from event_store.consumers.parking import Active, Scope
from event_store.consumers.starting import Start
from event_store.log.reading import Connection
from event_store.transport.transport import Fork

_REGISTER: Final = """
with registered as (
    insert into consumers.registration (consumer, registered_position)
    select %(consumer)s, least(%(start)s::bigint, h.position) from log.head h
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
where c.consumer = %(consumer)s and c.generation = 0
for update of c
"""
_HOLD: Final = """
select from consumers.checkpoint
where consumer = %(consumer)s and generation = 0 and position = %(position)s
    and exists (select from runtime.lease l where l.name = %(lease)s and l.owner = %(owner)s)
for update
"""
_CONTRADICTED: Final = """
select c.consumer from consumers.checkpoint c left join log.event e on e.position = c.position
where c.generation = 0 and c.position > 0 and c.leaf is distinct from e.leaf
order by c.consumer
"""
_SET_BACK: Final = """
with back as (
    update consumers.registration r set registered_position = least(r.registered_position, h.position)
    from log.head h where r.consumer = any(%(consumers)s)
    returning r.consumer, r.registered_position
)
update consumers.checkpoint c set position = b.registered_position, moved_at = clock_timestamp(),
    leaf = (select e.leaf from log.event e where e.position = b.registered_position)
from back b where c.consumer = b.consumer and c.generation = 0
"""
_MOVE: Final = """
update consumers.checkpoint set position = %(position)s, leaf = %(leaf)s, moved_at = clock_timestamp()
where consumer = %(consumer)s and generation = 0
"""


class NameTaken(Exception):
    """What is registered under a consumer's name is no consumer of the whole log."""


class Mark(Struct, frozen=True):
    """A position of the log and the leaf that stands there; None before the first event."""

    position: int
    leaf: bytes | None = None


class Entered(Struct, frozen=True):
    """Where a consumer goes on, and whether that is where it was registered: nothing was handled yet."""

    mark: Mark
    begins: bool


def register(conn: Connection, consumer: str, *, start: Start) -> None:
    """Note where a consumer begins, unless it is noted already: that never changes, except by a fence.

    A position that the log has not reached counts as its head.
    """
    conn.execute(_REGISTER, {"consumer": consumer, "start": starting.position_of(start)})


def enter(conn: Connection, consumer: str, *, start: Start) -> Entered:
    """Where a consumer goes on, its checkpoint locked until the caller's transaction ends; registered if it is new.

    Raises:
        Fork: the log does not hold the event at the checkpoint.
        NameTaken: a process manager was registered under the name.
    """
    register(conn, consumer, start=start)
    row = conn.execute(_ENTER, {"consumer": consumer}).fetchone()
    if row is None:
        raise NameTaken(f"a process manager was registered as {consumer}: give the consumer another name")
    position, leaf, logged, begins = cast("tuple[int, bytes | None, bytes | None, bool]", row)
    if position and (leaf is None or leaf != logged):
        raise Fork(position=position, carried=leaf or b"", logged=logged)
    return Entered(Mark(position, leaf), begins=begins)


def hold(conn: Connection, consumer: str, at: Mark, *, active: Active) -> None:
    """Lock a checkpoint, first of all in the transaction that writes what the consumer does.

    Whoever lost the lease while it was paused waits here for its successor, and then writes nothing.

    Raises:
        OpenAgain: it does not stand where it was left, or the lease is lost.
    """
    given = {"consumer": consumer, "position": at.position, "lease": active.lease, "owner": active.owner}
    if conn.execute(_HOLD, given).rowcount != 1:
        raise OpenAgain(f"the checkpoint of {consumer} left position {at.position:,}, or its lease is lost")


def move(conn: Connection, consumer: str, to: Mark) -> None:
    """Move a checkpoint that is held, last of all: a handler that commits by itself skips nothing."""
    conn.execute(_MOVE, {"consumer": consumer, "position": to.position, "leaf": to.leaf})


def to_set_back(conn: Connection) -> list[str]:
    """The consumers at whose checkpoint the log does not hold the event that they handled last."""
    return [cast("str", consumer) for (consumer,) in conn.execute(_CONTRADICTED).fetchall()]


def set_back(conn: Connection, consumers: Sequence[str]) -> None:
    """Let consumers begin again where they were registered; by the owner, under the log's head lock.

    Their `begin` makes their tables anew, what was parked is met again. One that runs finds its checkpoint moved.
    """
    conn.execute(_SET_BACK, {"consumers": list(consumers)})
    for consumer in consumers:
        parking.forget(conn, Scope(consumer))
