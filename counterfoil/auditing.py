"""`counterfoil audit verify`: the log against itself, what follows it against the log, live views against a fold.

Nothing here needs a key. So where the log and what was made of it differ, nothing here can tell which of them was
changed: no finding says so, and a view is not judged by a log that contradicts itself or its seal.
"""

import itertools
import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from counterfoil import database_objects, progress, registered, sealing, status
from counterfoil.context import Contexts
from counterfoil.sealing import Compared
from counterfoil.user_messages import UserError
from event_store.consumers import noted
from event_store.consumers.completeness import Triggers
from event_store.log import integrity, pacing, reading
from event_store.log.codec import CodecError, UnknownEventType, UnknownEventVersion
from event_store.log.findings import FINDINGS_MAX, Finding
from event_store.log.integrity import LogReport
from event_store.log.pacing import Pace
from event_store.log.reading import Connection
from event_store.proofs import against
from projections import builds, snapshots, verifying
from projections.errors import BuildRefused, FoldFailed, ProjectionError
from projections.snapshots import Refolded
from projections.verifying import Verification
from projections.view import View
from runtime import database

SNAPSHOTS_SAMPLED: Final = 100
"""Snapshots that are folded again when not all are asked for, others each time."""
SNAPSHOTS_MAX: Final = 2**31 - 1

KEYS_NAMED_MAX: Final = 5
"""Keys of a view that is not judged that are named."""

UNREADABLE: Final = (
    "views, snapshots and outcomes of triggers: rows of the log cannot be read; restore them from a backup"
)

UNDECIDED: Final = "payload, metadata or leaf was changed"
"""How the log's own diagnosis begins where only the views can tell more."""


_ONE_EACH: Final = """
select 'log.head', count(*) from log.head union all select 'log.installation', count(*) from log.installation
"""


class RowsLost(UserError):
    """The log lacks a row without which nothing of it can be read, or has several of it."""


class AuditReport(Struct, frozen=True):
    """What an audit came to. `parked` counts the parked keys of every consumer."""

    log: LogReport
    views: tuple[Verification, ...]
    findings: tuple[Finding, ...]
    unexamined: tuple[str, ...]
    """What could not be examined, and why."""
    sealed: Compared | None
    """What came of holding the log against a checkpoint, if one was given."""
    parked: int
    snapshots: int
    """How many snapshots of long streams were folded again."""

    @property
    def damaged(self) -> bool:
        """Whether anything that was examined is not what it has to be; parked keys are no damage."""
        differs = not all(view.matches for view in self.views)
        return not self.log.ok or bool(self.findings) or differs or bool(self.sealed and self.sealed.findings)

    @property
    def ok(self) -> bool:
        """Whether everything was examined, and nothing is damaged."""
        return not self.damaged and not self.unexamined

    @property
    def contradicted(self) -> bool:
        """Whether the log is not what its own rows, or the checkpoint, say of its events: no view is judged by it."""
        return _contradicted(self.log, self.sealed)

    def as_json(self) -> dict[str, Any]:
        """The object scripts rely on."""
        sealed = () if self.sealed is None else self.sealed.findings
        shown = {} if self.sealed is None else {"checkpoint": self.sealed.as_json()}
        judged = () if self.contradicted else self.views
        unlisted = self.log.findings_in_all - len(self.log.findings)
        unlisted += sum(view.differing - len(view.differences) for view in judged)
        return {
            "ok": self.ok,
            **shown,
            "events": self.log.events,
            "head": self.log.head,
            "views": [
                {
                    "name": view.name,
                    "keys": view.keys,
                    "digest": view.digest,
                    "matches": view.matches,
                    "position": view.position,
                    "parked": view.parked,
                }
                for view in self.views
            ],
            "findings": [msgspec.to_builtins(finding) for finding in (*self.findings, *sealed)],
            "findings_in_all": len(self.findings) + len(sealed) + unlisted,
            "unexamined": list(self.unexamined),
            "parked": self.parked,
            "snapshots": self.snapshots,
        }

    def lines(self) -> list[str]:
        """The same for people."""
        shown = [] if self.sealed is None else self.sealed.lines()
        shown.append(f"log    {self.log.events:,} events, head {self.log.head:,}, epoch {self.log.epoch}")
        for view in self.views:
            judged = "not judged, differs" if self.contradicted else "DIFFERS"
            word = "matches" if view.matches else f"{judged} in {view.differing:,} keys"
            shown.append(f"view   {view.name:<18} {view.keys:>9,} keys  {view.digest[:16]}  {word}")
        if self.snapshots:
            shown.append(f"states {self.snapshots:,} snapshots folded again")
        shown += [
            f"DAMAGE at {finding.position}: {finding.kind}: {finding.message}" for finding in self.findings
        ]
        shown += [f"NOT EXAMINED: {each}" for each in self.unexamined]
        if self.parked:
            shown.append(f"{self.parked} keys are parked: `counterfoil parked list`")
        return [*shown, *self._advice(), self._verdict()]

    def _advice(self) -> list[str]:
        """What to do first about views that differ: a rebuild would make them of whatever the log says now."""
        if self.contradicted or all(view.matches for view in self.views):
            return []
        if self.sealed is not None:
            size = self.sealed.kept.size
            return [
                f"the first {size:,} events are as they were sealed: rows made of them alone may be rebuilt"
            ]
        return [
            "log and views differ: compare the log with a checkpoint (--against) before anything is rebuilt from it"
        ]

    def _verdict(self) -> str:
        if self.damaged:
            return "the log or its views are damaged"
        return "everything is in order" if self.ok else "what was examined is in order, and not all of it was"


