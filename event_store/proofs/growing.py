"""Growing the tree by what the log gained, in two passes; and building it again from the log."""

from collections.abc import Sequence

from msgspec import Struct

from event_store.log import reading
from event_store.log.reading import Connection, Epoch
from event_store.proofs import merkle, rereading, tiles
from event_store.proofs.errors import Refused
from event_store.proofs.ledger import SealedTree
from event_store.proofs.merkle import Frontier
from event_store.proofs.tiles import Store, Tiles, TilesDamaged

EVENTS_PER_PASS_MAX = 80 * tiles.WIDTH
"""Leaves that memory holds: some tenths of a second of reading, and whole tiles."""


class Grown(Struct, frozen=True):
    """The root of the larger tree, and what its tiles replace: to be discarded once its checkpoint is published."""

    root: bytes
    replaced: Sequence[str]


def grown(conn: Connection, store: Store, sealed: SealedTree, *, upto: int) -> Grown:
    """Extend the tiles by the events up to a position, at or below the head that was read.

    What decides is not what was written but what is read: the rows a second time, and the tiles. A bit that flipped in
    memory or on its way to the disk is seen before anything is signed.

    Raises:
        LeafDiffers: a row is missing or is not what its leaf was computed over.
        TilesDamaged: the tiles are not the tree that was signed last; build it again.
        Refused: the passes came to different roots.
    """
    epochs = reading.epochs(conn)  # read behind the head, so every epoch up to it is there
    first, second = (_held(store, sealed) for _ in range(2))
    leaves = list(rereading.leaves(conn, after=sealed.size, upto=upto, epochs=epochs))
    replaced = tiles.extend(store, sealed.size, leaves)
    for leaf in leaves:
        first.append(leaf)
    for leaf in rereading.leaves(conn, after=sealed.size, upto=upto, epochs=reading.epochs(conn)):
        second.append(leaf)
    roots = first.root(), second.root(), merkle.root(upto, Tiles(store, upto))
    if len(set(roots)) > 1:
        shown = ", ".join(root.hex()[:16] for root in roots)
        raise Refused(
            f"the events {sealed.size + 1} to {upto} come to different roots in two passes and in tiles: {shown}"
        )
    return Grown(roots[0], replaced)


def holds(store: Store, *, size: int, root: bytes) -> bool:
    """Whether the tiles are a tree of this size with this root."""
    try:
        return merkle.root(size, Tiles(store, size)) == root
    except TilesDamaged:
        return False


def built_again(conn: Connection, store: Store, *, size: int) -> bytes:
    """Write all tiles of a tree of this size from the log, and answer with its root.

    Raises:
        LeafDiffers: a row is missing or is not what its leaf was computed over.
    """
    epochs: Sequence[Epoch] = reading.epochs(conn)
    for start in range(0, size, EVENTS_PER_PASS_MAX):
        end = min(size, start + EVENTS_PER_PASS_MAX)
        tiles.extend(store, start, list(rereading.leaves(conn, after=start, upto=end, epochs=epochs)))
    return merkle.root(size, Tiles(store, size))


def _held(store: Store, sealed: SealedTree) -> Frontier:
    frontier = Frontier.at(sealed.size, Tiles(store, sealed.size))
    if frontier.root() != sealed.root:
        raise TilesDamaged(f"the tiles are not the tree of {sealed.size} events that was signed")
    return frontier
