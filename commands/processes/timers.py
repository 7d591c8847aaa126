"""The consumer that fires timers: it reads those that are due, lets those wait whose process is behind, fires the rest.

A timer waits for its process. While the process runs and is not through with the event that set the timer, it is merely
behind, and will clear the timer or leave it; nothing is known that it does not find out. A timer fires once its process
is through with that event or has it parked, takes no more, or is off: its lease was not renewed for `OFF_AFTER`, by the
database's clock, while this consumer was there to see it.

Rows are read in pages, in the order of their times, from the first to the last and then again: one that cannot go is
passed, and keeps nobody. One that fails is parked by itself.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from commands.log_access import opened
from commands.log_reading import LogUnreachable
from commands.processes import due as due_rows
from commands.processes.due import Due
from commands.processes.firing import FAILED, POSTPONED, Fired, fire
from commands.processes.process import Process, lease_groups
from commands.processes.timer import Timer
from event_store.consumers import parking, skips
from event_store.consumers.driver import Consumer, ConsumerSession, Waits
from event_store.consumers.parking import Active, Failure, ParkedKey, Request, Scope
from event_store.log import fingerprints

LEASE: Final = "timers"

OFF_AFTER: Final = timedelta(minutes=5)
"""How long a process may leave its lease unrenewed before its timers wait for it no longer."""

EVERY_S: Final = 1.0
"""Pause between two passes over all that is due."""

READERS: Final = 2
"""Connections of a page's pool for states and outcomes."""

log = structlog.get_logger()


