"""What an operator requests about a parked key, without the command line."""

from event_store.consumers import parking
from event_store.consumers.parking import Connection


def request_retry(conn: Connection, consumer: str, key: str) -> int:
    """Request that a key is tried again where it stands."""
    return parking.ask(conn, "retry", parking.shown(conn, consumer, key)[0], actor="operator")


def request_skip(conn: Connection, consumer: str, key: str, *, position: int) -> int:
    """Request that a key goes on behind the event that it stands at."""
    (found,) = [each for each in parking.shown(conn, consumer, key) if each.position == position]
    return parking.ask(conn, "skip", found, actor="operator")
