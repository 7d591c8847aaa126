"""Which keys seal a log, and which sizes of its tree each of them covers: the file `keys.json` next to the tiles.

A key is replaced by handing over: both keys sign one checkpoint, and the file keeps it. So a verifier that trusts one
key of a log can follow to the others. The file itself is not trusted: it says nothing that the signatures in it do not.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from event_store.proofs import checkpoint, note
from event_store.proofs.checkpoint import Checkpoint
from event_store.proofs.note import MalformedNote, Note, NoteError, UnknownSigner, VerifierKey
from runtime.decoders import of_any_depth

FORMAT: Final = "counterfoil.keys.v1"
KEYS_MAX: Final = 1_000
FILE: Final = "keys.json"


class KeyRange(Struct, frozen=True):
    """A key and the sizes of trees that it signs: from `first_size` to `last_size`, both included; None: no end yet.

    `handover` is the checkpoint with which this key took over, signed by the key before it too; None for the first.
    """

    key: str
    first_size: int
    last_size: int | None = None
    handover: str | None = None

    @property
    def verifier(self) -> VerifierKey:
        """The key.

        Raises:
            MalformedNote: it is none.
        """
        return VerifierKey.parse(self.key)

    def covers(self, size: int) -> bool:
        """Whether the key may say what a tree of this size is."""
        return self.first_size <= size and (self.last_size is None or size <= self.last_size)


class Policy(Struct, frozen=True):
    """The keys of one log, the first to the last."""

    origin: str
    keys: tuple[KeyRange, ...]
    format: str = FORMAT

    def encode(self) -> bytes:
        """The file."""
        return msgspec.json.format(msgspec.json.encode(self)) + b"\n"

    @property
    def verifiers(self) -> list[VerifierKey]:
        """All keys, trusted or not."""
        return [each.verifier for each in self.keys]


_decode: Final = of_any_depth(msgspec.json.Decoder(Policy).decode)


def parse(content: bytes) -> Policy:
    """Read a file.

    Raises:
        MalformedNote: it is none, of another format, or has more keys than anybody needs.
    """
    try:
        found = _decode(content)
    except msgspec.DecodeError as error:
        raise MalformedNote(f"this is no list of keys: {error}") from error
    if found.format != FORMAT or len(found.keys) > KEYS_MAX:
        raise MalformedNote(f"this is no list of keys of the format {FORMAT}")
    for each in found.keys:
        if each.verifier.name != found.origin:
            raise MalformedNote(f"the key {each.key} is of another log than {found.origin}")
    return found


def trusted(policy: Policy, known: Iterable[VerifierKey]) -> list[KeyRange]:
    """The keys that can be reached from those that are known, over checkpoints that both sides of a handover signed.

    Keys of witnesses are among them if they are known: they cover every size.

    Raises:
        UnknownSigner: no key of the log is known.
    """
    given = list(known)
    trusted = {str(key) for key in given}
    keys, steps = policy.keys, range(1, len(policy.keys))
    for number in (*steps, *reversed(steps)):  # on to newer keys, and back to older ones
        before, after = keys[number - 1], keys[number]
        if (before.key in trusted) != (after.key in trusted) and _handed_over(before, after):
            trusted |= {before.key, after.key}
    found = [each for each in keys if each.key in trusted]
    if not found:
        raise UnknownSigner(f"none of the keys that are trusted here is one of the log {policy.origin}")
    return [*found, *(KeyRange(str(key), 0) for key in given if key.algorithm == note.COSIGNATURE)]


def verified(signed: Note, keys: Sequence[KeyRange]) -> Checkpoint:
    """The checkpoint in a note, signed by a key that covers its size, and cosigned by every witness among the keys.

    Raises:
        MalformedNote: the text is no checkpoint.
        UnverifiedNote: none of these keys may say that, or did.
    """
    size = checkpoint.parse(signed.text).size
    return checkpoint.verified(signed, [each.verifier for each in keys if each.covers(size)])


def _handed_over(before: KeyRange, after: KeyRange) -> bool:
    """Whether both keys signed the checkpoint at which one took over from the other."""
    if after.handover is None:
        return False
    try:
        signed = note.parse(after.handover)
        found = checkpoint.parse(signed.text)
        both = [before.verifier, after.verifier]
        return (
            before.last_size == after.first_size == found.size
            and len(note.verify(signed, both)) == len(both)
            and checkpoint.verified(signed, both) == found
        )
    except NoteError:
        return False
