"""The sealer: a consumer that commits to the log so that nobody can rewrite it unnoticed, not even its owner.

Each round it computes the leaves of new rows from their stored bytes, extends the tiles, reads the rows a second time
and the tiles back, and signs a checkpoint if all come to the same root. It never signs a tree of which its last
checkpoint is not the beginning.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Gauge

from event_store.consumers.driver import Consumer, ConsumerSession, Waits
from event_store.consumers.errors import OpenAgain
from event_store.log import reading
from event_store.proofs import growing, resuming
from event_store.proofs.checkpoint import Checkpoint
from event_store.proofs.errors import Refused
from event_store.proofs.ledger import LEASE, SealRows
from event_store.proofs.note import NoteError, SignerKey
from event_store.proofs.publishing import Publication
from event_store.proofs.rereading import LeafDiffers
from event_store.proofs.tiles import Store, TilesDamaged
from event_store.proofs.witness_list import Witness
from event_store.proofs.witnessing import Witnessing, WitnessMetrics

if TYPE_CHECKING:
    from event_store.proofs.submitting import Submissions

SEAL_EVERY_S: Final = 1.0
"""How often a checkpoint is signed while the log grows slowly."""
CHECK_EVERY_S: Final = 0.25
"""How often the head is read while the log grows."""
SEAL_EVENTS: Final = 1_000
"""So many new events are sealed at once."""
REFUSED_WAIT_S: Final = 60.0
"""How long a refusal that took reading the whole log is repeated without reading it again."""

SESSION: Final = {"statement_timeout": "60s", "lock_timeout": "10s", "jit": "off"}
"""Server settings of the session; commits are durable, which is what a checkpoint rests on."""


class SealMetrics:
    """Metrics of the sealer of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.size = Gauge(
            "counterfoil_seal_size", "Events that the last checkpoint covers", registry=registry
        )
        self.published = Gauge(
            "counterfoil_seal_published_size",
            "Events that the newest published checkpoint covers",
            registry=registry,
        )
        self.witnesses = WitnessMetrics(registry)
        self.checkpoints = Counter("counterfoil_seal_checkpoints", "Checkpoints signed", registry=registry)
        self.refusing = Gauge("counterfoil_seal_refusing", "1 while nothing is signed", registry=registry)


class Sealing(Struct, frozen=True):
    """How a log is to be sealed."""

    keys: Callable[[], Sequence[SignerKey]]
    """Answers the key that seals, and behind it those that may hand over to it; asked in each round."""
    store: Store
    """Where the tiles go."""
    witnesses: Sequence[Witness] = ()
    """The witnesses that cosign each checkpoint."""
    required: int = 0
    """How many of them must have before a checkpoint is published."""
    clock: Callable[[], float] = time.monotonic
    """Seconds that never go back."""


def consumer(sealing: Sealing, *, registry: CollectorRegistry) -> Consumer:
    """The consumer that seals the log; its metrics go to the registry."""
    metrics, refusals = SealMetrics(registry), _Refusals(sealing.clock)
    return Consumer(
        name=LEASE,
        role="counterfoil_sealer",
        open=lambda session: Sealer(session, sealing, metrics=metrics, refusals=refusals),
        lease=LEASE,
        waits=Waits(first_s=CHECK_EVERY_S, longest_s=SEAL_EVERY_S, unhinted_s=SEAL_EVERY_S, pace_s=0.0),
        settings=SESSION,
        outages=(Refused, OSError),
    )


