"""The events that a consumer has read and not answered yet: read in order, answered in any order.

A consumer says of each event that it is answered, or why it never will be. This module keeps the checkpoint, parks
keys and carries out the requests of operators.
"""

import time
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import structlog

from domain.event import EVENT_TYPES
from event_store.consumers import checkpoints, parking, skips
from event_store.consumers.checkpoints import Kind
from event_store.consumers.driver import ConsumerSession
from event_store.consumers.parking import Active, Failure, Request, Scope, Waiting
from event_store.consumers.starting import Start
from event_store.consumers.tailing import Outdated
from event_store.log import paging, reading
from event_store.log.codec import UnknownEventVersion
from event_store.log.decoding import Decoder
from event_store.log.envelope import RecordedEvent
from event_store.log.paging import Tail
from event_store.log.reading import Connection

EVENTS_PER_PAGE: Final = 1_000
POSITIONS_PER_PAGE: Final = 50_000
"""Events, and positions, that one reading of the log covers at most."""

CHECKPOINT_S: Final = 1.0
"""How often a checkpoint is written: what is repeated after a crash is cheap, not free."""

CHECK_EVERY_S: Final = 1.0
"""How often operators' requests are read and the lag is shown."""

SESSION: Final = {
    # A crash of the server may take back what was written last, and nothing before that: no append that it relies on.
    "synchronous_commit": "off",
}
"""Server settings of a consumer's session, in addition."""

log = structlog.get_logger()


class Progress:
    """How far a consumer came: `saved` is its checkpoint, `read` up to where it read, `open` what has no answer yet."""

    def __init__(self, saved: int) -> None:
        self.saved = self.read = saved
        self.open: dict[int, RecordedEvent] = {}

    @property
    def reached(self) -> int:
        """Just before the first open event: after a crash, all that had no answer is read again."""
        # Open events at or below the checkpoint were parked and are tried again: their rows of parked keys keep them.
        return min((each for each in self.open if each > self.saved), default=self.read + 1) - 1


