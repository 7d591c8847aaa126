"""A witness: it cosigns checkpoints of logs that only grow, and nothing else.

It remembers of each log the newest checkpoint that it cosigned, and cosigns another only if a consistency proof leads
from the one to the other. So a verifier that trusts the witness knows that no two of its cosignatures contradict each
other, also if the log was restored from a backup, forked, or its key stolen. The exchange is
https://c2sp.org/tlog-witness (add-checkpoint).

Errors:
    WitnessError
    ├── Refused         the request is answered with this status, and nothing was cosigned
    └── StorageInvalid  the directory is not a witness's, belongs to another process, or was damaged
"""

import contextlib
import fcntl
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

from msgspec import Struct

from event_store.proofs import checkpoint, merkle, note
from event_store.proofs.checkpoint import Checkpoint
from event_store.proofs.merkle import HASH_BYTES, PROOF_HASHES_MAX
from event_store.proofs.note import MalformedNote, Note, SignerKey, UnverifiedNote, VerifierKey
from runtime import durable

REQUEST_BYTES_MAX: Final = note.NOTE_BYTES_MAX + 64 * PROOF_HASHES_MAX
SIZE_CONTENT_TYPE: Final = "text/x.tlog.size"

_OLD: Final = re.compile(r"old (0|[1-9][0-9]{0,18})", re.ASCII)
_KEY_FILE: Final = "key"
_LOGS_FILE: Final = "logs"
_LOCK_FILE: Final = "lock"


class WitnessError(Exception):
    """Something about a witness is wrong."""


class StorageInvalid(WitnessError):
    """A witness without the memory it had would cosign a fork, so it does not start."""


class Refused(WitnessError):
    """Nothing was cosigned; `status`, `body` and `content_type` answer the request."""

    def __init__(self, status: int, body: str, *, content_type: str = "text/plain; charset=utf-8") -> None:
        """Answer with these."""
        super().__init__(body.strip())
        self.status = status
        self.body = body
        self.content_type = content_type


class Request(Struct, frozen=True):
    """Body of add-checkpoint: the size from which on a proof is given, the proof, and the signed checkpoint."""

    old: int
    proof: tuple[bytes, ...]
    note: Note

    def encode(self) -> bytes:
        """As it is sent."""
        lines = [f"old {self.old}\n", *(f"{note.to_base64(each)}\n" for each in self.proof), "\n"]
        return "".join([*lines, self.note.encode()]).encode()

    @classmethod
    def parse(cls, body: bytes) -> "Request":
        """Read what `encode` writes.

        Raises:
            MalformedNote: it is none.
        """
        head, empty, signed = body.partition(b"\n\n")
        if not empty:
            raise MalformedNote("an empty line stands between the proof and the checkpoint")
        try:
            first, *rest = head.decode("ascii").split("\n")
        except UnicodeDecodeError as error:
            raise MalformedNote("old size and proof are ASCII") from error
        if (old := _OLD.fullmatch(first)) is None:
            raise MalformedNote("the first line is `old`, a space, and a size")
        if len(rest) > PROOF_HASHES_MAX:
            raise MalformedNote(f"a proof has at most {PROOF_HASHES_MAX} hashes")
        proof = tuple(note.from_base64(each, what="hash of the proof") for each in rest)
        if any(len(each) != HASH_BYTES for each in proof):
            raise MalformedNote(f"a hash has {HASH_BYTES} bytes")
        return cls(int(old[1]), proof, note.parse(signed))


