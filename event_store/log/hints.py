"""Hints that events were appended, so that those who wait for some need not poll.

A NOTIFY inside the append's transaction would hold a lock of the whole cluster until the flush is done and cost half of
the append rate. So a thread of the writing process sends it in a transaction of its own, after the events are durable
and at most once in `HINT_PAUSE_S`. A hint can be lost, with the process or with a connection; a consumer that waits for
one therefore also reads again every now and then.
"""

import contextlib
import hashlib
import os
import select
import socket
import threading
import weakref
from collections.abc import Callable
from typing import Final

import psycopg
from psycopg import sql

from event_store.log import patient_connection
from event_store.log.patient_connection import PatientConnection
from runtime.database import Role

LOG: Final = "counterfoil:log"
"""The channel of hints that something was appended, by whomever."""

HINT_PAUSE_S: Final = 0.05
"""Shortest time between two hints of one process; what is recorded meanwhile is covered by the next one.

Who heard a hint reads again for about as long, so that a steady flow of appends is not one of hints.
"""

POLL_S: Final = 1.0
"""How long a listener waits for a hint before the log is to be read all the same."""

ANSWER_TIMEOUT_S: Final = 5.0
"""How long to wait for a server that lets us listen, or takes a hint."""

DRAIN_TIMEOUT_S: Final = 5.0
"""How long closing waits for a last hint."""

# A hint need not be durable: without this each would wait for a flush of its own.
_NOTIFY: Final = (
    "select set_config('synchronous_commit', 'off', true), pg_notify(channel, '')"
    " from unnest(%s::text[]) as channels (channel)"
)
_DIGEST_CHARACTERS: Final = 16


def channel_of(category: str) -> str:
    """The channel of an application's hints; a category can be longer than the name of a channel may be."""
    digest = hashlib.sha256(category.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return f"counterfoil_application_{digest}"


def send(connection: PatientConnection, *channels: str) -> None:
    """Send one hint on each of these channels, in a transaction of its own."""
    connection.execute(_NOTIFY, [list(channels)])


class HintSender:
    """Sends hints from a thread of its own, one for what many threads have recorded. Never fails."""

    def __init__(self, send_hint: Callable[[], None], *, pause_s: float = HINT_PAUSE_S) -> None:
        """No thread is started before the first hint. `send_hint` may raise what psycopg does."""
        self._send_hint = send_hint
        self._pause_s = pause_s
        self._threads: dict[int, _SendingThread] = {}  # by process: a thread does not survive a fork

    def request(self) -> None:
        """Have a hint sent soon."""
        thread = self._threads.get(os.getpid())
        if thread is None:
            thread = self._threads.setdefault(
                os.getpid(), _SendingThread(self._send_hint, pause_s=self._pause_s)
            )
        thread.request()

    def close(self) -> None:
        """Let the last hint be sent, and end the thread."""
        thread = self._threads.get(os.getpid())
        if thread is not None:
            thread.close()


class _SendingThread:
    def __init__(self, send_hint: Callable[[], None], *, pause_s: float) -> None:
        self._send_hint = send_hint
        self._pause_s = pause_s
        self._due = threading.Event()
        self._closing = threading.Event()
        self._start = threading.Lock()
        self._thread: threading.Thread | None = None

    def request(self) -> None:
        self._due.set()
        if self._thread is None and self._start.acquire(blocking=False):
            self._thread = threading.Thread(target=self._run, name="counterfoil hints", daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._due.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(DRAIN_TIMEOUT_S)

    def _run(self) -> None:
        while True:
            self._due.wait()
            self._due.clear()
            with contextlib.suppress(psycopg.Error):
                self._send_hint()
            if self._closing.wait(self._pause_s):
                return


class LogHints:
    """Hints of a process that appends, over a connection of its own: it waits for nothing that is appended."""

    def __init__(self, url: str, *, name: str) -> None:
        """Nothing is connected before the first hint."""
        self._url = url
        self._name = name
        self._connection: PatientConnection | None = None
        self._sender = HintSender(self._send)

    def request(self) -> None:
        """Have a hint sent soon."""
        self._sender.request()

    def close(self) -> None:
        """Let the last hint be sent, and disconnect."""
        self._sender.close()
        self._disconnect()

    def _send(self) -> None:
        if self._connection is None:
            self._connection = patient_connection.connect(
                self._url, role=None, name=f"{self._name} hints", answer_timeout_s=ANSWER_TIMEOUT_S
            )
        try:
            send(self._connection, LOG)
        except psycopg.Error:
            self._disconnect()
            raise

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()


class HintListener:
    """A connection for hints. One thread waits; any may wake it for good.

    Without a connection it only waits: who waits polls then, and tries to listen again each time.
    """

    def __init__(
        self, url: str, *, name: str, channel: str, role: Role | None = "counterfoil_writer"
    ) -> None:
        """Nothing is connected yet. To listen takes no right: `role` None is the login's own."""
        self._url = url
        self._name = name
        self._role: Role | None = role
        self._channel = channel
        self._ends = _Ends()
        self._finalizer = weakref.finalize(self, self._ends.close)

    def listen(self) -> bool:
        """Listen, if need be anew, and forget the hints that came: what is read after this is newer than they are.

        Whether there is a connection.
        """
        if self._ends.connection is None:
            with contextlib.suppress(psycopg.Error):
                self._ends.connection = self._connected()
        self._forget()
        return self._ends.connection is not None

    def wait(self) -> None:
        """Sleep until there is a hint, until it is time to poll, or for ever awake once `wake` was called."""
        listening = select.poll()
        listening.register(self._ends.woken, select.POLLIN)
        if self._ends.connection is not None:
            listening.register(self._ends.connection.fileno(), select.POLLIN)
        listening.poll(POLL_S * 1_000)

    def wake(self) -> None:
        """End the wait of the other thread, now and later."""
        self._ends.waking.close()  # the other end is readable from now on

    def close(self) -> None:
        """Disconnect; only when no thread waits."""
        self._finalizer()

    def _connected(self) -> PatientConnection:
        connection = patient_connection.connect(
            self._url, role=self._role, name=self._name, answer_timeout_s=ANSWER_TIMEOUT_S
        )
        with contextlib.ExitStack() as until_usable:
            until_usable.callback(connection.close)
            connection.execute(sql.SQL("listen {}").format(sql.Identifier(self._channel)))
            until_usable.pop_all()
        return connection

    def _forget(self) -> None:
        connection = self._ends.connection
        if connection is None:
            return
        try:
            connection.pgconn.consume_input()
        except psycopg.Error:
            self._ends.disconnect()
            return
        while connection.pgconn.notifies() is not None:
            pass


class _Ends:
    """What a listener holds open, apart from it, so that it can be closed when the listener is collected."""

    def __init__(self) -> None:
        self.connection: PatientConnection | None = None
        self.waking, self.woken = socket.socketpair()

    def disconnect(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()

    def close(self) -> None:
        self.disconnect()
        self.waking.close()
        self.woken.close()