class Backlog:
    """The events of one consumer that are read and not answered, and its parked keys. One thread."""

    def __init__(
        self,
        session: ConsumerSession,
        name: str,
        *,
        types: Iterable[str],
        start: Start,
        kind: Kind = "consumer",
        keys_max: int | None = None,
    ) -> None:
        """Go on from the checkpoint of a consumer that answers events of some types; one that is new is registered.

        While `keys_max` keys are parked, or too many events wait behind them, no more are read.

        Raises:
            Fork: the log does not hold the event at the checkpoint.
        """
        assert session.lease is not None, "one process at a time answers for a consumer"
        self._name, self._conn, self._metrics = name, session.conn, session.metrics
        self._active = Active(session.lease.name, session.lease.owner)
        self._scope = Scope(name)
        self._decoder = Decoder(types)
        self._keys_max = keys_max
        with self._conn.transaction():
            saved = checkpoints.enter(self._conn, name, start=start, kind=kind).mark.position
            checkpoints.note_answers(self._conn, name, self._decoder.types, since=saved)
        self.progress = Progress(saved)
        self._skipped = skips.read(self._conn, name, shape=None)
        parked = parking.of_scope(self._conn, self._scope)
        self._queued = {key: Waiting(each.queued, each.last_position) for key, each in parked.items()}
        """The events that wait behind each parked key."""
        self._retried: dict[str, int] = {}
        """Parked keys whose events are open again, with the request to try them."""
        self._saved_at_s = self._checked_at_s = float("-inf")

    @property
    def full(self) -> bool:
        """Whether so much is parked that no more is read."""
        queued = {key: each.events for key, each in self._queued.items()}
        return parking.takes_no_more(queued, keys_max=self._keys_max)

    @property
    def stems(self) -> list[str]:
        """What its types have in common with their other versions, for `read`."""
        return self._decoder.stems

    def take(self, tail: Tail) -> list[RecordedEvent]:
        """The next events to be answered, in order, among those that `read` found."""
        progress = self.progress
        if self.full or not tail.after <= progress.read < tail.reached:
            return []
        taken = self._taken(
            event
            for event in tail.events
            if event.position > progress.read and self._decoder.wants(event.type)
        )
        progress.read = tail.reached
        return taken

    def done(self, event: RecordedEvent) -> None:
        """Note that an event has its answer."""
        if self.progress.open.pop(event.position, None) is not None:
            self._unpark_if_done(event.key)

    def park(self, event: RecordedEvent, reason: str) -> None:
        """Note an event that can never be answered; whatever is open behind it in its key waits in the log now."""
        progress = self.progress
        behind = [
            each for each in progress.open if each > event.position and progress.open[each].key == event.key
        ]
        failure = Failure(
            event.key,
            position=event.position,
            stream=event.stream,
            version=event.version,
            type=event.type,
            reason=reason,
            queued=len(behind),
            last_position=max(behind, default=0),
        )
        parking.park(self._conn, self._scope, failure, active=self._active)
        # The row comes first: a crash from here on finds the key parked, and leaves what waits behind it in the log.
        for position in (event.position, *behind):
            progress.open.pop(position, None)
        before = self._queued.get(event.key, Waiting())
        self._queued[event.key] = Waiting(len(behind), max(before.last_position, event.position, *behind))
        if (request := self._retried.pop(event.key, None)) is not None:
            parking.close(self._conn, request, outcome=f"failed again: {reason}")
        log.error(
            "event_parked",
            consumer=self._name,
            partition_key=event.key,
            position=event.position,
            reason=reason,
            full=self.full,
        )

    def take_retries(self, head: int) -> list[RecordedEvent]:
        """Now and then show how far it is, and carry out requests: parked events that are to be answered now."""
        if time.monotonic() - self._checked_at_s < CHECK_EVERY_S:
            return []
        requests = parking.pending(self._conn, [self._name])
        again = [event for request in requests for event in self._tried_again(request)]
        lag = max(0, head - self.progress.saved)
        self._metrics.stands(self._name, lag_events=lag, parked_keys=len(self._queued))
        self._checked_at_s = time.monotonic()
        return again

    def save(self) -> None:
        """Now and then move the checkpoint.

        Raises:
            OpenAgain: another process was here.
        """
        if time.monotonic() - self._saved_at_s < CHECKPOINT_S:
            return
        reached = self.progress.reached
        if reached == self.progress.saved:
            return
        checkpoints.advance(
            self._conn, self._name, after=self.progress.saved, to=reached, active=self._active
        )
        self.progress.saved = reached
        self._saved_at_s = time.monotonic()

    def _taken(self, page: Iterable[RecordedEvent]) -> list[RecordedEvent]:
        """The events of a page that are answered now: neither skipped nor waiting behind a parked key."""
        taken: list[RecordedEvent] = []
        waiting: dict[str, Waiting] = {}
        for event in page:
            if event.type not in EVENT_TYPES:
                raise Outdated(str(UnknownEventVersion(event.type, position=event.position)))
            if event.position in self._skipped:
                continue
            if event.key in self._queued and event.key not in self._retried:
                # What is read again from an older checkpoint was counted, or is the event that failed.
                if event.position > self._queued[event.key].last_position:
                    waiting[event.key] = waiting.get(event.key, Waiting()).with_one_at(event.position)
                    self._queued[event.key] = self._queued[event.key].with_one_at(event.position)
            else:
                taken.append(event)
        parking.queue(self._conn, self._scope, waiting, active=self._active)
        self.progress.open |= {event.position: event for event in taken}
        return taken

    def _tried_again(self, request: Request) -> list[RecordedEvent]:
        """Open the events of a parked key; its row stays until all of them have their answer."""
        key = request.partition_key
        if key in self._retried:
            return []
        parked = parking.of_scope(self._conn, self._scope).get(key)
        outcome = parking.objection(request, parked, skipped=self._learned_skips)
        if parked is None or outcome:
            parking.close(self._conn, request.request, outcome=outcome)
            return []
        # Noted before the events are read, so that `_taken` takes them although their key is parked.
        self._retried[key] = request.request
        again: list[RecordedEvent] = []
        after = parked.position - 1
        while page := reading.read_key(self._conn, key, after=after, upto=parked.last_position):
            again += self._taken(event for event in page if self._decoder.wants(event.type))
            after = page[-1].position
        self._unpark_if_done(key)
        return again

    def _learned_skips(self) -> frozenset[int]:
        self._skipped = skips.read(self._conn, self._name, shape=None)
        return self._skipped

    def _unpark_if_done(self, key: str) -> None:
        if key in self._retried and not any(each.key == key for each in self.progress.open.values()):
            parking.unpark(self._conn, self._scope, key)
            parking.close(self._conn, self._retried.pop(key), outcome="done")
            del self._queued[key]
            log.info("key_unparked", consumer=self._name, partition_key=key)


def read(conn: Connection, backlogs: Collection[Backlog], *, stems: Sequence[str]) -> Tail:
    """The log's head, and one page of the log for consumers that read it together, from the hindmost of them on.

    Without any that takes events it is the head alone. `stems` are those of all of them.
    """
    takers = [each.progress.read for each in backlogs if not each.full]
    return paging.tail(
        conn,
        min(takers, default=0),
        stems=stems,
        rows_max=EVENTS_PER_PAGE if takers else 0,
        positions_max=POSITIONS_PER_PAGE,
    )
