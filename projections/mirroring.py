"""Keeping the rows of document views as documents too, behind the commit, without ever holding Postgres up.

Per build and partition a checkpoint next to the documents says how far they go. This worker moves it only from the
value it wrote last; when it finds another one, or none, or could not write for a while, it looks what is there
and writes again, page by page between batches, every row that may be missing. Until then the checkpoint stands
behind, and readers ask Postgres.
"""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
import structlog

from event_store.log import reading
from event_store.log.reading import History
from event_store.transport.transport import Partition
from projections.checkpoints import Cursor
from projections.folding import Versioned
from projections.metrics import ProjectionMetrics
from projections.step import Following, Plan
from projections.storing import Connection
from projections.view import ID_SEPARATOR, Key, Row
from runtime import documents as documents_
from runtime.breaker import Breaker
from runtime.documents import Document, Documents, DocumentsUnavailable, MirrorPoint

ROWS_PER_STEP: Final = 1_000
"""Rows that one step of writing again reads, so that batches do not wait long."""

REFRESH_INTERVAL_S: Final = 60.0
"""How often checkpoints that no batch moves are compared and kept alive, so that an emptied cache is noticed."""

UNCONCERNED_INTERVAL_S: Final = 0.2
"""How often the checkpoints of a build move while steps write none of its documents: readers trust a mirror that is a
second behind."""

MARK_BYTES: Final = 8

_NOTHING: Final = MirrorPoint(0, None)

log = structlog.get_logger()

_encoder = msgspec.json.Encoder()


def body_of(row: Row) -> bytes:
    """The JSON of a row, as a document holds it."""
    return _encoder.encode(row)


def id_of(key: Key) -> str:
    """The key of a row as one text."""
    return ID_SEPARATOR.join(map(str, key))