def verify(
    database_url: str, *, contexts: Contexts, full: bool = False, sealed: Compared | None = None
) -> AuditReport:
    """Check everything; of the snapshots of long streams a sample, or all. Works while the shop runs.

    No snapshot of the database is held for longer than a part takes to read, and while others append, the audit pauses
    after each part.

    Args:
        database_url: the log.
        contexts: what declares views, process managers and gateways.
        full: fold all snapshots again.
        sealed: what came of holding the log against a checkpoint.

    Raises:
        RowsLost: the log has not one head, or not one installation.
        psycopg.Error: the database cannot be read to the end.
    """
    _require_rows(database_url)
    found = status.read(database_url)
    with (
        sealing.reader_of(database_url) as connection,
        database.connect(database_url, role="counterfoil_reader", name="audit-pace") as pacing_connection,
    ):
        pace = pacing.of_log(pacing_connection)
        with progress.step("verifying the log", total=found.log.position, unit="events") as step:
            log = integrity.verify_log(connection, on_progress=_giving_way(step, pace))
        changed, uncompared = database_objects.examine(connection)
        noted_otherwise = list(noted.checkpoints(connection))
        unregistered, unbuilt = registered.unregistered(connection, contexts)
        seen = _Seen(unexamined=[UNREADABLE])
        if integrity.ROW_UNREADABLE not in log.kinds:
            seen = _followed(connection, pace, contexts, head=found.log.position, full=full)
        damage = [_explained(connection, finding, seen.views) for finding in log.findings]
    parked = sum(status.parked(database_url, found).values())
    findings = [*damage, *changed, *noted_otherwise, *unregistered, *seen.failures]
    unexamined = [*uncompared, *seen.unexamined, *unbuilt]
    if _contradicted(log, sealed):
        unexamined += _unjudged(seen.views, seen.refolded)
    else:
        findings += [*_of_views(seen.views), *_of_snapshots(seen.refolded)]
    findings.sort(key=lambda finding: finding.position)
    return AuditReport(
        log,
        tuple(seen.views),
        tuple(findings),
        tuple(unexamined),
        sealed,
        parked,
        snapshots=len(seen.refolded),
    )


def _require_rows(database_url: str) -> None:
    with sealing.reader_of(database_url) as connection:
        for table, count in connection.execute(_ONE_EACH):
            if count != 1:
                raise RowsLost(f"{table} has {count} rows instead of one: restore it from a backup")


def _contradicted(log: LogReport, sealed: Compared | None) -> bool:
    broken = sealed is not None and any(each.kind in against.OF_THE_LOG for each in sealed.findings)
    return broken or log.contradicted


class _Seen(Struct):
    """What came of comparing with the log what follows from it: live views, outcomes of triggers, snapshots."""

    views: list[Verification] = []
    refolded: list[Refolded] = []
    failures: list[Finding] = []
    unexamined: list[str] = []


