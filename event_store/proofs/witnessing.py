"""The sealer's side of witnesses: submits checkpoints, notes the answers, stops after a refusal."""

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from event_store.proofs import note
from event_store.proofs.errors import Refused
from event_store.proofs.ledger import SealedTree, SealRows, Witnessed
from event_store.proofs.note import Note
from event_store.proofs.publishing import Publication
from event_store.proofs.witness_list import Witness

if TYPE_CHECKING:
    from event_store.proofs.submitting import SubmissionAnswer, Submissions

ASK_FIRST_S: Final = 2.0
"""How long a sealer that begins waits for witnesses, before it signs anything that they may know otherwise."""

REMEDY: Final = "this log was restored from an older backup, or forked; docs/audit.md says what to do"


class WitnessMetrics:
    """Metrics of witnesses, for the sealer of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.age = Gauge(
            "counterfoil_witness_cosignature_age_seconds",
            "Age of the last cosignature; infinite before the first",
            ["witness"],
            registry=registry,
        )
        self.failures = Counter(
            "counterfoil_witness_failures",
            "Submissions that brought no cosignature",
            ["witness"],
            registry=registry,
        )


class Witnessing:
    """The witnesses of one tree, for the sealer that holds the lease."""

    def __init__(
        self,
        rows: SealRows,
        publication: Publication,
        sealed: SealedTree,
        *,
        submissions: "Submissions | None",
        witnesses: Sequence[Witness],
        metrics: WitnessMetrics,
        clock: Callable[[], float],
    ) -> None:
        """Submit what was signed last, and wait a moment for what is said of it.

        A log that was set back finds out here, before it signs anything else; if no witness answers, sealing goes on.

        Args:
            rows: of the tree.
            publication: where cosignatures go.
            sealed: what was signed last.
            submissions: the threads that ask the witnesses; None if there are none. Closed here.
            witnesses: who is asked.
            metrics: what is shown.
            clock: seconds that never go back.

        Raises:
            Refused: a witness knows another history, now or when it was asked last.
        """
        self._rows = rows
        self._publication = publication
        self._origin = sealed.origin
        self._submissions = submissions
        self._metrics = metrics
        self._clock = clock
        self._failing: dict[str, str | None] = {}
        self._cosigned_at_s: dict[str, float] = {}
        if submissions is None:
            return
        rows.enlist(self._origin, [str(each.key) for each in witnesses])
        try:
            self._begin(note.parse(sealed.checkpoint), submissions)
        except BaseException:
            self.close()
            raise

    def offer(self, signed: Note) -> None:
        """Submit what was just signed."""
        if self._submissions is not None:
            self._submissions.offer(signed)

    def collect(self) -> None:
        """Note what was answered meanwhile, and publish what is cosigned by enough.

        Raises:
            Refused: a witness knows another history of this log.
            OpenAgain: another sealer was here.
        """
        if self._submissions is None:
            return
        refusals = []
        for answer in self._submissions.answers():
            if answer.refusal is None:
                self._take(answer)
            else:
                refusals.append(f"{answer.refusal}: {REMEDY}")
                self._rows.refused_by(self._origin, str(answer.witness.key), refusals[-1])
        self._show()
        if refusals:
            raise Refused(refusals[0])

    def close(self) -> None:
        """Submit nothing more, and show nothing: another process does from now on."""
        if self._submissions is not None:
            self._submissions.close()
        for name in self._cosigned_at_s:
            with contextlib.suppress(KeyError):
                self._metrics.age.remove(name)

    def _begin(self, signed: Note, submissions: "Submissions") -> None:
        for each in self._rows.witnesses(self._origin):
            self._failing[each.key] = each.failure
            self._cosigned_at_s[each.name] = self._clock() - (
                float("inf") if each.age_s is None else each.age_s
            )
        submissions.offer(signed)
        submissions.wait_for_all(ASK_FIRST_S)
        self.collect()
        _require_no_refusal(self._rows.witnesses(self._origin))

    def _take(self, answer: "SubmissionAnswer") -> None:
        key, name = str(answer.witness.key), answer.witness.key.name
        if answer.signature is None:
            self._metrics.failures.labels(name).inc()
            if answer.failure != self._failing.get(key):
                self._rows.not_cosigned(self._origin, key, str(answer.failure))
            self._failing[key] = answer.failure
            return
        self._rows.cosigned(self._origin, key, size=answer.size)
        self._publication.cosigned(answer.text, answer.signature)
        self._failing[key] = None
        self._cosigned_at_s[name] = self._clock()

    def _show(self) -> None:
        for name, at_s in self._cosigned_at_s.items():
            self._metrics.age.labels(name).set(self._clock() - at_s)


def _require_no_refusal(witnesses: Sequence[Witnessed]) -> None:
    """A refusal holds until that witness cosigns again, or is listed no more, however long it is away."""
    for each in witnesses:
        if each.refusal is not None:
            raise Refused(each.refusal)
