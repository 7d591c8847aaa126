"""C2SP signed notes: text, an empty line, and signatures; Ed25519 keys that sign text, or cosign checkpoints.

The format is https://c2sp.org/signed-note, keys are written as Go's sumdb/note writes them, and cosignatures are those
of https://c2sp.org/tlog-cosignature. This module imports nothing of ours: a verifier of what we sign may use it
alone.

Errors:
    NoteError
    ├── MalformedNote    not a note, or not a key
    └── UnverifiedNote   a signature is not that of the known key whose name and id it carries
        └── UnknownSigner    no key that is known signed it
"""

import base64
import binascii
import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Final, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

NOTE_BYTES_MAX: Final = 64 * 1024
SIGNATURES_MAX: Final = 64
"""A note with more is refused unread; C2SP asks for at least 16."""

Algorithm = Literal[1, 4]
ED25519: Final = 1
"""Signs the text of a note."""
COSIGNATURE: Final = 4
"""Signs a time and the text of a checkpoint: what a witness answers."""

_KEY_ID_BYTES: Final = 4
_PUBLIC_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64
_TIME_BYTES: Final = 8
_TIME_MAX: Final = 2**63 - 1
_DASH: Final = "\u2014 "
_PRIVATE: Final = "PRIVATE+KEY+"
_NAME: Final = re.compile(r"[^\s+]+")
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")


class NoteError(Exception):
    """Something about a note, or a key of one, is wrong."""


class MalformedNote(NoteError):
    """The bytes are no note, or the text is no key."""


class UnverifiedNote(NoteError):
    """A signature that a known key should have made is not its own: the note was forged or changed."""


class UnknownSigner(UnverifiedNote):
    """No key that is known here signed the note, so nothing is known of it."""


class Signature(Struct, frozen=True):
    """A line below a note: who says to have signed, with which key, and the bytes behind the key's id."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        """As it stands in the note, with its line feed."""
        return f"{_DASH}{self.name} {to_base64(self.key_id + self.signature)}\n"


class Note(Struct, frozen=True):
    """Text that ends in a line feed, and who signed it."""

    text: str
    signatures: tuple[Signature, ...]

    def encode(self) -> str:
        """The note as it is stored and sent."""
        return f"{self.text}\n{''.join(each.line for each in self.signatures)}"

    def with_signatures(self, *signatures: Signature) -> "Note":
        """The same text, signed by more."""
        return Note(self.text, (*self.signatures, *signatures))


class VerifierKey(Struct, frozen=True):
    """The public half of a key, by the name of its signer."""

    name: str
    public: bytes
    algorithm: Algorithm = ED25519

    @property
    def key_id(self) -> bytes:
        """Four bytes that tell a name's keys apart; no more than that."""
        named = self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public
        return sha256(named).digest()[:_KEY_ID_BYTES]

    def __str__(self) -> str:
        """The key in one line: name, id and public key, joined by plus signs."""
        return f"{self.name}+{self.key_id.hex()}+{to_base64(bytes([self.algorithm]) + self.public)}"

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Read what `str` writes.

        Raises:
            MalformedNote: it is none, or its id is that of another key.
        """
        name, key_id, encoded = _split_key(text.strip(), what="verifier key")
        algorithm, public = encoded[:1], encoded[1:]
        if algorithm not in {bytes([ED25519]), bytes([COSIGNATURE])} or len(public) != _PUBLIC_BYTES:
            raise MalformedNote("the key is of a kind that is not known here: Ed25519 keys are")
        key = cls(name, public, ED25519 if algorithm == bytes([ED25519]) else COSIGNATURE)
        if key.key_id.hex() != key_id:
            raise MalformedNote(
                f"the key's id is {key.key_id.hex()}, not {key_id}: something in it was changed"
            )
        return key

    def signed(self, text: str, signature: Signature) -> bool:
        """Whether a signature that carries this key's name and id is its signature of a text."""
        message, signed = text.encode(), signature.signature
        if self.algorithm == COSIGNATURE:
            if (time_s := cosigned_at(signature)) is None:
                return False
            message, signed = _cosigned(text, time_s), signed[_TIME_BYTES:]
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signed, message)
        except InvalidSignature:
            return False
        return True