class Mirror:
    """Documents of all builds that one worker feeds. One thread."""

    def __init__(
        self,
        documents: Documents,
        *,
        metrics: ProjectionMetrics,
        breaker: Breaker | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._documents = documents
        self._metrics = metrics
        # One failure already means that rows must be written again, and the next call would only cost time.
        self._breaker = breaker or Breaker(failures_max=1)
        self._clock = clock
        self._builds: list[_Mirrored] = []
        self._refreshed_at = float("-inf")

    def adopt(self, conn: Connection, followings: Sequence[Following], *, history: History) -> None:
        """Mirror these builds from now on; what is there is read before anything is written."""
        self._builds = [
            _Mirrored(following, history) for following in followings if following.view.document is not None
        ]
        for mirrored in self._builds:
            if mirrored.following.cursors and self._breaker.allows(self._clock()):
                try:
                    self._check(mirrored, conn)
                except DocumentsUnavailable as error:
                    self._unavailable([mirrored], error)
                else:
                    self._breaker.succeeded()

    def after_commit(self, plans: Sequence[Plan]) -> None:
        """Write the documents of what was committed, and move the checkpoints along."""
        by_build = {mirrored.following.build: mirrored for mirrored in self._builds}
        steps = []
        for plan in plans:
            mirrored = by_build.get(plan.build)
            if mirrored is not None and mirrored.checked and self._breaker.allows(self._clock()):
                if mirrored.in_step and not plan.rows:
                    mirrored.unmoved.update({move.source: move.after for move in plan.moves})
                else:
                    steps.append(_behind(mirrored, plan))
            elif mirrored is not None:
                mirrored.lose_track()
        try:
            self._take(steps)
        except DocumentsUnavailable as error:
            self._unavailable([step.mirrored for step in steps], error)
        else:
            if steps:
                self._breaker.succeeded()

    def withdraw(self, following: Following, source: Partition) -> bool:
        """Take a partition's checkpoint back to nothing, before rows are written at positions it has passed.

        False when the cache cannot be reached: then those rows must wait, or a reader might trust older ones.
        """
        for mirrored in self._builds:
            if mirrored.following is not following:
                continue
            if not self._breaker.allows(self._clock()):
                return False
            try:
                self._withdraw(mirrored, source)
            except DocumentsUnavailable as error:
                self._unavailable([mirrored], error)
                return False
            self._breaker.succeeded()
        return True

    def step(self, conn: Connection) -> bool:
        """Do one piece of what is to be written again; whether there may be more."""
        for mirrored in self._builds:
            if mirrored.in_step or not mirrored.following.cursors:
                continue
            if not self._breaker.allows(self._clock()):
                return False
            try:
                self._catch_up(mirrored, conn)
            except DocumentsUnavailable as error:
                self._unavailable([mirrored], error)
                return False
            self._breaker.succeeded()
            return True
        self._refresh()
        return False

    def _refresh(self) -> None:
        """Move what no documents moved, keep alive what stands still; what is not as it was left is written anew."""
        now = self._clock()
        if now - self._refreshed_at < UNCONCERNED_INTERVAL_S or not self._breaker.allows(now):
            return
        self._refreshed_at = now
        in_step = [mirrored for mirrored in self._builds if mirrored.in_step]
        steps = [step for mirrored in in_step if (step := _refreshing(mirrored, now)).moves]
        try:
            self._take(steps)
        except DocumentsUnavailable as error:
            self._unavailable([step.mirrored for step in steps], error)
        else:
            if steps:
                self._breaker.succeeded()

    def _catch_up(self, mirrored: "_Mirrored", conn: Connection) -> None:
        if not mirrored.checked:
            self._check(mirrored, conn)
        else:
            self._write_page(mirrored, conn)

    def _check(self, mirrored: "_Mirrored", conn: Connection) -> None:
        """Find out how far the documents go that are there."""
        sources = list(mirrored.following.cursors)
        values = self._documents.get_many([mirrored.checkpoint_key(source) for source in sources])
        found = dict(zip(sources, values, strict=True))
        points = {source: _parsed(value) for source, value in found.items()}
        foreign = [source for source, point in points.items() if not _is_ours(conn, point)]
        if foreign:
            # Documents of another history may claim higher positions than ours: none of them can stay.
            log.warning("documents_foreign", build=str(mirrored.following.build), partitions=len(foreign))
            self._documents.forget(mirrored.prefix)
            found = dict.fromkeys(sources)
            points = dict.fromkeys(sources)
        behind = {
            source: point.position if point else 0
            for source, point in points.items()
            if point is None or point.position < mirrored.following.cursors[source].position
        }
        mirrored.known = found
        mirrored.checked = True
        mirrored.rewriting = None
        if behind:
            mirrored.rewriting = _Rewriting(frozenset(behind), after=None, above=min(behind.values()))
            log.info("documents_rewriting", build=str(mirrored.following.build), above=min(behind.values()))

    def _write_page(self, mirrored: "_Mirrored", conn: Connection) -> None:
        """Write the next rows again; behind the last page, move the checkpoints to where the build stands."""
        rewriting = mirrored.rewriting
        assert rewriting is not None, "a build in step has nothing to write again"
        table = mirrored.following.table
        page = table.page(conn, after=rewriting.after, limit=ROWS_PER_STEP)
        some = [mirrored.document(key, row) for key, row in page if row.position > rewriting.above]
        self._metrics.rewritten(mirrored.following.build, len(some))
        if len(page) == ROWS_PER_STEP:
            mirrored.rewriting = msgspec.structs.replace(rewriting, after=page[-1][0])
            self._take([_marking(mirrored, some)])
            return
        mirrored.rewriting = None
        self._take([_moving(mirrored, mirrored.following.cursors, some)])

    def _take(self, steps: Sequence["_Step"]) -> None:
        """Write documents and checkpoints of all steps in one call; one that another worker disturbs fails alone."""
        moves = [move for step in steps for move in step.moves.values()]
        some = [document for step in steps for document in step.documents]
        if not moves and not some:
            return
        if self._documents.move_checkpoints(moves, documents=some) is None:
            for step in steps:
                step.mirrored.known.update({source: move.value for source, move in step.moves.items()})
                step.mirrored.written_at = self._clock()
        elif len(steps) > 1:
            for step in steps:
                self._take([step])
        else:
            log.warning("documents_moved_by_another", build=str(steps[0].mirrored.following.build))
            steps[0].mirrored.lose_track()

    def _withdraw(self, mirrored: "_Mirrored", source: Partition) -> None:
        key = mirrored.checkpoint_key(source)
        (found,) = self._documents.get_many([key])
        if self._documents.move_checkpoints([documents_.Move(key, found, _NOTHING.value)]) is not None:
            raise DocumentsUnavailable("another worker moved the checkpoint just now")
        if mirrored.in_step and found == mirrored.known.get(source):
            mirrored.known[source] = _NOTHING.value
        else:
            mirrored.lose_track()

    def _unavailable(self, mirrored: Sequence["_Mirrored"], error: DocumentsUnavailable) -> None:
        self._breaker.failed(self._clock())
        self._metrics.documents_unavailable.inc()
        concerned = [str(each.following.build) for each in mirrored]
        log.warning("documents_unavailable", builds=concerned, error=str(error))
        for each in self._builds:
            each.lose_track()


class _Step(msgspec.Struct, frozen=True):
    """Documents of one build to write, and checkpoints to move with them."""

    mirrored: "_Mirrored"
    moves: Mapping[Partition, documents_.Move]
    documents: list[Document]


class _Rewriting(msgspec.Struct, frozen=True):
    """Writing again every row of some partitions above a position, in key order, behind `after`."""

    sources: frozenset[Partition]
    after: Key | None
    above: int


class _Mirrored:
    """One build and what is known of its documents."""

    def __init__(self, following: Following, history: History) -> None:
        assert following.view.document is not None, "only document views are mirrored"
        self.following = following
        self.known: dict[Partition, bytes | None] = {}
        self.unmoved: dict[Partition, Cursor] = {}
        """Behind steps that wrote no documents."""
        self.checked = False
        self.rewriting: _Rewriting | None = None
        self.written_at = float("-inf")
        self.prefix = documents_.prefix(
            following.view.document,
            installation=history.installation,
            epoch=history.epoch,
            build=following.build.label,
        )

    @property
    def in_step(self) -> bool:
        """The documents go as far as the build, and its checkpoints are as this worker left them."""
        return self.checked and self.rewriting is None

    def lose_track(self) -> None:
        """Read again before writing."""
        self.checked, self.rewriting, self.known, self.unmoved = False, None, {}, {}

    def checkpoint_key(self, source: Partition) -> str:
        return documents_.checkpoint_key(self.prefix, partition=source)

    def document(self, key: Key, row: Versioned) -> Document:
        document_key = documents_.document_key(self.prefix, id_of(key))
        body = None if row.row is None else body_of(row.row)
        return Document(document_key, row.position, body, self.following.view.document_ttl_s)


def _behind(mirrored: _Mirrored, plan: Plan) -> _Step:
    """Steps after a commit."""
    some = [mirrored.document(key, row) for key, row in plan.rows.items()]
    if mirrored.in_step:
        return _moving(mirrored, {move.source: move.after for move in plan.moves}, some)
    return _marking(mirrored, some)


def _marking(mirrored: _Mirrored, some: list[Document]) -> _Step:
    """Write documents behind which rows are still to be written again, and a new mark into their checkpoints.

    A cache that is emptied or comes back old meanwhile no longer has the newest mark, so that what had been
    written before is never taken for being there.
    """
    assert mirrored.rewriting is not None, "a build in step has checkpoints that say how far it goes"
    moves = {
        source: documents_.Move(mirrored.checkpoint_key(source), mirrored.known.get(source), _new_mark())
        for source in mirrored.rewriting.sources
    }
    return _Step(mirrored, moves, some)


def _moving(mirrored: _Mirrored, cursors: Mapping[Partition, Cursor], some: list[Document]) -> _Step:
    """Write documents and move checkpoints forward; one that is ahead already stays."""
    moves = {
        source: documents_.Move(
            mirrored.checkpoint_key(source),
            mirrored.known.get(source),
            MirrorPoint(cursor.position, cursor.leaf).value,
        )
        for source, cursor in cursors.items()
        if cursor.position > _position(mirrored.known.get(source))
    }
    return _Step(mirrored, moves, some)


def _refreshing(mirrored: _Mirrored, now: float) -> _Step:
    """Move the checkpoints that steps without documents left behind; where none moved for long, leave them."""
    step = _moving(mirrored, mirrored.unmoved, [])
    mirrored.unmoved = {}  # a step that fails loses track
    if step.moves or now - mirrored.written_at < REFRESH_INTERVAL_S:
        return step
    return _keeping(mirrored)


def _keeping(mirrored: _Mirrored) -> _Step:
    """Leave the checkpoints where they are."""
    moves = {
        source: documents_.Move(mirrored.checkpoint_key(source), value, value)
        for source, value in mirrored.known.items()
        if value is not None
    }
    return _Step(mirrored, moves, [])


def _new_mark() -> bytes:
    """A checkpoint at the beginning that no other worker, and this one at no other time, would write."""
    return MirrorPoint(0, secrets.token_bytes(MARK_BYTES)).value


def _is_ours(conn: Connection, point: MirrorPoint | None) -> bool:
    """Whether the log holds what a checkpoint names; none, and one at the beginning, contradict nothing."""
    if point is None or point.position == 0:
        return True
    return point.leaf is not None and reading.leaf_at(conn, point.position) == point.leaf


def _parsed(value: bytes | None) -> MirrorPoint | None:
    if value is None:
        return None
    try:
        return documents_.parse_checkpoint(value)
    except ValueError:
        return MirrorPoint(-1, None)


def _position(value: bytes | None) -> int:
    return -1 if value is None else documents_.parse_checkpoint(value).position
