"""Verification: compares a build with a fold of the log, or with another build, and names differing keys.

A build is verified in passes, each over the part of its rows that memory holds. A pass reads its rows and where they
stand in one short snapshot, and then folds the log up to there, which never changes: so a pass is exact whatever the
workers write meanwhile, and no snapshot is held while the log is read.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from event_store.consumers import parking, skips
from event_store.transport import generations
from projections import builds, checkpoints
from projections.buckets import Bucket
from projections.errors import BuildRefused
from projections.folding import Versioned
from projections.replay import Digest, Folding, Target, TooManyRows, canonical, fold_all
from projections.storing import ROWS_PER_PAGE, BuildId, Connection, Table
from projections.view import ID_SEPARATOR, Key, View

DIFFERENCES_MAX: Final = 100
"""Differing keys that a verification names; the rest are counted."""
ROWS_PER_PASS_MAX: Final = 200_000
"""Rows of all views that one pass holds, as they are stored, and as many as the log makes of them."""
FOLDED_ROWS_MAX: Final = 2 * ROWS_PER_PASS_MAX
"""Rows that a fold may come to where many are not stored; then there are more passes."""
COLUMNS_NAMED_MAX: Final = 5
"""Differing columns that one finding names."""

DifferenceKind = Literal["row-changed", "row-missing", "row-unexpected"]


class Difference(msgspec.Struct, frozen=True):
    """A key whose row differs from the fold; `position` is that of the last event of its row."""

    key: str
    position: int
    kind: DifferenceKind
    message: str


class Verification(msgspec.Struct, frozen=True):
    """The result of comparing a build.

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
        """Whether no row differs."""
        return self.differing == 0


