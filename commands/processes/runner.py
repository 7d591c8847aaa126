"""The consumers of process managers: one for each lease group, which decides while it holds the group's lease.

A step of a consumer is one term on an event loop, which runs from round to round. A term ends when the step is closed,
a generation is through, or something failed; the next term begins from the checkpoints. Everything a term did is
idempotent, so nothing of it need be undone.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Event
from typing import Any, Final, assert_never

import structlog
from msgspec import Struct

from commands.log_reading import LogUnreachable
from commands.opening import Opened, opened
from commands.processes import checkpoints, parking
from commands.processes.checkpoints import Checkpoints
from commands.processes.deciding import (
    Append,
    Decider,
    Done,
    Effect,
    Load,
    Loaded,
    Park,
    TooManyParked,
    full_processes,
)
from commands.processes.feed import Brought, Feed
from commands.processes.measures import ProcessMetrics
from commands.processes.parking import Key, Parking
from commands.processes.process import LeaseGroup, Process, lease_groups
from commands.recording import Unanswered
from event_store.consumers.checkpoints import Mark
from event_store.consumers.driver import NO_WAITS, Consumer, Session, Waits
from event_store.consumers.errors import OpenAgain
from event_store.consumers.parking import Active
from event_store.log import fingerprints
from event_store.log.codec import CodecError
from event_store.transport import generations
from event_store.transport.following import FollowerMetrics
from event_store.transport.transport import Partition, Transport
from runtime import database

READERS: Final = 2
"""Connections of a worker's pool for states and outcomes."""

WAITING_TRIGGERS_MAX: Final = 1_000
"""Triggers that wait before no more records are asked for."""

CHECKPOINT_S: Final = 0.25
"""How often a checkpoint is written: repeats after a crash are cheap, not free."""

LOOK_S: Final = 0.5
"""How often operators' requests are read and the lag is measured."""

PACE: Final = Waits()
"""The least time between two deliveries of records, unless there is a backlog."""

ROUND_S: Final = 0.1
"""How long the event loop runs before the driver looks at the lease."""

IDLE_S: Final = 0.25
"""Longest wait without looking whether a checkpoint is to be written."""

DRAIN_S: Final = 5.0
"""How long appends in flight may take before a stopping worker leaves them to the next one."""

OUTAGES: Final = (LogUnreachable, CodecError)
"""What ends a term without being a defect of ours: it needs no trace."""

log = structlog.get_logger()


def consumers(
    processes: Sequence[Process], *, transport: Transport, metrics: ProcessMetrics, followed: FollowerMetrics
) -> list[Consumer]:
    """What decides for these processes, by the driver of all consumers.

    Args:
        processes: those that write a category in common share a consumer, others run beside each other.
        transport: where triggers come from.
        metrics: where decisions are counted.
        followed: where faults of the transport are counted.
    """
    return [
        _consumer(group, transport=transport, metrics=metrics, followed=followed)
        for group in lease_groups(processes)
    ]


def _consumer(
    group: LeaseGroup, *, transport: Transport, metrics: ProcessMetrics, followed: FollowerMetrics
) -> Consumer:
    return Consumer(
        name=group.lease,
        role="counterfoil_writer",
        open=lambda session: Deciding(_At(session, group, transport, metrics, followed)),
        lease=group.lease,
        waits=NO_WAITS,
        outages=OUTAGES,
    )


class _At(Struct, frozen=True):
    """What a worker is given for good."""

    session: Session
    group: LeaseGroup
    transport: Transport
    metrics: ProcessMetrics
    followed: FollowerMetrics

    @property
    def active(self) -> Active:
        """The lease and its owner."""
        assert self.session.lease is not None, "one process at a time decides for a group"
        return Active(self.session.lease.name, self.session.lease.owner)


