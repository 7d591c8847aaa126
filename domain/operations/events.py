"""Facts about running the shop that change what its views show, and therefore belong in the log."""

from domain.event import Event, event_type
from domain.moment import Moment


@event_type("projections.event_skipped.v1")
class EventSkipped(Event, frozen=True, kw_only=True):
    """An operator let a parked key go on without one event.

    Every fold of `view` in `shape` leaves out the event at `position` of `partition_key`; the stream is
    `skips-<view>`. `actor` is a pseudonymous id, `reason` in words.
    """

    partition_key: str
    view: str
    shape: int
    position: int
    actor: str
    reason: str
    skipped_at: Moment


@event_type("policies.trigger_skipped.v1")
class TriggerSkipped(Event, frozen=True, kw_only=True):
    """An operator let a policy go on without deciding about one event: this is all that came of it.

    The event stands at `position`, its partition key is `partition_key`; the stream is `skips-<policy>`.
    `actor` is a pseudonymous id, `reason` in words.
    """

    policy: str
    partition_key: str
    position: int
    actor: str
    reason: str
    skipped_at: Moment
