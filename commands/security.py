"""The consumer `security`: brings what both APIs have to say about callers from `security.pending` into the log.

The rows of one batch that are of one kind and about one actor become the events of one append, under a key that follows
from the three: killed between append and removal, the same rows are found again, and the log answers that it has them.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import groupby
from typing import Any, Final

import structlog
from msgspec import Struct
from psycopg.rows import class_row

from commands import refusals
from commands.calls import Call, key_digest
from commands.decision import DecisionView
from commands.execution import Caller
from commands.log_access import Aside, opened
from commands.log_reading import LogUnreachable
from domain.event import Event
from domain.moment import in_utc
from domain.security import trail
from domain.security.events import (
    FieldsRevealed,
    HistoryRead,
    LoginsRefused,
    RequestsDenied,
    RequestSum,
    RowsExported,
)
from domain.security.trail import SECURITY, SecurityTrail
from event_store.consumers.driver import Consumer, ConsumerSession, Waits
from event_store.log import fingerprints
from runtime.actors import actor
from runtime.problems import ProblemError

NAME: Final = "security"

EVERY_S: Final = 1.0
"""Pause between two rounds while nothing is pending."""
BATCHES_PER_ROUND: Final = 20
READERS: Final = 2
"""Connections for loading states."""

_READ: Final = """
select batch::text, kind, actor, process, route, code, detail, correlation_id, since, count from security.pending
where kind = any(%(kinds)s) and batch in (
    select batch from security.pending where kind = any(%(kinds)s)
    group by batch order by min(inserted_at), batch limit %(batches)s
)
order by min(inserted_at) over (partition by batch), batch, kind, actor, since, number
"""
_REMOVE: Final = (
    "delete from security.pending where batch = %(batch)s and kind = %(kind)s and actor = %(actor)s"
)
_COUNT: Final = "select count(*) from security.pending"

_SUMS: Final[Mapping[str, type[RequestsDenied | HistoryRead]]] = {
    "denied": RequestsDenied,
    "read": HistoryRead,
}
_SINGLE: Final[Mapping[str, type[RowsExported | FieldsRevealed]]] = {
    "exported": RowsExported,
    "revealed": FieldsRevealed,
}
KINDS: Final = (*_SUMS, *_SINGLE, "login-refused")
"""What this version makes events of; rows of another kind wait for a version that does."""

log = structlog.get_logger()


class PendingRow(Struct, frozen=True):
    """One row of `security.pending`."""

    batch: str
    kind: str
    actor: str
    process: str
    route: str
    code: str
    detail: str
    correlation_id: str
    since: datetime
    count: int


class PendingGroup(Struct, frozen=True):
    """The rows of a batch that are of one kind and about one actor."""

    batch: str
    kind: str
    actor: str
    rows: tuple[PendingRow, ...]

    @property
    def name(self) -> str:
        """What the log remembers it by."""
        return f"{self.batch} {self.kind} {self.actor}"

    @property
    def caller(self) -> str | None:
        """On whose behalf it is recorded; None where it is about an account that somebody else tried."""
        return None if self.kind == "login-refused" else self.actor


def consumer() -> Consumer:
    """What the driver runs."""
    return Consumer(
        name=NAME,
        role="counterfoil_writer",
        open=SecurityStreams,
        lease=NAME,
        waits=Waits(first_s=EVERY_S, longest_s=EVERY_S, unhinted_s=EVERY_S, pace_s=0.0),
        outages=(LogUnreachable, NotRecordedNow),
    )


class NotRecordedNow(Exception):
    """The log does not take the events at the moment."""


class SecurityStreams:
    """The consumer at work, from taking the lease on. One thread."""

    def __init__(self, session: ConsumerSession) -> None:
        self._conn, self._metrics = session.conn, session.metrics
        self._fingerprints = fingerprints.read(self._conn)
        self._aside = Aside()
        self._on = self._aside.open(
            opened(session.database_url, role="counterfoil_writer", name=NAME, readers=READERS)
        )

    def round(self) -> int:
        """Bring some batches into the log; how many rows these were.

        Raises:
            LogUnreachable, NotRecordedNow: later.
            psycopg.Error: start a new session.
        """
        with self._conn.cursor(row_factory=class_row(PendingRow)) as cursor:
            given = {"kinds": list(KINDS), "batches": BATCHES_PER_ROUND}
            rows = cursor.execute(_READ, given).fetchall()
        waiting = 0
        if rows:
            self._aside.run(self._record(list(_groups(rows))))
            count = self._conn.execute(_COUNT).fetchone()
            assert count is not None, "an aggregate answers one row"
            waiting = int(str(count[0]))
        self._metrics.stands(NAME, lag_events=waiting, parked_keys=0)
        return len(rows)

    def close(self) -> None:
        """Close its connections, and remove its metrics."""
        try:
            self._aside.close()
        finally:
            self._metrics.left(NAME)

    async def _record(self, groups: Iterable[PendingGroup]) -> None:
        for group in groups:  # one after another: a caller's events stand in the order of their minutes
            await self._append(group)
            given = {"batch": group.batch, "kind": group.kind, "actor": group.actor}
            self._conn.execute(_REMOVE, given)

    async def _append(self, group: PendingGroup) -> None:
        (slot,) = self._on.execution.reserve(1)
        call = Call(
            command="record_security_events",
            key=key_digest(NAME, group.name),
            fingerprint=self._fingerprints.of(NAME, group.name.encode()),
            correlation_id=group.rows[0].correlation_id or group.batch,
            actor=actor("system", NAME),
            on_behalf_of=group.caller,
        )
        events = list(events_of(group))

        def decide(_trail: SecurityTrail | None, _view: DecisionView) -> list[Event]:
            return events

        try:
            caller = Caller(self._on.execution, call=call, slot=slot, now=group.rows[0].since)
            await caller.execute(SECURITY, trail.identifier(group.actor), decide)
        except ProblemError as problem:
            if refusals.may_pass(problem):
                raise NotRecordedNow(str(problem)) from problem
            raise
        finally:
            slot.free()


def events_of(group: PendingGroup) -> Iterator[Event]:
    """What a security stream says of these rows."""
    if group.kind in _SINGLE:
        for row in group.rows:
            yield _SINGLE[group.kind](
                caller=row.actor,
                process=row.process,
                route=row.route,
                query=row.detail,
                asked_at=in_utc(row.since),
            )
        return
    for (process, since), rows in groupby(group.rows, key=lambda row: (row.process, row.since)):
        given: dict[str, Any] = {
            "process": process,
            "since": in_utc(since),
            "requests": tuple(RequestSum(row.route, row.code, row.count) for row in rows),
        }
        if group.kind == "login-refused":
            yield LoginsRefused(account=group.actor, **given)
        else:
            yield _SUMS[group.kind](caller=group.actor, **given)


def _groups(rows: Iterable[PendingRow]) -> Iterator[PendingGroup]:
    for (batch, kind, about), found in groupby(rows, key=lambda row: (row.batch, row.kind, row.actor)):
        yield PendingGroup(batch, kind, about, tuple(found))
