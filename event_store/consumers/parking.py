"""Parked keys of every consumer, and what operators request about them: the one module over both tables.

The log itself is the queue: a parked key remembers only the event that failed, how many of its later events wait and
up to where; its owner reads them from the log again, in order. What operators request is carried out by that owner
between two batches.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Final, Literal, cast

import psycopg
from msgspec import Struct
from psycopg.rows import class_row

Connection = psycopg.Connection[tuple[object, ...]]

Kind = Literal["retry", "skip"]

WAITING_PER_KEY_MAX: Final = 1_000
"""Events that may wait at one parked key; then its consumer, or the build of a view, takes no more."""
WAITING_MAX: Final = 10_000
"""Events that may wait at all parked keys of a consumer, or of one build of a view."""
KEYS_SHOWN_MAX: Final = 10_000
"""Parked keys that one list names."""
REQUESTS_READ_MAX: Final = 1_000
"""Open requests that an owner reads at a time, oldest first."""
TEXT_CHARACTERS_MAX: Final = 2_000
"""Characters kept of a reason, a note or an outcome."""

_COLUMNS: Final = """consumer, shape, build, partition_key, position, stream, version, type, reason,
    tries, queued, last_position, parked_at"""
_LIST: Final = f"""
select {_COLUMNS} from consumers.parked order by position, consumer, shape, build, partition_key limit %(limit)s
"""
_OF_KEY: Final = f"""
select {_COLUMNS} from consumers.parked
where consumer = %(consumer)s and partition_key = %(partition_key)s order by shape, build
"""
_OF_SCOPE: Final = f"""
select {_COLUMNS} from consumers.parked
where consumer = %(consumer)s and shape = %(shape)s and build = %(build)s
"""
_COUNTS: Final = (
    "select consumer, shape, build, count(*) from consumers.parked group by consumer, shape, build"
)
_OURS: Final = """(%(lease)s::text is null or exists (
    select from runtime.lease l where l.name = %(lease)s and l.owner = %(owner)s
))"""
_PARK: Final = f"""
insert into consumers.parked as p (consumer, shape, build, partition_key, position, stream, version, type, reason,
    tries, queued, last_position)
select %(consumer)s, %(shape)s, %(build)s, %(partition_key)s, %(position)s, %(stream)s, %(version)s, %(type)s,
    %(reason)s, %(tries)s, %(queued)s, %(last_position)s
where {_OURS}
on conflict (consumer, shape, build, partition_key) do update set
    position = excluded.position, stream = excluded.stream, version = excluded.version, type = excluded.type,
    reason = excluded.reason, queued = excluded.queued, parked_at = clock_timestamp(),
    tries = excluded.tries + case when p.position = excluded.position then p.tries else 0 end,
    last_position = greatest(p.last_position, excluded.last_position)
"""
_QUEUE: Final = f"""
update consumers.parked p set queued = p.queued + w.events, last_position = w.last_position
from unnest(%(keys)s::text[], %(events)s::bigint[], %(last_positions)s::bigint[])
    as w (partition_key, events, last_position)
where p.consumer = %(consumer)s and p.shape = %(shape)s and p.build = %(build)s
    and p.partition_key = w.partition_key and p.last_position < w.last_position and {_OURS}
"""
_UNPARK: Final = """
delete from consumers.parked where consumer = %(consumer)s and shape = %(shape)s and build = %(build)s
    and partition_key = %(partition_key)s
