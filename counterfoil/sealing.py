"""Keys that seal, what was sealed, and the log held against what somebody kept."""

import math
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg
from msgspec import Struct

from counterfoil import addresses, progress
from event_store.log import pacing, reading
from event_store.log.findings import Finding
from event_store.proofs import (
    against,
    auditor,
    bundle,
    checkpoint,
    key_file,
    ledger,
    merkle,
    note,
    policy,
    proving,
    receipt,
    resuming,
    witness_list,
)
from event_store.proofs.auditor import Audited
from event_store.proofs.checkpoint import Checkpoint
from event_store.proofs.errors import FalseProof
from event_store.proofs.key_file import KeyFileError
from event_store.proofs.ledger import Witnessed
from event_store.proofs.merkle import ProofInvalid
from event_store.proofs.note import MalformedNote, SignerKey, VerifierKey
from event_store.proofs.policy import KeyRange, Policy
from event_store.proofs.receipt import Receipt
from event_store.proofs.tiles import Directory
from event_store.proofs.witness_list import Witness
from runtime import database
from runtime.decoders import json_decoder
from runtime.settings import PREFIX, Settings, SettingsError

SEED_BYTES: Final = 32
TEXT_BYTES_MAX: Final = 64 * 1024


def generate(settings: Settings, path: Path | None, *, origin: str | None) -> tuple[Path, SignerKey]:
    """Make the key of an installation's log, in a file that only its owner may read.

    Args:
        settings: where the log is, and where the key is looked for.
        path: the file; where the settings look for it if None.
        origin: the name of the log; that of the installation if None.

    Raises:
        KeyFileError: there is a file already, or none can be made.
        psycopg.Error, NoAddress: the log was not asked for its installation.
    """
    file = path or settings.seal_key or settings.home / "seal.key"
    if origin is None:
        url = addresses.database_url(settings)
        with database.connect(url, role="counterfoil_sealer", name="seal-key") as connection:
            origin = resuming.origin_of(reading.history(connection).installation)
    if not (note.is_name(origin) and origin.isprintable()):
        raise KeyFileError(f"{origin!r} is no name of a log: it has neither spaces nor plus signs")
    key = SignerKey(origin, secrets.token_bytes(SEED_BYTES))
    key_file.create(file, [key])
    return file, key


def rotate(path: Path, *, successor: Path | None = None) -> SignerKey:
    """Add a key to a file that takes over from the one that seals.

    Args:
        path: the file.
        successor: a file with the key that takes over; a new one is made if None.

    Raises:
        KeyFileError: a file cannot be used, or the key that is to take over is that of another log.
    """
    keys = key_file.read(path)
    made = SignerKey(keys[0].name, secrets.token_bytes(SEED_BYTES))
    key = made if successor is None else key_file.read(successor)[0]
    if key.name != keys[0].name:
        raise KeyFileError(f"{successor} holds a key of {key.name}, and {path} seals {keys[0].name}")
    if key in keys:
        raise KeyFileError(f"the key in {successor} is in {path} already")
    key_file.replace(path, [key, keys[0]])
    return key


def file_of(settings: Settings, path: Path | None) -> Path:
    """The key file that a command is about.

    Raises:
        KeyFileError: none is named.
    """
    if (file := path or settings.seal_key) is None:
        raise KeyFileError("no file is named: give one, or set COUNTERFOIL_SEAL_KEY")
    return file


def witnesses_of(settings: Settings) -> list[Witness]:
    """Who is to cosign what is sealed.

    Raises:
        SettingsError: a key in the list is no key of a witness.
    """
    if settings.witnesses is None:
        return []
    try:
        return witness_list.parse(settings.witnesses)
    except MalformedNote as error:
        raise SettingsError(f"{PREFIX}WITNESSES: {error}") from error


def published(settings: Settings) -> str:
    """The newest published checkpoint, with its cosignatures.

    Raises:
        NotSealed: nothing ever was sealed, or what was waits for its cosignatures.
        NoteError: what the database has is no checkpoint, or none of the keys that sealed signed it.
    """
    with reader(settings) as connection:
        found = ledger.latest(connection)
        known = None if found is None else ledger.policy(connection, found.origin)
    if found is None:
        raise proving.NotSealed("nothing was ever sealed here: docs/audit.md says how to begin")
    if found.published is None:
        raise proving.NotSealed(
            f"{found.size:,} events were sealed, and no checkpoint is cosigned by the witnesses that are required"
        )
    assert known is not None, "a tree has keys"
    # An auditor who keeps anything else keeps nothing.
    policy.verified(note.parse(found.published), known.keys)
    return found.published


