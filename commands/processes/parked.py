"""Parked triggers: what is parked, what an operator requests, and the rows that the worker keeps for both.

A key is parked at the trigger that cannot be decided; its later triggers wait in the log behind it. An operator may
request to retry (decide again, in order) or to skip that one trigger (its outcome is an event that says who and why).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal, cast

import psycopg
from msgspec import Struct
from psycopg.rows import class_row

from commands.processes.process import Process
from commands.processes.trigger import Trigger
from event_store import generations, partition_log, reading

Connection = psycopg.Connection[tuple[object, ...]]
AsyncConnection = psycopg.AsyncConnection[tuple[object, ...]]

Kind = Literal["retry", "skip"]

FAILURE_CHARACTERS_MAX: Final = 2_000
"""Characters of a failure's text that are kept for operators."""

_COLUMNS: Final = """name as process, partition_key, partition, position, stream, version, type, reason,
    tries, queued, last_position, parked_at"""
_LIST: Final = f"select {_COLUMNS} from process.parked order by parked_at, name, partition_key"
_ONE: Final = f"""
select {_COLUMNS} from process.parked where name = %(name)s and partition_key = %(partition_key)s
"""
_ASK: Final = """
insert into process.request (kind, name, partition_key, position, actor, note)
values (%(kind)s, %(name)s, %(partition_key)s, %(position)s, %(actor)s, %(note)s)
returning request
"""
_OUTCOME: Final = "select outcome from process.request where request = %(request)s"
_PENDING: Final = """
select request, kind, name as process, partition_key, position, actor, note from process.request
where executed_at is null order by request
"""
_PARK: Final = """
insert into process.parked as p
    (name, partition_key, partition, position, stream, version, type, reason, queued, last_position)
select %(name)s, %(partition_key)s, %(partition)s, %(position)s, %(stream)s, %(version)s, %(type)s,
    %(reason)s, %(queued)s, %(position)s
where exists (select from runtime.lease l where l.name = %(lease)s and l.owner = %(owner)s)
on conflict (name, partition_key) do update set
    position = excluded.position, stream = excluded.stream, version = excluded.version, type = excluded.type,
    reason = excluded.reason, tries = case when p.position = excluded.position then p.tries + 1 else 1 end,
    queued = excluded.queued, last_position = greatest(p.last_position, excluded.last_position),
    parked_at = clock_timestamp()
"""
_QUEUE: Final = """
update process.parked set queued = queued + 1, last_position = %(position)s
where name = %(name)s and partition_key = %(partition_key)s and last_position < %(position)s
    and exists (select from runtime.lease l where l.name = %(lease)s and l.owner = %(owner)s)
"""
_UNPARK: Final = "delete from process.parked where name = %(name)s and partition_key = %(partition_key)s"
_EXECUTED: Final = """
update process.request set executed_at = clock_timestamp(), outcome = %(outcome)s where request = %(request)s
"""


class NotParked(LookupError):
    """Nothing of this partition key is parked for this process."""

    def __init__(self, *, process: str, partition_key: str) -> None:
        super().__init__(f"process {process} has nothing parked for {partition_key!r}")
        self.process = process
        self.partition_key = partition_key


class ParkedKey(Struct, frozen=True):
    """A partition key, the trigger it stands at, why, and how many later triggers wait behind it."""

    process: str
    partition_key: str
    partition: int
    position: int
    stream: str
    version: int
    type: str
    reason: str
    tries: int
    queued: int
    last_position: int
    parked_at: datetime


class Request(Struct, frozen=True):
    """What an operator requests of the active worker about a parked key."""

    request: int
    kind: Kind
    process: str
    partition_key: str
    position: int
    actor: str
    note: str


class Active(Struct, frozen=True):
    """The lease and its owner: rows are only written by who holds it."""

    lease: str
    owner: str


# For the command line: roles counterfoil_reader (looking) and counterfoil_writer (asking).


def parked_keys(conn: Connection) -> list[ParkedKey]:
    """Every parked key, oldest first."""
    with conn.cursor(row_factory=class_row(ParkedKey)) as cursor:
        return cursor.execute(_LIST).fetchall()


