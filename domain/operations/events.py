"""Acts of operators: what they had a running shop do differently, who, when and why."""

from domain.event import Event, event_type
from domain.moment import Moment
from domain.text import Actor, Reason, Stream, Word


@event_type("operations.event_skipped.v1")
class EventSkipped(Event, frozen=True, kw_only=True):
    """An operator let a consumer, a view or a process manager, go on without one event of a parked key.

    The event stands at `position`, its partition key is `partition_key`; the stream is `skips-<consumer>`. Every fold
    of a view in `shape` leaves it out. A process manager has no shape, and this is all that came of the event. `actor`
    is a pseudonymous id, `reason` in words.
    """

    consumer: Word
    shape: int | None
    partition_key: Stream
    position: int
    actor: Actor
    reason: Reason
    skipped_at: Moment


@event_type("operations.retry_requested.v1")
class RetryRequested(Event, frozen=True, kw_only=True):
    """An operator wants the events of a parked key tried again, from the one at `position` on."""

    consumer: Word
    partition_key: Stream
    position: int
    actor: Actor
    reason: Reason
    requested_at: Moment


@event_type("operations.rebuild_requested.v1")
class RebuildRequested(Event, frozen=True, kw_only=True):
    """An operator wants a new build of a view, folded from the log next to the live one."""

    view: Word
    actor: Actor
    reason: Reason
    requested_at: Moment


@event_type("operations.promotion_requested.v1")
class PromotionRequested(Event, frozen=True, kw_only=True):
    """An operator wants this build of a view to answer queries."""

    view: Word
    shape: int
    build: int
    actor: Actor
    reason: Reason
    requested_at: Moment


@event_type("operations.rollback_requested.v1")
class RollbackRequested(Event, frozen=True, kw_only=True):
    """An operator wants this build of a view, which answered before, to answer queries again."""

    view: Word
    shape: int
    build: int
    actor: Actor
    reason: Reason
    requested_at: Moment


@event_type("operations.drop_requested.v1")
class DropRequested(Event, frozen=True, kw_only=True):
    """An operator wants this build of a view, which does not answer queries, removed."""

    view: Word
    shape: int
    build: int
    actor: Actor
    reason: Reason
    requested_at: Moment


@event_type("operations.pause_requested.v1")
class PauseRequested(Event, frozen=True, kw_only=True):
    """An operator wants a consumer, or the workers of a view, to do nothing until it is resumed."""

    consumer: Word
    actor: Actor
    reason: Reason
    requested_at: Moment


@event_type("operations.resume_requested.v1")
class ResumeRequested(Event, frozen=True, kw_only=True):
    """An operator wants a consumer, or a view, that was paused to go on."""

    consumer: Word
    actor: Actor
    reason: Reason
    requested_at: Moment