class SignerKey(Struct, frozen=True):
    """Both halves of a key. Its `repr` shows no secret."""

    name: str
    seed: bytes
    algorithm: Algorithm = ED25519

    def __post_init__(self) -> None:
        assert is_name(self.name), "a name of a key has no space and no plus sign"
        assert len(self.seed) == _PUBLIC_BYTES, "the seed of an Ed25519 key has 32 bytes"

    def __repr__(self) -> str:
        """The name of the signer, without the key, since values appear in tracebacks and logs."""
        return f"SignerKey({self.verifier})"

    __str__ = __repr__

    @property
    def verifier(self) -> VerifierKey:
        """The public half."""
        return VerifierKey(self.name, self._private.public_key().public_bytes_raw(), self.algorithm)

    def secret(self) -> str:
        """The key in one line, for its file and for nothing else."""
        encoded = to_base64(bytes([self.algorithm]) + self.seed)
        return f"{_PRIVATE}{self.name}+{self.verifier.key_id.hex()}+{encoded}"

    @classmethod
    def parse(cls, text: str) -> "SignerKey":
        """Read what `secret` writes.

        Raises:
            MalformedNote: it is none; the message shows nothing of it.
        """
        stripped = text.strip()
        if not stripped.startswith(_PRIVATE):
            raise MalformedNote("this is no private key of a note: those begin with PRIVATE+KEY+")
        name, key_id, encoded = _split_key(stripped.removeprefix(_PRIVATE), what="private key")
        algorithm, seed = encoded[:1], encoded[1:]
        if algorithm not in {bytes([ED25519]), bytes([COSIGNATURE])} or len(seed) != _PUBLIC_BYTES:
            raise MalformedNote("the private key is of a kind that is not known here: Ed25519 keys are")
        key = cls(name, seed, ED25519 if algorithm == bytes([ED25519]) else COSIGNATURE)
        if key.verifier.key_id.hex() != key_id:
            raise MalformedNote(
                "the private key is not the one that its id says: something in it was changed"
            )
        return key

    def sign(self, text: str) -> Signature:
        """Sign the text of a note."""
        assert self.algorithm == ED25519, "a witness cosigns"
        key = self.verifier
        return Signature(key.name, key.key_id, self._private.sign(_checked(text).encode()))

    def cosign(self, text: str, *, time_s: int) -> Signature:
        """Sign that this was the newest checkpoint of its log at a time, in seconds since 1970."""
        assert self.algorithm == COSIGNATURE, "only the key of a witness cosigns"
        key, time = self.verifier, time_s.to_bytes(_TIME_BYTES, "big")
        return Signature(key.name, key.key_id, time + self._private.sign(_cosigned(_checked(text), time_s)))

    @property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)


def parse(encoded: str | bytes, *, bytes_max: int = NOTE_BYTES_MAX) -> Note:
    """Read a note of up to `bytes_max` bytes; who signed it is not verified yet.

    Raises:
        MalformedNote: it is none.
    """
    if len(encoded) > bytes_max:
        raise MalformedNote(f"the note has more than {bytes_max} bytes")
    try:
        content = encoded if isinstance(encoded, str) else encoded.decode()
        content.encode()
    except UnicodeError as error:
        raise MalformedNote("the note is not UTF-8") from error
    text, empty, below = content.rpartition("\n\n")
    if not empty or not below.endswith("\n") or _CONTROL.search(content):
        raise MalformedNote("this is no signed note: text, an empty line, and lines of signatures")
    lines = below[:-1].split("\n")
    if len(lines) > SIGNATURES_MAX:
        raise MalformedNote(f"the note has more than {SIGNATURES_MAX} signatures")
    return Note(f"{text}\n", tuple(map(_signature, lines)))


def verify(signed: Note, keys: Sequence[VerifierKey]) -> list[VerifierKey]:
    """Which of these keys signed a note: at least one did, and none is claimed falsely. Unknown signatures are ignored.

    Raises:
        UnverifiedNote: a claim is false; then nothing in the text is to be trusted.
        UnknownSigner: none did.
    """
    known = {(key.name, key.key_id): key for key in keys}
    found: dict[tuple[str, bytes], VerifierKey] = {}
    for signature in signed.signatures:
        identity = signature.name, signature.key_id
        if (key := known.get(identity)) is None:
            continue
        if not key.signed(signed.text, signature):
            raise UnverifiedNote(f"the signature of {key.name} ({key.key_id.hex()}) is not of this text")
        found[identity] = key
    if not found:
        named = ", ".join(sorted({f"{each.name} ({each.key_id.hex()})" for each in signed.signatures}))
        raise UnknownSigner(f"no key that is known here signed this; it says that these did: {named}")
    return list(found.values())


def cosigned_at(signature: Signature) -> int | None:
    """When a witness says to have seen a checkpoint, seconds since 1970; None where the bytes are no cosignature."""
    if len(signature.signature) != _TIME_BYTES + _SIGNATURE_BYTES:
        return None
    time_s = int.from_bytes(signature.signature[:_TIME_BYTES], "big")
    return time_s if time_s <= _TIME_MAX else None


def _cosigned(text: str, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def _checked(text: str) -> str:
    assert text.endswith("\n"), "text that is signed ends in a line feed"
    assert not _CONTROL.search(text), "text that is signed has no control characters"
    return text


def _signature(line: str) -> Signature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space or not _NAME.fullmatch(name):
        raise MalformedNote("a line below the text is no signature")
    decoded = from_base64(encoded, what="signature")
    if len(decoded) <= _KEY_ID_BYTES:
        raise MalformedNote(f"the signature of {name} is too short")
    return Signature(name, decoded[:_KEY_ID_BYTES], decoded[_KEY_ID_BYTES:])


def _split_key(text: str, *, what: str) -> tuple[str, str, bytes]:
    name, first, rest = text.partition("+")
    key_id, second, encoded = rest.partition("+")
    if not (first and second) or not _NAME.fullmatch(name):
        raise MalformedNote(f"this is no {what}: a name, an id and a key, joined by plus signs")
    return name, key_id, from_base64(encoded, what=what)


def is_name(text: str) -> bool:
    """Whether a key may be called that: no space, no plus sign."""
    return _NAME.fullmatch(text) is not None


def to_base64(value: bytes) -> str:
    """Bytes as notes spell them."""
    return base64.b64encode(value).decode()


def from_base64(text: str, *, what: str) -> bytes:
    """The bytes of a text in base64 that has no other spelling: what is signed or compared has only one."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedNote(f"the {what} is not base64") from error
    if to_base64(decoded) != text:
        raise MalformedNote(f"the {what} is not base64 as everybody writes it")
    return decoded