class Deciding:
    """The processes of a group at work, from taking the lease on: one term, driven from round to round."""

    def __init__(self, at: _At) -> None:
        """Register the processes and begin at their checkpoints."""
        conn, names = at.session.conn, [process.name for process in at.group.processes]
        checkpoints.register(conn, at.group.processes)
        counts = parking.waiting(conn, names)
        full = full_processes(counts)
        taking = [name for name in names if name not in full]
        self._at = at
        self._begins = checkpoints.entered(conn, names=taking or names)
        for name in names:
            at.metrics.full.labels(name).set(name in full)
        log.info("processes_active", group=at.group.name, processes=taking)
        self._loop = asyncio.Runner()
        self._term = _Term(at, self._begins, counts)
        self._working = self._loop.get_loop().create_task(self._term.run())

    def round(self) -> bool:
        """Run the event loop for a while.

        Raises:
            OpenAgain: the generation is through, or a process takes triggers again, or no more of them.
            Exception: what ended the term; what was in flight is left to the next one.
        """
        self._loop.run(self._run(ROUND_S))
        if not self._working.done():
            return True
        try:
            through = self._working.result()
        except TooManyParked as error:
            log.warning("process_full", group=self._at.group.name, reason=str(error))
            raise OpenAgain(str(error)) from error
        if through:
            self._enter_next()
            raise OpenAgain("the generation is through")
        raise OpenAgain("a process takes triggers again")

    def close(self) -> None:
        """Wait for what is in flight, unless the term has failed."""
        try:
            if not self._working.done():
                self._term.leave()
                self._loop.run(self._run(None))
                self._working.result()
        finally:
            self._loop.close()
            for process in self._at.group.processes:
                self._at.session.metrics.left(process.name)

    async def _run(self, timeout_s: float | None) -> None:
        await asyncio.wait({self._working}, timeout=timeout_s)

    def _enter_next(self) -> None:
        conn, number = self._at.session.conn, self._begins.generation.generation + 1
        following = generations.generation_numbered(conn, generation=number)
        checkpoints.enter_next(conn, self._begins, next_generation=following)
        log.info("processes_entered_generation", group=self._at.group.name, generation=number)


