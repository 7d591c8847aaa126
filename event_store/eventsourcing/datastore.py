"""The database behind an application: connections to read from, the writer, and errors in the library's words.

How this module's errors and the log's become the library's:

    eventsourcing.persistence.PersistenceError
    ├── InterfaceError           the application was closed
    └── DatabaseError
        ├── DataError            a value that the log cannot hold, more than one append may hold
        ├── IntegrityError       somebody else has recorded this version, or tracked this position
        ├── OperationalError     no server, no answer (the outcome is unknown then), a full queue, another epoch
        └── ProgrammingError     the database was not migrated, or the login lacks a role
"""

import contextlib
import os
import select
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, LiteralString, TypeVar

import psycopg
from eventsourcing import persistence

from event_store.log import hints, patient_connection
from event_store.log.appending import errors, limits
from event_store.log.appending.threaded import ThreadedWriter
from event_store.log.envelope import (
    Accepted,
    AppendRequest,
    ConditionFailed,
    Replayed,
    TrackedAlready,
    WrongVersion,
)
from event_store.log.hints import HintListener, HintSender
from event_store.log.patient_connection import PatientConnection

READ_TIMEOUT_S: Final = 30.0
"""How long a reader waits for the server before it gives the connection up."""

CONNECTION_WAIT_S: Final = 30.0
"""How long a reader waits for another to give its connection back."""

HINT_PAUSE_S: Final = 0.005
"""Shortest time between two hints: subscriptions of an application wait for nothing else."""

RETRY_WINDOW_S: Final = limits.RESEND_WINDOW_S
"""How long a read is tried again when the server is lost."""

T = TypeVar("T")

_TRANSLATED: Final[tuple[tuple[type[psycopg.Error], type[persistence.PersistenceError]], ...]] = (
    (psycopg.InterfaceError, persistence.InterfaceError),
    (psycopg.OperationalError, persistence.OperationalError),
    (psycopg.DataError, persistence.DataError),
    (psycopg.IntegrityError, persistence.IntegrityError),
    (psycopg.InternalError, persistence.InternalError),
    (psycopg.ProgrammingError, persistence.ProgrammingError),
    (psycopg.NotSupportedError, persistence.NotSupportedError),
    (psycopg.DatabaseError, persistence.DatabaseError),
    (psycopg.Error, persistence.PersistenceError),
)


_UNMIGRATED: Final = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.InvalidSchemaName,
)


class Datastore:
    """One application's way to the database. Any thread may use it, and so may processes forked from this one."""

    def __init__(self, url: str, *, application: str, readers_max: int) -> None:
        """Nothing is connected yet.

        Args:
            url: libpq connection string or URI.
            application: the category of its streams, shown in `pg_stat_activity` too.
            readers_max: connections that may be open for reading at once.
        """
        name, channel = f"application {application}", hints.channel_of(application)
        self._readers = readers = _Readers(url, name=name, size=readers_max)
        self._writer = ThreadedWriter(url, name=name)
        self._hints = HintSender(lambda: _send_hint(readers, channel), pause_s=HINT_PAUSE_S)
        self._finalizer = weakref.finalize(self, _close, readers, self._writer, self._hints)
        self._new_listener = partial(HintListener, url, name=name, channel=channel)

    def read(self, question: Callable[[PatientConnection], T]) -> T:
        """The result of a query, repeated while the server is lost and time is left.

        Raises:
            persistence.PersistenceError: as the module says.
        """
        deadline = time.monotonic() + RETRY_WINDOW_S
        pause = limits.RESEND_PAUSE_S
        while True:
            try:
                with translated(), self._readers.connection() as connection:
                    return question(connection)
            except persistence.OperationalError:
                if time.monotonic() + pause >= deadline:
                    raise
            time.sleep(pause)
            pause = min(pause * 2, limits.RESEND_PAUSE_MAX_S)

    def write(self, change: Callable[[PatientConnection], T]) -> T:
        """What a change of tables next to the log answers, in one transaction, tried once."""
        with translated(), self._readers.connection() as connection, connection.transaction():
            return change(connection)

    def append(self, request: AppendRequest) -> list[int]:
        """The positions of the request's events, once they are durable.

        Raises:
            persistence.PersistenceError: as the module says.
        """
        with translated():
            verdict = self._writer.append(request)
        match verdict:
            case Accepted(first, last) | Replayed(first, last):
                if first:
                    self._hints.request()
                return list(range(first, last + 1)) if first else []
            case WrongVersion(stream, expected, actual):
                raise persistence.IntegrityError(_conflict(stream, max(expected, -1) + 1, actual))
            case ConditionFailed(position=position):
                raise persistence.IntegrityError(f"the event at position {position} matches the condition")
            case TrackedAlready(position):
                raise persistence.IntegrityError(f"position {position} has been tracked already")
            case _:
                raise AssertionError(f"a request under a new key, without a chain, got {verdict}")

    def listener(self) -> HintListener:
        """For one subscription: what tells it of new events."""
        return self._new_listener()

    def close(self) -> None:
        """Send what waits to be appended and disconnect."""
        self._finalizer()


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise the library's error for a driver's error, or one of appending."""
    try:
        yield
    except psycopg.Error as error:
        for theirs, ours in _TRANSLATED:
            if isinstance(error, theirs):
                raise ours(_explained(error)) from error
        raise
    except errors.InvalidRequest as error:
        raise persistence.DataError(str(error)) from error
    except errors.WriterClosed as error:
        raise persistence.InterfaceError(str(error)) from error
    except errors.LogUnusable as error:
        cause = error.__cause__
        raise persistence.ProgrammingError(
            _explained(cause) if isinstance(cause, psycopg.Error) else str(error)
        ) from error
    except errors.AppendError as error:
        raise persistence.OperationalError(f"{type(error).__name__}: {error}") from error


def _conflict(stream: str, version: int, actual: int) -> str:
    """Why this version is not the stream's next one; the log answers 0 for no events as for a last one of version 0."""
    if actual == 0 and version > 0:
        return (
            f"stream {stream} does not exist, or ends with version 0: its next event is not version {version}"
        )
    return f"stream {stream} is at version {actual}: its next event is not version {version}"


