"""One step of a projection worker, as a step function: what arrived in, effects out, state moved when they held.

`step` folds a feed into every build that stands where the feed begins, and asks for three effects: load rows,
commit, and, when the database refuses a row, probe which one. It does no I/O itself: the driver in `worker`
performs effects and sends the results back, and a test can stop it between any two of them.
"""

import itertools
from collections.abc import Generator, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from operator import attrgetter
from typing import Any, Final

import msgspec

from event_store.consumers import parking
from event_store.consumers.parking import Waiting
from event_store.transport.transport import Partition
from projections.checkpoints import Cursor, Move
from projections.errors import ProjectionError
from projections.folding import BatchFold, DecodedEvent, FoldedBatch, Poison, Versioned
from projections.storing import BuildId, Table
from projections.view import GLOBAL, Key, View

ROWS_CACHED_MAX: Final = 5_000
"""Rows of one build kept in memory between batches; the ones written longest ago go first."""
ISOLATION_ROUNDS_MAX: Final = 5
"""How often a batch is folded again without the events whose rows the database refused."""

_POSITION: Final = attrgetter("position")


class Reach(msgspec.Struct, frozen=True):
    """What a feed holds of one partition: every event in (after, position]; `leaf` is the log's at position."""

    after: int
    position: int
    leaf: bytes | None
    decoded_events: Sequence[DecodedEvent]


Feed = Mapping[Partition, Reach]


class Plan(msgspec.Struct):
    """The plan for one build: rows and checkpoints, keys to park, events that wait, or a stop."""

    following: "Following"
    moves: list[Move]
    rows: dict[Key, Versioned]
    parked: dict[str, Poison]
    queued: dict[str, Waiting]
    stopped: str | None
    applied: int
    unparked: str | None = None

    @property
    def build(self) -> BuildId:
        """The build that is written."""
        return self.following.build

    @property
    def notes(self) -> bool:
        """Whether more is to be saved than rows and checkpoints."""
        parks = self.parked or self.queued or self.unparked is not None
        return bool(parks) or self.stopped != self.following.stopped


class Load(msgspec.Struct):
    """Effect: the stored rows of these keys of some tables. Answer: list[dict[Key, Versioned]], one for each table."""

    wanted: list[tuple[Table, set[Key]]]


class Commit(msgspec.Struct):
    """Effect: write all plans in one transaction.

    Raises RowsRefused when a row can never be stored, CheckpointConflict when another worker was here.
    """

    plans: list[Plan]


class Probe(msgspec.Struct):
    """Effect: try these rows and take them back. Answer: why they are refused, None when they are not."""

    table: Table
    rows: dict[Key, Versioned]


Effect = Load | Commit | Probe
ProjectionStep = Generator[Effect, Any, list[Plan]]


class RowsRefused(ProjectionError):
    """The database will never store these rows: a value out of range, a text it cannot hold."""


class Following:
    """One build that this worker feeds: where it stands, which keys are parked, and rows it wrote lately."""

    def __init__(
        self,
        table: Table,
        *,
        cursors: Mapping[Partition, Cursor],
        parked: Mapping[str, int],
        skips: frozenset[int],
        stopped: str | None = None,
    ) -> None:
        """`parked` maps each parked key to the number of events that wait behind it."""
        self.table = table
        self.cursors = dict(cursors)
        self.parked = dict(parked)
        self.skips = skips
        self.stopped = stopped
        self._cached: dict[Key, Versioned] = {}

    @property
    def view(self) -> View[Any]:
        """The view it is a build of."""
        return self.table.view

    @property
    def build(self) -> BuildId:
        """Its name."""
        return self.table.build

    def cached(self, keys: Iterable[Key]) -> dict[Key, Versioned]:
        """The rows of these keys that need not be loaded."""
        cached = self._cached
        return {key: cached[key] for key in keys if key in cached}

    def accept(self, plan: Plan) -> None:
        """Update memory after a commit."""
        for move in plan.moves:
            self.cursors[move.source] = move.after
        self.parked.update(dict.fromkeys(plan.parked, 0))
        if plan.unparked is not None:
            self.parked.pop(plan.unparked, None)
        for key, waiting in plan.queued.items():
            self.parked[key] = self.parked.get(key, 0) + waiting.events
        self.stopped = plan.stopped
        self._remember(plan.rows)

    def forget_rows(self) -> None:
        """Drop cached rows: another worker may have written them."""
        self._cached.clear()

    def _remember(self, rows: Mapping[Key, Versioned]) -> None:
        cached = self._cached
        for key, row in rows.items():
            cached.pop(key, None)  # so that the key moves to the end
            cached[key] = row
        for key in list(itertools.islice(cached, max(0, len(cached) - ROWS_CACHED_MAX))):
            del cached[key]