def parked_key(conn: Connection, *, process: str, partition_key: str) -> ParkedKey:
    """One parked key; raise NotParked when it is not."""
    with conn.cursor(row_factory=class_row(ParkedKey)) as cursor:
        row = cursor.execute(_ONE, {"name": process, "partition_key": partition_key}).fetchone()
    if row is None:
        raise NotParked(process=process, partition_key=partition_key)
    return row


def ask(conn: Connection, kind: Kind, *, process: str, partition_key: str, actor: str, note: str = "") -> int:
    """Ask the active worker to retry a parked key, or to skip the trigger it stands at; the request's number.

    Raises:
        NotParked: there is nothing to ask for.
    """
    parked = parked_key(conn, process=process, partition_key=partition_key)
    given = {
        "kind": kind,
        "name": process,
        "partition_key": partition_key,
        "position": parked.position,
        "actor": actor,
        "note": note,
    }
    row = conn.execute(_ASK, given).fetchone()
    assert row is not None, "an insert that returns gives its row"
    return cast("int", row[0])


def outcome_of(conn: Connection, *, request: int) -> str | None:
    """What came of a request; None while the worker has not acted."""
    row = conn.execute(_OUTCOME, {"request": request}).fetchone()
    return None if row is None else cast("str | None", row[0])


# For the worker.


def parked_triggers(conn: Connection, key: ParkedKey, process: Process) -> list[Trigger]:
    """The trigger a key is parked at and all that wait behind it, from the log, in order."""
    epochs = generations.epochs(conn)
    triggers: list[Trigger] = []
    after = key.position - 1
    while events := reading.read_key(conn, key.partition_key, after=after, upto=key.last_position):
        after = events[-1].position
        for event in events:
            if (reaction := process.reactions.get(event.type)) is not None:
                epoch = epochs.at(event.position)
                record = partition_log.as_record(event, partition=key.partition, prev=0, epoch=epoch)
                triggers.append(Trigger(process, reaction, record, unparked=True))
    return triggers


def counts(conn: Connection) -> dict[tuple[str, str], int]:
    """How many triggers wait, by (process, partition key)."""
    rows = conn.execute("select name, partition_key, 1 + queued from process.parked").fetchall()
    return {(name, key): count for name, key, count in cast("list[tuple[str, str, int]]", rows)}


async def park(conn: AsyncConnection, trigger: Trigger, *, reason: str, queued: int, active: Active) -> None:
    """Note a trigger that cannot be decided; `queued` later ones of its key are known to wait already."""
    given = _identity(trigger, active) | {
        "partition": trigger.record.partition,
        "stream": trigger.record.stream,
        "version": trigger.record.version,
        "type": trigger.record.type,
        "reason": reason[:FAILURE_CHARACTERS_MAX],
        "queued": queued,
    }
    await conn.execute(_PARK, given)


async def queue(conn: AsyncConnection, trigger: Trigger, *, active: Active) -> None:
    """Note a trigger that waits behind a parked one; noting it again changes nothing."""
    await conn.execute(_QUEUE, _identity(trigger, active))


async def pending(conn: AsyncConnection) -> Sequence[Request]:
    """Requests that no worker has carried out yet, in the order made."""
    async with conn.cursor(row_factory=class_row(Request)) as cursor:
        return await (await cursor.execute(_PENDING)).fetchall()


async def unpark(conn: AsyncConnection, *, process: str, partition_key: str) -> None:
    """Note that nothing of a key waits any more."""
    await conn.execute(_UNPARK, {"name": process, "partition_key": partition_key})


async def executed(conn: AsyncConnection, request: int, *, outcome: str) -> None:
    """Say what came of a request."""
    await conn.execute(_EXECUTED, {"request": request, "outcome": outcome[:FAILURE_CHARACTERS_MAX]})


def _identity(trigger: Trigger, active: Active) -> dict[str, Any]:
    return {
        "name": trigger.process.name,
        "partition_key": trigger.record.key,
        "position": trigger.record.position,
        "lease": active.lease,
        "owner": active.owner,
    }
