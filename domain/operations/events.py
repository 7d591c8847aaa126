"""Facts about running the shop that change what it shows or does, and therefore belong in the log."""

from domain.event import Event, event_type
from domain.moment import Moment


@event_type("operations.event_skipped.v1")
class EventSkipped(Event, frozen=True, kw_only=True):
    """An operator let a consumer, a view or a process manager, go on without one event of a parked key.

    The event stands at `position`, its partition key is `partition_key`; the stream is `skips-<consumer>`. Every fold
    of a view in `shape` leaves it out. A process manager has no shape, and this is all that came of the event. `actor`
    is a pseudonymous id, `reason` in words.
    """

    consumer: str
    shape: int | None
    partition_key: str
    position: int
    actor: str
    reason: str
    skipped_at: Moment
