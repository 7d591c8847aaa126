"""Proofs from the published tree: the checkpoint next to the tiles, and what follows from it.

Whatever leaves here was verified here first: a damaged tile makes no wrong proof, it makes none.

Errors:
    errors.ProofsError
    └── NoProof
        ├── NoSuchEvent    the log has no such event
        ├── NotSealed      there is no sealed tree
        ├── NotSealedYet   the tree does not reach that far; it will in a moment
        └── TreeDamaged    the tiles do not lead to the root that was signed
"""

from msgspec import Struct

from event_store.log import paging, reading
from event_store.log.envelope import RecordedEvent
from event_store.log.reading import Connection
from event_store.proofs import checkpoint, evidence, merkle, note
from event_store.proofs.checkpoint import Checkpoint
from event_store.proofs.errors import ProofsError
from event_store.proofs.merkle import ProofInvalid
from event_store.proofs.note import Note
from event_store.proofs.receipt import Receipt
from event_store.proofs.resuming import CHECKPOINT_FILE
from event_store.proofs.tiles import Store, Tiles, TilesDamaged


class NoProof(ProofsError):
    """There is no proof of that."""


class NoSuchEvent(NoProof):
    """The log has no event at that position."""


class NotSealed(NoProof):
    """There is no sealed tree where the tiles are looked for."""


class NotSealedYet(NoProof):
    """The event is recorded and not sealed: the next checkpoint covers it."""


class TreeDamaged(NoProof):
    """The tiles do not lead to the root that was signed; the sealer builds them again where they are missing."""


class Tree(Struct, frozen=True):
    """The sealed tree as it is published."""

    store: Store
    signed: Note
    checkpoint: Checkpoint

    @property
    def tiles(self) -> Tiles:
        """The tree's hashes."""
        return Tiles(self.store, self.checkpoint.size)

    def receipt(self, event: RecordedEvent, *, epoch: int) -> Receipt:
        """A receipt for an event of the log, as it was recorded in an epoch.

        Raises:
            NotSealedYet, TreeDamaged: there is none.
        """
        size = self.checkpoint.size
        if event.position > size:
            raise NotSealedYet(f"{size:,} events are sealed, and this is number {event.position:,}")
        shown, index = evidence.of(event, epoch=epoch), event.position - 1
        try:
            proof = merkle.inclusion_proof(index, size, self.tiles)
            merkle.verify_inclusion(
                shown.leaf, index=index, size=size, proof=proof, root=self.checkpoint.root
            )
        except (ProofInvalid, TilesDamaged) as error:
            raise TreeDamaged(f"position {event.position}: {error}") from error
        return Receipt(shown, tuple(proof), self.signed)

    def root(self, size: int) -> bytes:
        """The root of the tree when it had `size` leaves.

        Raises:
            NotSealedYet, TreeDamaged: it is not known.
        """
        return self.consistency(size)[0]

    def consistency(self, old: int) -> tuple[bytes, list[bytes]]:
        """The root of the first `old` events, and the hashes that show that they are the beginning of what is sealed.

        Raises:
            NotSealedYet, TreeDamaged: there are none.
        """
        size, root = self.checkpoint.size, self.checkpoint.root
        if old > size:
            raise NotSealedYet(f"{size:,} events are sealed, fewer than {old:,}")
        try:
            old_root = merkle.root(old, self.tiles)
            proof = merkle.consistency_proof(old, size, self.tiles)
            merkle.verify_consistency(old=old, old_root=old_root, size=size, root=root, proof=proof)
        except (ProofInvalid, TilesDamaged) as error:
            raise TreeDamaged(f"the tree of {old:,} events: {error}") from error
        return old_root, proof


def published(store: Store) -> Tree:
    """The tree whose newest checkpoint stands next to the tiles.

    Raises:
        NotSealed: there is none.
        NoteError: what stands there is no checkpoint.
        OSError: the folder cannot be read.
    """
    content = store.read(CHECKPOINT_FILE)
    if content is None:
        raise NotSealed(
            "nothing is sealed here: no checkpoint stands next to the tiles; docs/audit.md says how to begin"
        )
    signed = note.parse(content)
    return Tree(store, signed, checkpoint.parse(signed.text))


def event_at(connection: Connection, position: int) -> RecordedEvent:
    """The event at a position.

    Raises:
        NoSuchEvent: there is none.
    """
    found = paging.page_at(connection, [position])
    if not found:
        raise NoSuchEvent(f"the log has no event at position {position:,}")
    return found[0]


def epoch_at(connection: Connection, position: int) -> int:
    """The epoch that a position of the log lies in."""
    return reading.epoch_of(reading.epochs(connection), position)
