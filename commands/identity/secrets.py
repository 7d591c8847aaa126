"""The secrets of an installation: one file of 32 random bytes, from which a key for each purpose is derived.

A copy of the database alone suffices neither to sign a token, nor make a refresh token, nor find an account by its
address. The vault remembers a digest of the file, so that a process with another one does not start.
"""

import hashlib
import hmac
import secrets
import unicodedata
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from commands.identity.errors import OtherSecrets, SecretsFileError
from domain.ids import KeyedHash
from runtime import durable

MASTER_BYTES: Final = 32
NONCE_BYTES: Final = 12


class Secrets:
    """The keys that are derived from one file."""

    def __init__(self, master: bytes) -> None:
        self._email = _derived(master, "email")
        self._refresh = _derived(master, "refresh")
        self._link = _derived(master, "links in mails")
        self._external = _derived(master, "external identities")
        self._logins = AESGCM(_derived(master, "logins at providers"))
        self._wrapping = AESGCM(_derived(master, "signing keys"))
        self.digest = hashlib.sha256(_derived(master, "digest")).digest()
        """What the vault keeps to recognise the file by."""

    def email_digest(self, address: str) -> KeyedHash:
        """The digest of an address for the log; two spellings of one address have the same."""
        return KeyedHash(hmac.digest(self._email, normalised(address).encode(), "sha256")[:16].hex())

    def identity_digest(self, issuer: str, subject: str) -> KeyedHash:
        """The digest of an account at a provider, for the log."""
        named = f"{len(issuer)}:{issuer}{subject}"
        return KeyedHash(hmac.digest(self._external, named.encode(), "sha256")[:16].hex())

    def seal_login(self, content: bytes) -> bytes:
        """What a browser keeps for us while it is at a provider: it can neither read nor change it."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._logins.encrypt(nonce, content, b"")

    def open_login(self, sealed: bytes) -> bytes | None:
        """What was sealed; None: it was not, by these secrets."""
        try:
            return self._logins.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], b"")
        except (InvalidTag, ValueError):
            return None

    def refresh_mac(self, session_id: str, sequence: int) -> bytes:
        """What makes a refresh token: it can be made again, and is kept nowhere."""
        return hmac.digest(self._refresh, f"{session_id}.{sequence}".encode(), "sha256")

    def link_mac(self, link_id: str) -> bytes:
        """What makes the token of a link: it can be made again, and is kept nowhere."""
        return hmac.digest(self._link, link_id.encode(), "sha256")

    def wrap(self, seed: bytes, *, kid: str) -> bytes:
        """The secret half of a signing key as the vault keeps it."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._wrapping.encrypt(nonce, seed, kid.encode())

    def unwrap(self, wrapped: bytes, *, kid: str) -> bytes:
        """The secret half of a signing key.

        Raises:
            OtherSecrets: it was encrypted by another file, or belongs to another key.
        """
        try:
            return self._wrapping.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], kid.encode())
        except InvalidTag as error:
            raise OtherSecrets(f"the signing key {kid} was encrypted with other secrets") from error


def normalised(address: str) -> str:
    """One spelling of an address. Capitals before the @ matter to no provider that anybody uses."""
    return unicodedata.normalize("NFKC", address.strip()).casefold()


def read(path: Path) -> Secrets:
    """The secrets in a file.

    Raises:
        SecretsFileError: it cannot be used.
    """
    try:
        content = durable.read_private(path, bytes_max=MASTER_BYTES + 1)
    except OSError as error:
        raise SecretsFileError(f"the file of secrets cannot be read: {path}: {error.strerror}") from error
    except durable.ReadableByOthers as error:
        raise SecretsFileError(str(error)) from error
    if len(content) != MASTER_BYTES:
        raise SecretsFileError(f"{path} does not hold {MASTER_BYTES} bytes")
    return Secrets(content)


def create(path: Path) -> None:
    """Write a file for its owner alone; one that another process made meanwhile stays.

    Raises:
        SecretsFileError: none can be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        durable.create(path, secrets.token_bytes(MASTER_BYTES), mode=durable.PRIVATE)
    except FileExistsError:
        return
    except OSError as error:
        raise SecretsFileError(f"{path} cannot be written: {error.strerror}") from error


def _derived(master: bytes, purpose: str) -> bytes:
    info = f"counterfoil identity: {purpose}".encode()
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(master)
