"""`counterfoil audit verify`: the log against itself, and every live view against a fold of the log."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from counterfoil import progress, status
from counterfoil.contexts import CONTEXTS
from event_store import integrity, reading
from event_store.codec import CodecError
from event_store.integrity import Finding, LogReport
from event_store.reading import Connection
from projections import builds, verifying
from projections.errors import BuildRefused, FoldFailed, ProjectionError
from projections.verifying import Verification
from projections.view import View
from runtime import database

UNDECIDED: Final = "payload, metadata or leaf was changed"
"""How the log's own diagnosis begins where only the views can tell more."""


class AuditReport(Struct, frozen=True):
    """What an audit came to. `parked` counts keys of views and triggers of policies that wait for a person."""

    log: LogReport
    views: tuple[Verification, ...]
    findings: tuple[Finding, ...]
    parked: int

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged; parked keys are no damage."""
        return self.log.ok and not self.findings and all(view.matches for view in self.views)

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
            "parked": self.parked,
        }

    def lines(self) -> list[str]:
        """The same for people."""
        shown = [f"log    {self.log.events:,} events, head {self.log.head:,}, epoch {self.log.epoch}"]
        for view in self.views:
            word = "matches" if view.matches else f"DIFFERS in {view.differing:,} keys"
            shown.append(f"view   {view.name:<18} {view.keys:>9,} keys  {view.digest[:16]}  {word}")
        shown += [
            f"DAMAGE at {finding.position}: {finding.kind}: {finding.message}" for finding in self.findings
        ]
        if self.parked:
            shown.append(f"{self.parked} keys are parked: `counterfoil parked list`")
        return [*shown, "everything is in order" if self.ok else "the log or its views are damaged"]


def verify(database_url: str) -> AuditReport:
    """Check everything. Works while the shop runs: log and views are each read in one snapshot.

    Raises:
        psycopg.Error: the database cannot be read to the end.
    """
    standing = status.read(database_url)
    with database.connect(database_url, role="counterfoil_reader", name="audit") as connection:
        with progress.step("verifying the log", total=standing.log.position, unit="events") as step:
            log = integrity.verify_log(connection, on_progress=step.move_to)
        with progress.step("folding every view again", total=standing.log.position, unit="positions") as step:
            views, failures = _verified(connection, step)
        damage = [_explained(connection, finding, views) for finding in log.findings]
    parked = sum(view.parked for view in standing.views) + sum(policy.parked for policy in standing.policies)
    findings = [*damage, *failures, *_of_views(views)]
    findings.sort(key=lambda finding: finding.position)
    return AuditReport(log, tuple(views), tuple(findings), parked)


def _verified(connection: Connection, step: progress.Step) -> tuple[list[Verification], list[Finding]]:
    """All live views in one pass; where an event stops the pass, each view in one of its own."""
    live = {build.id.view for build in builds.listed(connection) if build.live}
    views = [view for view in CONTEXTS.views if view.name in live]
    try:
        return verifying.verify(connection, views, on_progress=lambda done, _: step.move_to(done)), []
    except (ProjectionError, CodecError):
        found: list[Verification] = []
        failures: list[Finding] = []
        for view in views:
            _verify_alone(connection, view, found=found, failures=failures)
        return found, failures


def _verify_alone(
    connection: Connection, view: View[Any], *, found: list[Verification], failures: list[Finding]
) -> None:
    try:
        found.extend(verifying.verify(connection, [view]))
    except BuildRefused as error:
        failures.append(Finding(0, "view-not-ready", f"view {view.name}: {error}"))
    except FoldFailed as error:
        failures.append(Finding(error.position, "fold-failed", str(error)))
    except (ProjectionError, CodecError) as error:
        failures.append(Finding(0, "fold-failed", f"view {view.name}: {error}"))


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


def _of_views(views: Sequence[Verification]) -> list[Finding]:
    return [
        Finding(difference.position, difference.kind, difference.message)
        for view in views
        for difference in view.differences
    ]
