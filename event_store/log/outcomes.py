"""Outcomes of requests with events, held against the events while both are read.

Every event came with exactly one request, so the outcomes' ranges are the log, end to end. An outcome has the key, and
where the metadata has one the fingerprint, of the request that its events name, and the versions that their streams
reached (ADR 60).
"""

import binascii
import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from psycopg import sql

from event_store.log import heap, reading
from event_store.log.envelope import RecordedEvent
from event_store.log.findings import Findings

_OUTCOMES: Final = sql.SQL(
    "select o.first_position, o.last_position, o.key, coalesce(o.fingerprint, ''), coalesce(o.versions, '{{}}')"
    " from log.outcome o where o.first_position > 0 and {part}"
)


_BY_KEY: Final = """
select o.first_position, o.last_position, o.key, coalesce(o.fingerprint, ''), coalesce(o.versions, '{}')
from log.outcome o where o.key = any(%s)
"""
_IDEMPOTENCY: Final = b'"idempotency":"'
_FINGERPRINT: Final = b'"fingerprint":"'
_NAMED: Final = re.compile(rb'"idempotency":"([0-9a-f]{32})"')


class Outcome(NamedTuple):
    """The outcome of a request with events, as the log has it."""

    first: int
    last: int
    key: bytes
    fingerprint: bytes
    versions: Sequence[int]


class Outcomes:
    """All outcomes, in the order of their positions.

    They are stored about in that order: only what is read ahead of the log waits in memory.
    """

    def __init__(self, connection: reading.Connection, *, head: int, findings: Findings) -> None:
        """Nothing is read yet; what lies behind `head` was appended after the verification began."""
        self._parts = heap.rows(connection, _OUTCOMES, table="log.outcome", alias="o")
        self._head = head
        self._findings = findings
        self._ahead: dict[int, Outcome] = {}
        self._rest: list[int] | None = None
        self._twice: list[tuple[int, int]] = []
        self._current: Outcome | None = None
        self._last = 0

    def load(self, segment: Sequence[RecordedEvent]) -> None:
        """Nothing: they are read as positions rise."""

    def of(self, position: int) -> Outcome | None:
        """That of the request that brought this event, None if none says so; positions must rise."""
        while self._last < position and (first := self._next(position)) is not None:
            outcome = self._ahead.pop(first)
            if first != self._last + 1 or outcome.last < first:
                self._does_not_follow(first, outcome.last)
            self._current, self._last = outcome, max(outcome.last, first)
        current = self._current
        return current if current is not None and current.first <= position <= self._last else None

    def end(self) -> None:
        """The log was read: no outcome is left, and none is missing."""
        self.of(self._head)
        left = [(outcome.first, outcome.last) for outcome in self._ahead.values()]
        for first, last in sorted([*left, *self._twice]):
            self._does_not_follow(first, last)
        if self._last < self._head:
            message = f"the outcomes end at {self._last}, the log at {self._head}"
            self._findings.add(self._last + 1, "outcome-mismatch", message)

    def _next(self, position: int) -> int | None:
        """Where the outcome begins that follows the one at hand, or else the next there is, up to a position."""
        first = self._last + 1
        while first not in self._ahead and (part := next(self._parts, None)) is not None:
            self._take(part)
        if first in self._ahead:
            return first
        if self._rest is None:  # every outcome was read, so those that are left are few, unless some are lost
            self._rest = sorted(self._ahead, reverse=True)
        while self._rest and self._rest[-1] <= self._last:
            self._rest.pop()
        return self._rest[-1] if self._rest and self._rest[-1] <= position else None

    def _take(self, part: Sequence[tuple[int, int, bytes, bytes, Sequence[int]]]) -> None:
        for first, last, key, fingerprint, versions in part:
            if first > self._head:
                continue
            if first in self._ahead:
                self._twice.append((first, last))
            else:
                self._ahead[first] = Outcome(first, last, bytes(key), bytes(fingerprint), versions)

    def _does_not_follow(self, first: int, last: int) -> None:
        message = f"the outcome of {first} to {last} does not follow the one that ends at {self._last}"
        self._findings.add(first, "outcome-mismatch", message)


