"""The one driver of consumers: connects, holds leases, waits, retries and shows how each consumer of a process is.

A consumer is a name, a database role, a lease if only one process may do its work, and a step that is opened when the
work begins. The driver knows nothing else of it, and no consumer has a loop of its own.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal, Protocol

import psycopg
import structlog
from msgspec import Struct
from prometheus_client import CollectorRegistry

from event_store.consumers.backoff import LONGEST_S, Backoff
from event_store.consumers.errors import FinalError, OpenAgain
from event_store.consumers.health import ConsumerHealth, Health
from event_store.consumers.lease import Lease, new_owner
from event_store.consumers.metrics import ConsumerMetrics
from event_store.consumers.news import News
from event_store.consumers.pausing import Pause
from event_store.log.hints import HINT_PAUSE_S
from event_store.transport.generations import Connection, NoGeneration
from event_store.transport.transport import Fork, RefusedByWitness, TransportError
from runtime import database
from runtime.database import Role

IDLE_WAIT_GROWTH: Final = 1.25
"""Where hints are not heard, each idle round is followed by a longer wait than the one before."""
UNCONCERNED_S_MAX: Final = 0.25
"""The longest that news waits for a consumer that the news before it did not concern."""
STANDBY_WAIT_S: Final = 0.5
"""How often a standby reads the lease."""
OPEN_AGAIN_WAIT_S: Final = 0.1
"""The pause before a step is opened again that asked for it."""
STEADY_AFTER_S: Final = 2.0
"""A consumer that worked this long without a failure begins at the shortest backoff again."""

SESSION: Final[Mapping[str, str]] = MappingProxyType({"idle_in_transaction_session_timeout": "10s"})
"""Server settings of every session, unless a consumer has others: who freezes inside a transaction has locks that its
standby waits for."""

OUTAGES: Final = (psycopg.OperationalError, psycopg.InterfaceError, TransportError, NoGeneration)
"""Errors of a server that is away or not set up yet; they are logged without a traceback."""

log = structlog.get_logger()


class ConsumerSession(Struct):
    """A consumer's resources during one connection."""

    conn: Connection
    """In autocommit mode, in the consumer's role; used by the consumer's thread only."""
    lease: Lease | None
    """Held whenever a step is opened or makes a round; None for a consumer without one."""
    stop: threading.Event
    """Set when the process is to end: rounds that wait check it."""
    news: News
    """Shared by the consumers of this process: to be announced by one that saw new events of the log."""
    metrics: ConsumerMetrics
    database_url: str
    """For further connections."""


class ConsumerWork(Protocol):
    """The work of a consumer from taking the lease to losing it, or for one session if there is no lease."""

    def round(self) -> int:
        """Do one bounded piece of work; returns how many events or other items were handled, 0 if there was none.

        Raises:
            OpenAgain: the step is at its end and another one is to be opened.
            FinalError: the process has to end.
            Exception: the session ends; another one begins behind a backoff.
        """

    def close(self) -> None:
        """Release what was opened; called once, also behind a round that failed."""


class Waits(Struct, frozen=True):
    """The waits between rounds, in seconds.

    Behind an idle round: the first, and the longest once nothing was found for as long as a hint may be held back;
    where hints are not heard, growing from the first. News ends a wait that is past the first. Where idle rounds follow
    each other because of news, as of a consumer of rare events in a busy shop, the first doubles up to a limit.

    Behind any other: what is left of the pace, since each round has a price however little it finds. The pace is kept
    by small rounds only: it shrinks with what a round did, and at a backlog there is none.
    """

    first_s: float = 0.025
    longest_s: float = 0.25
    unhinted_s: float = 0.25
    """The longest where processes that append are not heard."""
    pace_s: float = 0.025
    """From the begin of a round to the begin of the next."""
    backlog: int = 100
    """A round that did so much is followed by the next at once."""

    def pause_s(self, done: int, *, took_s: float) -> float:
        """How long to wait after a round that did something."""
        return max(0.0, self.pace_s * (1 - done / self.backlog) - took_s)

    def idle_s(self, before_s: float | None, *, quiet_s: float, hinted: bool) -> float:
        """How long to wait behind an idle round; `before_s` is the wait behind the idle round before it, if any."""
        if hinted:
            return self.first_s if quiet_s < HINT_PAUSE_S else self.longest_s
        return self.first_s if before_s is None else min(before_s * IDLE_WAIT_GROWTH, self.unhinted_s)

    def unconcerned_s(self, woken: int) -> float:
        """How long news is to wait behind an idle round, when so many before it were idle in spite of news."""
        return min(self.first_s * 2.0 ** min(woken, 10), max(self.first_s, UNCONCERNED_S_MAX))