def summary(connection: reading.Connection) -> dict[str, Any] | None:
    """Where sealing stands, for status; None if nothing was ever sealed."""
    found = ledger.latest(connection)
    if found is None:
        return None
    signed = None if found.published is None else note.parse(found.published)
    return {
        "origin": found.origin,
        "position": found.size,
        "lag_events": max(0, reading.head(connection).position - found.size),
        "sealed_at": found.sealed_at.isoformat(),
        "published": 0 if signed is None else checkpoint.parse(signed.text).size,
        "stopped": found.refusal,
        "witnesses": [_witnessed(each) for each in ledger.witnesses(connection, found.origin)],
        "audits": {part: _audited(each) for part, each in auditor.audited(connection).items()},
    }


def _audited(found: Audited) -> dict[str, Any]:
    """What the audit next to the sealer came to; `age_seconds` is None if none ever ended in order."""
    return {
        "position": found.position,
        "age_seconds": found.age_s if math.isfinite(found.age_s) else None,
        "findings": found.findings,
        "finding": found.finding,
    }


def audits_in_words(audits: dict[str, Any]) -> str:
    """How far the audit came and how long ago that was, for people: what is wrong comes first."""
    if wrong := [each for each in audits.values() if each["findings"]]:
        return f"DAMAGE: {wrong[0]['finding']}"
    said = []
    for part, words in (("new", "all that was sealed"), ("whole", "the whole log")):
        if (found := audits.get(part)) is not None and found["age_seconds"] is not None:
            said.append(f"{words} up to {found['position']:,}, {found['age_seconds']:,.0f} s ago")
    return "; ".join(said) or "nothing yet"


def _witnessed(found: Witnessed) -> dict[str, Any]:
    """What one witness said last."""
    return {
        "name": found.name,
        "position": found.size,
        "cosigned_at": None if found.cosigned_at is None else found.cosigned_at.isoformat(),
        "age_seconds": found.age_s,
        "failure": found.failure,
        "refusal": found.refusal,
    }


def witnessed_in_words(witness: dict[str, Any]) -> str:
    """How a witness stands, for people: what is wrong comes first."""
    said = "nothing cosigned yet"
    if witness["position"] is not None:
        said = f"cosigned {witness['position']:,}, {witness['age_seconds']:,.0f} s ago"
    if witness["refusal"]:
        return f"REFUSES: {witness['refusal']} ({said})"
    return f"FAILS: {witness['failure']} ({said})" if witness["failure"] else said


class Compared(Struct, frozen=True):
    """A checkpoint that somebody kept, and what is no longer as it says."""

    kept: Checkpoint
    findings: Sequence[Finding]
    vouched: bool
    """Whether a key was given; otherwise the signature was checked with the keys that the database names."""

    def as_json(self) -> dict[str, Any]:
        """The object scripts rely on."""
        return {
            "origin": self.kept.origin,
            "size": self.kept.size,
            "root": self.kept.root.hex(),
            "holds": not self.findings,
            "vouched": self.vouched,
        }

    def lines(self) -> list[str]:
        """The same for people."""
        word = "DIFFERS" if self.findings else "holds"
        shown = [f"sealed {self.kept.size:,} events, root {self.kept.root.hex()[:16]}  {word}"]
        shown += [f"DAMAGE at {each.position}: {each.kind}: {each.message}" for each in self.findings]
        if not self.vouched:
            shown.append(
                "the checkpoint's key is one that this database names; --key names one that you trust"
            )
        return shown


def compare(settings: Settings, kept: str, *, keys: Sequence[VerifierKey]) -> Compared:
    """Hold the log against a checkpoint.

    Args:
        settings: where log and tiles are.
        kept: the checkpoint's text, as it was printed or published.
        keys: the keys that are trusted; without any, those that the database names.

    Raises:
        NoteError: it is no checkpoint, or no key that is known signed it.
        psycopg.Error: the log cannot be read.
    """
    signed = note.parse(kept)
    origin = checkpoint.parse(signed.text).origin
    with reader(settings) as connection, reader(settings) as pacing_connection:
        known = ledger.policy(connection, origin)
        found = policy.verified(signed, _trusted(known, keys))
        pace = pacing.of_log(pacing_connection)
        with progress.step("comparing with the checkpoint", total=found.size, unit="events") as step:
            findings = against.findings(
                connection,
                found,
                store=Directory(settings.tiles),
                on_progress=step.move_to,
                give_way=pace.give_way,
            )
    return Compared(found, findings, vouched=bool(keys))


def prove(settings: Settings, position: int) -> Receipt:
    """A receipt for the event at a position.

    Raises:
        NoProof: there is none.
    """
    tree = proving.published(Directory(settings.tiles))
    with reader(settings) as connection:
        event = proving.event_at(connection, position)
        return tree.receipt(event, epoch=proving.epoch_at(connection, position))


