"""Proofs of one row: that it is among the rows that a certificate commits to. Checked offline, like bundles."""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from event_store.proofs import bundle, certificate, merkle, policy
from event_store.proofs.certificate import Certificate
from event_store.proofs.examining import NOBODY_VOUCHES, Findings, FindingsReport
from event_store.proofs.merkle import ProofInvalid
from event_store.proofs.note import NoteError, UnknownSigner, VerifierKey
from event_store.proofs.policy import KeyRange, Policy
from runtime.decoders import of_any_depth

FORMAT: Final = "counterfoil.row.v1"


class RowProof(Struct, frozen=True, kw_only=True, tag_field="line", tag="row"):
    """A row, and the hashes that lead from it to the root in the certificate.

    `entry` is the JSON text whose hash is the leaf: `key`, `position` of the last event in the row, and the `row`.
    """

    format: str
    certificate: str
    keys: Policy
    entry: str
    index: int
    proof: tuple[str, ...]

    def encode(self) -> bytes:
        """The file: one line of JSON."""
        return msgspec.json.encode(self) + b"\n"


class CheckedRow(Struct, frozen=True):
    """What checking the proof of a row came to; `certificate` is None if nothing is proven."""

    certificate: Certificate | None
    entry: str
    vouched: bool
    """Whether a key that the auditor trusts signed; otherwise one did that only the file names."""
    found: FindingsReport

    @property
    def damaged(self) -> bool:
        """Whether anything is not as it was certified."""
        return self.found.damage

    @property
    def complete(self) -> bool:
        """Whether all of it could be checked."""
        return not self.found.incomplete


def parsed(content: bytes) -> RowProof | None:
    """The proof of a row in a file; None if it is something else. Nothing of it is verified yet."""
    try:
        found = _decode(content)
    except msgspec.DecodeError:
        return None
    return found if found.format == FORMAT else None


def check(given: RowProof, *, keys: Sequence[VerifierKey]) -> CheckedRow:
    """Check the proof of a row.

    Args:
        given: the proof.
        keys: of the log, that the auditor trusts; without any, those that the file names, which proves less.

    Raises:
        UnknownSigner: no trusted key signed its certificate.
    """
    findings, found = Findings(), None
    try:
        ranges: Sequence[KeyRange] = policy.trusted(given.keys, keys) if keys else given.keys.keys
        found = certificate.verified(given.certificate, ranges)
    except UnknownSigner:
        raise
    except NoteError as error:
        findings.add(0, "certificate-forged", str(error))
    if found is not None:
        if not keys:
            findings.add(0, "nobody-vouches", NOBODY_VOUCHES, severity="incomplete")
        try:
            merkle.verify_inclusion(
                merkle.leaf_hash(given.entry.encode()),
                index=given.index,
                size=found.rows,
                proof=[bundle.hash_of(each) for each in given.proof],
                root=bundle.hash_of(found.root),
            )
        except (ProofInvalid, NoteError) as error:
            findings.add(0, "row-changed", f"the row is not among those that were certified: {error}")
    return CheckedRow(found, given.entry, bool(keys), findings.found())


_decode: Final = of_any_depth(msgspec.json.Decoder(RowProof).decode)
