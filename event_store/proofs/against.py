"""The log held against a checkpoint that somebody kept: whether its first events are still those that were sealed."""

from collections.abc import Callable, Sequence
from typing import Final

from event_store.log import reading, unreadable
from event_store.log.findings import FINDINGS_MAX, Finding
from event_store.log.leaf import leaf_of
from event_store.log.reading import Connection, Epoch
from event_store.proofs import merkle, tiles
from event_store.proofs.checkpoint import Checkpoint
from event_store.proofs.merkle import Frontier
from event_store.proofs.resuming import CHECKPOINT_FILE
from event_store.proofs.tiles import Store, Tiles, TilesDamaged

OF_THE_LOG: Final = frozenset({"log-cut", "root-mismatch", "seal-broken"})
"""Kinds of findings that say that the log is not what was sealed; others are about tiles."""

_NOTHING: Final = b"\x00" * merkle.HASH_BYTES
"""Stands for a leaf that is missing: no event has it."""
_NO_EVENT: Final = b"\xff" * merkle.HASH_BYTES
"""Stands for the leaf of a row with values that no event has, and of several rows at one position."""


def findings(
    connection: Connection,
    kept: Checkpoint,
    *,
    store: Store,
    on_progress: Callable[[int], None] = lambda _: None,
    give_way: Callable[[], None] = lambda: None,
) -> list[Finding]:
    """What is no longer as it was sealed; nothing if the log's first events have the root of the checkpoint.

    Args:
        connection: in autocommit mode, in a role that may read schema log.
        kept: a checkpoint whose signature was verified.
        store: where tiles may be.
        on_progress: called with the position reached.
        give_way: called after each piece of work.
    """
    head = reading.head(connection).position
    if head < kept.size:
        message = f"the log ends at {head:,}, and {kept.size:,} events were sealed: its end was cut off"
        return [Finding(head + 1, "log-cut", message)]
    epochs = reading.epochs(connection)  # read behind the head, so every epoch up to it is there
    held = Held(store, size=kept.size, root=kept.root)
    for start in range(0, kept.size, reading.POSITIONS_PER_SHORT_SEGMENT):
        end = min(kept.size, start + reading.POSITIONS_PER_SHORT_SEGMENT)
        leaves = _leaves(connection, after=start, upto=end, epochs=epochs)
        for position, leaf in enumerate(leaves, start=start + 1):
            held.see(position, leaf)
        on_progress(end)
        give_way()
    return held.findings()


class Held:
    """Leaves in the order of their positions, held against a root that was signed and the leaves of the tiles.

    Which event was changed, a root does not tell. The tiles do, if they still lead to that root.
    """

    def __init__(self, store: Store, *, size: int, root: bytes, after: int = 0) -> None:
        """Begin behind a position, up to which the tiles are trusted.

        Raises:
            TilesDamaged: the tiles up to there cannot be read.
        """
        self._store = store
        self._size = size
        self._root = root
        self._tiles = Tiles(store, size)
        self._differing = _Differing(self._tiles)
        self._frontier = Frontier.at(after, self._tiles) if after else Frontier()

    def see(self, position: int, leaf: bytes) -> None:
        """Take the next leaf."""
        if position <= self._size:
            self._differing.see(position, leaf)
            self._frontier.append(leaf)

    def findings(self) -> list[Finding]:
        """What is no longer as it was sealed, once every leaf up to the size was seen."""
        if self._frontier.root() == self._root:
            return _of_tiles(self._store, self._size, self._differing.found)
        if self._differing.found and self._tiles_lead_there():
            return self._differing.found
        unknown = f"the first {self._size:,} events are not those that were sealed; without tiles nobody can say which"
        return [Finding(0, "root-mismatch", unknown)]

    def _tiles_lead_there(self) -> bool:
        try:
            return merkle.root(self._size, self._tiles) == self._root
        except (TilesDamaged, OSError):
            return False


def _of_tiles(store: Store, size: int, differing: list[Finding]) -> list[Finding]:
    """The log is as it was sealed: what differs then is a tile, which the sealer can build again."""
    if store.read(CHECKPOINT_FILE) is None:
        return []  # the tiles are somewhere else
    found = [
        f"the leaf of position {each.position} in its tile is not that of the event" for each in differing
    ]
    found += tiles.damaged(store, size)
    remedy = "stop the sealer, remove the folder and start it: it builds the tree again"
    return [Finding(0, "tile-damaged", f"{each}: {remedy}") for each in found[:FINDINGS_MAX]]


class _Differing:
    """Leaves that are not those of the tiles."""

    def __init__(self, sealed: Tiles) -> None:
        self.found: list[Finding] = []
        self._tiles = sealed

    def see(self, position: int, leaf: bytes) -> None:
        if len(self.found) == FINDINGS_MAX:
            return
        try:
            sealed = self._tiles.leaf(position - 1)
        except (TilesDamaged, OSError):
            return
        if leaf == sealed:
            return
        message = (
            "the row is missing, and was sealed"
            if leaf == _NOTHING
            else "the row was changed after it was sealed: stream, version, type, time, metadata or payload"
        )
        self.found.append(Finding(position, "seal-broken", message))


def _leaves(connection: Connection, *, after: int, upto: int, epochs: Sequence[Epoch]) -> list[bytes]:
    """The leaves of the rows at these positions as they are now; of those that are missing, nothing."""
    found = [_NOTHING] * (upto - after)
    events, damaged = unreadable.events(connection, after=after, upto=upto)
    for event in events:
        epoch = reading.epoch_of(epochs, event.position)
        place = event.position - after - 1
        found[place] = leaf_of(event, epoch=epoch) if found[place] is _NOTHING else _NO_EVENT
    for position in damaged:
        found[position - after - 1] = _NO_EVENT
    return found
