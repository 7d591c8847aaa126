"""The driver of group commit for plain threads: a thread that finds no other sending sends for all.

There is no thread in the background and no timer. A thread that queues a request while none is at the server becomes
the leader and sends it at once. Threads that come meanwhile queue theirs and sleep. When the verdicts are there, the
leader hands the lead to the oldest thread that still waits, which sends all that gathered, and wakes the others.

A lost answer is not a failure: the batch is sent again under its keys, as by `writer`.
"""

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import psycopg
import structlog

from event_store.log import patient_connection, reading
from event_store.log.appending import limits, wire
from event_store.log.appending.batching import Batcher, Queued
from event_store.log.appending.errors import (
    AppendError,
    EpochChanged,
    InvalidRequest,
    LogUnusable,
    OutcomeUnknown,
    StoreUnavailable,
    WriterClosed,
)
from event_store.log.envelope import AppendRequest, Verdict
from event_store.log.patient_connection import PatientConnection

log: structlog.stdlib.BoundLogger = structlog.wrap_logger(
    logging.getLogger(__name__),
    wrapper_class=structlog.stdlib.BoundLogger,
    processors=[
        structlog.stdlib.filter_by_level,
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(key_order=["event"]),
    ],
)
"""Through the standard library: this writer lives in other people's programs, whose standard output is not ours."""

ANSWER_TIMEOUT_S: Final = limits.STATEMENT_TIMEOUT_MS / 1000 + 3.0
"""A server that has not answered by then is frozen or cut off: the connection is given up."""

DRAIN_TIMEOUT_S: Final = 8.0
"""How long `close` waits for the queue to empty."""

_SESSION: Final = {
    "lock_timeout": f"{limits.LOCK_TIMEOUT_MS}ms",
    "statement_timeout": f"{limits.STATEMENT_TIMEOUT_MS}ms",
    "synchronous_commit": "on",
}


class ThreadedWriter:
    """Appends requests to the log, many threads' in one batch.

    Any thread may call any method. A process forked from this one begins with a connection and a queue of its own.
    """

    def __init__(self, url: str, *, name: str = "threaded writer") -> None:
        """The connection is opened by the first append."""
        self._url = url
        self._name = name
        self._closed = False
        self._lines: dict[
            int, _Line
        ] = {}  # by process: what a fork inherits must not be touched, nor collected

    def append(self, request: AppendRequest) -> Verdict:
        """The log's verdict on a request, once it is durable.

        Raises:
            InvalidRequest, QueueFull, WriterClosed: nothing was queued.
            StoreUnavailable, LogUnusable, EpochChanged: nothing was stored. After EpochChanged the next append is sent
                into the new epoch: what the caller knows from before must be read again first.
            OutcomeUnknown: it may be stored; the same key tells.
        """
        if self._closed:
            raise WriterClosed("this writer was closed")
        return self._line().append(request)

    def close(self) -> None:
        """Accept no more requests, send those that wait, and disconnect."""
        self._closed = True
        line = self._lines.get(os.getpid())
        if line is not None:
            line.close()

    def _line(self) -> "_Line":
        line = self._lines.get(os.getpid())
        if line is None:
            line = self._lines.setdefault(os.getpid(), _Line(_Sender(self._url, name=self._name)))
        return line


class _Ticket:
    """The lock that a thread waits for until it has its outcome or becomes the leader."""

    __slots__ = ("_asleep", "outcome")

    def __init__(self) -> None:
        self.outcome: Verdict | AppendError | None = None
        self._asleep = threading.Lock()
        self._asleep.acquire()

    def sleep(self) -> None:
        self._asleep.acquire()

    def wake(self) -> None:
        self._asleep.release()


_Batch = Sequence[Queued[_Ticket]]
_Outcomes = list[tuple[_Ticket, Verdict | AppendError]]