"""
_FORGET: Final = """
delete from consumers.parked where consumer = %(consumer)s and shape = %(shape)s and build = %(build)s
"""
_ASK: Final = """
insert into consumers.request (kind, consumer, shape, partition_key, position, actor, note, act)
values (%(kind)s, %(consumer)s, %(shape)s, %(partition_key)s, %(position)s, %(actor)s, %(note)s, %(act)s)
returning request
"""
_OUTCOME: Final = (
    "select outcome from consumers.request where request = %(request)s and executed_at is not null"
)
_PENDING: Final = """
select request, kind, consumer, shape, partition_key, position, actor, note from consumers.request
where executed_at is null and consumer = any(%(consumers)s) order by request limit %(limit)s
"""
_CLOSE: Final = """
update consumers.request set executed_at = clock_timestamp(), outcome = %(outcome)s where request = %(request)s
"""


class NotParked(LookupError):
    """Nothing of this partition key is parked for this consumer."""

    def __init__(self, *, consumer: str, partition_key: str) -> None:
        super().__init__(f"{consumer} has nothing parked for {partition_key!r}")
        self.consumer = consumer
        self.partition_key = partition_key


class Scope(Struct, frozen=True, order=True):
    """The owner of parked keys: a consumer, or one build of a view in one shape."""

    consumer: str
    shape: int = 0
    build: int = 0


class Active(Struct, frozen=True):
    """A lease and its owner: rows are written only while the owner holds it."""

    lease: str
    owner: str


class Failure(Struct, frozen=True):
    """The event at which a key is parked, the error, and how many later events up to `last_position` wait."""

    partition_key: str
    position: int
    stream: str
    version: int
    type: str
    reason: str
    tries: int = 1
    queued: int = 0
    last_position: int = 0


class Waiting(Struct, frozen=True):
    """Events of one key that wait behind the one that failed, and the position of the last of them."""

    events: int = 0
    last_position: int = 0

    def with_one_at(self, position: int) -> "Waiting":
        """With one more event."""
        return Waiting(self.events + 1, max(self.last_position, position))


class ParkedKey(Struct, frozen=True):
    """A partition key that stands still, the event it stands at, why, and how many later ones wait behind it.

    `shape` and `build` are 0 for a consumer that has none.
    """

    consumer: str
    shape: int
    build: int
    partition_key: str
    position: int
    stream: str
    version: int
    type: str
    reason: str
    tries: int
    queued: int
    last_position: int
    parked_at: datetime

    @property
    def scope(self) -> Scope:
        """The owner of the key."""
        return Scope(self.consumer, self.shape, self.build)


class Request(Struct, frozen=True):
    """An operator's request about a parked key, not yet carried out."""

    request: int
    kind: Kind
    consumer: str
    shape: int
    partition_key: str
    position: int
    actor: str
    note: str


# For operators.


def listed(conn: Connection, *, limit: int = KEYS_SHOWN_MAX) -> list[ParkedKey]:
    """Every parked key, by position."""
    with conn.cursor(row_factory=class_row(ParkedKey)) as cursor:
        return cursor.execute(_LIST, {"limit": limit}).fetchall()


def counts(conn: Connection) -> dict[Scope, int]:
    """How many keys are parked, wherever any are."""
    rows = cast("list[tuple[str, int, int, int]]", conn.execute(_COUNTS).fetchall())
    return {Scope(consumer, shape, build): keys for consumer, shape, build, keys in rows}


def shown(conn: Connection, consumer: str, partition_key: str) -> list[ParkedKey]:
    """One parked key of a consumer; several rows where it is parked in several builds of a view.

    Raises:
        NotParked: it is not.
    """
    found = of_key(conn, consumer, partition_key)
    if not found:
        raise NotParked(consumer=consumer, partition_key=partition_key)
    return found


def ask(
    conn: Connection, kind: Kind, key: ParkedKey, *, actor: str, note: str = "", act: int | None = None
) -> int:
    """Request that a key is tried again where it stands, or that it goes on behind that event; the request's number.

    `act` is the position of the act of an operator that it belongs to.

    A skip is an event in the log (`operations.event_skipped.v1` in the stream `skips-<consumer>`) which must have been
    appended before: the owner of the key passes over what the log says is skipped, and nothing else.
    """
    given = {
        "kind": kind,
        "consumer": key.consumer,
        "shape": key.shape,
        "partition_key": key.partition_key,
        "position": key.position,
        "actor": actor,
        "note": _kept(note),
        "act": act,
    }
    row = conn.execute(_ASK, given).fetchone()
    assert row is not None, "an insert that returns gives its row"
    return cast("int", row[0])


def outcome_of(conn: Connection, request: int) -> str | None:
    """The outcome of a request; None while it is not carried out."""
    row = conn.execute(_OUTCOME, {"request": request}).fetchone()
    return None if row is None else cast("str", row[0])


# For the owners of keys.


def of_scope(conn: Connection, scope: Scope) -> dict[str, ParkedKey]:
    """The parked keys of a consumer, or of a build, by name."""
    with conn.cursor(row_factory=class_row(ParkedKey)) as cursor:
        return {key.partition_key: key for key in cursor.execute(_OF_SCOPE, _named(scope))}