def step(followings: Sequence[Following], feed: Feed) -> ProjectionStep:
    """Fold a feed into every build that stands within it, all in one transaction.

    Returns what was committed, for those who go on with it (documents, metrics).
    """
    batches = [batch for following in followings if (batch := _batch(following, feed)) is not None]
    return (yield from commit(batches, (yield from plans_of(batches))))


def plans_of(batches: Sequence["BuildBatch"]) -> Generator[Effect, Any, list[Plan]]:
    """Load what is not in memory, for all batches at once, and fold."""
    by_type = _ByType()
    missing = [batch.gather(by_type) for batch in batches]
    found: list[dict[Key, Versioned]] = [{} for _ in batches]
    if any(missing):
        wanted = [(batch.following.table, keys) for batch, keys in zip(batches, missing, strict=True)]
        found = yield Load(wanted)
    return [batch.fold(rows) for batch, rows in zip(batches, found, strict=True)]


def commit(batches: Sequence["BuildBatch"], plans: list[Plan]) -> ProjectionStep:
    """Commit plans; when rows are refused, find their events, fold again without them, and commit that."""
    for _ in range(ISOLATION_ROUNDS_MAX):
        if not plans:
            return []
        try:
            yield Commit(plans)
        except RowsRefused:
            # Nothing was written, as all plans are one transaction, and memory is as before: folding may begin again.
            plans = yield from _isolate(batches, plans)
            continue
        for plan in plans:  # after the commit only: what is in memory never is ahead of the database
            plan.following.accept(plan)
        return plans
    raise RowsRefused(f"rows were refused {ISOLATION_ROUNDS_MAX} times, each time for another event")


class _ByType:
    """The events of feeds by type: there are many views, and each folds few of all types."""

    def __init__(self) -> None:
        self._found: dict[int, dict[str, list[DecodedEvent]]] = {}

    def of(self, decoded_events: Sequence[DecodedEvent], types: AbstractSet[str]) -> Sequence[DecodedEvent]:
        """Those of some types, in their order; the sequence must last as long as this does."""
        found = self._found.get(id(decoded_events))
        if found is None:
            found = self._found[id(decoded_events)] = {}
            for decoded in decoded_events:
                found.setdefault(decoded.type, []).append(decoded)
        chosen = [some for name, some in found.items() if name in types]
        if len(chosen) == len(found):
            return decoded_events
        return sorted(itertools.chain.from_iterable(chosen), key=_POSITION)


