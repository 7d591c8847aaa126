"""Bundles and proofs of rows: written from the log for people who do not trust it, and checked without it."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from counterfoil import progress, sealing
from event_store.proofs import bundle, certificate, checking, exporting, proving, row_proof
from event_store.proofs.checking import Checked
from event_store.proofs.errors import ProofsError
from event_store.proofs.examining import Finding
from event_store.proofs.note import VerifierKey
from event_store.proofs.row_proof import CheckedRow
from event_store.proofs.tiles import Directory
from runtime.settings import Settings


class NotWritten(ProofsError):
    """A bundle cannot be written where it is to go."""


def export(
    settings: Settings,
    file: Path,
    *,
    first: int | None,
    last: int | None,
    stream: str | None,
    certificates: Sequence[str] = (),
) -> int:
    """Write a bundle: of one stream, or of a range of positions; the number of its events.

    Args:
        settings: where log and tiles are.
        file: must not exist.
        first: position of the first event of a range; with certificates, by default, that of the log.
        last: that of the last; with certificates, by default, the last that they are of.
        stream: instead of a range.
        certificates: of views, which go into a range.

    Raises:
        MalformedNote: one is no certificate.
        NoProof: what is asked for is not sealed.
        NotWritten: the file exists or cannot be written.
    """
    tree = proving.published(Directory(settings.tiles))
    unfinished = file.with_name(f"{file.name}.unfinished")
    written = 0
    try:
        with sealing.reader(settings) as connection, file.open("xb"), unfinished.open("wb") as output:
            if stream is not None:
                lines = exporting.of_stream(connection, tree, stream=stream)
            else:
                end = last or max((certificate.parse(each)[1].size for each in certificates), default=0)
                lines = exporting.of_range(
                    connection, tree, first=first or 1, last=end, certificates=certificates
                )
            with progress.step("exporting", total=None, unit="events") as step:
                for line in lines:
                    output.write(line)
                    written += 1
                    step.move_to(max(0, written - 2))
        unfinished.replace(file)
    except FileExistsError as error:
        raise NotWritten(f"{file} exists") from error
    except OSError as error:
        file.unlink(missing_ok=True)
        raise NotWritten(f"{file} cannot be written: {error.strerror}") from error
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    finally:
        unfinished.unlink(missing_ok=True)
    return written - 2  # the first and the last line are no events


def check(file: Path, *, keys: Sequence[VerifierKey]) -> Checked | CheckedRow:
    """Check a bundle or the proof of a row, offline.

    Raises:
        MalformedNote: it is neither.
        UnknownSigner: no trusted key signed it.
    """
    with file.open("rb") as lines, progress.step("checking", total=None, unit="events") as step:
        first = lines.readline(bundle.LINE_BYTES_MAX + 1)
        if (row := row_proof.parsed(first)) is not None:
            return row_proof.check(row, keys=keys)
        return checking.check(itertools.chain([first], lines), keys=keys, on_progress=step.move_to)


def as_json(checked: Checked | CheckedRow) -> dict[str, Any]:
    """The object scripts rely on."""
    shared = {
        "ok": not checked.damaged and checked.complete,
        "vouched": checked.vouched,
        "findings": [msgspec.to_builtins(each) for each in checked.findings],
    }
    if isinstance(checked, CheckedRow):
        known = checked.certificate
        return {
            **shared,
            "certificate": None if known is None else msgspec.to_builtins(known),
            "entry": checked.entry,
        }
    sealed = checked.checkpoint
    return {
        **shared,
        "origin": checked.origin,
        "size": None if sealed is None else sealed.size,
        "root": None if sealed is None else sealed.root.hex(),
        "events": checked.events,
        "findings_in_all": checked.findings_in_all,
    }


def lines_of(checked: Checked | CheckedRow) -> list[str]:
    """The same for people."""
    row = isinstance(checked, CheckedRow)
    shown = [_subject_of_row(checked) if isinstance(checked, CheckedRow) else _subject(checked)]
    shown += found(checked.findings)
    if isinstance(checked, CheckedRow) and not checked.damaged:
        shown.append(checked.entry)
    if checked.damaged:
        return [*shown, f"this is not what was {'certified' if row else 'sealed'}"]
    if not checked.complete:
        return [*shown, "not all of it could be checked"]
    return [*shown, "the row is among those that were certified" if row else "everything is as it was sealed"]


def found(findings: Sequence[Finding]) -> list[str]:
    """Findings, one in each line."""
    return [f"{each.severity.upper()} at {each.position}: {each.kind}: {each.message}" for each in findings]


def _subject(checked: Checked) -> str:
    sealed = checked.checkpoint
    under = (
        "nothing"
        if sealed is None
        else f"a checkpoint of {sealed.size:,} events, root {sealed.root.hex()[:16]}"
    )
    return f"{checked.events:,} events of {checked.origin}, held against {under}"


def _subject_of_row(checked: CheckedRow) -> str:
    known = checked.certificate
    if known is None:
        return "a row, held against nothing"
    return (
        f"a row of view {known.view} s{known.shape} b{known.build} of {known.origin},"
        f" one of {known.rows:,} after {known.size:,} events, root {known.root[:16]}"
    )