def of_key(conn: Connection, consumer: str, partition_key: str) -> list[ParkedKey]:
    """Where a key of a consumer is parked: nowhere, once, or in several builds of a view."""
    with conn.cursor(row_factory=class_row(ParkedKey)) as cursor:
        given = {"consumer": consumer, "partition_key": partition_key}
        return cursor.execute(_OF_KEY, given).fetchall()


def park(conn: Connection, scope: Scope, failure: Failure, *, active: Active | None = None) -> None:
    """Note that a key stands still, or where it stands now; a failure at the same event adds up its tries."""
    given = {
        **_named(scope, active),
        "partition_key": failure.partition_key,
        "position": failure.position,
        "stream": failure.stream,
        "version": failure.version,
        "type": failure.type,
        "reason": _kept(failure.reason),
        "tries": failure.tries,
        "queued": failure.queued,
        "last_position": max(failure.last_position, failure.position),
    }
    conn.execute(_PARK, given)


def queue(
    conn: Connection, scope: Scope, waiting: Mapping[str, Waiting], *, active: Active | None = None
) -> None:
    """Count events that wait behind parked keys; what was counted before is not counted again."""
    if waiting:
        given = {
            **_named(scope, active),
            "keys": list(waiting),
            "events": [each.events for each in waiting.values()],
            "last_positions": [each.last_position for each in waiting.values()],
        }
        conn.execute(_QUEUE, given)


def unpark(conn: Connection, scope: Scope, partition_key: str) -> None:
    """Unpark a key."""
    conn.execute(_UNPARK, {**_named(scope), "partition_key": partition_key})


def forget(conn: Connection, scope: Scope) -> None:
    """Let all keys of a consumer, or of a build, go: it is gone, or begins again and meets them again."""
    conn.execute(_FORGET, _named(scope))


def pending(conn: Connection, consumers: Collection[str], *, limit: int = REQUESTS_READ_MAX) -> list[Request]:
    """Requests about keys of these consumers that nobody has carried out, oldest first."""
    with conn.cursor(row_factory=class_row(Request)) as cursor:
        return cursor.execute(_PENDING, {"consumers": list(consumers), "limit": limit}).fetchall()


def objection(request: Request, parked: ParkedKey | None, *, skipped: Callable[[], Collection[int]]) -> str:
    """Why a request about a key that stands so is not carried out; empty: it is. `skipped` reads what the log skips."""
    if parked is None or parked.position != request.position:
        return f"void: the key stands {f'at {parked.position}' if parked else 'nowhere'}"
    if request.kind == "skip" and request.position not in skipped():
        return not_skipped(request)
    return ""


def not_skipped(request: Request) -> str:
    """The outcome of a skip that the log does not have."""
    return f"refused: no skip of position {request.position} is in the log"


def close(conn: Connection, request: int, *, outcome: str) -> None:
    """Save the outcome of a request."""
    conn.execute(_CLOSE, {"request": request, "outcome": _kept(outcome)})


def overflow(queued: Mapping[str, int]) -> str | None:
    """Why no more can be taken while so many events wait behind each key; None while they are within their limits."""
    for key, events in queued.items():
        if events > WAITING_PER_KEY_MAX:
            return f"{events} events wait behind parked key {key}, more than {WAITING_PER_KEY_MAX}"
    if (total := sum(queued.values())) > WAITING_MAX:
        return f"{total} events wait behind parked keys, more than {WAITING_MAX}"
    return None


def takes_no_more(queued: Mapping[str, int], *, keys_max: int | None = None) -> bool:
    """Whether so much is parked that no more is read: more likely the consumer is wrong than so many events."""
    too_many_keys = keys_max is not None and len(queued) >= keys_max
    return too_many_keys or overflow(queued) is not None or len(queued) + sum(queued.values()) >= WAITING_MAX


def _named(scope: Scope, active: Active | None = None) -> dict[str, str | int | None]:
    return {
        "consumer": scope.consumer,
        "shape": scope.shape,
        "build": scope.build,
        "lease": None if active is None else active.lease,
        "owner": None if active is None else active.owner,
    }


def _kept(text: str) -> str:
    """The part of a text that Postgres can store."""
    return text.replace("\x00", "")[:TEXT_CHARACTERS_MAX]
