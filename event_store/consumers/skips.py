"""Events that an operator had a consumer skip: read from the log before anything is folded."""

from domain.operations.skips import SKIPS, Skipped
from event_store.log import codec, reading
from event_store.log.reading import Connection


def read(conn: Connection, consumer: str, *, shape: int | None) -> frozenset[int]:
    """Positions of the events that this consumer, in this shape if it has one, passes over."""
    skipped: Skipped = frozenset()
    version = 0
    while page := reading.read_stream(conn, SKIPS.stream(consumer), after_version=version):
        for recorded in page:
            skipped = SKIPS.evolve(skipped, codec.decode(recorded.type, recorded.payload))
        version = page[-1].version
    return frozenset(position for of, position in skipped if of == shape)
