"""The auditor: a consumer next to the sealer that verifies the log all the time, without a key and against its seal.

New events are examined soon after they are sealed, from where the last audit ended. In between the whole log is read
again, pass after pass, a little each second: bits flip, and rows are changed, where nobody looks. Each leaf is computed
again and held against the sealed one in its tile. Who declares views and process managers is no business of the
process that holds the key: views and outcomes of triggers are what `audit verify` adds.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final, Literal

import structlog
from msgspec import Struct
from prometheus_client import CollectorRegistry, Gauge

from event_store.consumers import noted
from event_store.consumers.driver import Consumer, ConsumerSession, Waits
from event_store.log import integrity, reading
from event_store.log.findings import Finding
from event_store.log.integrity import LogReport
from event_store.log.reading import Connection
from event_store.proofs import against, ledger
from event_store.proofs.ledger import SealedTree
from event_store.proofs.tiles import Store, TilesDamaged

NAME: Final = "auditor"
ROUND_EVERY_S: Final = 1.0
"""From one piece of work to the next."""
NEW_S: Final = 0.2
"""How long a piece of new events may take: a fifth of a processor, while there are any."""
WHOLE_S: Final = 0.005
"""How long a piece of the whole log may take, beyond the segment in which it ends: half a hundredth of a processor."""
NEW_EVERY_S: Final = 5.0
"""How often new events are examined, and checkpoints of everybody."""
WHOLE_EVERY_S: Final = 3_600.0
"""From the end of a pass over the whole log to the begin of the next."""

SESSION: Final = {"statement_timeout": "60s", "lock_timeout": "10s", "jit": "off"}

Part = Literal["new", "whole"]

_AUDITED: Final = """
select part, position, leaf, extract(epoch from clock_timestamp() - ended_at)::float8, findings, finding from seal.audit
"""
_NOTE: Final = """
insert into seal.audit as a (part, position, leaf, findings, finding)
values (%(part)s, %(position)s, %(leaf)s, 0, null)
on conflict (part) do update set position = excluded.position, leaf = excluded.leaf, ended_at = clock_timestamp(),
    findings = 0, finding = null
"""
_NOTE_DAMAGE: Final = """
insert into seal.audit as a (part, position, ended_at, findings, finding)
values (%(part)s, 0, '-infinity', %(findings)s, %(finding)s)
on conflict (part) do update set findings = excluded.findings, finding = excluded.finding
"""

log = structlog.get_logger()


class Audited(Struct, frozen=True):
    """The result of the last audit of a part."""

    position: int
    leaf: bytes | None
    age_s: float
    """Seconds since one ended in order; infinite if none ever did."""
    findings: int
    finding: str | None
    """The first that is wrong."""


class AuditMetrics:
    """Metrics of the auditor of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.position = Gauge(
            "counterfoil_audit_position", "Every event up to here was examined", registry=registry
        )
        self.age = Gauge(
            "counterfoil_audit_age_seconds",
            "Seconds since an audit ended in order, of new events or of the whole log",
            ["part"],
            registry=registry,
        )
        self.findings = Gauge(
            "counterfoil_audit_findings", "What the last audit found to be wrong", ["part"], registry=registry
        )


def consumer(
    store: Store, *, registry: CollectorRegistry, clock: Callable[[], float] = time.monotonic
) -> Consumer:
    """The consumer that verifies the log.

    Args:
        store: where the tiles are.
        registry: where metrics go.
        clock: seconds that never go back.
    """
    metrics = AuditMetrics(registry)
    return Consumer(
        name=NAME,
        role="counterfoil_sealer",
        open=lambda session: Auditor(session, store, metrics=metrics, clock=clock),
        lease=NAME,
        waits=Waits(
            first_s=ROUND_EVERY_S,
            longest_s=ROUND_EVERY_S,
            unhinted_s=ROUND_EVERY_S,
            pace_s=ROUND_EVERY_S,
            backlog=2**62,
        ),
        settings=SESSION,
    )


class _Audit:
    """One audit at work: the log against itself, and its leaves against what was sealed."""

    def __init__(
        self, conn: Connection, store: Store, sealed: SealedTree, *, after: int | None = None
    ) -> None:
        """Of the whole log, or of the events that were sealed behind a position."""
        self.upto = sealed.size
        self._held = against.Held(store, size=sealed.size, root=sealed.root, after=after or 0)
        self._pieces = (
            integrity.verifying(conn, see_leaf=self._held.see)
            if after is None
            else integrity.verifying_new(conn, after=after, upto=sealed.size, see_leaf=self._held.see)
        )

    def advance(self, until: Callable[[], bool]) -> list[Finding] | None:
        """Go on until it is time to stop; what is wrong, if that was the end."""
        try:
            while not until():
                next(self._pieces)
        except StopIteration as ended:
            report: LogReport = ended.value
            return [*report.findings, *self._held.findings()]
        return None


