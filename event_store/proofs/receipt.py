"""Receipts: one event, its place in the tree and a signed checkpoint, in one text that proves itself.

The format is https://c2sp.org/tlog-proof. The `extra` line holds the event as JSON; it is trusted for nothing but what
its leaf confirms.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from event_store.proofs import evidence, merkle, note, policy
from event_store.proofs.checkpoint import Checkpoint
from event_store.proofs.evidence import Evidence
from event_store.proofs.merkle import HASH_BYTES, PROOF_HASHES_MAX
from event_store.proofs.note import MalformedNote, Note
from event_store.proofs.policy import KeyRange

FIRST_LINE: Final = "c2sp.org/tlog-proof@v1"
RECEIPT_BYTES_MAX: Final = 16 * 1024 * 1024
"""Enough for the largest event."""
MEDIA_TYPE: Final = "text/plain; charset=utf-8"

_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,18})", re.ASCII)
_EXTRA: Final = "extra "


class Receipt(Struct, frozen=True):
    """An event, the hashes that lead from its leaf to the root, and the checkpoint that says so."""

    event: Evidence
    proof: tuple[bytes, ...]
    checkpoint: Note

    def encode(self) -> str:
        """The receipt as it is handed over."""
        lines = [
            FIRST_LINE,
            f"{_EXTRA}{_encoded(evidence.encode(self.event))}",
            f"index {self.event.position - 1}",
            *map(_encoded, self.proof),
            "",
            self.checkpoint.encode(),
        ]
        return "\n".join(lines)

    def verified(self, keys: Sequence[KeyRange]) -> Checkpoint:
        """The checkpoint under which the event is proven to stand in the log.

        Raises:
            ProofInvalid: it does not stand there.
            NoteError: no key that is trusted signed the checkpoint.
        """
        found = policy.verified(self.checkpoint, keys)
        merkle.verify_inclusion(
            self.event.leaf, index=self.event.position - 1, size=found.size, proof=self.proof, root=found.root
        )
        return found


def parse(content: str) -> Receipt:
    """Read a receipt; nothing of it is verified yet.

    Raises:
        MalformedNote: it is none of ours.
    """
    above, empty, signed = content.partition("\n\n")
    lines = above.split("\n")
    if len(content) > RECEIPT_BYTES_MAX or not empty or lines[0] != FIRST_LINE or len(lines) < 3:
        raise MalformedNote(f"this is no receipt: those begin with {FIRST_LINE}")
    if not lines[1].startswith(_EXTRA):
        raise MalformedNote("the receipt does not hold the event that it is for")
    index = _INDEX.fullmatch(lines[2])
    hashes = tuple(_decoded(line) for line in lines[3:])
    if index is None or len(hashes) > PROOF_HASHES_MAX or any(len(each) != HASH_BYTES for each in hashes):
        raise MalformedNote("the receipt holds no proof")
    event = evidence.parse(_decoded(lines[1].removeprefix(_EXTRA)))
    if event.position - 1 != int(index[1]):
        raise MalformedNote("the receipt is for another event than the one that it holds")
    return Receipt(event, hashes, note.parse(signed))


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _decoded(line: str) -> bytes:
    try:
        return base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedNote("a line of the receipt is not base64") from error
