"""The consumer that fires timers: it reads those that are due, lets those wait whose process is behind, fires the rest.

A timer waits for its process. While the process runs and is not through with the event that set the timer, it is merely
behind, and will clear the timer or leave it; nothing is known that it does not find out. A timer fires once its process
is through with that event, has it parked, takes no more, or is off: its lease was not renewed for `OFF_AFTER`, by the
database's clock, while this consumer was there to see it.

Rows are read in pages, in the order of their times, from the first to the last and then again: one that cannot go is
passed, and keeps nobody. One that fails is parked by itself.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Gauge

from commands.log_reading import LogUnreachable
from commands.opening import opened
from commands.processes import due as due_rows
from commands.processes.deciding import full_processes
from commands.processes.due import DUE_PER_PAGE, Due, Standing
from commands.processes.firing import FAILED, POSTPONED, Fired, fire
from commands.processes.parking import waiting as waiting_triggers
from commands.processes.process import Process, lease_groups
from commands.processes.timer import Timer
from event_store.consumers import parking, skips
from event_store.consumers.driver import Consumer, Session, Waits
from event_store.consumers.parking import Active, Failure, Request, Scope
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
    """What is due, and what came of it, by process and timer."""

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
    """What the driver runs for the timers of these processes; `delays` are what settings add to when they are due."""
    metrics = TimerMetrics(registry)
    return Consumer(
        name="timers",
        role="counterfoil_writer",
        open=lambda session: Timers(session, processes, delays=delays, metrics=metrics, off_after=off_after),
        lease=LEASE,
        waits=Waits(first_s=EVERY_S, longest_s=EVERY_S, unhinted_s=EVERY_S, pace_s=0.0),
        outages=(LogUnreachable,),
    )


class _Pass(Struct):
    """One kind of timer in a pass: what of it was read, and what was counted."""

    timer: Timer[Any]
    standing: Standing
    stuck: Mapping[str, int] | None
    """Positions at which triggers are parked, by key; None: the process takes no more."""
    parked: dict[str, int]
    """Positions of the events whose timers are parked, by key."""
    behind: Due | None = None
    due: int = 0
    waiting: int = 0

    def goes(self, due: Due) -> bool:
        """Whether the timer fires now."""
        if self.parked.get(due.stream) == due.set_at:
            return False
        self.due += 1
        if self.may_fire(due):
            return True
        self.waiting += 1
        return False

    def may_fire(self, due: Due) -> bool:
        """Whether nothing is to be expected of the process any more about the event that set it."""
        standing = self.standing
        if not standing.runs or standing.is_through_with(due.stream, due.set_at) or self.stuck is None:
            return True
        return self.stuck.get(due.stream, due.set_at + 1) <= due.set_at


class Timers:
    """Firing at work, from taking the lease on. One thread."""

    def __init__(
        self,
        session: Session,
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
        self._passes: list[_Pass] = []
        self._next_at_s = float("-inf")

    def round(self) -> bool:
        """Read one page of what is due and fire what may; whether there may be more in this pass."""
        if not self._passes:
            if time.monotonic() < self._next_at_s:
                return False
            self._carry_out_requests()
            self._passes = [self._begun(timer) for timer in self._timers.values()]
        if self._passes:
            self._page(self._passes[0])
        if not self._passes:
            self._next_at_s = time.monotonic() + EVERY_S
        return bool(self._passes)

    def close(self) -> None:
        """Show nothing any more: another process fires now."""
        for timer in self._timers.values():
            for gauge in (self._metrics.due, self._metrics.waiting):
                gauge.labels(timer.process.name, timer.name).set(0)

    def _begun(self, timer: Timer[Any]) -> _Pass:
        name = timer.process.name
        standing = due_rows.standing(
            self._conn, name, lease=self._leases[name], since=self._since, off_after=self._off_after
        )
        is_full = bool(full_processes(waiting_triggers(self._conn, [name])))
        triggers = parking.of_scope(self._conn, Scope(name))
        stuck = None if is_full else {key: each.position for key, each in triggers.items()}
        return _Pass(timer, standing, stuck, self._parked(timer))

    def _parked(self, timer: Timer[Any]) -> dict[str, int]:
        """The timers of a kind that are parked. One that was set again or cleared meanwhile is none any longer."""
        scope = Scope(timer.consumer)
        found = parking.of_scope(self._conn, scope)
        if not found:
            return {}
        present = due_rows.still_set(self._conn, timer, found)
        for key, each in found.items():
            if (key, each.position) not in present:
                parking.unpark(self._conn, scope, key)
                log.info("timer_unparked", consumer=scope.consumer, partition_key=key, reason="set no longer")
        return {key: each.position for key, each in found.items() if (key, each.position) in present}

    def _page(self, each: _Pass) -> None:
        """The next page of one kind; behind the last one the next kind comes."""
        timer = each.timer
        page = due_rows.page(
            self._conn, timer, after=self._delay(timer), behind=each.behind, limit=DUE_PER_PAGE
        )
        if going := [due for due in page if each.goes(due)]:
            self._fire(timer, going)
        if page:
            each.behind = page[-1]
        if len(page) < DUE_PER_PAGE:
            del self._passes[0]
            labels = (timer.process.name, timer.name)
            self._metrics.due.labels(*labels).set(each.due)
            self._metrics.waiting.labels(*labels).set(each.waiting)

    def _delay(self, timer: Timer[Any]) -> timedelta:
        return self._delays.get(timer, timedelta())

    def _fire(self, timer: Timer[Any], page: Sequence[Due], *, skipped: bool = False) -> list[Fired]:
        """Fire these timers, note what came of each, and park those that failed."""
        fired = asyncio.run(self._fired(timer, page, skipped=skipped))
        for each in fired:
            self._metrics.fired.labels(timer.process.name, timer.name, each.outcome).inc()
            if each.outcome == FAILED:
                self._park(timer, each)
            elif each.outcome == POSTPONED:
                log.warning(
                    "timer_postponed", timer=timer.consumer, stream=each.due.stream, reason=each.reason
                )
        return fired

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

    def _park(self, timer: Timer[Any], fired: Fired) -> None:
        due = fired.due
        failure = Failure(due.stream, due.set_at, due.stream, due.version, due.type, fired.reason)
        parking.park(self._conn, Scope(timer.consumer), failure, active=self._active)
        log.error(
            "timer_parked", timer=timer.consumer, stream=due.stream, set_at=due.set_at, reason=fired.reason
        )

    def _carry_out_requests(self) -> None:
        """Do what operators requested about parked timers: fire again, or go on without."""
        for request in parking.pending(self._conn, self._timers):
            outcome = self._carried_out(request)
            parking.close(self._conn, request.request, outcome=outcome)
            log.info(
                "timer_request_carried_out",
                timer=request.consumer,
                stream=request.partition_key,
                outcome=outcome,
            )

    def _carried_out(self, request: Request) -> str:
        timer, key = self._timers[request.consumer], request.partition_key
        if self._parked(timer).get(key) != request.position:
            return "void: the timer was set again or cleared meanwhile"
        skipped = request.kind == "skip"
        if skipped and request.position not in skips.read(self._conn, request.consumer, shape=None):
            return parking.not_skipped(request)
        found = due_rows.one(self._conn, timer, stream=key, set_at=request.position)
        if found is not None:
            (fired,) = self._fire(timer, [found], skipped=skipped)
            if fired.outcome in {FAILED, POSTPONED}:
                return f"failed again: {fired.reason}"
        parking.unpark(self._conn, Scope(timer.consumer), key)
        return "done"