NO_WAITS: Final = Waits(first_s=0.0, longest_s=0.0, unhinted_s=0.0, pace_s=0.0)
"""The pace of a step whose rounds wait themselves."""


class Consumer(Struct, frozen=True):
    """The work of one thread of a process."""

    name: str
    """In health, metrics, logs and the name of its sessions."""
    role: Role
    open: Callable[[ConsumerSession], ConsumerWork]
    """Begin to work; may raise what `ConsumerWork.round` may."""
    lease: str | None = None
    """The row in runtime.lease that lets one process at a time work."""
    waits: Waits = Waits()
    settings: Mapping[str, str] = MappingProxyType({})
    """Server settings of the session, in addition to SESSION or instead."""
    outages: tuple[type[Exception], ...] = ()
    """Errors of its own, in addition to OUTAGES, that are no defect."""
    members: tuple[str, ...] = ()
    """Names of parts of it: where one of them is paused, all of it is."""
    pausable: bool = True
    """False: it carries out what ends a pause."""


def run(
    consumers: Sequence[Consumer],
    *,
    database_url: str,
    stop: threading.Event,
    registry: CollectorRegistry,
    health: Health | None = None,
    news: News | None = None,
) -> None:
    """Run consumers, each in a thread of its own, until `stop` is set; each then finishes the round it is in.

    Args:
        consumers: what to run; their names differ.
        database_url: a login that may take their roles.
        stop: set it to end; set here too when a consumer failed for good.
        registry: where the metrics of `measures` go.
        health: what readiness shows.
        news: what ends the waits of idle consumers.

    Raises:
        FinalError: the first that a consumer raised; all others were stopped.
    """
    names = [consumer.name for consumer in consumers]
    assert len(set(names)) == len(names), "the names of consumers differ"
    health = health or Health()
    health.host(names)
    metrics, news = ConsumerMetrics(registry), news or News()
    failures: list[BaseException] = []

    def host(consumer: Consumer) -> None:
        around = _Surroundings(database_url, stop, news, metrics)
        try:
            _Driver(consumer, around, health.consumers[consumer.name]).run()
        except BaseException as failure:  # noqa: BLE001 - raised again by the thread that called `run`
            failures.append(failure)
            stop.set()

    threads = [
        threading.Thread(target=host, args=(consumer,), name=consumer.name, daemon=True)
        for consumer in consumers
    ]
    for thread in threads:
        thread.start()
    stop.wait()
    news.announce()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


class _Surroundings(Struct, frozen=True):
    """A consumer's resources besides its connection and its lease."""

    database_url: str
    stop: threading.Event
    news: News
    metrics: ConsumerMetrics


Turned = Literal["busy", "idle", "standby", "again"]


class Hosted:
    """One consumer on one connection: stands by or works, round by round. The caller waits between two rounds."""

    def __init__(self, consumer: Consumer, session: ConsumerSession, *, health: ConsumerHealth) -> None:
        """Nothing is read before the first round."""
        self.step: ConsumerWork | None = None
        """The open step."""
        self.done = 0
        """The result of the last round."""
        self.seen = session.news.count
        """How much news there was when the last round began."""
        self._consumer = consumer
        self._session = session
        self._health = health
        self._term = 0
        """The term of the lease in which the step was opened."""
        self._reason = ""
        """Why it is opened again, until it was opened."""
        self._pause = Pause(session.conn, (consumer.name, *consumer.members) if consumer.pausable else ())
        self._active = session.metrics.active.labels(consumer.name)
        self._active.set(0)

    def round(self) -> Turned:
        """Hold the lease, open the step if none is open, and run one round.

        Raises:
            Exception: what the consumer or the database raised; close and begin a new session.
        """
        if not self._hold():
            self._close_step()
            self._show_standby()
            return "standby"
        if self._pause.holds():
            # The lease stays: another holder would be paused, too, and what waits for this consumer goes on waiting.
            self._close_step()
            self._show_paused()
            return "standby"
        try:
            step = self.step or self._open_step()
            self.seen = self._session.news.count
            self.done = step.round()
        except OpenAgain as again:
            self._open_again(str(again))
            return "again"
        self._health.show("active")
        return "busy" if self.done else "idle"

    def close(self) -> None:
        """Close the step and let a standby take over at once."""
        try:
            self._close_step()
        finally:
            if (lease := self._session.lease) is not None:
                with contextlib.suppress(psycopg.Error):  # it then runs out by itself
                    lease.give_back()

    def _hold(self) -> bool:
        """Whether this process holds the lease; a step of an earlier term is closed."""
        lease = self._session.lease
        if lease is None:
            return True
        held = lease.hold()
        if lease.terms != self._term:
            self._close_step()
            self._term = lease.terms
        return held

    def _open_step(self) -> ConsumerWork:
        self.step = step = self._consumer.open(self._session)
        self._reason = ""
        self._active.set(1)
        log.info("consumer_opened", consumer=self._consumer.name)
        return step

    def _open_again(self, reason: str) -> None:
        if reason != self._reason:  # a missing table or role is met again and again
            log.info("consumer_opens_again", consumer=self._consumer.name, reason=reason)
        self._reason = reason
        if self._health.condition != "active":
            self._health.show("starting", reason)
        self._close_step()
        if self._session.lease is not None:
            self._session.lease.renew()  # another process may have taken over, which caused the error

    def _show_standby(self) -> None:
        if self._health.condition != "standby":
            self._health.show("standby")
            log.info("consumer_stands_by", consumer=self._consumer.name)

    def _show_paused(self) -> None:
        if self._health.condition != "paused":
            self._health.show("paused", self._pause.reason)
            log.info("consumer_paused", consumer=self._consumer.name, reason=self._pause.reason)

    def _close_step(self) -> None:
        step, self.step = self.step, None
        self._active.set(0)
        if step is not None:
            step.close()