def prove_consistency(settings: Settings, old: int) -> dict[str, Any]:
    """What shows that the first `old` events are the beginning of what is sealed.

    Raises:
        NoProof: nothing does.
    """
    tree = proving.published(Directory(settings.tiles))
    old_root, proof = tree.consistency(old)
    return {
        "old_size": old,
        "old_root": old_root.hex(),
        "proof": [each.hex() for each in proof],
        "checkpoint": tree.signed.encode(),
    }


def check_receipt(content: str, *, keys: Sequence[VerifierKey]) -> tuple[Receipt, Checkpoint]:
    """Verify a receipt, with nothing but what is given.

    Raises:
        FalseProof: its event does not stand where it says.
        NoteError: it is no receipt, or nobody who is trusted signed it.
    """
    found = receipt.parse(content)
    try:
        return found, found.verified([KeyRange(str(key), 0) for key in keys])
    except ProofInvalid as error:
        raise FalseProof(str(error)) from error


class _ConsistencyProof(Struct, frozen=True):
    """What `prove_consistency` and the query API answer; other members follow from these."""

    old_size: int
    proof: tuple[str, ...]
    checkpoint: str


def check_consistency(
    content: bytes, kept: str, *, keys: Sequence[VerifierKey]
) -> tuple[Checkpoint, Checkpoint]:
    """A kept checkpoint, and the newer one that a proof shows to extend it; verified with nothing but what is given.

    Raises:
        FalseProof: the log that the newer one is of does not begin with the events of the kept one.
        NoteError: it is no proof, or is for another size, or nobody who is trusted signed one of them.
    """
    try:
        found = json_decoder(_ConsistencyProof).decode(content)
    except msgspec.DecodeError as error:
        raise MalformedNote(f"this is no proof of consistency: {error}") from error
    ranges = [KeyRange(str(key), 0) for key in keys]
    older, newer = (policy.verified(note.parse(each), ranges) for each in (kept, found.checkpoint))
    if found.old_size != older.size:
        raise MalformedNote(
            f"the proof is for {found.old_size:,} events, and the kept checkpoint has {older.size:,}"
        )
    if older.origin != newer.origin:
        raise FalseProof(f"one is of the log {older.origin}, the other of {newer.origin}")
    try:
        merkle.verify_consistency(
            old=older.size,
            old_root=older.root,
            size=newer.size,
            root=newer.root,
            proof=[bundle.hash_of(each) for each in found.proof],
        )
    except ProofInvalid as error:
        message = (
            f"{newer.size:,} events do not begin with the {older.size:,} of the kept checkpoint: {error}"
        )
        raise FalseProof(message) from error
    return older, newer


def text_in(path: Path) -> str:
    """The text of a file that is checked as a whole: a checkpoint, a receipt or a certificate.

    Raises:
        MalformedNote: it is none of these.
    """
    with path.open("rb") as file:
        content = file.read(bundle.LINE_BYTES_MAX + 1)
    try:
        if len(content) <= bundle.LINE_BYTES_MAX:
            return content.decode()
    except UnicodeDecodeError as error:
        raise MalformedNote(f"{path} is no text: {error}") from error
    raise MalformedNote(f"{path} has more than {bundle.LINE_BYTES_MAX:,} bytes")


def keys_in(given: str) -> list[VerifierKey]:
    """The keys that an option names: one as text, or a file with one in each line.

    Raises:
        MalformedNote: it is neither, or names none: without a trusted key less would be proven than was asked for.
    """
    path = Path(given)
    try:
        text = path.read_text() if path.is_file() and path.stat().st_size < TEXT_BYTES_MAX else given
    except (OSError, UnicodeDecodeError) as error:
        raise MalformedNote(f"{given} cannot be read: {error}") from error
    found = [VerifierKey.parse(line) for line in text.splitlines() if line.strip()]
    if not found:
        raise MalformedNote(f"{given!r} names no key")
    return found


def _trusted(known: Policy, keys: Sequence[VerifierKey]) -> list[KeyRange]:
    if not keys:
        return list(known.keys)
    if known.keys:
        return policy.trusted(known, keys)
    return [KeyRange(str(key), 0) for key in keys]


def reader(settings: Settings) -> psycopg.Connection[Any]:
    """A connection of somebody who audits."""
    return reader_of(addresses.database_url(settings))


def reader_of(database_url: str) -> psycopg.Connection[Any]:
    """The same to this database: whatever it says of its names, Postgres' own are meant."""
    return database.connect(
        database_url, role="counterfoil_reader", name="audit", settings=database.OWN_NAMES
    )
