"""Folding a batch of events into the rows of one view, in memory: pure, and the same for live work and replay.

An event is applied to all its rows or to none. One that fails is tried again a few times and then parks its
partition key: later events of the key wait, other keys go on. A global view halts instead, at that event.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import msgspec

from domain.event import Event
from event_store.consumers.parking import TEXT_CHARACTERS_MAX, Waiting
from event_store.log.codec import MalformedEvent
from event_store.log.decoding import Decoder
from projections.view import GLOBAL, Fold, Key, Row, View

TRIES_MAX: Final = 3
"""How often an event is tried before its key is parked."""


class Versioned(msgspec.Struct, frozen=True, gc=False):
    """A row and the position of the last event folded into it; None: there is no row any longer."""

    row: Row | None
    position: int


class DecodedEvent(msgspec.Struct, frozen=True, gc=False):
    """A decoded event and where it stands. `event` is the error when its payload cannot be read."""

    position: int
    partition_key: str
    stream: str
    version: int
    type: str
    leaf: bytes
    event: Event | MalformedEvent
    recorded_at: datetime


class Poison(msgspec.Struct, frozen=True):
    """The event at which a key, or a global view, stands still, and why."""

    decoded: DecodedEvent
    reason: str


class FoldedBatch(msgspec.Struct):
    """The effect of a batch on a view.

    `rows` are to be written. `parked` are keys that failed in this batch, `queued` what of the batch waits behind each
    parked key, new or old. `halted` is where a global view stopped: nothing from there on was applied.
    """

    rows: dict[Key, Versioned]
    parked: dict[str, Poison]
    queued: dict[str, Waiting]
    halted: Poison | None
    applied: int


def decoder_of(views: Sequence[View[Any]]) -> Decoder:
    """A decoder of the events that some of these views fold, each once for all of them."""
    return Decoder(name for view in views for name in view.event_types)


class BatchFold:
    """One batch of one view: `gather` says which rows it needs, `fold` changes them."""

    def __init__(
        self,
        view: View[Any],
        *,
        skips: AbstractSet[int],
        parked: AbstractSet[str],
        refused: Mapping[int, str] = MappingProxyType({}),
        concerns: Callable[[Key], bool] | None = None,
    ) -> None:
        """Begin a batch.

        `skips` are positions of events to pass over, `parked` keys that already stand still, `refused` events
        whose rows the database would not store, by position, with the reason. `concerns` says which rows alone
        are to be folded; None: all.
        """
        self._view = view
        self._folds = {**view.folds}
        self._types = view.recorded_types
        self._skips = skips
        self._parked_before = parked
        self._passes = bool(skips or parked)
        self._refused = refused
        self._concerns = concerns
        self._work: list[tuple[DecodedEvent, Fold, list[tuple[Key, Any]]]] = []
        self._parked: dict[str, Poison] = {}
        self._queued: dict[str, Waiting] = {}
        self._halted: Poison | None = None

    def gather(self, decoded_events: Iterable[DecodedEvent]) -> set[Key]:
        """Take the events that the view folds, in order; the keys of the rows they may change."""
        keys: set[Key] = set()
        folds = self._folds
        for decoded in decoded_events:
            fold = folds.get(type(decoded.event))  # type: ignore[arg-type]  # none where it is malformed
            if fold is None and decoded.type not in self._types:
                continue
            if (self._passes or self._parked) and (decoded.position in self._skips or self._waits(decoded)):
                continue
            try:
                pairs = self._pairs(fold, decoded)
                for key, _ in pairs:
                    keys.add(key)
            except Exception as error:  # noqa: BLE001 - whatever a fold's author got wrong parks the key
                self._fail(decoded, reason_of(error))
            else:
                if decoded.position in self._refused:
                    self._fail(decoded, self._refused[decoded.position])
                elif fold is not None:
                    self._work.append((decoded, fold, pairs))
            if self._halted:
                break
        return keys

    def fold(self, rows: Mapping[Key, Versioned]) -> FoldedBatch:
        """Apply what was gathered to `rows`, which hold every gathered key that is stored."""
        changed: dict[Key, Versioned] = {}
        applied = 0
        for decoded, fold, pairs in self._work:
            if (self._parked or self._parked_before) and self._waits(decoded):
                continue
            fresh: dict[Key, Versioned] | None
            try:
                fresh = _apply(self._view, decoded, fold, pairs, rows, changed)
            except Exception as error:  # noqa: BLE001 - a fold's failure is parked, whatever it is
                fresh = self._try_again(error, decoded, fold, pairs, rows, changed)
            if fresh is None:
                if self._view.kind is GLOBAL:
                    break
                continue
            changed.update(fresh)
            applied += 1
        return FoldedBatch(
            rows={key: after for key, after in changed.items() if _is_change(after, rows.get(key))},
            parked=self._parked,
            queued=self._queued,
            halted=self._halted,
            applied=applied,
        )

    def _pairs(self, fold: Fold | None, decoded: DecodedEvent) -> list[tuple[Key, Any]]:
        """The rows that an event changes, each with its part of the event."""
        if isinstance(decoded.event, MalformedEvent):
            raise decoded.event
        assert fold is not None, "events without a fold are not wanted"
        pairs = list(fold.spread(decoded if fold.of_record else decoded.event))
        return pairs if self._concerns is None else [pair for pair in pairs if self._concerns(pair[0])]

    def _try_again(
        self,
        failure: Exception,
        decoded: DecodedEvent,
        fold: Fold,
        pairs: list[tuple[Key, Any]],
        rows: Mapping[Key, Versioned],
        changed: Mapping[Key, Versioned],
    ) -> dict[Key, Versioned] | None:
        """The rows after one event, None when it failed every time."""
        for _ in range(TRIES_MAX - 1):
            try:
                return _apply(self._view, decoded, fold, pairs, rows, changed)
            except Exception as error:  # noqa: BLE001 - a fold's failure is parked, whatever it is
                failure = error
        self._fail(decoded, reason_of(failure))
        return None

    def _waits(self, decoded: DecodedEvent) -> bool:
        """Whether the event's key stands still at an earlier event; it is counted then."""
        key = decoded.partition_key
        if key in self._parked_before:
            self._queue(decoded)
            return True
        poison = self._parked.get(key)
        if poison is None or poison.decoded.position > decoded.position:
            return False
        self._queue(decoded)
        return True

    def _fail(self, decoded: DecodedEvent, reason: str) -> None:
        poison = Poison(decoded=decoded, reason=reason)
        if self._view.kind is GLOBAL:
            self._halted = poison
            return
        key = decoded.partition_key
        if key in self._parked:
            # Found in gather at a later event; this earlier one comes first, and that one waits with the rest.
            self._queue(self._parked[key].decoded)
        self._parked[key] = poison

    def _queue(self, decoded: DecodedEvent) -> None:
        key = decoded.partition_key
        self._queued[key] = self._queued.get(key, Waiting()).with_one_at(decoded.position)