class Witness:
    """Cosigns, one checkpoint of a log at a time; safe to call from several threads."""

    def __init__(
        self,
        storage: "Storage",
        *,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """Go on from what the storage holds.

        Args:
            storage: what was cosigned, the key, and the logs that are known.
            now_s: seconds since 1970.

        Raises:
            StorageInvalid: what was cosigned last cannot be read.
        """
        self._storage = storage
        self._key = storage.key
        self._now_s = now_s
        self._lock = threading.Lock()
        self._logs: dict[str, list[VerifierKey]] = {}
        for key in storage.logs:
            self._logs.setdefault(key.name, []).append(key)
        for origin in self._logs:
            storage.newest(origin)  # damage is found at the start, not at the first checkpoint of this log

    @property
    def verifier(self) -> VerifierKey:
        """The verifier key."""
        return self._key.verifier

    def add_checkpoint(self, body: bytes) -> str:
        """Cosign a checkpoint: a line of signature, once what was cosigned is on the disk.

        Raises:
            Refused: the request is malformed, or the checkpoint not one that this witness may cosign.
            OSError: it cannot be stored; then nothing was answered that has to be remembered.
        """
        try:
            request = Request.parse(body)
            found = checkpoint.parse(request.note.text)
        except MalformedNote as error:
            raise Refused(400, f"{error}\n") from error
        signed = self._signed_by_log(request.note, found)
        if request.old > found.size:
            raise Refused(400, f"old size {request.old} is above the checkpoint's, {found.size}\n")
        with self._lock:
            return self._cosigned(request, found, signed)

    def newest(self, wanted: str) -> str | None:
        """The newest cosigned checkpoint of a log, by the SHA-256 of its origin in hex; None if there is none."""
        for origin in self._logs:
            if origin_hash(origin) == wanted:
                stored = self._storage.newest(origin)
                return None if stored is None else stored.encode()
        return None

    def _signed_by_log(self, signed: Note, found: Checkpoint) -> Note:
        """The checkpoint with the signatures of keys that are known here."""
        keys = self._logs.get(found.origin)
        if keys is None:
            raise Refused(404, f"the log {found.origin} is not known here\n")
        try:
            by = {(key.name, key.key_id) for key in note.verify(signed, keys)}
        except UnverifiedNote as error:
            raise Refused(403, f"{error}\n") from error
        return Note(signed.text, tuple(one for one in signed.signatures if (one.name, one.key_id) in by))

    def _cosigned(self, request: Request, found: Checkpoint, signed: Note) -> str:
        """Compare with what is stored, store, and only then answer: all of it under one lock."""
        stored = self._storage.newest(found.origin)
        known = _EMPTY if stored is None else checkpoint.parse(stored.text)
        if request.old != known.size:
            raise Refused(409, f"{known.size}\n", content_type=SIZE_CONTENT_TYPE)
        try:
            merkle.verify_consistency(
                old=known.size, old_root=known.root, size=found.size, root=found.root, proof=request.proof
            )
        except merkle.ProofInvalid as error:
            raise Refused(422, f"{error}\n") from error
        cosignature = self._key.cosign(found.text, time_s=self._time_s(stored))
        self._storage.store(found.origin, signed.with_signatures(cosignature))
        return cosignature.line

    def _time_s(self, stored: Note | None) -> int:
        """Now, and never before the cosignature of a smaller tree, whatever the clock says."""
        before = [] if stored is None else map(note.cosigned_at, stored.signatures)
        return max(int(self._now_s()), *(each or 0 for each in before), 1)


_EMPTY: Final = Checkpoint("", 0, merkle.EMPTY_ROOT)


class Storage:
    """A directory with the key of a witness, the logs it knows, and what it cosigned last of each.

    Key and memory lie together, so that nobody starts with the one and without the other.
    """

    def __init__(self, directory: Path, key: SignerKey, logs: Sequence[VerifierKey]) -> None:
        """Use `opened`."""
        self.key = key
        self.logs = logs
        self._directory = directory
        self._cached: dict[str, Note | None] = {}

    def newest(self, origin: str) -> Note | None:
        """What was cosigned last of a log; None if nothing was.

        Raises:
            StorageInvalid: there is something that cannot be read.
        """
        if origin not in self._cached:
            self._cached[origin] = self._read(origin)
        return self._cached[origin]

    def store(self, origin: str, cosigned: Note) -> None:
        """Replace what was cosigned last of a log; it is on the disk when this returns.

        Raises:
            OSError: it may or may not be there; the next reader finds what is.
        """
        self._cached.pop(origin, None)
        _replace(self._directory / f"{origin_hash(origin)}.checkpoint", cosigned.encode(), mode=0o644)
        self._cached[origin] = cosigned

    def _read(self, origin: str) -> Note | None:
        path = self._directory / f"{origin_hash(origin)}.checkpoint"
        try:
            stored = note.parse(path.read_bytes())
            note.verify(stored, [self.key.verifier])
            found = checkpoint.parse(stored.text)
        except FileNotFoundError:
            return None
        except note.NoteError as error:
            raise StorageInvalid(f"{path} is damaged: {error}. Bring it back from a copy.") from error
        if found.origin != origin:
            raise StorageInvalid(f"{path} is of the log {found.origin}, not of {origin}")
        return stored


def create(directory: Path, *, name: str) -> VerifierKey:
    """Make the directory of a new witness, with a new key.

    Args:
        directory: is made, or exists and is empty.
        name: the witness's, a URL without its scheme.

    Raises:
        StorageInvalid: there is something in the directory, or the name has a space or a plus sign.
        OSError: it cannot be made.
    """
    if not note.is_name(name):
        raise StorageInvalid(f"{name!r} is no name for a witness: no space, no plus sign")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise StorageInvalid(f"{directory} is not empty: a witness never begins with what another remembers")
    key = SignerKey(name, os.urandom(32), note.COSIGNATURE)
    _replace(directory / _LOGS_FILE, "", mode=0o644)
    _replace(directory / _KEY_FILE, f"{key.secret()}\n", mode=durable.PRIVATE)
    return key.verifier


def trust(directory: Path, key: VerifierKey) -> None:
    """Let a witness know a log, or another key of one; the next start reads it.

    Raises:
        StorageInvalid: the directory is not a witness's.
        MalformedNote: the key is not one that signs a log's checkpoints.
        OSError: it cannot be written.
    """
    if key.algorithm != note.ED25519:
        raise MalformedNote("this is the key of a witness: a log's key is wanted")
    known = _logs(directory)
    if key not in known:
        _replace(directory / _LOGS_FILE, "".join(f"log {each}\n" for each in [*known, key]), mode=0o644)


@contextlib.contextmanager
def opened(directory: Path) -> Iterator[Storage]:
    """The storage of a witness, for one process at a time.

    Raises:
        StorageInvalid: it is none, is damaged, or another process has it.
    """
    logs = _logs(directory)
    try:
        key = SignerKey.parse((directory / _KEY_FILE).read_text())
    except (OSError, UnicodeDecodeError, MalformedNote) as error:
        raise StorageInvalid(f"the key in {directory} cannot be read: {error}") from error
    with (directory / _LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StorageInvalid(f"another process has {directory}") from error
        yield Storage(directory, key, logs)


def _logs(directory: Path) -> list[VerifierKey]:
    """The keys of logs, one `log <key>` a line, as in https://c2sp.org/tlog-policy; empty lines and # are left out."""
    try:
        lines = (directory / _LOGS_FILE).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StorageInvalid(
            f"{directory} is not the directory of a witness ({error}): make one with `counterfoil witness create`"
        ) from error
    found = []
    for line in filter(None, (line.strip() for line in lines)):
        if line.startswith("#"):
            continue
        try:
            found.append(VerifierKey.parse(line.removeprefix("log ")))
        except MalformedNote as error:
            raise StorageInvalid(f"{directory / _LOGS_FILE}: {line!r}: {error}") from error
    return found


def origin_hash(origin: str) -> str:
    """What a monitor asks for: SHA-256 of the origin, in hex."""
    return sha256(origin.encode()).hexdigest()


def _replace(path: Path, content: str, *, mode: int) -> None:
    durable.replace(path, content.encode(), temporary=path.with_name(f".{path.name}.new"), mode=mode)