class _Line:
    """The threads of one process that append, and which of them leads."""

    def __init__(self, sender: "_Sender") -> None:
        self._sender = sender
        self._lock = (
            threading.RLock()
        )  # a collected application may close its writer in the middle of an append
        self._unled = threading.Condition(self._lock)
        self._batcher: Batcher[_Ticket] = Batcher()
        self._leader: _Ticket | None = None
        self._closing = False

    def append(self, request: AppendRequest) -> Verdict:
        ticket = _Ticket()
        try:
            if not self._join(request, ticket):
                ticket.sleep()
            if ticket.outcome is None:
                self._send()
        except BaseException:
            self._leave(ticket)
            raise
        assert ticket.outcome is not None, "the leader's own request is the first of its batch"
        if isinstance(ticket.outcome, AppendError):
            raise ticket.outcome
        return ticket.outcome

    def _join(self, request: AppendRequest, ticket: _Ticket) -> bool:
        """Queue a request; whether its thread leads."""
        with self._lock:
            if self._closing:
                raise WriterClosed("this writer is draining")
            self._batcher.offer(request, ticket)
            if self._leader is None:
                self._leader = ticket
            return self._leader is ticket

    def close(self) -> None:
        with self._unled:
            self._closing = True
            if self._unled.wait_for(lambda: self._leader is None, DRAIN_TIMEOUT_S):
                self._sender.disconnect()

    def _send(self) -> None:
        """Lead once: send what gathered, hand the lead on, wake everybody who was sent for."""
        with self._lock:
            batch, refused = self._batcher.take()
        outcomes: _Outcomes = [*refused]
        try:
            outcomes += self._outcomes(batch)
        except BaseException as error:  # an interrupted thread: the others must not sleep for ever
            outcomes += self._unknown(batch, error)
            raise
        finally:
            self._hand_on()
            for ticket, outcome in outcomes:
                ticket.outcome = outcome
                ticket.wake()

    def _hand_on(self) -> None:
        with self._unled:
            self._leader = self._batcher.queue[0].ticket if self._batcher.queue else None
            if self._leader is not None:
                self._leader.wake()
                return
            if self._closing:
                self._sender.disconnect()
            self._unled.notify_all()

    def _leave(self, ticket: _Ticket) -> None:
        """Take back the request of a thread that stops waiting, if it was not sent, and its lead, if it has it."""
        with self._lock:
            self._batcher.queue = deque(each for each in self._batcher.queue if each.ticket is not ticket)
            if self._leader is ticket:
                self._hand_on()

    def _outcomes(self, batch: _Batch) -> _Outcomes:
        """The outcome of each request of a batch. One that fails does not fail the others."""
        if not batch:
            return []
        try:
            verdicts = self._sender.verdicts(batch, hurry=lambda: self._closing)
        except InvalidRequest as error:
            if len(batch) == 1:
                return self._failed(batch, error)
            log.warning("batch_refused_by_server", requests=len(batch), reason=str(error))
            return [outcome for queued in batch for outcome in self._outcomes([queued])]
        except AppendError as error:
            return self._failed(batch, error)
        except Exception as error:  # the outer loop of the leader: it logs, fails the batch and continues
            log.exception("append_failed", requests=len(batch))
            return self._unknown(batch, error)
        with self._lock:
            return [*self._batcher.settle(batch, verdicts)]

    def _failed(self, batch: _Batch, error: AppendError) -> _Outcomes:
        with self._lock:
            return [(ticket, error) for ticket in self._batcher.fail(batch)]

    def _unknown(self, batch: _Batch, error: BaseException) -> _Outcomes:
        self._sender.disconnect()
        return self._failed(batch, OutcomeUnknown(f"the writer failed: {error!r}"))


class _Sender:
    """The connection of a line; only its leader uses it."""

    def __init__(self, url: str, *, name: str) -> None:
        self._url = url
        self._name = name
        self._connection: PatientConnection | None = None
        self._epoch: int | None = None

    def verdicts(self, batch: _Batch, *, hurry: Callable[[], bool]) -> list[Verdict]:
        """The server's verdicts, asking again while the answer is lost and time is left; in a hurry only once."""
        requests = [queued.request for queued in batch]
        deadline = time.monotonic() + limits.RESEND_WINDOW_S
        pause, lost = limits.RESEND_PAUSE_S, False
        while True:
            try:
                return self._call(self._connected(), requests)
            except (EpochChanged, LogUnusable) as error:
                if lost:
                    raise OutcomeUnknown(f"{error} before it answered") from error
                raise
            except (StoreUnavailable, _AnswerLost) as error:
                log.warning("append_without_answer", requests=len(batch), reason=str(error))
                reason: Exception = error
                lost = lost or isinstance(error, _AnswerLost)
            if time.monotonic() + pause >= deadline or hurry():
                raise (OutcomeUnknown if lost else StoreUnavailable)(str(reason)) from reason
            time.sleep(pause)
            pause = min(pause * 2, limits.RESEND_PAUSE_MAX_S)

    def disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()

    def _connected(self) -> PatientConnection:
        """The connection, a new one if need be.

        One that finds the log in another epoch serves from the next batch on: what this batch was decided on may be
        what the log has lost.
        """
        if self._connection is not None:
            return self._connection
        try:
            connection = patient_connection.connect(
                self._url,
                role="counterfoil_writer",
                name=self._name,
                answer_timeout_s=ANSWER_TIMEOUT_S,
                settings=_SESSION,
            )
            with contextlib.ExitStack() as until_usable:
                until_usable.callback(connection.close)
                wire.register(connection)
                epoch = reading.head(connection).epoch
                until_usable.pop_all()
        except (psycopg.ProgrammingError, LookupError) as error:
            raise LogUnusable(str(error).strip()) from error
        except psycopg.Error as error:
            raise StoreUnavailable(str(error).strip()) from error
        self._connection = connection
        known, self._epoch = self._epoch, epoch
        if known is not None and known != epoch:
            raise EpochChanged(known)
        return connection

    def _call(self, connection: PatientConnection, requests: Sequence[AppendRequest]) -> list[Verdict]:
        assert self._epoch is not None
        try:
            with connection.cursor(binary=True) as cursor:
                cursor.execute(wire.CALL, wire.arguments(requests, epoch=self._epoch))
                return wire.verdicts(requests, cursor.fetchall())
        except psycopg.Error as error:
            raise self._translated(error) from error

    def _translated(self, error: psycopg.Error) -> Exception:
        """The error for waiting callers, from the driver's. A connection that is of no more use is dropped."""
        if error.sqlstate == wire.WRONG_EPOCH:
            known = self._epoch
            self.disconnect()
            assert known is not None
            self._epoch = None
            return EpochChanged(known)
        if self._connection is None or self._connection.broken or self._connection.closed:
            self.disconnect()
            return _AnswerLost(str(error).strip() or type(error).__name__)
        if isinstance(error, psycopg.DataError | psycopg.IntegrityError):
            return InvalidRequest(str(error))
        if isinstance(error, psycopg.ProgrammingError):
            self.disconnect()
            return LogUnusable(str(error).strip())
        return StoreUnavailable(str(error).strip())


class _AnswerLost(Exception):
    """The connection ended before the verdicts came."""
