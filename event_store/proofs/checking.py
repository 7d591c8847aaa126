"""Checking bundles line by line, in memory that does not grow with them: no network, no database and no secret.

Nothing is trusted but the signature of a key that the auditor trusts: that key signed the root, the root fixes the
sealed leaves, and each event, its tags and its outcome are held against them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from event_store.proofs import bundle, certificate, note, page, policy
from event_store.proofs.bundle import EventLine, Header, Line, PageLine, Shape, Shapes
from event_store.proofs.certificate import Certificate
from event_store.proofs.checkpoint import Checkpoint
from event_store.proofs.evidence import Evidence
from event_store.proofs.examining import NOBODY_VOUCHES, Case, Findings, FindingsReport, Range, Severity
from event_store.proofs.note import MalformedNote, NoteError, UnknownSigner, VerifierKey
from event_store.proofs.page import Page
from event_store.proofs.policy import KeyRange

PROGRESS_EVERY: Final = 10_000
"""Events between two reports of progress."""


class Checked(Struct, frozen=True):
    """The result of a check."""

    origin: str
    checkpoint: Checkpoint | None
    """What the events are proven under; None: nothing is."""
    events: int
    vouched: bool
    """Whether a key that the auditor trusts signed; otherwise one did that only the bundle names."""
    found: FindingsReport

    @property
    def damaged(self) -> bool:
        """Whether anything is not as it was sealed."""
        return self.found.damage

    @property
    def complete(self) -> bool:
        """Whether everything that the bundle says of itself was there and could be checked."""
        return not self.found.incomplete


class BundleCheck:
    """A bundle whose first line was read: what it says of itself, and then its events."""

    def __init__(
        self, lines: Iterable[bytes], *, keys: Sequence[VerifierKey], certificates: Sequence[str] = ()
    ) -> None:
        """Read the first line, and verify what is signed.

        Args:
            lines: of the file, in order.
            keys: of the log, that the auditor trusts; without any, those that the bundle names, which proves less.
            certificates: of views, besides those in the bundle.

        Raises:
            MalformedNote: this is no bundle.
            UnknownSigner: no trusted key signed its checkpoint.
        """
        self._lines = bundle.read(lines)
        header = next(self._lines, None)
        if not isinstance(header, Header) or header.format != bundle.FORMAT:
            raise MalformedNote(f"this is no bundle: its first line is not one of the format {bundle.FORMAT}")
        self.header = header
        self._keys = keys
        self._findings = Findings()
        self.trusted: Sequence[KeyRange] = policy.trusted(header.keys, keys) if keys else header.keys.keys
        """The keys whose signatures count."""
        self._sealed = self._signed()
        found = map(self._certified, (*header.certificates, *certificates))
        self.certificates = tuple(each for each in found if each is not None)
        """Those that a trusted key signed."""
        self.page = None if header.kind == "range" else Page(header)
        """What a case says, for people; whole once all events were read."""
        self._shapes = Shapes()
        self._seen_types: set[str] = set()
        self._ended = False
        self._reader: Range | Case
        if header.kind == "range":
            self._reader = Range(header, self._sealed, self._findings, certificates=self.certificates)
        else:
            self._reader = Case(header, self._sealed, self._findings)

    def events(self, *, on_progress: Callable[[int], None] = lambda _: None) -> Iterator[Evidence]:
        """Each event that is there, checked line by line; `result` knows the rest once all were read.

        Args:
            on_progress: called with the number of events read, now and then.
        """
        findings, reader = self._findings, self._reader
        try:
            for line in self._lines:
                if (event := self._take(line)) is not None:
                    yield event
                if reader.events % PROGRESS_EVERY == 0:
                    on_progress(reader.events)
        except MalformedNote as error:
            self._ended = False
            findings.add(reader.position, "line-unreadable", f"behind position {reader.position}: {error}")
        if not self._ended:
            message = "the bundle ends before its last line"
            findings.add(reader.position, "cut-off", message, severity="incomplete")
        reader.end()
        on_progress(reader.events)

    def result(self) -> Checked:
        """The result of the check, after all events were read."""
        return Checked(
            self.header.origin,
            self._sealed,
            self._reader.events,
            bool(self._keys),
            self._findings.found(),
        )

    def _take(self, line: Line) -> Evidence | None:
        """Examine a line; the event in it, if there is one."""
        if self._ended or isinstance(line, Header):
            raise MalformedNote("a line stands where none of its kind can be")
        if isinstance(line, EventLine):
            self._reader.see(line)
            if self.page is not None:
                self.page.add(line)
            if line.event is not None:
                self._seen_types.add(line.event.type)
            return line.event
        if isinstance(line, Shape):
            if line.type in self._shapes.types | self._seen_types:
                message = f"the shape of {line.type} stands behind its first event, or is there twice"
                self._findings.add(0, "shapes-changed", message)
            self._shapes.add(line)
            return None
        if isinstance(line, PageLine):
            self._hold_page(line)
            return None
        self._ended = True
        if line.shapes != self._shapes.digest:
            self._findings.add(0, "shapes-changed", "the shapes of events are not those that were exported")
        if line.events != self._reader.events:
            message = f"{line.events} events were exported, {self._reader.events} are here"
            self._findings.add(0, "events-missing", message)
        return None

    def _hold_page(self, line: PageLine) -> None:
        if self.page is None:
            raise MalformedNote("a page stands in a bundle that has none")
        if line.html == self.page.text():
            return
        known = line.html.startswith(page.BEGINNING)
        message = (
            "the page does not say what the events say: do not read it"
            if known
            else f"the page is of another version than {page.VERSION}, and nothing is known of it"
        )
        severity: Severity = "damage" if known else "incomplete"
        self._findings.add(0, "page-changed", message, severity=severity)

    def _signed(self) -> Checkpoint | None:
        header, findings = self.header, self._findings
        try:
            found = policy.verified(note.parse(header.checkpoint), self.trusted)
        except UnknownSigner:
            raise
        except NoteError as error:
            findings.add(0, "checkpoint-forged", str(error))
            return None
        if found.origin != header.origin:
            message = f"the checkpoint is that of {found.origin}, not of {header.origin}"
            findings.add(0, "checkpoint-forged", message)
            return None
        if not self._keys:
            findings.add(0, "nobody-vouches", NOBODY_VOUCHES, severity="incomplete")
        return found

    def _certified(self, encoded: str) -> Certificate | None:
        try:
            found = certificate.verified(encoded, self.trusted)
        except NoteError as error:
            self._findings.add(0, "certificate-forged", str(error))
            return None
        if found.origin != self.header.origin:
            message = f"the certificate is one of {found.origin}, not of {self.header.origin}"
            self._findings.add(0, "certificate-forged", message)
            return None
        return found


def check(
    lines: Iterable[bytes],
    *,
    keys: Sequence[VerifierKey],
    on_progress: Callable[[int], None] = lambda _: None,
) -> Checked:
    """Check a bundle from its first line to its last; see `BundleCheck`."""
    checking = BundleCheck(lines, keys=keys)
    for _ in checking.events(on_progress=on_progress):
        pass
    return checking.result()
