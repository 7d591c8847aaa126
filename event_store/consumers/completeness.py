"""Whether consumers that answer events in the log did: every trigger up to a checkpoint has an outcome.

Or its key is parked, or an operator had it skipped. A checkpoint that was moved ahead, an outcome that was deleted and
a trigger that got another position all leave a trigger without its outcome, for the outcome's key follows from it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from event_store.consumers import skips
from event_store.consumers.settling import CausingEvent, ReactingConsumer, ReactingConsumers
from event_store.log import codec, reading
from event_store.log.envelope import RecordedEvent
from event_store.log.findings import Finding
from event_store.log.reading import Connection, Epoch

_REACHED: Final = """
select t.consumer, t.type, greatest(t.since_position, r.registered_position), c.position
from consumers.answered_type t
join consumers.registration r on r.consumer = t.consumer
join consumers.checkpoint c on c.consumer = t.consumer and c.generation = 0
"""
_PARKED: Final = """
select consumer, partition_key, position, last_position from consumers.parked where shape = 0 and build = 0
"""
_ANSWERED: Final = "select key from log.outcome where key = any(%s)"


class _Reach(Struct, frozen=True):
    """Which events of a type a consumer has to have answered: those behind `since`, up to `upto`."""

    since: int
    upto: int


class Triggers:
    """Events that consumers must have answered, as of now."""

    def __init__(self, connection: Connection, followers: ReactingConsumers) -> None:
        """Read checkpoints and parked keys in one snapshot, and what is skipped behind it: it only grows."""
        self._connection = connection
        self._followers = followers
        with connection.transaction():
            connection.execute("set transaction isolation level repeatable read, read only")
            self._reach = {
                (str(consumer), str(type_name)): _Reach(int(since), int(upto))
                for consumer, type_name, since, upto in connection.execute(_REACHED)
            }
            self._parked = {
                (str(consumer), str(key)): (int(first), int(last))
                for consumer, key, first, last in connection.execute(_PARKED)
            }
            self._installation = reading.history(connection).installation
            self._epochs: Sequence[Epoch] = reading.epochs(connection)
        names = {consumer for consumer, _ in self._reach}
        self._skipped = {name: skips.read(connection, name, shape=None) for name in names}

    @property
    def upto(self) -> int:
        """The last position that anybody has to have answered."""
        return max((each.upto for each in self._reach.values()), default=0)

    def unanswered(
        self, *, after: int = 0, on_progress: Callable[[int], None] = lambda _: None
    ) -> Iterator[Finding]:
        """Events without an answer that are neither parked nor skipped, by position.

        Args:
            after: the position behind which to begin.
            on_progress: called with the position reached, after each segment.
        """
        types = [name for name in self._followers if any(key[1] == name for key in self._reach)]
        step = reading.POSITIONS_PER_SHORT_SEGMENT
        for start in range(after, self.upto if types else after, step):
            end = min(self.upto, start + step)
            yield from self._of(list(reading.copy_log(self._connection, after=start, upto=end, types=types)))
            on_progress(end)

    def _of(self, segment: Sequence[RecordedEvent]) -> Iterator[Finding]:
        expected = [
            (event, follower, key)
            for event in segment
            for follower in self._followers[event.type]
            if self._has_to_be_answered(event, follower) and (key := self._key(event, follower)) is not None
        ]
        if not expected:
            return
        keys = [key for _, _, key in expected]
        found = {bytes(key) for (key,) in self._connection.execute(_ANSWERED, [keys])}
        for event, follower, key in expected:
            if key not in found:
                message = (
                    f"{follower.consumer} is through with {event.type} of {event.stream}, and there is no outcome:"
                    " its checkpoint was moved ahead, an outcome deleted, or the event had another position"
                )
                yield Finding(event.position, "trigger-unanswered", message)

    def _has_to_be_answered(self, event: RecordedEvent, follower: ReactingConsumer) -> bool:
        reach = self._reach.get((follower.consumer, event.type))
        if reach is None or not reach.since < event.position <= reach.upto:
            return False
        first, last = self._parked.get((follower.consumer, event.key), (0, -1))
        return not first <= event.position <= last and event.position not in self._skipped[follower.consumer]

    def _key(self, event: RecordedEvent, follower: ReactingConsumer) -> bytes | None:
        """The key of the outcome; None where the event cannot be read, which others find."""
        epoch = reading.epoch_of(self._epochs, event.position)
        try:
            return follower.key(
                CausingEvent(self._installation, epoch, event.position, event.type, event.payload)
            )
        except (codec.CodecError, ValueError):
            return None
