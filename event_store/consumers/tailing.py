"""The step of a declared consumer: the events of a page of the log are handled and its checkpoint moved at once.

An event whose handler fails is taken back and tried again; when it keeps failing its partition key is parked: later
events of the key wait in the log, in order, and other keys go on. What fails because a server does is tried for ever.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import structlog
from psycopg import errors
from psycopg.pq import TransactionStatus

from event_store.consumers import checkpoints, parking, skips
from event_store.consumers.checkpoints import Mark
from event_store.consumers.consumer import LogConsumer
from event_store.consumers.driver import Consumer, ConsumerSession
from event_store.consumers.parking import Active, Failure, ParkedKey, Request, Scope, Waiting
from event_store.log import paging, reading
from event_store.log.codec import UnknownEventVersion
from event_store.log.envelope import RecordedEvent

EVENTS_PER_PAGE: Final = 1_000
"""Events that one transaction handles at most."""
POSITIONS_PER_PAGE: Final = 50_000
"""Positions that one page looks through at most, however few of them are of the wanted types."""
TRIES_MAX: Final = 3
"""How often an event is tried before its key is parked."""
CHECK_EVERY_S: Final = 0.5
"""How often requests of operators are read and the lag is shown."""
REQUESTS_PER_CHECK: Final = 20
WAITING_PER_READ: Final = 100
"""Events of a parked key that memory holds at a time."""

SESSION: Final = {
    # A handler that computes this long between two statements holds the checkpoint's row for that long.
    "idle_in_transaction_session_timeout": "30s",
    # What is handled and the checkpoint are in one transaction, so a crash of the server takes back both or neither.
    "synchronous_commit": "off",
    "statement_timeout": "60s",
    "lock_timeout": "10s",
    "jit": "off",
}
"""Server settings of a consumer's session."""

_NOT_THE_EVENTS_FAULT: Final = (
    errors.OperationalError,
    OSError,
    # Tables and rights that are missing: parking all keys of the log would not bring them.
    errors.InsufficientPrivilege,
    errors.InvalidSchemaName,
    errors.UndefinedTable,
)

log = structlog.get_logger()


class Outdated(Exception):
    """An event of this consumer is newer than this program: it waits for another one, and holds up nobody else."""


class HandlerFailed(Exception):
    """An event cannot be handled; what its transaction did was taken back."""

    def __init__(self, event: RecordedEvent, reason: str) -> None:
        super().__init__(f"the event at position {event.position} fails: {reason}")
        self.event = event
        self.reason = reason


def consumer(declared: LogConsumer) -> Consumer:
    """The work of a declared consumer, for the driver."""
    return Consumer(
        name=declared.name,
        role="counterfoil_writer",
        open=lambda session: Tailing(session, declared),
        lease=declared.lease,
        settings=SESSION,
        outages=(Outdated,),
    )


