"""Leaves computed again from stored rows: what the tree is made of, and what a checkpoint is held against."""

from collections.abc import Iterator, Sequence

from event_store.log import reading
from event_store.log.leaf import leaf_of
from event_store.log.reading import Connection, Epoch


class LeafDiffers(Exception):
    """A row is missing, or is not what its leaf was computed over."""

    def __init__(self, position: int, message: str) -> None:
        super().__init__(f"position {position}: {message}; run `counterfoil audit verify`")
        self.position = position


def leaves(connection: Connection, *, after: int, upto: int, epochs: Sequence[Epoch]) -> Iterator[bytes]:
    """The leaves of the events behind a position up to another, each computed from the stored bytes, in order.

    Args:
        connection: in autocommit mode; a statement reads below a millisecond, so that appends do not wait for it.
        after: the position before the first.
        upto: the last position; at or below the head.
        epochs: as they are known after the head was read.

    Raises:
        LeafDiffers: a row is missing, or its stored leaf is another.
    """
    expected, ahead = after, list(epochs)
    epoch = ahead.pop(0).epoch if ahead else 0
    for event in reading.copy_segments(
        connection, after=after, upto=upto, positions=reading.POSITIONS_PER_SHORT_SEGMENT
    ):
        expected += 1
        if event.position != expected:
            raise LeafDiffers(expected, "the row is missing")
        while ahead and event.position >= ahead[0].first_position:
            epoch = ahead.pop(0).epoch
        computed = leaf_of(event, epoch=epoch)
        if computed != event.leaf:
            raise LeafDiffers(event.position, "the row is not what its leaf was computed over")
        yield computed
    if expected < upto:
        raise LeafDiffers(expected + 1, "the row is missing")