class _Driver:
    """The loop around sessions of one consumer: connect, run rounds, wait; wait longer behind a failure."""

    def __init__(self, consumer: Consumer, around: _Surroundings, health: ConsumerHealth) -> None:
        self._consumer = consumer
        self._around = around
        self._health = health
        self._owner = new_owner()
        self._backoff = Backoff()

    def run(self) -> None:
        """Work until the process ends.

        Raises:
            FinalError: the consumer cannot go on.
        """
        while not self._around.stop.is_set():
            try:
                with self._connected() as session:
                    self._run_rounds(session)
            except FinalError as error:
                self._health.show("stopped", str(error))
                log.exception("consumer_failed_for_good", consumer=self._consumer.name)
                raise
            except Exception as error:  # noqa: BLE001 - the outer loop: it says what is wrong, counts it and goes on
                self._wait_behind(error)
        self._health.show("stopped")

    @contextlib.contextmanager
    def _connected(self) -> Iterator[ConsumerSession]:
        consumer, around = self._consumer, self._around
        with database.connect(
            around.database_url,
            role=consumer.role,
            name=consumer.name,
            settings={**SESSION, **consumer.settings},
        ) as conn:
            lease = None if consumer.lease is None else Lease(conn, name=consumer.lease, owner=self._owner)
            yield ConsumerSession(
                conn=conn,
                lease=lease,
                stop=around.stop,
                news=around.news,
                metrics=around.metrics,
                database_url=around.database_url,
            )

    def _run_rounds(self, session: ConsumerSession) -> None:
        hosted = Hosted(self._consumer, session, health=self._health)
        waits, began_s = self._consumer.waits, time.monotonic()
        idle_s, busy_s, woken = None, began_s, 0
        try:
            while not session.stop.is_set():
                round_s = time.monotonic()
                turned = hosted.round()
                now_s = time.monotonic()
                if now_s - began_s > STEADY_AFTER_S:
                    self._backoff.reset()
                match turned:
                    case "busy":
                        idle_s, busy_s, woken = None, now_s, 0
                        session.stop.wait(waits.pause_s(hosted.done, took_s=now_s - round_s))
                    case "idle":
                        hinted = self._around.news.hinted
                        idle_s = waits.idle_s(idle_s, quiet_s=now_s - busy_s, hinted=hinted)
                        if self._idle(idle_s, seen=hosted.seen, first_s=waits.unconcerned_s(woken)):
                            idle_s, woken = None, woken + 1
                        else:
                            woken = 0
                    case "standby":
                        session.stop.wait(STANDBY_WAIT_S)
                    case "again":
                        session.stop.wait(OPEN_AGAIN_WAIT_S)
        finally:
            hosted.close()

    def _idle(self, wait_s: float, *, seen: int, first_s: float) -> bool:
        """Wait behind an idle round; True when news that it may not have seen ended the wait."""
        self._around.stop.wait(first_s)
        return self._around.news.wait_beyond(seen, timeout_s=max(0.0, wait_s - first_s))

    def _wait_behind(self, error: Exception) -> None:
        """Log and count the error, and wait; a fork is tried again, it may have been fenced."""
        name, fork = self._consumer.name, isinstance(error, Fork | RefusedByWitness)
        self._around.metrics.failures.labels(name, type(error).__name__).inc()
        self._health.show("fork" if fork else "retrying", str(error))
        wait_s = LONGEST_S if fork else self._backoff.after_failure()
        log.error(
            "consumer_refuses_fork" if fork else "consumer_retries",
            consumer=name,
            error=type(error).__name__,
            reason=str(error),
            wait_s=round(wait_s, 3),
            exc_info=None if isinstance(error, (*OUTAGES, *self._consumer.outages)) else error,
        )
        self._around.stop.wait(wait_s)
