"""Parked keys: where they are kept, and how an operator asks for a retry or a skip.

The log itself is the queue: a parked key remembers only the position of the event that failed and how many wait
behind it; a retry reads them from the log, in order. Whoever feeds the partition executes the request between
two batches.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Literal, cast

import msgspec
import psycopg

from event_store import reading
from event_store.envelope import RecordedEvent
from projections.errors import NotParked
from projections.folding import TRIES_MAX, Poison
from projections.storing import BuildId

Connection = psycopg.Connection[tuple[object, ...]]

QUEUED_PER_KEY_MAX: Final = 1_000
"""Events that may wait behind one parked key; then the view stops."""
QUEUED_PER_VIEW_MAX: Final = 10_000
"""Events that may wait behind all parked keys of one build; then the view stops."""
PARKED_SHOWN_MAX: Final = 10_000
"""Parked keys that one list names."""

RequestKind = Literal["retry", "skip"]

_COLUMNS: Final = (
    "p.view, p.shape, p.build, p.partition_key, p.position, p.stream, p.version,"
    " p.type, p.reason, p.tries, p.queued, p.parked_at"
)
_LIST: Final = f"select {_COLUMNS} from views.parked p order by p.view, p.position limit %(limit)s"
_OF_BUILD: Final = (
    f"select {_COLUMNS} from views.parked p"
    " where p.view = %(view)s and p.shape = %(shape)s and p.build = %(build)s"
)
_PARK: Final = """
insert into views.parked (view, shape, build, partition_key, position, stream, version, type,
    reason, tries)
values (%(view)s, %(shape)s, %(build)s, %(partition_key)s, %(position)s, %(stream)s,
    %(version)s, %(type)s, %(reason)s, %(tries)s)
on conflict (view, shape, build, partition_key) do update set position = excluded.position,
    stream = excluded.stream, version = excluded.version, type = excluded.type, reason = excluded.reason,
    tries = views.parked.tries + excluded.tries, queued = 0, parked_at = clock_timestamp()
"""
_QUEUE: Final = """
update views.parked p set queued = p.queued + q.events
from unnest(%(keys)s::text[], %(events)s::bigint[]) as q (partition_key, events)
where p.view = %(view)s and p.shape = %(shape)s and p.build = %(build)s
    and p.partition_key = q.partition_key
"""
_UNPARK: Final = """
delete from views.parked where view = %(view)s and shape = %(shape)s and build = %(build)s
    and partition_key = %(partition_key)s
"""
_ASK: Final = """
insert into views.request (kind, view, shape, partition_key, position, actor)
values (%(kind)s, %(view)s, %(shape)s, %(partition_key)s, %(position)s, %(actor)s) returning request
"""
_PENDING: Final = """
select request, kind, view, shape, partition_key, position, actor from views.request
where executed_at is null order by request limit %(limit)s
"""
_CLOSE: Final = """
update views.request set executed_at = clock_timestamp(), outcome = %(outcome)s where request = %(request)s
"""
_OUTCOME: Final = "select outcome from views.request where request = %(request)s and executed_at is not null"


class ParkedKey(msgspec.Struct, frozen=True):
    """A partition key that stands still in one build, the event it stands at, and how many wait behind it."""

    build: BuildId
    partition_key: str
    position: int
    stream: str
    version: int
    type: str
    reason: str
    tries: int
    queued: int
    parked_at: datetime


class Request(msgspec.Struct, frozen=True):
    """What an operator asked for, not yet executed."""

    request: int
    kind: RequestKind
    view: str
    shape: int
    partition_key: str
    position: int
    actor: str


def list_parked(conn: Connection, *, limit: int = PARKED_SHOWN_MAX) -> list[ParkedKey]:
    """Every parked key, by view and position."""
    return [_parked(row) for row in conn.execute(_LIST, {"limit": limit}).fetchall()]


def of_build(conn: Connection, build: BuildId) -> dict[str, ParkedKey]:
    """A build's parked keys by name."""
    rows = conn.execute(_OF_BUILD, _named(build)).fetchall()
    return {parked.partition_key: parked for parked in map(_parked, rows)}


def show_parked(
    conn: Connection, view: str, partition_key: str
) -> list[tuple[ParkedKey, list[RecordedEvent]]]:
    """A parked key in each build of a view, with the event it stands at and the first ones that wait.

    Raises:
        NotParked: it is parked in no build of the view.
    """
    parked = parked_in(conn, view, partition_key)
    return [(each, reading.read_key(conn, partition_key, after=each.position - 1)) for each in parked]