def _followed(connection: Connection, pace: Pace, contexts: Contexts, *, head: int, full: bool) -> _Seen:
    with progress.step("looking for outcomes", total=head, unit="positions") as step:
        unanswered = Triggers(connection, contexts.followers).unanswered(on_progress=_giving_way(step, pace))
        failures = list(itertools.islice(unanswered, FINDINGS_MAX))
    with progress.step("folding every view again", total=head, unit="positions") as step:
        seen = _verified(connection, _giving_way(step, pace), contexts)
    seen.failures += failures
    with progress.step("folding snapshots again", total=None, unit="snapshots") as step:
        limit = SNAPSHOTS_MAX if full else SNAPSHOTS_SAMPLED
        seen.refolded = _refolded(connection, step, contexts, limit=limit)
    return seen


def _giving_way(step: progress.Step, pace: Pace) -> Callable[[int], None]:
    def reached(done: int) -> None:
        step.move_to(done)
        pace.give_way()

    return reached


def _verified(connection: Connection, on_progress: Callable[[int], None], contexts: Contexts) -> _Seen:
    """All live views in one pass; where an event stops the pass, each view in one of its own."""
    live = [build.id for build in builds.listed(connection) if build.live]
    known = {build: contexts.view(build.view, shape=build.shape) for build in live}
    views = [view for view in known.values() if view is not None]
    seen = _Seen(
        unexamined=[
            f"view {build.view} s{build.shape} b{build.build} is live and declared by no context, so nobody feeds it"
            for build, view in known.items()
            if view is None
        ]
    )
    try:
        seen.views = verifying.verify(connection, views, on_progress=lambda done, _: on_progress(done))
    except (ProjectionError, CodecError):
        for view in views:
            _verify_alone(connection, view, on_progress, seen)
    return seen


def _refolded(
    connection: Connection, step: progress.Step, contexts: Contexts, *, limit: int
) -> list[Refolded]:
    found = []
    for each in snapshots.refold(connection, contexts.aggregates, seed=secrets.token_hex(8), limit=limit):
        found.append(each)
        step.advance()
    return found


def _verify_alone(
    connection: Connection, view: View[Any], on_progress: Callable[[int], None], seen: _Seen
) -> None:
    try:
        seen.views.extend(verifying.verify(connection, [view], on_progress=lambda done, _: on_progress(done)))
    except (BuildRefused, UnknownEventVersion, UnknownEventType) as error:
        seen.unexamined.append(f"view {view.name}: {error}")
    except FoldFailed as error:
        seen.failures.append(Finding(error.position, "fold-failed", str(error)))
    except (ProjectionError, CodecError) as error:
        seen.failures.append(Finding(0, "fold-failed", f"view {view.name}: {error}"))


def _explained(connection: Connection, finding: Finding, views: Sequence[Verification]) -> Finding:
    """Let the views speak where the log cannot: they still hold what the event said when it was folded."""
    if not finding.message.startswith(UNDECIDED):
        return finding
    for event in reading.read_after(connection, finding.position - 1, limit=1, upto=finding.position):
        name = event.stream.partition("-")[2]
        for view in views:
            for difference in view.differences:
                if difference.key == name:
                    message = f"payload was changed since a view was made of it: {difference.message}"
                    return msgspec.structs.replace(finding, message=message)
    return finding


def _of_snapshots(refolded: Sequence[Refolded]) -> list[Finding]:
    return [
        Finding(
            each.position,
            "snapshot-differs",
            f"the snapshot of {each.stream} is not what its events fold to",
        )
        for each in refolded
        if not each.matches
    ]


def _unjudged(views: Sequence[Verification], refolded: Sequence[Refolded]) -> Iterator[str]:
    """Differences from a log that is contradicted itself: which side was changed is not known."""
    for view in views:
        if not view.matches:
            keys = ", ".join(each.key for each in view.differences[:KEYS_NAMED_MAX])
            yield (
                f"view {view.name} differs from the log in {view.differing:,} keys ({keys}), and is not judged by a"
                " log that is damaged itself: it may be what still says what happened"
            )
    if differing := sum(not each.matches for each in refolded):
        yield f"{differing:,} snapshots differ from the log; a damaged log cannot verify them"


def _of_views(views: Sequence[Verification]) -> list[Finding]:
    return [
        Finding(difference.position, difference.kind, difference.message)
        for view in views
        for difference in view.differences
    ]