class Auditor:
    """The auditor while it holds the lease: one audit after another, of which each round does a piece."""

    def __init__(
        self, session: ConsumerSession, store: Store, *, metrics: AuditMetrics, clock: Callable[[], float]
    ) -> None:
        """Go on behind the last event that was examined, unless another one stands there now."""
        self._conn = session.conn
        self._store = store
        self._metrics = metrics
        self._clock = clock
        found = audited(self._conn)
        new = found.get("new")
        self._position = 0 if new is None else new.position
        if new is not None and new.leaf != self._leaf():
            log.warning("audit_begins_again", position=self._position)
            self._position = 0
        self._ended_s: dict[Part, float] = {
            part: clock() - each.age_s if each.findings == 0 else float("-inf")
            for part, each in found.items()
        }
        self._new: _Audit | None = None
        self._new_began_s = float("-inf")
        self._whole: _Audit | None = None
        self._whole_ended_s = self._ended_s.get("whole", float("-inf"))
        self._show()

    def round(self) -> int:
        """Do a piece of work; 0 where there was nothing to do."""
        done = self._examine_new() or self._examine_whole()
        self._show()
        return int(done)

    def close(self) -> None:
        """Let the pass go: the next auditor begins another."""

    def _examine_new(self) -> bool:
        if self._new is None:
            if self._clock() - self._new_began_s < NEW_EVERY_S:
                return False
            self._new_began_s = self._clock()
            self._new = self._begun(new=True)
        if self._new is None or (found := self._advance(self._new, for_s=NEW_S)) is None:
            return self._new is not None
        upto, self._new = self._new.upto, None
        found += noted.checkpoints(self._conn)
        if not found:
            self._position = upto
        self._end("new", found, upto)
        return True

    def _examine_whole(self) -> bool:
        if self._whole is None:
            if self._clock() - self._whole_ended_s < WHOLE_EVERY_S:
                return False
            self._whole = self._begun(new=False)
        if self._whole is None or (found := self._advance(self._whole, for_s=WHOLE_S)) is None:
            return self._whole is not None
        upto, self._whole, self._whole_ended_s = self._whole.upto, None, self._clock()
        self._end("whole", found, upto)
        return True

    def _begun(self, *, new: bool) -> _Audit | None:
        """An audit up to the last checkpoint; None where nothing was ever sealed."""
        sealed = ledger.latest(self._conn)
        if sealed is None:
            return None
        if self._position > sealed.size:
            self._position = 0  # another tree was begun
        try:
            return _Audit(self._conn, self._store, sealed, after=self._position if new else None)
        except TilesDamaged:
            self._position = 0  # what the audit could go on from is gone: the sealer builds it again
            return _Audit(self._conn, self._store, sealed, after=0 if new else None)

    def _advance(self, audit: _Audit, *, for_s: float) -> list[Finding] | None:
        until_s = self._clock() + for_s
        return audit.advance(lambda: self._clock() >= until_s)

    def _end(self, part: Part, findings: Sequence[Finding], position: int) -> None:
        """Note what an audit came to; `ended_at` stays where it was if anything is wrong."""
        self._metrics.findings.labels(part).set(len(findings))
        if not findings:
            leaf = reading.leaf_at(self._conn, position)
            self._conn.execute(_NOTE, {"part": part, "position": position, "leaf": leaf})
            self._ended_s[part] = self._clock()
            return
        first = f"position {findings[0].position}: {findings[0].kind}: {findings[0].message}"
        self._conn.execute(_NOTE_DAMAGE, {"part": part, "findings": len(findings), "finding": first})
        log.error("audit_found_damage", part=part, findings=len(findings), first=first)

    def _leaf(self) -> bytes | None:
        return reading.leaf_at(self._conn, self._position)

    def _show(self) -> None:
        self._metrics.position.set(self._position)
        for part in ("new", "whole"):
            ended_s = self._ended_s.get(part, float("-inf"))
            self._metrics.age.labels(part).set(self._clock() - ended_s)


def audited(conn: Connection) -> dict[Part, Audited]:
    """The results of the last audits; parts without a finished audit are absent."""
    rows = conn.execute(_AUDITED).fetchall()
    return {
        part: Audited(position, None if leaf is None else bytes(leaf), float(age_s), findings, finding)
        for part, position, leaf, age_s, findings, finding in rows
    }