def parked_in(conn: Connection, view: str, partition_key: str) -> list[ParkedKey]:
    """The builds of a view in which a key is parked.

    Raises:
        NotParked: in none.
    """
    kept = [
        each for each in list_parked(conn) if each.build.view == view and each.partition_key == partition_key
    ]
    if not kept:
        raise NotParked(f"{partition_key} is not parked in view {view}")
    return kept


def request_retry(conn: Connection, view: str, partition_key: str, *, actor: str) -> int:
    """Ask that a parked key is tried again, from the event it stands at; the number of the request.

    Raises:
        NotParked: the key is not parked.
    """
    parked = parked_in(conn, view, partition_key)[0]
    return _ask(conn, "retry", parked, actor=actor)


def request_skip(conn: Connection, view: str, partition_key: str, *, position: int, actor: str) -> int:
    """Ask that a parked key goes on behind the event at `position`; the number of the request.

    The skip itself is a fact in the log (`operations.event_skipped.v1` in the stream `skips-<view>`): it must
    have been appended before, since every later fold of the view, a rebuild's too, leaves the event out.

    Raises:
        NotParked: the key is not parked at that position.
    """
    for parked in parked_in(conn, view, partition_key):
        if parked.position == position:
            return _ask(conn, "skip", parked, actor=actor)
    raise NotParked(f"{partition_key} is not parked at position {position} of view {view}")


def outcome_of(conn: Connection, request: int) -> str | None:
    """What became of a request, None while nobody has executed it."""
    row = conn.execute(_OUTCOME, {"request": request}).fetchone()
    return None if row is None else cast("str", row[0])


def pending(conn: Connection, *, limit: int) -> list[Request]:
    """Requests that nobody has executed yet, oldest first."""
    rows = conn.execute(_PENDING, {"limit": limit}).fetchall()
    return [Request(*cast("tuple[int, RequestKind, str, int, str, int, str]", row)) for row in rows]


def close(conn: Connection, request: int, *, outcome: str) -> None:
    """Note what became of a request."""
    conn.execute(_CLOSE, {"request": request, "outcome": outcome})


def park(conn: Connection, build: BuildId, poisons: Mapping[str, Poison]) -> None:
    """Park keys, inside the transaction that moves its checkpoint."""
    for key, poison in poisons.items():
        fact = poison.fact
        conn.execute(
            _PARK,
            {
                **_named(build),
                "partition_key": key,
                "position": fact.position,
                "stream": fact.stream,
                "version": fact.version,
                "type": fact.type,
                "reason": poison.reason,
                "tries": TRIES_MAX,
            },
        )


def queue(conn: Connection, build: BuildId, queued: Mapping[str, int]) -> None:
    """Count events that wait behind parked keys, inside the transaction that moves the checkpoint."""
    if queued:
        parameters = {**_named(build), "keys": list(queued), "events": list(queued.values())}
        conn.execute(_QUEUE, parameters)


def unpark(conn: Connection, build: BuildId, partition_key: str) -> None:
    """Let a key go on, inside the transaction that writes its rows."""
    conn.execute(_UNPARK, {**_named(build), "partition_key": partition_key})


def overflow(queued: Mapping[str, int]) -> str | None:
    """Why a build with these queues must stop, None while they are within their limits."""
    for key, events in queued.items():
        if events > QUEUED_PER_KEY_MAX:
            return f"{events} events wait behind parked key {key}, more than {QUEUED_PER_KEY_MAX}"
    if (total := sum(queued.values())) > QUEUED_PER_VIEW_MAX:
        return f"{total} events wait behind parked keys, more than {QUEUED_PER_VIEW_MAX}"
    return None


def _ask(conn: Connection, kind: RequestKind, parked: ParkedKey, *, actor: str) -> int:
    parameters = {
        "kind": kind,
        "view": parked.build.view,
        "shape": parked.build.shape,
        "partition_key": parked.partition_key,
        "position": parked.position,
        "actor": actor,
    }
    row = conn.execute(_ASK, parameters).fetchone()
    assert row is not None, "an insert of one row returns one"
    return cast("int", row[0])


_Row = tuple[str, int, int, str, int, str, int, str, str, int, int, datetime]


def _parked(row: Sequence[object]) -> ParkedKey:
    view, shape, build, key, *rest = cast("_Row", tuple(row))
    return ParkedKey(BuildId(view, shape, build), key, *rest)  # type: ignore[arg-type]


def _named(build: BuildId) -> dict[str, str | int]:
    return {"view": build.view, "shape": build.shape, "build": build.build}
