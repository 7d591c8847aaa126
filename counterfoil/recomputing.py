"""Certificates of views, reached again from a bundle, without a database; and proofs of single rows."""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from counterfoil import bundling, progress, viewing
from counterfoil.context import Contexts
from domain.operations.skips import SKIPS, Skipped
from event_store.log import codec
from event_store.log.codec import CodecError
from event_store.proofs import bundle, certificate, row_proof
from event_store.proofs.certificate import Certificate
from event_store.proofs.checking import BundleCheck, Checked
from event_store.proofs.errors import ProofsError
from event_store.proofs.evidence import Evidence
from event_store.proofs.examining import Finding, Findings, FindingsReport
from event_store.proofs.note import MalformedNote, VerifierKey
from event_store.proofs.row_proof import RowProof
from projections import certifying
from projections.errors import FoldFailed
from projections.row_tree import Proof
from projections.storing import BuildId


class BundleTooShort(ProofsError):
    """A bundle does not hold all events that a certificate is of."""


class NoSuchRow(ProofsError):
    """The view has no row of that key in this certificate."""


class Recomputed(Struct, frozen=True):
    """What folding a bundle again came to."""

    certificate: Certificate
    rows: int
    root: str
    fold: str
    vouched: bool
    found: FindingsReport
    """Of the events, and of the rows that they make."""
    proof: Proof | None

    @property
    def damaged(self) -> bool:
        """Whether the events, or the rows that they make, are not those that were certified."""
        return self.found.damage

    @property
    def complete(self) -> bool:
        """Whether all of it could be checked."""
        return not self.found.incomplete

    def as_json(self) -> dict[str, Any]:
        """The object scripts rely on."""
        return {
            "ok": not self.damaged and self.complete,
            "view": self.certificate.view,
            "shape": self.certificate.shape,
            "size": self.certificate.size,
            "rows": self.rows,
            "root": self.root,
            "certified_root": self.certificate.root,
            "fold": self.fold,
            "certified_fold": self.certificate.fold,
            "parked": len(self.certificate.parked),
            "vouched": self.vouched,
            "findings": [msgspec.to_builtins(each) for each in self.found.listed],
            "findings_in_all": self.found.number,
        }

    def lines(self) -> list[str]:
        """The same for people."""
        known = self.certificate
        shown = [
            f"view {known.view} s{known.shape} b{known.build} after {known.size:,} events of {known.origin}",
            f"certified {known.rows:,} rows, root {known.root[:16]}",
            f"recomputed {self.rows:,} rows, root {self.root[:16]}",
            *bundling.lines_found(self.found),
        ]
        if known.parked:
            shown.append(f"{len(known.parked)} keys are parked in it, with these reasons:")
            shown += [f"  {each.partition_key} at {each.position}: {each.reason}" for each in known.parked]
        if self.fold != known.fold:
            shown.append("another program certified it than this one: its folds are written otherwise")
        if self.damaged:
            return [*shown, "this is not what was certified"]
        return [
            *shown,
            "the view is what its folds make" if self.complete else "not all of it could be checked",
        ]


def recompute(
    file: Path,
    name: str,
    *,
    contexts: Contexts,
    keys: Sequence[VerifierKey],
    given: str | None = None,
    wanted: str | None = None,
) -> Recomputed:
    """Fold a bundle, offline, and hold the rows against a certificate.

    Args:
        file: a bundle of the log from its first event on.
        name: the view.
        contexts: which declare its folds.
        keys: of the log, that the auditor trusts; without any, those that the bundle names, which proves less.
        given: a certificate, as text; one in the bundle if None.
        wanted: the key of a row that is to be proven.

    Raises:
        MalformedNote: there is no such bundle or certificate.
        UnknownSigner: no trusted key signed it.
        NoSuchBuild, NotDeclared: no context declares the view in that shape.
    """
    bundle_file = _Bundle(file, name, keys=keys, given=given)
    found = bundle_file.certificate
    view = viewing.in_shape(BuildId(name, found.shape, found.build), contexts)
    fold, rows, root, proof = certifying.fold_version(view), 0, b"", None
    mismatch: Finding | None = None
    with progress.step(f"folding {name} again", total=None, unit="events") as step:
        try:
            read = functools.partial(bundle_file.events, step)
            with certifying.recomputed(read, view, found, wanted=wanted) as tree:
                rows, root, proof = tree.rows, tree.root(), tree.proof()
        except (FoldFailed, CodecError) as error:
            bundle_file.finish(step)
            mismatch = _mismatch(str(error), certain=isinstance(error, FoldFailed) and fold == found.fold)
        else:
            if (rows, root.hex()) != (found.rows, found.root):
                message = (
                    f"the events make {rows:,} rows with another root than the {found.rows:,} certified ones"
                )
                mismatch = _mismatch(message, certain=fold == found.fold)
    findings = bundle_file.findings()
    if mismatch is not None:
        findings.take(mismatch)
    return Recomputed(found, rows, root.hex(), fold, bundle_file.checked.vouched, findings.found(), proof)