def verify(
    conn: Connection,
    views: Sequence[View[Any]],
    *,
    build_ids: Sequence[BuildId] | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Verification]:
    """Fold views again from the log and compare every row; works while workers write.

    Args:
        conn: role counterfoil_projector or counterfoil_reader, in autocommit mode; nothing else may use it.
        views: what to verify, all in one pass over the log as long as memory holds their rows.
        build_ids: one build for each view; if left out the live ones, and views whose shape is not live are left
            out too.
        on_progress: called with positions (done, in all).

    Raises:
        NoSuchBuild: a view has no live build.
        FoldFailed: an event that should be in the rows cannot be folded.
        UnknownEventVersion: an event is newer than this program.
    """
    if build_ids is None:
        views = [view for view in views if builds.live(conn, view.name).shape == view.shape]
    chosen = build_ids or [builds.live(conn, view.name) for view in views]
    tables = [Table(view, build) for view, build in zip(views, chosen, strict=True)]
    rows = sum(table.count(conn) for table in tables)
    passes = max(1, -(-rows // ROWS_PER_PASS_MAX))
    while True:
        try:
            return _in_passes(conn, tables, passes=passes, on_progress=on_progress)
        except TooManyRows:
            passes *= 2


def _in_passes(
    conn: Connection, tables: Sequence[Table], *, passes: int, on_progress: Callable[[int, int], None]
) -> list[Verification]:
    found = [_Found(table.view) for table in tables]
    upto = 0
    for number in range(passes):
        upto = _pass(conn, tables, found, Bucket(number, passes), upto, on_progress)
    return [each.verification(conn, table.build) for each, table in zip(found, tables, strict=True)]


def _pass(
    conn: Connection,
    tables: Sequence[Table],
    found: "Sequence[_Found]",
    bucket: Bucket,
    before: int,
    on_progress: Callable[[int, int], None],
) -> int:
    """Compare one part of the rows; `before` is up to where the pass before folded. How far this one did."""

    def on_page() -> None:
        on_progress(bucket.number * before, bucket.of * before)

    targets, stored = _snapshot(conn, tables, bucket, on_page=on_page)
    upto = max((max(each.reach.values(), default=0) for each in targets if each.reach), default=0)
    foldings = fold_all(
        conn,
        targets,
        upto=upto,
        bucket=bucket,
        rows_max=FOLDED_ROWS_MAX,
        on_progress=lambda done: on_progress(bucket.number * upto + done, bucket.of * upto),
    )
    for each, folding, rows in zip(found, foldings, stored, strict=True):
        each.compare(rows, folding)
    return upto


def _snapshot(
    conn: Connection, tables: Sequence[Table], bucket: Bucket, *, on_page: Callable[[], None]
) -> tuple[list[Target], list[dict[Key, tuple[bytes, int]]]]:
    """A part of the rows of builds with their positions, and the events in them, in one snapshot."""
    stored: list[dict[Key, tuple[bytes, int]]] = []
    with conn.transaction():
        conn.execute("set transaction isolation level repeatable read")
        targets = [target(conn, table.view, table.build) for table in tables]
        for table in tables:
            stored.append(rows := {})
            for number, (key, row) in enumerate(table.bucket(conn, bucket), start=1):
                rows[key] = canonical(row.row), row.position
                if number % ROWS_PER_PAGE == 0:
                    on_page()
    return targets, stored


def target(conn: Connection, view: View[Any], build: BuildId) -> Target:
    """The events of the log in the rows of a build, by its checkpoints and parked keys in this snapshot."""
    known = checkpoints.generations(conn, build)
    if not known:
        raise BuildRefused(f"build {build} is still being folded: run its rebuild to the end first")
    reach = checkpoints.read(conn, [build], generation=known[-1])[build]
    return Target(
        view,
        skips.read(conn, view.name, shape=view.shape),
        reach={source: cursor.position for source, cursor in reach.items()},
        parked={key: each.position for key, each in parking.of_scope(conn, build.scope).items()},
        partitions=generations.numbering(conn, generation=known[-1]).partitions,
    )


def compare(conn: Connection, view: View[Any], *, left: BuildId, right: BuildId) -> Verification:
    """Compare the rows of two builds of one shape, in one snapshot: `left` as stored, `right` as expected.

    Raises:
        BuildRefused: they do not stand at the same positions, so they may differ rightly.
    """
    ours, theirs = Table(view, left), Table(view, right)
    found = _Found(view)
    with conn.transaction():
        conn.execute("set transaction isolation level repeatable read")
        stands = target(conn, view, left)
        others = target(conn, view, right)
        if stands.reach != others.reach or stands.parked != others.parked:
            raise BuildRefused(f"{left} and {right} do not stand at the same positions yet")
        for page in ours.pages(conn):
            expected = theirs.load(conn, [key for key, _ in page])
            found.compare_page(page, expected)
        for page in theirs.pages(conn):
            found.note_missing(page, ours.load(conn, [key for key, _ in page]))
        found.reached(stands)
        return found.verification(conn, left)


class _Found:
    """Differences as they are found, and the digests of what was compared."""

    def __init__(self, view: View[Any]) -> None:
        self._view = view
        self._stored = Digest()
        self._expected = Digest()
        self._position: int | None = None
        self._count = 0
        self._named: list[Difference] = []

    def reached(self, target: Target) -> None:
        """Note up to where rows were compared; of several passes the one that came least far counts."""
        lowest = min((target.reach or {}).values(), default=0)
        self._position = lowest if self._position is None else min(self._position, lowest)

    def compare(self, stored: Mapping[Key, tuple[bytes, int]], folding: Folding) -> None:
        """Compare rows with their fold: every row of either."""
        self.reached(folding.target)
        rows = folding.rows
        for key, (body, position) in stored.items():
            self._stored.add(key, body)
            if (expected := rows.body(key)) is None:
                self.unexpected(key, position)
            elif expected[0] != body:
                self.changed(key, expected[1], body, expected[0])
            elif expected[1] != position:
                self.moved(key, expected[1], position)
        for key in rows:
            expected = rows.body(key)
            assert expected is not None, "a key that the rows have"
            self._expected.add(key, expected[0])
            if key not in stored:
                self.missing(key, expected[1])

    def compare_page(self, page: Sequence[tuple[Key, Versioned]], expected: Mapping[Key, Versioned]) -> None:
        """Compare a page of one build with the rows of another."""
        for key, row in page:
            if row.row is None:
                continue
            body = canonical(row.row)
            self._stored.add(key, body)
            other = expected.get(key)
            if other is None or other.row is None:
                self.unexpected(key, row.position)
            elif (theirs := canonical(other.row)) != body:
                self.changed(key, row.position, body, theirs)

    def note_missing(self, expected: Sequence[tuple[Key, Versioned]], page: Mapping[Key, Versioned]) -> None:
        """Note which rows of the other build this one lacks."""
        for key, row in expected:
            if row.row is None:
                continue
            self._expected.add(key, canonical(row.row))
            ours = page.get(key)
            if ours is None or ours.row is None:
                self.missing(key, 0)

    def changed(self, key: Key, position: int, stored: bytes, expected: bytes) -> None:
        self._add(key, position, "row-changed", _columns_that_differ(stored, expected))

    def moved(self, key: Key, position: int, stored: int) -> None:
        self._add(
            key, position, "row-changed", f"it says that its last event was {stored}, it was {position}"
        )

    def missing(self, key: Key, position: int) -> None:
        self._add(key, position, "row-missing", "the log makes a row that is not stored")

    def unexpected(self, key: Key, position: int) -> None:
        self._add(key, position, "row-unexpected", "a row is stored that the log does not make")

    def verification(self, conn: Connection, build: BuildId) -> Verification:
        stands = builds.found(conn, build)
        return Verification(
            name=self._view.name,
            build=build,
            keys=self._stored.keys,
            digest=self._stored.text,
            expected_digest=self._expected.text,
            position=self._position or 0,
            parked=len(parking.of_scope(conn, build.scope)),
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