class OutcomesByKey:
    """Outcomes of some of the events, looked up by the keys of the requests that these name."""

    def __init__(self, connection: reading.Connection, *, findings: Findings) -> None:
        """Nothing is read yet."""
        self._connection = connection
        self._findings = findings
        self._found: dict[int, Outcome] = {}

    def load(self, segment: Sequence[RecordedEvent]) -> None:
        """Look up those of the events that come next."""
        named = {event.position: key for event in segment if (key := _key_of(event)) is not None}
        rows = self._connection.execute(_BY_KEY, [list({*named.values()})]).fetchall() if named else []
        by_key = {
            bytes(key): Outcome(first, last, bytes(key), bytes(f), v) for first, last, key, f, v in rows
        }
        self._found = {}
        for position, key in named.items():
            outcome = by_key.get(key)
            if outcome is None or not outcome.first <= position <= outcome.last:
                message = "no outcome under the key of the event's request claims this position"
                self._findings.add(position, "outcome-mismatch", message)
            else:
                self._found[position] = outcome

    def of(self, position: int) -> Outcome | None:
        """That of the request that brought this event, None if it names none or there is none."""
        return self._found.get(position)

    def end(self) -> None:
        """Nothing is left."""


class OutcomeMatching:
    """Events in position order, each held against the outcome of its request."""

    def __init__(self, findings: Findings) -> None:
        """No event was seen yet."""
        self._findings = findings
        self._outcome: Outcome | None = None
        self._reached: dict[str, int] = {}
        self._whole = False

    def see(self, event: RecordedEvent, outcome: Outcome | None) -> None:
        """Compare an event with the outcome that claims its position."""
        if outcome is None:
            return  # that there is none is found where the ranges are held against each other
        metadata = event.metadata
        if _IDEMPOTENCY in metadata and _text(_IDEMPOTENCY, binascii.hexlify(outcome.key)) not in metadata:
            message = (
                "the row carries the key of another request than its outcome: rows changed places, or metadata or"
                " outcome was changed"
            )
            self._findings.add(event.position, "request-mismatch", message)
        if _FINGERPRINT in metadata and _text(_FINGERPRINT, _base64(outcome.fingerprint)) not in metadata:
            message = "the outcome's fingerprint is not that of the request that the event came with"
            self._findings.add(event.position, "outcome-changed", message)
        if outcome.first == outcome.last:
            self._compare(outcome, [event.version])
        else:
            self._see_one_of_several(event, outcome)

    def _see_one_of_several(self, event: RecordedEvent, outcome: Outcome) -> None:
        if outcome != self._outcome:
            self._outcome, self._reached = outcome, {}
            self._whole = event.position == outcome.first
        self._reached[event.stream] = event.version
        if event.position == outcome.last and self._whole:
            self._compare(outcome, self._reached.values())

    def _compare(self, outcome: Outcome, reached: Iterable[int]) -> None:
        """An outcome may name more versions: of streams that the request only read."""
        left = list(outcome.versions)
        missing = []
        for version in reached:
            if version in left:
                left.remove(version)
            else:
                missing.append(version)
        if missing:
            message = (
                f"the outcome says that versions {list(outcome.versions)} were reached, the events {missing}"
            )
            self._findings.add(outcome.last, "outcome-changed", message)


def _key_of(event: RecordedEvent) -> bytes | None:
    found = _NAMED.search(event.metadata)
    return None if found is None else binascii.unhexlify(found[1])


def _text(member: bytes, value: bytes) -> bytes:
    """A whole member: a value that was cut short is part of what was there."""
    return member + value + b'"'


def _base64(content: bytes) -> bytes:
    return binascii.b2a_base64(content, newline=False)