class Sealer:
    """The sealer while it holds the lease: one checkpoint after another."""

    def __init__(
        self, session: ConsumerSession, sealing: Sealing, *, metrics: SealMetrics, refusals: "_Refusals"
    ) -> None:
        """Go on from what was signed last, which the log and the tiles hold and no witness refuses."""
        assert session.lease is not None, "one process at a time seals"
        self._session = session
        self._conn = session.conn
        self._sealing = sealing
        self._store = sealing.store
        self._clock = sealing.clock
        self._metrics = metrics
        self._refusals = refusals
        self._rows = rows = SealRows(session.conn, owner=session.lease.owner)
        self._keys = keys = sealing.keys()
        with refusals.noted(rows, keys[0].name, metrics):
            listed = [str(each.key) for each in sealing.witnesses]
            rows.forget_others(keys[0].name, listed)  # first: who is listed no more must not refuse for ever
            self._sealed = sealed = resuming.opened(session.conn, rows, sealing.store, keys)
            self._publication = Publication(
                rows,
                sealing.store,
                sealed,
                witnesses=[each.key for each in sealing.witnesses],
                required=sealing.required,
            )
            self._witnessing = Witnessing(
                rows,
                self._publication,
                sealed,
                submissions=self._submissions(),
                witnesses=sealing.witnesses,
                metrics=metrics.witnesses,
                clock=sealing.clock,
            )
            rows.refuse(sealed.origin, None)
        self._signed_at_s = float("-inf")
        self._show(head=sealed.size)

    def round(self) -> int:
        """Seal what the log gained, if it is time to; how many events that were.

        Raises:
            Refused: the log is not what was signed, the tree does not come to one root, or a witness knows another.
            OpenAgain: another sealer was here, or another key is to take over.
        """
        if self._sealing.keys() != self._keys:
            raise OpenAgain("the keys that seal were changed")
        with self._refusals.noted(self._rows, self._sealed.origin, self._metrics):
            self._witnessing.collect()
        head = reading.head(self._conn).position
        grown = head - self._sealed.size
        if 0 <= grown < SEAL_EVENTS and (not grown or self._clock() - self._signed_at_s < SEAL_EVERY_S):
            self._show(head)
            return 0
        before = self._sealed.size
        with self._refusals.noted(self._rows, self._sealed.origin, self._metrics):
            self._seal(min(head, self._sealed.size + growing.EVENTS_PER_PASS_MAX), head=head)
        return self._sealed.size - before

    def close(self) -> None:
        """Stop submitting to witnesses; nothing else is held apart from the session."""
        self._witnessing.close()
        self._session.metrics.left(LEASE)

    def _seal(self, upto: int, *, head: int) -> None:
        before = self._sealed
        if head < before.size:
            raise Refused(resuming.shorter(head, before.size))
        grown = growing.grown(self._conn, self._store, before, upto=upto)
        signed = Checkpoint(before.origin, upto, grown.root).signed(self._keys[0])
        text, at_once = signed.encode(), self._publication.at_once
        # Postgres first: a checkpoint that was given to anybody is always one that the next sealer goes on from.
        self._sealed = self._rows.move(
            before, size=upto, root=grown.root, checkpoint=text, published=text if at_once else None
        )
        self._publication.signed(signed)
        self._witnessing.offer(signed)  # it does not wait for their answers
        self._signed_at_s = self._clock()
        self._metrics.checkpoints.inc()
        for (
            name
        ) in grown.replaced:  # only now: the tiles of the tree before were good until this one was signed
            self._store.discard(name)
        self._show(head)

    def _submissions(self) -> "Submissions | None":
        """The threads that submit to witnesses, if there are any."""
        if not self._sealing.witnesses:
            return None
        from event_store.proofs import submitting  # HTTP is loaded where there is a witness

        announce = self._session.news.announce
        return submitting.Submissions(
            self._sealing.witnesses, self._store, announce=announce, clock=self._clock
        )

    def _show(self, head: int) -> None:
        self._metrics.size.set(self._sealed.size)
        self._metrics.published.set(self._publication.size)
        self._metrics.refusing.set(0)
        self._session.metrics.stands(LEASE, lag_events=max(0, head - self._sealed.size))


class _Refusals:
    """Notes refusals where status and doctor show them, and repeats one that took reading the whole log."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until_s = float("-inf")
        self._reason = ""

    @contextlib.contextmanager
    def noted(self, rows: SealRows, origin: str, metrics: SealMetrics) -> Iterator[None]:
        """Around work that may refuse.

        Raises:
            Refused: it did, now or a moment ago.
            OpenAgain: a tile is gone, which opening puts right.
        """
        if self._clock() < self._until_s:
            raise Refused(self._reason)
        try:
            yield
        except TilesDamaged as error:
            raise OpenAgain(str(error)) from error
        except (Refused, LeafDiffers, NoteError) as error:
            # The consumer's driver tries again: an operator may have mended what was found.
            refused = error if isinstance(error, Refused) else Refused(str(error))
            metrics.refusing.set(1)
            rows.refuse(origin, str(refused))
            if refused.read_all:
                self._reason, self._until_s = str(refused), self._clock() + REFUSED_WAIT_S
            raise refused from error