def prove(
    file: Path,
    name: str,
    row: str,
    *,
    contexts: Contexts,
    keys: Sequence[VerifierKey],
    given: str | None = None,
) -> tuple[Recomputed, RowProof | None]:
    """The proof of one row, from a bundle; None if the bundle does not make what was certified.

    Raises:
        NoSuchRow: the view has no row of that key.
    """
    found = recompute(file, name, contexts=contexts, keys=keys, given=given, wanted=row)
    if found.damaged or found.root != found.certificate.root:
        return found, None
    if found.proof is None:
        raise NoSuchRow(f"view {name} has no row {row!r} among the {found.rows:,} that were certified")
    bundle_file = _Bundle(file, name, keys=keys, given=given)
    return found, RowProof(
        format=row_proof.FORMAT,
        certificate=bundle_file.encoded,
        keys=bundle_file.keys,
        entry=found.proof.entry,
        index=found.proof.index,
        proof=tuple(each.hex() for each in found.proof.hashes),
    )


class _Bundle:
    """A bundle that is read from its beginning in each pass, and the certificate that it is held against."""

    def __init__(self, file: Path, name: str, *, keys: Sequence[VerifierKey], given: str | None) -> None:
        self._file = file
        self._trusted = keys
        self._given = () if given is None else (given,)
        self._stream = SKIPS.stream(name)
        self._skipped: Skipped = frozenset()
        self._checked: Checked | None = None
        with file.open("rb") as content:
            check = BundleCheck(bundle.lines_of(content), keys=keys)
            self.keys = check.header.keys
            self.encoded = _of_view(name, self._given or check.header.certificates)
            self.certificate = certificate.verified(self.encoded, check.trusted)
            header, size = check.header, self.certificate.size
            if header.kind != "range" or header.first != 1 or header.last < size:
                raise BundleTooShort(
                    f"the certificate is of the first {size:,} events, and the bundle does not hold all of them"
                )

    @property
    def checked(self) -> Checked:
        """What the check of the events came to, once all were read."""
        assert self._checked is not None, "the bundle was read"
        return self._checked

    def events(self, step: progress.Step) -> Iterator[Evidence]:
        """Each event, checked."""
        skipped: Skipped = frozenset()
        with self._file.open("rb") as content:
            check = BundleCheck(bundle.lines_of(content), keys=self._trusted, certificates=self._given)
            for event in check.events(on_progress=step.move_to):
                if event.stream == self._stream and event.position <= self.certificate.size:
                    with contextlib.suppress(CodecError):  # then the skips differ
                        skipped = SKIPS.evolve(skipped, codec.decode(event.type, event.payload.encode()))
                yield event
        self._checked, self._skipped = check.result(), skipped

    def finish(self, step: progress.Step) -> None:
        """Read all events where folding them ended early."""
        for _ in self.events(step):
            pass

    def findings(self) -> Findings:
        """What is wrong with the events, or with what the certificate says that operators left out."""
        known, findings = self.certificate, Findings(self.checked.found)
        skips = sorted(position for shape, position in self._skipped if shape == known.shape)
        if skips != list(known.skips):
            message = f"the certificate leaves out the events {list(known.skips)}, operators left out {skips}"
            findings.add(known.size, "skips-changed", message)
        return findings


def _mismatch(message: str, *, certain: bool) -> Finding:
    """Rows that are not those that were certified; another program may make others rightly."""
    if certain:
        return Finding(0, "view-mismatch", "damage", message)
    return Finding(0, "fold-differs", "incomplete", f"{message}; another version of the program folded them")


def _of_view(name: str, encoded: Sequence[str]) -> str:
    """The last certificate of a view."""
    for each in reversed(encoded):
        if certificate.parse(each)[1].view == name:
            return each
    raise MalformedNote(f"there is no certificate of view {name} here: name its file with --certificate")
