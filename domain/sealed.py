"""A sealed value: personal data as ciphertext, the only form in which events and rows hold it.

It is AES-256-GCM under the data key of one subject. Nothing in this package seals or opens: folds, decisions, digests
and rebuilds carry the value as it is and need no key. Once the key is destroyed, what was sealed under it is erased
wherever it lies, and every hash over it still holds.

Its JSON is an array of three texts: key id, nonce, and ciphertext with its tag, the last two in base64.

    ["0198b2f4-6d0e-7c3a-9f1b-2a4c6e8f0a1b", "nq2y0ZcXb1dHk8tQ", "c2VhbGVkIGJ5dGVzIHdpdGggYSB0YWcuLi4="]
"""

from typing import Annotated, Final, NewType

from msgspec import Meta, Struct

NONCE_BYTES: Final = 12
"""Random for each value, as GCM takes it."""

TAG_BYTES: Final = 16
"""The end of a ciphertext, by which any change of it or of its place is noticed."""

CIPHERTEXT_BYTES_MAX: Final = 8 * 1024
"""Bytes of one ciphertext, its tag included."""

KeyId = NewType("KeyId", str)
"""The data key of one subject: a random id that says nothing of the subject."""

ERASURE_TAG: Final = "erasure"
"""The tag of events that name, in `key_ids`, data keys under which nothing is opened any more."""


class Sealed(Struct, frozen=True, array_like=True, gc=False):
    """One personal field under the data key `key_id`.

    The associated data are the stream that the value was first recorded in, the name of its field there, and the key
    id: moved to another stream or field, it does not open.
    """

    key_id: KeyId
    nonce: Annotated[bytes, Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
    ciphertext: Annotated[bytes, Meta(min_length=TAG_BYTES, max_length=CIPHERTEXT_BYTES_MAX)]
