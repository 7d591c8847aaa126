"""What is published of a tree: the newest checkpoint that has enough cosignatures.

Postgres notes it first, the file next to the tiles second; proofs are made from the file.
"""

from collections.abc import Collection
from typing import Final

from event_store.proofs import checkpoint, note
from event_store.proofs.ledger import SealedTree, SealRows
from event_store.proofs.note import Note, Signature, VerifierKey
from event_store.proofs.resuming import CHECKPOINT_FILE, SIGNED_FILE
from event_store.proofs.tiles import Store

PENDING_MAX: Final = 16
"""Checkpoints whose cosignatures may still come; those of older ones are not needed any more."""


class Publication:
    """Publishes the checkpoints of one tree, for the sealer that holds the lease."""

    def __init__(
        self,
        rows: SealRows,
        store: Store,
        sealed: SealedTree,
        *,
        witnesses: Collection[VerifierKey] = (),
        required: int = 0,
    ) -> None:
        """Go on from what was signed and published last, and publish it where it is not.

        Args:
            rows: of the tree.
            store: where the tiles are.
            sealed: what was signed last.
            witnesses: whose cosignatures count.
            required: how many of them a checkpoint needs to be published.
        """
        self._rows = rows
        self._store = store
        self._origin = sealed.origin
        self._witnesses = {(key.name, key.key_id) for key in witnesses}
        self._required = required
        self._pending: dict[str, Note] = {}
        self._published = _newest(sealed, store.read(CHECKPOINT_FILE))
        newest = note.parse(sealed.checkpoint)
        if self._published is not None:
            newest = _merged(newest, self._published)
        self._pending[newest.text] = newest
        if self._cosigned_enough(newest):
            self._publish(newest)
        elif self._published is not None:
            self._publish(self._published)

    @property
    def at_once(self) -> bool:
        """Whether what is signed is published without waiting for anybody."""
        return self._required == 0

    @property
    def size(self) -> int:
        """Events that are published."""
        return 0 if self._published is None else _size(self._published)

    def signed(self, signed: Note) -> None:
        """Publish a checkpoint that was just signed and noted, or keep it until it is cosigned."""
        self._pending[signed.text] = signed
        if len(self._pending) > PENDING_MAX:
            del self._pending[next(iter(self._pending))]
        if self.at_once:
            self._published = signed
            self._write(CHECKPOINT_FILE, signed)
        else:
            self._write(SIGNED_FILE, signed)

    def cosigned(self, text: str, signature: Signature) -> None:
        """Add a cosignature to the checkpoint with that text, and publish it if nothing newer is."""
        if (signed := self._pending.get(text)) is None:
            return
        identity = signature.name, signature.key_id
        others = tuple(one for one in signed.signatures if (one.name, one.key_id) != identity)
        self._pending[text] = cosigned = Note(text, (*others, signature))
        if self._cosigned_enough(cosigned) and _size(cosigned) >= self.size:
            self._publish(cosigned)

    def _cosigned_enough(self, signed: Note) -> bool:
        by = {(one.name, one.key_id) for one in signed.signatures} & self._witnesses
        return len(by) >= self._required

    def _publish(self, signed: Note) -> None:
        self._rows.publish(self._origin, signed.encode())
        self._write(CHECKPOINT_FILE, signed)
        self._published = signed

    def _write(self, name: str, signed: Note) -> None:
        self._store.write(name, signed.encode().encode())


def _newest(sealed: SealedTree, stored: bytes | None) -> Note | None:
    """The newest checkpoint that either memory holds as published; both were verified when the tree was opened."""
    found = [note.parse(each) for each in (sealed.published, stored) if each is not None]
    found.sort(key=_size)
    if len(found) > 1 and found[0].text == found[1].text:
        return _merged(*found)
    return found[-1] if found else None


def _merged(one: Note, other: Note) -> Note:
    """A note with the signatures of another one, if both have the same text."""
    if one.text != other.text:
        return one
    known = {(each.name, each.key_id) for each in one.signatures}
    added = (each for each in other.signatures if (each.name, each.key_id) not in known)
    return one.with_signatures(*added)


def _size(signed: Note) -> int:
    return checkpoint.parse(signed.text).size