class Tailing:
    """A declared consumer at work, from taking the lease on. One thread."""

    def __init__(
        self, session: ConsumerSession, declared: LogConsumer, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Go on from the checkpoint; a consumer that is new is registered, and prepares its tables.

        Raises:
            Fork: the log does not hold the event at the checkpoint.
        """
        assert session.lease is not None, "one process at a time tails the log for a consumer"
        self._conn = session.conn
        self._metrics = session.metrics
        self._name = declared.name
        self._active = Active(session.lease.name, session.lease.owner)
        self._scope = Scope(declared.name)
        self._dispatch = declared.dispatch()
        self._full = False
        self._clock = clock
        self._checked_at_s = float("-inf")
        self._tries: Counter[int] = Counter()
        with self._conn.transaction():
            entered = checkpoints.enter(self._conn, declared.name, start=declared.start)
            if entered.begins:
                declared.prepare(self._conn)
        self._mark = entered.mark
        self._skipped = skips.read(self._conn, self._name, shape=None)
        parked = parking.of_scope(self._conn, self._scope)
        self._queued = {key: each.queued for key, each in parked.items()}
        """How many events wait behind each parked key."""

    def round(self) -> int:
        """Handle and commit one page of the log; how many positions it led on, 0 when there was nothing to handle.

        Raises:
            OpenAgain: another process was here.
            Outdated: an event is newer than this program.
            psycopg.Error: start a new session.
        """
        before, checks = self._mark.position, self._clock() - self._checked_at_s >= CHECK_EVERY_S
        if checks:
            self._carry_out_requests()
        tail = paging.tail(
            self._conn,
            before,
            stems=self._dispatch.stems,
            rows_max=0 if self._is_full() else EVENTS_PER_PAGE,
            positions_max=POSITIONS_PER_PAGE,
        )
        if checks:
            lag, keys = max(0, tail.head - before), len(self._queued)
            self._metrics.stands(self._name, lag_events=lag, parked_keys=keys)
        if tail.reached <= before:
            return 0
        events = [event for event in tail.events if self._dispatch.wants(event.type)]
        self._advance(events, self._end_of(events, tail.reached))
        return max(1, tail.head - before)

    def close(self) -> None:
        """Remove its metrics."""
        self._metrics.left(self._name)

    def _is_full(self) -> bool:
        """Whether too many events wait behind parked keys; logged when it begins."""
        reason = parking.overflow(self._queued)
        if reason is not None and not self._full:
            log.error("consumer_full", consumer=self._name, reason=reason)
        self._full = reason is not None
        return self._full

    def _end_of(self, events: Sequence[RecordedEvent], reached: int) -> Mark:
        if events and events[-1].position == reached:
            return Mark(reached, events[-1].leaf)
        return Mark(reached, reading.leaf_at(self._conn, reached))

    def _advance(self, events: Sequence[RecordedEvent], to: Mark) -> None:
        """Commit these events, or those before one that fails; if it is the first, it is tried again, then parked."""
        while True:
            try:
                self._commit(events, to)
            except HandlerFailed as failed:
                self._tries[failed.event.position] += 1
                before = [event for event in events if event.position < failed.event.position]
                if not before:
                    if self._tries[failed.event.position] >= TRIES_MAX:
                        self._park(failed)
                    return
                events, to = before, Mark(before[-1].position, before[-1].leaf)
            else:
                return

    def _commit(self, events: Sequence[RecordedEvent], to: Mark) -> None:
        waiting: dict[str, Waiting] = {}
        with self._moving(to):
            for event in events:
                if event.key in self._queued:
                    waiting[event.key] = waiting.get(event.key, Waiting()).with_one_at(event.position)
                else:
                    self._handle(event)
            parking.queue(self._conn, self._scope, waiting)
        for key, behind in waiting.items():
            self._queued[key] += behind.events

    @contextmanager
    def _moving(self, to: Mark) -> Iterator[None]:
        """A transaction that moves the checkpoint, or is rolled back as a whole."""
        with self._conn.transaction():
            checkpoints.hold(self._conn, self._name, self._mark, active=self._active)
            yield
            checkpoints.move(self._conn, self._name, to)
        self._mark = to
        for position in [each for each in self._tries if each <= to.position]:
            del self._tries[position]

    def _handle(self, event: RecordedEvent) -> None:
        if event.position in self._skipped:
            return
        try:
            self._dispatch.handle(self._conn, event)
        except UnknownEventVersion as error:
            raise Outdated(str(error)) from error
        except Exception as error:
            if self._conn.broken or _is_not_the_events_fault(error):
                raise
            raise HandlerFailed(event, f"{type(error).__name__}: {error}") from error
        if self._conn.info.transaction_status is not TransactionStatus.INTRANS:
            raise HandlerFailed(
                event, "the handler ended the transaction, or kept an error of Postgres to itself"
            )

    def _park(self, failed: HandlerFailed) -> None:
        event = failed.event
        with self._moving(Mark(event.position, event.leaf)):
            parking.park(self._conn, self._scope, _failure(failed))
        self._queued[event.key] = 0
        log.error(
            "event_parked",
            consumer=self._name,
            partition_key=event.key,
            position=event.position,
            reason=failed.reason,
            exc_info=failed.__cause__,
        )

    def _carry_out_requests(self) -> None:
        """Carry out requests of operators."""
        self._checked_at_s = self._clock()
        for request in parking.pending(self._conn, [self._name], limit=REQUESTS_PER_CHECK):
            outcome = self._carry_out(request)
            log.info("parked_key_request", consumer=self._name, kind=request.kind, outcome=outcome)

    def _carry_out(self, request: Request) -> str:
        """Carry out an operator's request, and save its outcome."""
        parked = parking.of_scope(self._conn, self._scope).get(request.partition_key)
        outcome = parking.objection(request, parked, skipped=self._learned_skips)
        if parked is None or outcome:
            parking.close(self._conn, request.request, outcome=outcome)
            return outcome
        return self._resume(request, parked)

    def _learned_skips(self) -> frozenset[int]:
        self._skipped = skips.read(self._conn, self._name, shape=None)
        return self._skipped

    def _resume(self, request: Request, parked: ParkedKey) -> str:
        """Handle the event at which a key stands and those behind it, up to the first that fails."""
        failed: HandlerFailed | None = None
        tries: Counter[int] = Counter()
        while True:
            try:
                return self._resume_before(failed, request, parked)
            except HandlerFailed as again:
                tries[again.event.position] += 1
                if tries[again.event.position] >= TRIES_MAX:
                    failed = again  # next time only the events before it

    def _resume_before(self, failed: HandlerFailed | None, request: Request, parked: ParkedKey) -> str:
        key = parked.partition_key
        upto = parked.last_position if failed is None else failed.event.position - 1
        queued = 0 if failed is None else self._count_behind(failed.event, upto=parked.last_position)
        outcome = "done" if failed is None else f"failed again: {failed}"
        with self._moving(self._mark):
            for event in self._of_key(key, after=parked.position - 1, upto=upto):
                self._handle(event)
            if failed is None:
                parking.unpark(self._conn, self._scope, key)
            else:
                parking.park(self._conn, self._scope, _failure(failed, queued=queued))
            parking.close(self._conn, request.request, outcome=outcome)
        self._queued.pop(key)
        if failed is not None:
            self._queued[key] = queued
        return outcome

    def _count_behind(self, event: RecordedEvent, *, upto: int) -> int:
        return sum(1 for _ in self._of_key(event.key, after=event.position, upto=upto))

    def _of_key(self, key: str, *, after: int, upto: int) -> Iterator[RecordedEvent]:
        """The events of a key that are this consumer's concern, in order."""
        while page := reading.read_key(self._conn, key, after=after, upto=upto, limit=WAITING_PER_READ):
            yield from (event for event in page if self._dispatch.wants(event.type))
            after = page[-1].position


def _failure(failed: HandlerFailed, *, queued: int = 0) -> Failure:
    event = failed.event
    return Failure(
        partition_key=event.key,
        position=event.position,
        stream=event.stream,
        version=event.version,
        type=event.type,
        reason=failed.reason,
        tries=TRIES_MAX,
        queued=queued,
    )


def _is_not_the_events_fault(error: Exception) -> bool:
    """Whether the event may succeed later, after a change of a server or of this program."""
    return isinstance(error, _NOT_THE_EVENTS_FAULT) and not isinstance(error, errors.ProgramLimitExceeded)
