"""API keys: `cfk_<credential>_<secret>`, kept by its holder only.

The secret has 256 random bits, so its SHA-256 cannot be guessed backwards, and a slow hash would only slow us.
"""

import hashlib
import hmac
import re
import secrets
from typing import Final

from msgspec import Struct

from runtime.identity.tokens import base64url

PREFIX: Final = "cfk_"
SECRET_BYTES: Final = 32

_parts = re.compile(rb"cfk_([0-9a-f-]{36})_([A-Za-z0-9_-]{43})").fullmatch


class Key(Struct, frozen=True):
    """A key that somebody shows: the credential that it names, and the digest of its secret."""

    credential_id: str
    digest: bytes

    def is_behind(self, digest: bytes) -> bool:
        """Whether this is the digest that was kept, found out in a time that tells nothing."""
        return hmac.compare_digest(self.digest, digest)


def new(credential_id: str) -> tuple[str, bytes]:
    """A key that was never there, and the digest of its secret, which is all that is kept."""
    secret = base64url(secrets.token_bytes(SECRET_BYTES))
    return f"{PREFIX}{credential_id}_{secret}", _digest(secret.encode())


def parse(text: bytes) -> Key | None:
    """The key in a text; None: it is none."""
    found = _parts(text)
    return None if found is None else Key(found[1].decode(), _digest(found[2]))


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()