class TimerMetrics:
    """Due timers and the results of firing, by process and timer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        names = ["process", "timer"]
        self.due = Gauge(
            "counterfoil_timers_due",
            "Timers that are due and have no outcome, as of the last pass over them",
            names,
            registry=registry,
        )
        self.waiting = Gauge(
            "counterfoil_timers_waiting",
            "Of those that are due: timers that wait for their process, which is behind",
            names,
            registry=registry,
        )
        self.fired = Counter(
            "counterfoil_timers_fired",
            "Timers by what came of them: fired, stale, skipped, postponed or failed",
            [*names, "outcome"],
            registry=registry,
        )


def consumer(
    processes: Sequence[Process],
    *,
    delays: Mapping[Timer[Any], timedelta],
    registry: CollectorRegistry,
    off_after: timedelta = OFF_AFTER,
) -> Consumer:
    """The consumer that fires the timers of these processes; `delays` are their delays from settings."""
    metrics = TimerMetrics(registry)
    return Consumer(
        name="timers",
        role="counterfoil_writer",
        open=lambda session: Timers(session, processes, delays=delays, metrics=metrics, off_after=off_after),
        lease=LEASE,
        waits=Waits(first_s=EVERY_S, longest_s=EVERY_S, unhinted_s=EVERY_S, pace_s=0.0),
        outages=(LogUnreachable,),
    )


class Timers:
    """Firing at work, from taking the lease on. One thread."""

    def __init__(
        self,
        session: ConsumerSession,
        processes: Sequence[Process],
        *,
        delays: Mapping[Timer[Any], timedelta],
        metrics: TimerMetrics,
        off_after: timedelta,
    ) -> None:
        assert session.lease is not None, "one process at a time fires"
        self._conn, self._url = session.conn, session.database_url
        self._active = Active(session.lease.name, session.lease.owner)
        self._leases = {
            process.name: group.lease for group in lease_groups(processes) for process in group.processes
        }
        self._timers = {timer.consumer: timer for process in processes for timer in process.timers.values()}
        self._delays = delays
        self._metrics = metrics
        self._off_after = off_after
        self._since = due_rows.now(self._conn)
        self._fingerprints = fingerprints.read(self._conn)
        self._pages = self._passes()

    def round(self) -> int:
        """Read one page of what is due and fire what may; whether there may be more in this pass."""
        return next(self._pages)

    def close(self) -> None:
        """Remove its metrics: another process fires now."""
        for timer in self._timers.values():
            self._show(timer, due=0, waiting=0)

    def _passes(self) -> Iterator[bool]:
        """Pass after pass over all that is due: True behind each page, False behind a pass."""
        while True:
            for request in parking.pending(self._conn, self._timers):
                self._carry_out(request)
            parked = parking.counts(self._conn)
            for timer in self._timers.values():
                yield from self._pass(timer, self._parked(timer) if Scope(timer.consumer) in parked else {})
            yield False

    def _pass(self, timer: Timer[Any], parked: Mapping[str, ParkedKey]) -> Iterator[bool]:
        """All of one kind that are due and not parked, page by page."""
        name, progress = timer.process.name, None
        due = waiting = 0
        for page in due_rows.pages(self._conn, timer, after=self._delays.get(timer, timedelta())):
            progress = progress or due_rows.progress(
                self._conn, name, lease=self._leases[name], since=self._since, off_after=self._off_after
            )
            concerned = [each for each in page if each.stream not in parked]
            going = [each for each in concerned if not progress.is_behind(each)]
            self._fire(timer, going)
            due += len(concerned)
            waiting += len(concerned) - len(going)
            yield True
        self._show(timer, due=due, waiting=waiting)

    def _show(self, timer: Timer[Any], *, due: int, waiting: int) -> None:
        self._metrics.due.labels(timer.process.name, timer.name).set(due)
        self._metrics.waiting.labels(timer.process.name, timer.name).set(waiting)

    def _parked(self, timer: Timer[Any]) -> dict[str, ParkedKey]:
        """The timers of a kind that are parked. One that was set again or cleared meanwhile is none any longer."""
        scope = Scope(timer.consumer)
        parked = parking.of_scope(self._conn, scope)
        present = due_rows.of_streams(self._conn, timer, parked)
        for key in list(parked):
            if key not in present or present[key].set_at != parked[key].position:
                del parked[key]
                parking.unpark(self._conn, scope, key)
                log.info("key_unparked", consumer=scope.consumer, partition_key=key)
        return parked

    def _fire(self, timer: Timer[Any], page: Sequence[Due], *, skipped: bool = False) -> str:
        """Fire these timers and park those that failed; why the last of these did not fire, empty if all did."""
        why = ""
        for each in asyncio.run(self._fired(timer, page, skipped=skipped)) if page else ():
            due, reason = each.due, each.reason
            self._metrics.fired.labels(timer.process.name, timer.name, each.outcome).inc()
            if each.outcome == FAILED:
                failure = Failure(due.stream, due.set_at, due.stream, due.version, due.type, reason)
                parking.park(self._conn, Scope(timer.consumer), failure, active=self._active)
                log.error("timer_parked", timer=timer.consumer, stream=due.stream, reason=reason)
            elif each.outcome == POSTPONED:
                log.warning("timer_postponed", timer=timer.consumer, stream=due.stream, reason=reason)
            why = reason or why
        return why

    async def _fired(self, timer: Timer[Any], page: Sequence[Due], *, skipped: bool) -> list[Fired]:
        """All of a page at once, so that they share loads and appends. Nothing is open between two pages."""
        async with opened(self._url, role="counterfoil_writer", name="timers", readers=READERS) as on:
            slots, now = on.execution.reserve(len(page)), datetime.now(UTC)
            return await asyncio.gather(
                *(
                    fire(
                        on.execution,
                        timer,
                        due,
                        slot=slot,
                        reader=on.reader,
                        fingerprints=self._fingerprints,
                        now=now,
                        skipped=skipped,
                    )
                    for due, slot in zip(page, slots, strict=True)
                )
            )

    def _carry_out(self, request: Request) -> None:
        """Carry out an operator's request about a parked timer: fire it again, or skip it."""
        timer, key = self._timers[request.consumer], request.partition_key
        outcome = parking.objection(
            request,
            self._parked(timer).get(key),
            skipped=lambda: skips.read(self._conn, request.consumer, shape=None),
        )
        if not outcome:
            due = list(due_rows.of_streams(self._conn, timer, [key]).values())
            why = self._fire(timer, due, skipped=request.kind == "skip")
            outcome = f"failed again: {why}" if why else "done"
        if outcome == "done":
            parking.unpark(self._conn, Scope(timer.consumer), key)
        parking.close(self._conn, request.request, outcome=outcome)
        log.info("parked_key_request", consumer=request.consumer, kind=request.kind, outcome=outcome)
