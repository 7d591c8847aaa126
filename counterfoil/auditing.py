"""`counterfoil audit verify`: the log against itself, and every live view against a fold of the log."""

import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from counterfoil import progress, status
from counterfoil.context import Contexts
from event_store.log import integrity, pacing, reading
from event_store.log.codec import CodecError, UnknownEventType, UnknownEventVersion
from event_store.log.findings import Finding
from event_store.log.integrity import LogReport
from event_store.log.pacing import Pace
from event_store.log.reading import Connection
from projections import builds, snapshots, verifying
from projections.errors import BuildRefused, FoldFailed, ProjectionError
from projections.snapshots import Refolded
from projections.verifying import Verification
from projections.view import View
from runtime import database

SNAPSHOTS_SAMPLED: Final = 100
"""Snapshots that are folded again when not all are asked for, others each time."""
SNAPSHOTS_MAX: Final = 2**31 - 1

UNDECIDED: Final = "payload, metadata or leaf was changed"
"""How the log's own diagnosis begins where only the views can tell more."""


class AuditReport(Struct, frozen=True):
    """What an audit came to. `parked` counts the parked keys of every consumer."""

    log: LogReport
    views: tuple[Verification, ...]
    findings: tuple[Finding, ...]
    unexamined: tuple[str, ...]
    """What could not be examined, and why."""
    parked: int
    snapshots: int
    """How many snapshots of long streams were folded again."""

    @property
    def damaged(self) -> bool:
        """Whether anything that was examined is not what it has to be; parked keys are no damage."""
        return not self.log.ok or bool(self.findings) or not all(view.matches for view in self.views)

    @property
    def ok(self) -> bool:
        """Whether everything was examined, and nothing is damaged."""
        return not self.damaged and not self.unexamined

    def as_json(self) -> dict[str, Any]:
        """The object scripts rely on."""
        return {
            "ok": self.ok,
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
            "findings": [msgspec.to_builtins(finding) for finding in self.findings],
            "findings_in_all": self.log.findings_in_all + sum(view.differing for view in self.views),
            "unexamined": list(self.unexamined),
            "parked": self.parked,
            "snapshots": self.snapshots,
        }

    def lines(self) -> list[str]:
        """The same for people."""
        shown = [f"log    {self.log.events:,} events, head {self.log.head:,}, epoch {self.log.epoch}"]
        for view in self.views:
            word = "matches" if view.matches else f"DIFFERS in {view.differing:,} keys"
            shown.append(f"view   {view.name:<18} {view.keys:>9,} keys  {view.digest[:16]}  {word}")
        if self.snapshots:
            shown.append(f"states {self.snapshots:,} snapshots folded again")
        shown += [
            f"DAMAGE at {finding.position}: {finding.kind}: {finding.message}" for finding in self.findings
        ]
        shown += [f"NOT EXAMINED: {each}" for each in self.unexamined]
        if self.parked:
            shown.append(f"{self.parked} keys are parked: `counterfoil parked list`")
        return [*shown, self._verdict()]

    def _verdict(self) -> str:
        if self.damaged:
            return "the log or its views are damaged"
        return "everything is in order" if self.ok else "what was examined is in order, and not all of it was"


def verify(database_url: str, *, contexts: Contexts, full: bool = False) -> AuditReport:
    """Check everything; of the snapshots of long streams a sample, or all. Works while the shop runs.

    No snapshot of the database is held for longer than a part takes to read, and while others append, the audit pauses
    after each part.

    Raises:
        psycopg.Error: the database cannot be read to the end.
    """
    found = status.read(database_url)
    with (
        database.connect(database_url, role="counterfoil_reader", name="audit") as connection,
        database.connect(database_url, role="counterfoil_reader", name="audit-pace") as pacing_connection,
    ):
        pace = pacing.of_log(pacing_connection)
        with progress.step("verifying the log", total=found.log.position, unit="events") as step:
            log = integrity.verify_log(connection, on_progress=_giving_way(step, pace))
        with progress.step("folding every view again", total=found.log.position, unit="positions") as step:
            seen = _verified(connection, _giving_way(step, pace), contexts)
        with progress.step("folding snapshots again", total=None, unit="snapshots") as step:
            limit = SNAPSHOTS_MAX if full else SNAPSHOTS_SAMPLED
            refolded = _refolded(connection, step, contexts, limit=limit)
        damage = [_explained(connection, finding, seen.views) for finding in log.findings]
    parked = sum(status.parked(database_url, found).values())
    findings = [*damage, *seen.failures, *_of_views(seen.views), *_of_snapshots(refolded)]
    findings.sort(key=lambda finding: finding.position)
    return AuditReport(
        log, tuple(seen.views), tuple(findings), tuple(seen.unexamined), parked, snapshots=len(refolded)
    )


class _Seen(Struct):
    """What came of folding every live view again."""

    views: list[Verification] = []
    failures: list[Finding] = []
    unexamined: list[str] = []


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
                    message = f"payload was changed: {difference.message}, as the log would make it now"
                    return msgspec.structs.replace(finding, message=message)
    return finding


def _of_snapshots(refolded: Sequence[Refolded]) -> list[Finding]:
    return [
        Finding(
            each.position,
            "snapshot-differs",
            f"the snapshot of {each.stream} is not what its events fold to: delete its row in views.snapshot",
        )
        for each in refolded
        if not each.matches
    ]


def _of_views(views: Sequence[Verification]) -> list[Finding]:
    return [
        Finding(difference.position, difference.kind, difference.message)
        for view in views
        for difference in view.differences
    ]
