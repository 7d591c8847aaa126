"""The content of a certificate of a view: its rows as they are stored, and as the log, or a bundle of it, makes them.

Stored rows are read once, in one snapshot with the checkpoints, parked keys and skips that say which events are in
them; the log is folded after it, in passes over parts of the keys. So a certificate is exact while workers write.
"""

import hashlib
import importlib.util
from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

from event_store.consumers import parking
from event_store.consumers.parking import ParkedKey
from event_store.log import reading
from event_store.proofs.certificate import Certificate
from event_store.proofs.evidence import Evidence
from projections import builds, replay, verifying
from projections.buckets import Bucket
from projections.errors import ViewDiffers
from projections.folding import decoder_of
from projections.replay import WHOLE, Folding, Target, TooManyRows, canonical
from projections.row_tree import RowTree
from projections.storing import BuildId, Connection, Table
from projections.view import GLOBAL, KEYED, View


class Rows(Struct, frozen=True):
    """The rows of a build, and what of the log is in them: events up to `size`, those that `target` holds."""

    target: Target
    size: int
    parked: tuple[ParkedKey, ...]
    stopped: str | None
    rows: int
    root: bytes

    @property
    def positions(self) -> tuple[int, ...]:
        """The last position that is in the rows, of each partition."""
        reach = self.target.reach or {}
        return tuple(reach.get(source, 0) for source in range(self.target.partitions))


def certified(
    conn: Connection,
    view: View[Any],
    build: BuildId,
    *,
    on_progress: Callable[[int], None] = lambda _position: None,
) -> Rows:
    """The rows of a build that the log makes, now.

    Args:
        conn: role counterfoil_reader, in autocommit mode; nothing else may use it.
        view: in the shape of the build.
        build: one that follows the log.
        on_progress: called with the position reached, in each pass.

    Raises:
        ViewDiffers: the log makes other rows of them.
        BuildRefused: it is still being folded.
        FoldFailed, UnknownEventVersion: the log cannot be folded.
    """
    stored = _stored(conn, view, build)
    upto = max(stored.positions, default=0)

    def folded(bucket: Bucket) -> Folding:
        (folding,) = replay.fold_all(
            conn,
            [stored.target],
            upto=upto,
            bucket=bucket,
            rows_max=verifying.FOLDED_ROWS_MAX,
            on_progress=on_progress,
        )
        return folding

    with _in_passes(folded, rows=stored.rows) as tree:
        if (tree.rows, tree.root()) != (stored.rows, stored.root):
            raise ViewDiffers(
                f"the rows of {build} are not what the log makes of them: `counterfoil audit verify` names them"
            )
    return stored


def recomputed(
    read: Callable[[], Iterable[Evidence]],
    view: View[Any],
    certificate: Certificate,
    *,
    wanted: str | None = None,
) -> RowTree:
    """The rows that the events of a bundle make, of those events that a certificate says are in its rows.

    Args:
        read: the events of the bundle from its beginning, in order; called once for each pass.
        view: in the certificate's shape.
        certificate: which events are in the rows.
        wanted: the key of a row that is to be proven, its parts joined by `~`.

    Raises:
        FoldFailed, UnknownEventVersion: an event that should be in the rows cannot be folded.
    """
    target = Target(
        view,
        frozenset(certificate.skips),
        reach=dict(enumerate(certificate.positions)),
        parked={each.partition_key: each.position for each in certificate.parked},
        partitions=len(certificate.positions),
    )
    decoder = decoder_of([view])

    def folded(bucket: Bucket) -> Folding:
        events = (event.recorded() for event in read() if decoder.wants(event.type))
        rows_max = verifying.FOLDED_ROWS_MAX
        (folding,) = replay.fold_events(events, [target], bucket=bucket, rows_max=rows_max)
        return folding

    return _in_passes(folded, rows=certificate.rows, wanted=wanted)


def fold_version(view: View[Any]) -> str:
    """A digest of what folds a view: its declaration, and the source of the modules in which row type and folds stand.

    Two programs with one digest make the same rows of the same events, as far as these modules decide it. With another
    digest they may: a comment changes it too.
    """
    declared = {
        "name": view.name,
        "shape": view.shape,
        "kind": (GLOBAL if view.kind is GLOBAL else KEYED).value,
        "key": view.key,
        "columns": [(column.name, column.sql_type, column.nullable) for column in view.columns],
        "events": view.event_types,
    }
    digest = hashlib.sha256(canonical(declared))
    for module in view.modules:
        spec = importlib.util.find_spec(module)
        source = getattr(spec and spec.loader, "get_source", lambda _: None)(module)
        digest.update(canonical([module, source]))
    return digest.hexdigest()


def _stored(conn: Connection, view: View[Any], build: BuildId) -> Rows:
    table = Table(view, build)
    with RowTree() as tree:
        with conn.transaction():
            conn.execute("set transaction isolation level repeatable read")
            target = verifying.target(conn, view, build)
            size = reading.head(conn).position
            parked = parking.of_scope(conn, build.scope)
            stopped = builds.found(conn, build).stopped
            for key, row in table.bucket(conn, WHOLE):
                tree.add(key, canonical(row.row), position=row.position)
        return Rows(
            target,
            size,
            tuple(sorted(parked.values(), key=lambda each: each.partition_key)),
            stopped,
            tree.rows,
            tree.root(),
        )


def _in_passes(folded: Callable[[Bucket], Folding], *, rows: int, wanted: str | None = None) -> RowTree:
    """Fold as often as memory needs it; the caller closes the tree."""
    passes = max(1, -(-rows // verifying.ROWS_PER_PASS_MAX))
    while True:
        tree = RowTree(wanted=wanted)
        try:
            for number in range(passes):
                found = folded(Bucket(number, passes)).rows
                for key in found:
                    packed = found.body(key)
                    assert packed is not None, "a key that the rows have"
                    tree.add(key, packed[0], position=packed[1])
        except TooManyRows:
            tree.close()
            passes *= 2
        except BaseException:
            tree.close()
            raise
        else:
            return tree