def reason_of(error: Exception) -> str:
    """An error in one line for people."""
    return f"{type(error).__name__}: {error}".replace("\x00", "")[:TEXT_CHARACTERS_MAX]


def _apply(
    view: View[Any],
    decoded: DecodedEvent,
    fold: Fold,
    pairs: list[tuple[Key, Any]],
    rows: Mapping[Key, Versioned],
    changed: Mapping[Key, Versioned],
) -> dict[Key, Versioned]:
    fresh: dict[Key, Versioned] = {}
    position, event, apply = decoded.position, decoded.event, fold.apply
    row_type, key_of = view.row, view.key_of
    for key, part in pairs:
        before = fresh.get(key) or changed.get(key) or rows.get(key)
        row = apply(None if before is None else before.row, event, part)  # type: ignore[arg-type]
        if row is not None and (type(row) is not row_type or key_of(row) != key):
            raise _another_row(view, row, key)
        fresh[key] = Versioned(row, position)
    return fresh


def _another_row(view: View[Any], row: Row, key: Key) -> Exception:
    """A fold may not answer another row than the one it was asked about."""
    if type(row) is not view.row:
        return TypeError(f"the fold answered a {type(row).__name__} instead of a {view.row.__name__}")
    return ValueError(f"the fold answered the row {view.key_of(row)} when asked about {key}")


def _is_change(after: Versioned, before: Versioned | None) -> bool:
    """A row that came and went within the batch was never stored and needs no tombstone."""
    return after.row is not None or (before is not None and before.row is not None)
