"""Verification: is a build what its folds make of the log? Are two builds the same? Which keys differ, and how?"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Literal

import msgspec

from event_store import generations
from projections import builds, checkpoints, parking, skips
from projections.errors import BuildRefused
from projections.folding import Versioned
from projections.replay import Digest, Folding, Target, canonical, fold_all
from projections.storing import BuildId, Connection, Table
from projections.view import ID_SEPARATOR, Key, View

DIFFERENCES_MAX: Final = 100
"""Differing keys that a verification names; the rest are counted."""
KEYS_PER_LOAD: Final = 5_000
COLUMNS_NAMED_MAX: Final = 5
"""Differing columns that one finding names."""

DifferenceKind = Literal["row-changed", "row-missing", "row-unexpected"]


class Difference(msgspec.Struct, frozen=True):
    """One key that is not what the log makes of it; `position` is of the last event that belongs in its row."""

    key: str
    position: int
    kind: DifferenceKind
    message: str


class Verification(msgspec.Struct, frozen=True):
    """What comparing a build came to.

    `keys` and `digest` are of the stored rows, `expected_digest` of what was compared with. `differences` names
    the first of `differing` keys. `position` is up to where every partition was folded. `parked` keys were
    compared up to where they stand.
    """

    name: str
    build: BuildId
    keys: int
    digest: str
    expected_digest: str
    position: int
    parked: int
    stopped: str | None
    differing: int
    differences: tuple[Difference, ...]

    @property
    def matches(self) -> bool:
        """Whether not one row differs."""
        return self.differing == 0


def verify(
    conn: Connection,
    views: Sequence[View[Any]],
    *,
    build_ids: Sequence[BuildId] | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Verification]:
    """Fold views again from the log and compare every row, in one snapshot; works while workers write.

    Args:
        conn: role counterfoil_projector or counterfoil_reader, in autocommit mode; nothing else may use it.
        views: what to verify, all in one pass over the log.
        build_ids: one build for each view; if left out the live ones, and views whose shape is not live are left
            out too.
        on_progress: called with positions (done, in all).

    Raises:
        NoSuchBuild: a view has no live build.
        FoldFailed: an event that should be in the rows cannot be folded.
        UnknownEventVersion: an event is newer than this program.
    """
    with conn.transaction():
        conn.execute("set transaction isolation level repeatable read")
        if build_ids is None:
            views = [view for view in views if builds.live(conn, view.name).shape == view.shape]
        chosen = build_ids or [builds.live(conn, view.name) for view in views]
        targets = [target(conn, view, build) for view, build in zip(views, chosen, strict=True)]
        upto = max((max(each.reach.values(), default=0) for each in targets if each.reach), default=0)
        foldings = fold_all(conn, targets, upto=upto, on_progress=lambda done: on_progress(done, upto))
        return [_verified(conn, folding, build) for folding, build in zip(foldings, chosen, strict=True)]


def target(conn: Connection, view: View[Any], build: BuildId) -> Target:
    """What of the log is in the rows of a build, by its checkpoints and parked keys in this snapshot."""
    known = checkpoints.generations(conn, build)
    if not known:
        raise BuildRefused(f"build {build} is still being folded: run its rebuild to the end first")
    reach = checkpoints.read(conn, [build], generation=known[-1])[build]
    return Target(
        view,
        skips.read(conn, view.name, shape=view.shape),
        reach={source: cursor.position for source, cursor in reach.items()},
        parked={key: each.position for key, each in parking.of_build(conn, build).items()},
        partitions=generations.numbering(conn, generation=known[-1]).partitions,
    )


def compare(conn: Connection, view: View[Any], *, left: BuildId, right: BuildId) -> Verification:
    """Compare the rows of two builds of one shape, in one snapshot: `left` as stored, `right` as expected.

    Raises:
        BuildRefused: they do not stand at the same positions, so they may differ rightly.
    """
    with conn.transaction():
        conn.execute("set transaction isolation level repeatable read")
        ours, theirs = target(conn, view, left), target(conn, view, right)
        if ours.reach != theirs.reach or ours.parked != theirs.parked:
            raise BuildRefused(f"{left} and {right} do not stand at the same positions yet")
        expected: dict[Key, bytes] = {}
        wanted = Digest()
        for key, row in _stored(conn, Table(view, right)):
            body = canonical(row.row)
            wanted.add(key, body)
            expected[key] = body
        found = _Found(view)
        for key, row in _stored(conn, Table(view, left)):
            body = canonical(row.row)
            found.digest.add(key, body)
            theirs_body = expected.pop(key, None)
            if theirs_body is None:
                found.unexpected(key, row)
            elif theirs_body != body:
                found.changed(key, row.position, body, theirs_body)
        for key in expected:
            found.missing(key, 0)
        return found.told(conn, left, position=_lowest(ours), expected=wanted)


def _verified(conn: Connection, folding: Folding, build: BuildId) -> Verification:
    """Compare a build with its fold: every row of either."""
    view, rows = folding.target.view, folding.rows
    found, wanted = _Found(view), Digest()
    seen = 0
    for key, row in _stored(conn, Table(view, build)):
        body = canonical(row.row)
        found.digest.add(key, body)
        expected = rows.body(key)
        if expected is None:
            found.unexpected(key, row)
            continue
        seen += 1
        wanted.add(key, expected[0])
        if expected[0] != body:
            found.changed(key, expected[1], body, expected[0])
        elif expected[1] != row.position:
            found.moved(key, expected[1], row.position)
    if seen < len(rows):
        _name_missing(conn, folding, build, found, wanted)
    return found.told(conn, build, position=_lowest(folding.target), expected=wanted)


def _name_missing(
    conn: Connection, folding: Folding, build: BuildId, found: "_Found", wanted: Digest
) -> None:
    """Find which folded rows are not stored."""
    table = Table(folding.target.view, build)
    keys = list(folding.rows)
    for first in range(0, len(keys), KEYS_PER_LOAD):
        chunk = keys[first : first + KEYS_PER_LOAD]
        there = {key for key, row in table.load(conn, chunk).items() if row.row is not None}
        for key in chunk:
            if key not in there and (expected := folding.rows.body(key)) is not None:
                wanted.add(key, expected[0])
                found.missing(key, expected[1])


class _Found:
    """Differences as they are found."""

    def __init__(self, view: View[Any]) -> None:
        self.digest = Digest()
        self._view = view
        self._count = 0
        self._named: list[Difference] = []

    def changed(self, key: Key, position: int, stored: bytes, expected: bytes) -> None:
        self._add(key, position, "row-changed", _columns_that_differ(stored, expected))

    def moved(self, key: Key, position: int, stored: int) -> None:
        self._add(
            key, position, "row-changed", f"it says that its last event was {stored}, it was {position}"
        )

    def missing(self, key: Key, position: int) -> None:
        self._add(key, position, "row-missing", "the log makes a row that is not stored")

    def unexpected(self, key: Key, row: Versioned) -> None:
        self._add(key, row.position, "row-unexpected", "a row is stored that the log does not make")

    def told(self, conn: Connection, build: BuildId, *, position: int, expected: Digest) -> Verification:
        stands = builds.found(conn, build)
        return Verification(
            name=self._view.name,
            build=build,
            keys=self.digest.keys,
            digest=self.digest.text,
            expected_digest=expected.text,
            position=position,
            parked=len(parking.of_build(conn, build)),
            stopped=stands.stopped,
            differing=self._count,
            differences=tuple(self._named),
        )

    def _add(self, key: Key, position: int, kind: DifferenceKind, why: str) -> None:
        self._count += 1
        if len(self._named) < DIFFERENCES_MAX:
            name = ID_SEPARATOR.join(map(str, key))
            message = f"view {self._view.name}, key {name}: {why}"
            self._named.append(Difference(name, position, kind, message))


def _stored(conn: Connection, table: Table) -> Iterator[tuple[Key, Versioned]]:
    return ((key, row) for page in table.pages(conn) for key, row in page if row.row is not None)


def _lowest(target: Target) -> int:
    return min((target.reach or {}).values(), default=0)


def _columns_that_differ(stored: bytes, expected: bytes) -> str:
    ours: dict[str, object] = msgspec.json.decode(stored)
    theirs: dict[str, object] = msgspec.json.decode(expected)
    names = [name for name in theirs if ours.get(name) != theirs[name]]
    shown = [f"{name} is {_short(ours.get(name))}, not {_short(theirs[name])}" for name in names]
    more = f" and {len(names) - COLUMNS_NAMED_MAX} more columns" if len(names) > COLUMNS_NAMED_MAX else ""
    return ", ".join(shown[:COLUMNS_NAMED_MAX]) + more


def _short(value: object, *, length: int = 60) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= length else text[: length - 1] + "…"
