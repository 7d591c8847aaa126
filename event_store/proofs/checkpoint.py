"""C2SP checkpoints: what a log says about itself, as the text of a signed note.

The format is https://c2sp.org/tlog-checkpoint: origin, number of events, root of the tree over their leaves. There are
no extension lines: nobody else could check what they say.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from event_store.proofs import note
from event_store.proofs.merkle import HASH_BYTES
from event_store.proofs.note import MalformedNote, Note, SignerKey, UnknownSigner, VerifierKey

SIZE_MAX: Final = 2**63 - 1

_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


class Checkpoint(Struct, frozen=True):
    """The first `size` events of the log `origin` have this root, 32 bytes."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The signed text."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    def signed(self, *keys: SignerKey) -> Note:
        """The checkpoint, signed by these keys."""
        return Note(self.text, tuple(key.sign(self.text) for key in keys))


def parse(text: str) -> Checkpoint:
    """Read the text of a note as a checkpoint.

    Raises:
        MalformedNote: it is none, or has extension lines.
    """
    origin, *rest = text.split("\n")
    if not origin or len(rest) != 3 or rest[2] or not _SIZE.fullmatch(rest[0]):
        raise MalformedNote("this is no checkpoint: origin, size and root, one line each")
    try:
        root = base64.b64decode(rest[1], validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedNote("the root of the checkpoint is not base64") from error
    found = Checkpoint(origin, int(rest[0]), root)
    if len(root) != HASH_BYTES or found.size > SIZE_MAX or found.text != text:
        raise MalformedNote("the checkpoint is not written as everybody writes it")
    return found


def verified(signed: Note, keys: Sequence[VerifierKey]) -> Checkpoint:
    """The checkpoint in a note that the log's own key signed, and every trusted witness cosigned.

    Args:
        signed: the note.
        keys: the keys that are trusted; only those named like the checkpoint's origin may say what that log holds, and
            those of witnesses say that nobody was shown another history.

    Raises:
        MalformedNote: the text is no checkpoint.
        UnverifiedNote: a trusted key is claimed falsely.
        UnknownSigner: no trusted key of this log signed it, or a trusted witness did not cosign it.
    """
    found = parse(signed.text)
    own = [key for key in keys if key.name == found.origin and key.algorithm == note.ED25519]
    if not own:
        raise UnknownSigner(f"no key of the log {found.origin} is known here")
    note.verify(signed, own)
    for witness in (key for key in keys if key.algorithm == note.COSIGNATURE):
        try:
            note.verify(signed, [witness])
        except UnknownSigner as error:
            raise UnknownSigner(f"the witness {witness.name} did not cosign this checkpoint") from error
    return found