def _explained(error: psycopg.Error) -> str:
    if isinstance(error, _UNMIGRATED):
        return f"{error.diag.message_primary}: run `counterfoil migrate`"
    return str(error).strip() or type(error).__name__


def _send_hint(readers: "_Readers", channel: str) -> None:
    with contextlib.suppress(persistence.PersistenceError), readers.connection() as connection:
        hints.send(connection, channel, hints.LOG)


def _close(readers: "_Readers", writer: ThreadedWriter, sender: HintSender) -> None:
    writer.close()
    sender.close()
    readers.close()


@dataclass(slots=True)
class _Kept:
    """Connections of one process: those that nobody uses now, and how many more may be opened."""

    free: threading.Semaphore
    idle: list[PatientConnection] = field(default_factory=list)


class _Readers:
    """At most `size` connections, each for one thread at a time, opened when needed and kept."""

    def __init__(self, url: str, *, name: str, size: int) -> None:
        self._url = url
        self._name = name
        self._size = size
        self._closed = False
        self._kept: dict[
            int, _Kept
        ] = {}  # by process: what a fork inherits must not be touched, nor collected

    @contextlib.contextmanager
    def connection(self) -> Iterator[PatientConnection]:
        if self._closed:
            raise psycopg.InterfaceError("this application was closed")
        kept = self._kept.get(os.getpid())
        if kept is None:
            kept = self._kept.setdefault(os.getpid(), _Kept(threading.Semaphore(self._size)))
        if not kept.free.acquire(timeout=CONNECTION_WAIT_S):
            raise persistence.ConnectionUnavailableError(
                f"all {self._size} connections were in use for {CONNECTION_WAIT_S} s"
            )
        try:
            yield from self._lent(kept)
        finally:
            kept.free.release()

    def close(self) -> None:
        self._closed = True
        kept = self._kept.get(os.getpid())
        if kept is not None:
            _disconnect(kept)

    def _lent(self, kept: _Kept) -> Iterator[PatientConnection]:
        connection = self._taken(kept)
        try:
            yield connection
        except BaseException:
            if connection.closed:
                _disconnect(kept)  # what ended this one has ended the others as well, most likely
            raise
        finally:
            if not connection.closed:
                kept.idle.append(connection)
            if self._closed:
                _disconnect(kept)

    def _taken(self, kept: _Kept) -> PatientConnection:
        with contextlib.suppress(IndexError):
            while True:
                connection = kept.idle.pop()
                if not _has_ended(connection):
                    return connection
                connection.close()
        return patient_connection.connect(
            self._url, role="counterfoil_writer", name=self._name, answer_timeout_s=READ_TIMEOUT_S
        )


def _has_ended(connection: PatientConnection) -> bool:
    """Whether the server said good-bye while nobody listened: it has nothing else to say to an idle session."""
    listening = select.poll()
    listening.register(connection.fileno(), select.POLLIN)
    return bool(listening.poll(0))


def _disconnect(kept: _Kept) -> None:
    with contextlib.suppress(IndexError):
        while True:
            connection = kept.idle.pop()
            with contextlib.suppress(psycopg.Error):
                connection.close()


def rows(
    connection: PatientConnection, statement: LiteralString, given: dict[str, Any]
) -> list[tuple[Any, ...]]:
    """The result of a statement."""
    with connection.cursor(binary=True) as cursor:
        return cursor.execute(statement, given).fetchall()