class _Term:
    """One term: from the checkpoints on, until told to stop or something failed."""

    def __init__(self, at: _At, begins: Checkpoints, counts: Mapping[Key, int]) -> None:
        self._at = at
        self._begins = begins
        self._counts = counts
        self._left_out = full_processes(counts)
        self._taking = not self._left_out.issuperset(begins.marks)
        self._wake = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._leaving = self._polling = self._ended = False
        self._saved: Mapping[Partition, Mark] = {}
        self._saved_at_s = time.monotonic()
        self._looked_at_s = float("-inf")
        self._conflicts = 0
        self._poll_at_s = float("-inf")

    def leave(self) -> None:
        """End behind what is in flight; nothing new is decided."""
        self._leaving = True
        self._wake.set()

    async def run(self) -> bool:
        """Work; True when the generation is through and the next one can be entered.

        Raises:
            whatever ended the term early; what was in flight is left to the next one.
        """
        stopped = Event()
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="processes feed") as self._thread:
            async with self._connected() as self._on:
                self._feed = self._fed(stopped)
                try:
                    through = await self._work()
                    await self._drain()
                    await self._save()
                    return through
                finally:
                    stopped.set()
                    running = tuple(self._running)
                    for task in running:
                        task.cancel()
                    await asyncio.gather(*running, return_exceptions=True)
                    self._thread.submit(self._feed.close)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Opened]:
        """Connect; the rows' session is one of its own, used by one thread at a time: it never waits for a load."""
        at, url = self._at, self._at.session.database_url
        opening = opened(url, role="counterfoil_writer", name="processes", readers=READERS)
        with database.connect(url, role="counterfoil_writer", name="processes rows") as self._rows:
            async with opening as on:
                self._parking = Parking(self._rows, active=at.active, processes=at.group.processes)
                self._decider = Decider(
                    [process for process in at.group.processes if process.name not in self._left_out],
                    self._begins.marks,
                    states=on.states,
                    fingerprints=fingerprints.read(self._rows),
                    parked=self._counts,
                )
                yield on

    def _fed(self, stop: Event) -> Generator[Brought]:
        return Feed(
            self._at.session.database_url,
            transport=self._at.transport,
            group=f"processes-{self._at.group.name}",
            generation=self._begins.generation,
            starts=self._decider.progress.reached(),
            hints=lambda: self._saved,
            metrics=self._at.followed,
            stop=stop,
        ).brought()

    async def _work(self) -> bool:
        """Poll, step, carry out, until there is a reason to end."""
        while not self._leaving:
            if self._failure is not None:
                raise self._failure
            if not self._polling and not self._ended and self._decider.waiting < WAITING_TRIGGERS_MAX:
                self._polling = True
                self._spawn(self._poll())
            busy = await self._step()
            if self._ended and self._taking and not self._decider.busy:
                return True
            if time.monotonic() - self._saved_at_s >= CHECKPOINT_S:
                await self._save()
            if time.monotonic() - self._looked_at_s >= LOOK_S and await self._look():
                return False
            await self._pause(busy=busy)
        return False

    async def _step(self) -> bool:
        """Carry out what the decider asks for now; whether that was anything."""
        effects = self._decider.step(datetime.now(UTC), at_s=time.monotonic())
        for effect in effects:
            await self._carry_out(effect)
        return bool(effects)

    async def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Load():
                self._spawn(self._load(effect))
            case Append():
                self._spawn(self._append(effect))
            case Park():
                await self._parking.park(effect.trigger, effect.failure)
                if effect.failure is not None:
                    self._at.metrics.parkings.labels(effect.trigger.process.name).inc()
                self._decider.done(effect.trigger)
            case Done():
                self._at.metrics.triggers.labels(effect.trigger.process.name, effect.outcome).inc()
                if effect.trigger.unparked:
                    await self._parking.finished(effect.trigger)
                self._decider.done(effect.trigger)
            case _:
                assert_never(effect)

    async def _poll(self) -> None:
        await asyncio.sleep(max(0.0, self._poll_at_s - time.monotonic()))
        brought = await asyncio.get_running_loop().run_in_executor(self._thread, next, self._feed, None)
        self._polling = False
        if brought is None:
            self._ended = True
        else:
            count = sum(map(len, brought.records.values()))
            self._poll_at_s = time.monotonic() + (PACE.pause_s(count, took_s=0.0) if count else 0.0)
            self._decider.deliver(brought.records, passed_over=brought.passed_over)

    async def _load(self, load: Load) -> None:
        # Before the states: should the log leave this epoch behind them, what is decided on them is refused.
        epoch = self._on.watch.standing.epoch
        failures: dict[str, str] = {}
        states = await self._on.states.load(load.streams, failures=failures)
        # Outcomes last: whatever of an outcome the states show, its key is known by now.
        outcomes = await self._on.reader.fingerprints(load.keys)
        self._decider.loaded(load.number, Loaded(states, failures, outcomes, epoch))

    async def _append(self, append: Append) -> None:
        answers = await self._on.execution.append_chain(append.requests, epoch=append.epoch)
        self._decider.answered(answers, at_s=time.monotonic())
        self._at.metrics.conflicts.inc(self._decider.conflicts - self._conflicts)
        self._conflicts = self._decider.conflicts
        if unanswered := [answer for answer in answers if isinstance(answer, Unanswered)]:
            log.warning("processes_append_postponed", requests=len(unanswered), reason=unanswered[0].reason)
            await self._on.watch.look()  # if the log left the epoch, all states are dropped, also these

    async def _save(self) -> None:
        reached = self._decider.progress.reached()
        moved = {source: mark for source, mark in reached.items() if mark != self._saved.get(source)}
        if moved and self._taking:
            active = self._at.active
            await asyncio.to_thread(checkpoints.move, self._rows, self._begins, moved, active=active)
        self._saved, self._saved_at_s = reached, time.monotonic()

    async def _look(self) -> bool:
        """Do what operators requested and show where the processes stand; True when one has room for triggers again."""
        self._looked_at_s = time.monotonic()
        await self._parking.carry_out_requests(self._decider)
        group, metrics = self._at.group, self._at.metrics
        names = [process.name for process in group.processes]
        for position in await asyncio.to_thread(checkpoints.positions, self._rows, names=names):
            keys = self._decider.parked_keys(position.name)
            self._at.session.metrics.stands(position.name, lag_events=position.lag_events, parked_keys=keys)
        metrics.in_flight.labels(group.name).set(self._decider.in_flight)
        metrics.waiting.labels(group.name).set(self._decider.waiting)
        return bool(self._left_out - self._decider.full) and not self._parking.retrying

    async def _pause(self, *, busy: bool) -> None:
        """Let the tasks have their turn; sleep when there is nothing to do."""
        if not busy:
            wait_s = min(IDLE_S, self._decider.pause_s(time.monotonic()) or IDLE_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
        self._wake.clear()
        await asyncio.sleep(0)

    async def _drain(self) -> None:
        """Wait for the appends in flight; nothing new is decided."""
        self._decider.stop_deciding()
        deadline_s = time.monotonic() + DRAIN_S
        while self._decider.in_flight and time.monotonic() < deadline_s:
            await self._pause(busy=await self._step())
        await self._step()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside the term; when it fails, the term does."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ran)
        return task

    def _ran(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and self._failure is None:
            self._failure = task.exception()
        self._wake.set()