class BuildBatch:
    """One build's part of a feed."""

    def __init__(
        self,
        following: Following,
        *,
        moves: list[Move],
        decoded_events: Mapping[Partition, Sequence[DecodedEvent]],
        unparking: str | None = None,
    ) -> None:
        """`unparking` names a parked key whose events these are, to be folded although it is parked."""
        self.following = following
        self.moves = moves
        self.refused: dict[int, str] = {}
        self._decoded_events = decoded_events
        self._unparking = unparking
        self._folding: BatchFold | None = None
        self._rows: dict[Key, Versioned] = {}

    def gather(self, by_type: _ByType) -> set[Key]:
        """Begin to fold, leaving out what was refused; the keys of the rows that must be loaded for it."""
        self._folding = self._new_fold(self.refused)
        types = self.following.view.recorded_types
        keys = self._folding.gather(
            decoded
            for decoded_events in self._decoded_events.values()
            for decoded in by_type.of(decoded_events, types)
        )
        self._rows = self.following.cached(keys)
        return keys - self._rows.keys()

    def fold(self, loaded: Mapping[Key, Versioned]) -> Plan:
        """The plan for the build; `loaded` are the rows of the gathered keys that are stored."""
        assert self._folding is not None, "gather comes first"
        self._rows.update(loaded)
        return self._planned(self._folding.fold(self._rows))

    def first_refused(self, key: Key) -> Generator[Effect, Any, tuple[int, str]]:
        """The event that first brings a row into a state that is refused, and why: by halving."""
        touching = self._touching(key)
        # The row is stored as it is after `low` events, refused as it is after `high`.
        low, high = 0, len(touching)
        reason = "refused by the database"
        while high - low > 1:
            middle = (low + high) // 2
            why = yield from self._probe_after(touching[:middle], key)
            if why is None:
                low = middle
            else:
                high, reason = middle, why
        why = yield from self._probe_after(touching[:high], key)
        return touching[high - 1].position, why or reason

    def _probe_after(
        self, decoded_events: Sequence[DecodedEvent], key: Key
    ) -> Generator[Effect, Any, str | None]:
        fold = self._new_fold(self.refused)
        fold.gather(decoded_events)
        row = fold.fold(self._rows).rows.get(key)
        if row is None:
            return None
        why: str | None = yield Probe(self.following.table, {key: row})
        return why

    def _touching(self, key: Key) -> list[DecodedEvent]:
        """The events of the batch that change a row, in order."""
        return [
            decoded
            for decoded_events in self._decoded_events.values()
            for decoded in decoded_events
            if key in self._new_fold(self.refused).gather([decoded])
        ]

    def _new_fold(self, refused: Mapping[int, str]) -> BatchFold:
        parks = self.following.view.kind is not GLOBAL
        waiting = self.following.parked.keys() - {self._unparking} if parks else frozenset()
        return BatchFold(self.following.view, skips=self.following.skips, parked=waiting, refused=refused)

    def _planned(self, folded: FoldedBatch) -> Plan:
        moves, stopped = self.moves, None
        if folded.halted is not None:
            moves, stopped = self._moves_before(folded), folded.halted.reason
        parked = {**folded.parked}
        if folded.halted is not None:
            parked[folded.halted.decoded.partition_key] = folded.halted
        return Plan(
            following=self.following,
            moves=moves,
            rows=folded.rows,
            parked=parked,
            queued=folded.queued,
            stopped=stopped or parking.overflow(self._waiting(folded)),
            applied=folded.applied,
            unparked=self._unparking if self._unparking not in parked else None,
        )

    def _waiting(self, folded: FoldedBatch) -> dict[str, int]:
        """How many events would wait behind each parked key."""
        waiting = dict(self.following.parked)
        if self._unparking is not None:
            waiting[self._unparking] = 0
        for key, more in folded.queued.items():
            waiting[key] = waiting.get(key, 0) + more.events
        return waiting

    def _moves_before(self, folded: FoldedBatch) -> list[Move]:
        """Up to the event before the one at which a global view halts: that one and the rest come again."""
        assert folded.halted is not None
        moves = []
        for move in self.moves:
            before = [
                decoded
                for decoded in self._decoded_events[move.source]
                if decoded.position < folded.halted.decoded.position
            ]
            position = before[-1].position if before else move.before.position
            leaf = before[-1].leaf if before else move.before.leaf
            moves.append(Move(move.build, move.source, move.before, position, leaf))
        return moves


def _batch(following: Following, feed: Feed) -> BuildBatch | None:
    """What a build takes from a feed: the partitions where it stands within, from there on."""
    if following.stopped is not None:
        return None
    moves = []
    taken: dict[Partition, Sequence[DecodedEvent]] = {}
    for source, cursor in following.cursors.items():
        reach = feed.get(source)
        if reach is None or not reach.after <= cursor.position < reach.position:
            continue
        moves.append(Move(following.build, source, cursor, reach.position, reach.leaf))
        taken[source] = (
            reach.decoded_events
            if cursor.position == reach.after
            else [decoded for decoded in reach.decoded_events if decoded.position > cursor.position]
        )
    return BuildBatch(following, moves=moves, decoded_events=taken) if moves else None


def _isolate(batches: Sequence[BuildBatch], plans: Sequence[Plan]) -> Generator[Effect, Any, list[Plan]]:
    """Find, view by view and then row by row, what is refused; plan again without those events."""
    planned: list[Plan] = []
    for batch, before in zip(batches, plans, strict=True):
        refused = yield from _refused_rows(before.following.table, before.rows)
        for key in refused:
            position, reason = yield from batch.first_refused(key)
            batch.refused[position] = reason
        planned += (yield from plans_of([batch])) if refused else [before]
    return planned


def _refused_rows(table: Table, rows: dict[Key, Versioned]) -> Generator[Effect, Any, list[Key]]:
    """The keys of rows that are refused, by halving: cheap when there are few."""
    refused: list[Key] = []
    waiting = [rows] if rows else []
    while waiting:
        some = waiting.pop()
        why = yield Probe(table, some)
        if why is None:
            continue
        keys = list(some)
        if len(keys) == 1:
            refused.extend(keys)
            continue
        half = len(keys) // 2
        waiting.append({key: some[key] for key in keys[:half]})
        waiting.append({key: some[key] for key in keys[half:]})
    return refused
