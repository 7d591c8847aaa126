"""Bundles and proofs of rows: written from the log for people who do not trust it, and checked without it."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
from msgspec import Struct

from counterfoil import progress, sealing
from event_store.log.reading import Connection
from event_store.proofs import bundle, certificate, checking, exporting, proving, row_proof
from event_store.proofs.checking import BundleCheck, Checked
from event_store.proofs.errors import ProofsError
from event_store.proofs.examining import FindingsReport
from event_store.proofs.note import VerifierKey
from event_store.proofs.proving import Tree
from event_store.proofs.row_proof import CheckedRow
from event_store.proofs.tiles import Directory
from runtime.settings import Settings

CUSTOMER: Final = "customer_id"
"""The member of payloads that names a customer."""
_EVENT: Final = b'{"line":"event"'


class NotWritten(ProofsError):
    """A bundle cannot be written where it is to go."""


class BundleScope(Struct, frozen=True, kw_only=True):
    """What a bundle is to hold: a range of positions, or the events of one stream, customer or actor.

    Of a range `first` and `last` may be left out where there are `certificates` of views to go into it: then it is all
    that they are of.
    """

    first: int | None = None
    last: int | None = None
    certificates: Sequence[str] = ()
    stream: str | None = None
    customer: str | None = None
    actor: str | None = None


def export(settings: Settings, file: Path, wanted: BundleScope) -> int:
    """Write a bundle to a file that does not exist; the number of its events.

    Raises:
        MalformedNote: a certificate is none.
        NoProof: what is asked for is not sealed.
        NotWritten: the file exists or cannot be written.
    """
    tree = proving.published(Directory(settings.tiles))
    unfinished = file.with_name(f"{file.name}.unfinished")
    written = 0
    try:
        with (
            sealing.reader(settings) as connection,
            file.open("xb"),
            _opened_anew(unfinished) as output,
            progress.step("exporting", total=None, unit="events") as step,
        ):
            for line in _lines(connection, tree, wanted):
                output.write(line)
                written += line.startswith(_EVENT)
                step.move_to(written)
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
    return written


def _opened_anew(file: Path) -> BinaryIO:
    """The file of an export that was killed is replaced; a link that somebody put there is not followed."""
    file.unlink(missing_ok=True)
    return file.open("xb")


def _lines(connection: Connection, tree: Tree, wanted: BundleScope) -> Iterator[bytes]:
    if wanted.stream is not None:
        return exporting.of_stream(connection, tree, stream=wanted.stream)
    if wanted.actor is not None:
        return exporting.of_actor(connection, tree, actor=wanted.actor)
    if wanted.customer is not None:
        return exporting.of_customer(connection, tree, customer=wanted.customer, member=CUSTOMER)
    certified = [certificate.parse(each)[1].size for each in wanted.certificates]
    last = max(certified, default=0) if wanted.last is None else wanted.last
    return exporting.of_range(
        connection, tree, first=wanted.first or 1, last=last, certificates=wanted.certificates
    )


def page(file: Path, *, keys: Sequence[VerifierKey]) -> tuple[str | None, Checked]:
    """The page of a case, made of the events in it, and what checking them came to; None for a range.

    Raises:
        MalformedNote, UnknownSigner: see `check`.
    """
    with file.open("rb") as content:
        checking_case = BundleCheck(bundle.lines_of(content), keys=keys)
        for _ in checking_case.events():
            pass
        shown = checking_case.page
        return None if shown is None else shown.text(), checking_case.result()


def check(file: Path, *, keys: Sequence[VerifierKey]) -> Checked | CheckedRow:
    """Check a bundle or the proof of a row, offline.

    Raises:
        MalformedNote: it is neither.
        UnknownSigner: no trusted key signed it.
    """
    with file.open("rb") as content, progress.step("checking", total=None, unit="events") as step:
        lines = bundle.lines_of(content)
        first = next(lines, b"")
        if (row := row_proof.parsed(first)) is not None:
            return row_proof.check(row, keys=keys)
        return checking.check(itertools.chain([first], lines), keys=keys, on_progress=step.move_to)


def as_json(checked: Checked | CheckedRow) -> dict[str, Any]:
    """The object scripts rely on."""
    shared = {
        "ok": not checked.damaged and checked.complete,
        "vouched": checked.vouched,
        "findings": [msgspec.to_builtins(each) for each in checked.found.listed],
        "findings_in_all": checked.found.number,
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
    }


def lines_of(checked: Checked | CheckedRow) -> list[str]:
    """The same for people."""
    row = isinstance(checked, CheckedRow)
    shown = [_subject_of_row(checked) if isinstance(checked, CheckedRow) else _subject(checked)]
    shown += lines_found(checked.found)
    if isinstance(checked, CheckedRow) and not checked.damaged:
        shown.append(checked.entry)
    if checked.damaged:
        return [*shown, f"this is not what was {'certified' if row else 'sealed'}"]
    if not checked.complete:
        return [*shown, "not all of it could be checked"]
    return [*shown, "the row is among those that were certified" if row else "everything is as it was sealed"]


def lines_found(found: FindingsReport) -> list[str]:
    """Findings, one in each line, and how many more there are."""
    shown = [
        f"{each.severity.upper()} at {each.position}: {each.kind}: {each.message}" for each in found.listed
    ]
    more = found.number - len(found.listed)
    return [*shown, f"and {more:,} more findings"] if more else shown


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
