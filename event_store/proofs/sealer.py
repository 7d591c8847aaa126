"""The sealer: a consumer that commits to the log so that nobody can rewrite it unnoticed, not even its owner.

Each round it computes the leaves of new rows from their stored bytes, extends the tiles, reads the rows a second time
and the tiles back, and signs a checkpoint if all come to the same root. Postgres remembers it first, the file beside
the tiles second. It never signs what its last checkpoint is not the beginning of: where it finds something changed it
refuses, says why where status and doctor see it, and tries again, since a person may have put it right.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from event_store.consumers.driver import Consumer, Session, Waits
from event_store.consumers.errors import OpenAgain
from event_store.log import reading
from event_store.proofs import growing, opening
from event_store.proofs.checkpoint import Checkpoint
from event_store.proofs.errors import Refused
from event_store.proofs.ledger import LEASE, Ledger, Sealed
from event_store.proofs.note import NoteError, SignerKey
from event_store.proofs.opening import CHECKPOINT_FILE
from event_store.proofs.rereading import LeafDiffers
from event_store.proofs.tiles import Store, TilesDamaged

SEAL_EVERY_S: Final = 1.0
"""How often a checkpoint is signed while the log grows slowly."""
LOOK_EVERY_S: Final = 0.25
"""How often the head is read while the log grows."""
SEAL_EVENTS: Final = 1_000
"""So many new events are sealed at once."""
REFUSED_WAIT_S: Final = 60.0
"""How long a refusal that took reading the whole log is repeated without reading it again."""

SESSION: Final = {"statement_timeout": "60s", "lock_timeout": "10s", "jit": "off"}
"""Server settings of the session; commits are durable, which is what a checkpoint rests on."""


class SealMetrics:
    """What the sealer of one process shows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.size = Gauge(
            "counterfoil_seal_size", "Events that the last checkpoint covers", registry=registry
        )
        self.checkpoints = Counter("counterfoil_seal_checkpoints", "Checkpoints signed", registry=registry)
        self.refusing = Gauge("counterfoil_seal_refusing", "1 while nothing is signed", registry=registry)


def consumer(
    keys: Sequence[SignerKey],
    store: Store,
    *,
    registry: CollectorRegistry,
    clock: Callable[[], float] = time.monotonic,
) -> Consumer:
    """What seals the log, by the driver of all consumers.

    Args:
        keys: the key that seals, and behind it those that may hand over to it.
        store: where the tiles go.
        registry: where metrics go.
        clock: seconds that never go back.
    """
    metrics, refusals = SealMetrics(registry), _Refusals(clock)

    def begin(session: Session) -> Sealer:
        assert session.lease is not None, "one process at a time seals"
        rows = Ledger(session.conn, owner=session.lease.owner)
        with refusals.noted(rows, keys[0].name, metrics):
            sealed = opening.opened(session.conn, rows, store, keys)
            rows.refuse(sealed.origin, None)
        return Sealer(session, rows, store, keys[0], sealed, metrics=metrics, refusals=refusals, clock=clock)

    return Consumer(
        name=LEASE,
        role="counterfoil_sealer",
        open=begin,
        lease=LEASE,
        waits=Waits(first_s=LOOK_EVERY_S, longest_s=SEAL_EVERY_S, unhinted_s=SEAL_EVERY_S, pace_s=0.0),
        settings=SESSION,
        outages=(Refused, OSError),
    )


class Sealer:
    """The sealer while it holds the lease: one checkpoint after another."""

    def __init__(
        self,
        session: Session,
        rows: Ledger,
        store: Store,
        key: SignerKey,
        sealed: Sealed,
        *,
        metrics: SealMetrics,
        refusals: "_Refusals",
        clock: Callable[[], float],
    ) -> None:
        """Go on from what was signed last, which the tiles hold."""
        self._session = session
        self._conn = session.conn
        self._rows = rows
        self._store = store
        self._key = key
        self._sealed = sealed
        self._metrics = metrics
        self._refusals = refusals
        self._clock = clock
        self._signed_at_s = float("-inf")
        self._show(head=sealed.size)

    def round(self) -> int:
        """Seal what the log gained, if it is time to; how many events that were.

        Raises:
            Refused: the log is not what was signed, or the tree does not come to one root.
            OpenAgain: another sealer was here.
        """
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
        """Nothing is held beside the session."""
        self._session.metrics.left(LEASE)

    def _seal(self, upto: int, *, head: int) -> None:
        before = self._sealed
        if head < before.size:
            raise Refused(opening.shorter(head, before.size))
        grown = growing.grown(self._conn, self._store, before, upto=upto)
        signed = Checkpoint(before.origin, upto, grown.root).signed(self._key).encode()
        self._sealed = self._rows.move(before, size=upto, root=grown.root, checkpoint=signed)
        self._store.write(CHECKPOINT_FILE, signed.encode())
        self._signed_at_s = self._clock()
        self._metrics.checkpoints.inc()
        for name in grown.replaced:
            self._store.discard(name)
        self._show(head)

    def _show(self, head: int) -> None:
        self._metrics.size.set(self._sealed.size)
        self._metrics.refusing.set(0)
        self._session.metrics.stands(LEASE, lag_events=max(0, head - self._sealed.size))


class _Refusals:
    """Notes refusals where people see them, and repeats one that took reading the whole log."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until_s = float("-inf")
        self._reason = ""

    @contextlib.contextmanager
    def noted(self, rows: Ledger, origin: str, metrics: SealMetrics) -> Iterator[None]:
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
            refused = error if isinstance(error, Refused) else Refused(str(error))
            metrics.refusing.set(1)
            rows.refuse(origin, str(refused))
            if refused.read_all:
                self._reason, self._until_s = str(refused), self._clock() + REFUSED_WAIT_S
            raise refused from error
