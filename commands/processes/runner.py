"""The consumers of process managers: one for each lease group, which decides while it holds the group's lease.

The thread reads triggers and writes checkpoints and parked keys; loads and appends run on an event loop of its own.
What fails ends the session, and the next one begins at the checkpoints: everything that was done is idempotent, so
nothing of it need be undone.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, assert_never

from commands.log_access import Aside, opened
from commands.log_reading import LogUnreachable
from commands.processes.deciding import Append, Decider, Done, Effect, Load, Loaded, Park
from commands.processes.metrics import ProcessMetrics
from commands.processes.process import LeaseGroup, Process, lease_groups
from commands.processes.trigger import Trigger
from event_store.consumers import backlog
from event_store.consumers.backlog import Backlog
from event_store.consumers.driver import Consumer, ConsumerSession, Waits
from event_store.consumers.errors import OpenAgain
from event_store.consumers.tailing import Outdated
from event_store.log import fingerprints, reading
from event_store.log.codec import CodecError
from event_store.log.envelope import ConditionFailed, RecordedEvent, WrongVersion
from event_store.log.paging import Tail
from event_store.transport import generations

READERS: Final = 2
"""Connections of a worker's pool for states and outcomes."""

READ_BELOW: Final = 512
"""Triggers that wait before no more events are read: two batches."""

ROUND_S: Final = 0.1
"""How long decisions may take before the thread checks the lease, requests and checkpoints."""

WAITS: Final = Waits(unhinted_s=0.02, pace_s=0.04)
"""A caller may wait for the decision; but its events cost every view another round."""

SELDOM: Final = Waits(first_s=1.0, longest_s=1.0, unhinted_s=1.0, pace_s=1.0)
"""Processes that only have timers decide nothing here: their checkpoints follow the log, for who waits for them."""


def consumers(processes: Sequence[Process], *, metrics: ProcessMetrics) -> list[Consumer]:
    """The consumers that decide for these processes.

    Those that write a category in common share a consumer, others run in parallel.
    """
    return [_consumer(group, metrics) for group in lease_groups(processes)]


def _consumer(group: LeaseGroup, metrics: ProcessMetrics) -> Consumer:
    return Consumer(
        name=group.lease,
        role="counterfoil_writer",
        open=lambda session: Deciding(session, group, metrics=metrics),
        lease=group.lease,
        waits=WAITS if any(process.reactions for process in group.processes) else SELDOM,
        settings=backlog.SESSION,
        outages=(LogUnreachable, CodecError, Outdated),
        members=tuple(process.name for process in group.processes),
    )


class Deciding:
    """The processes of a group at work, from taking the lease on. One thread, one event loop for it."""

    def __init__(self, session: ConsumerSession, group: LeaseGroup, *, metrics: ProcessMetrics) -> None:
        """Go on from the checkpoints; a process that is new is registered.

        Raises:
            Fork: the log does not hold the event at a checkpoint.
        """
        self._session, self._conn, self._group, self._metrics = session, session.conn, group, metrics
        self._epoch = reading.head(self._conn).epoch
        self._epochs = generations.epochs(self._conn)
        self._backlogs = {
            each.name: Backlog(session, each.name, types=each.reactions, start=each.start, kind="process")
            for each in group.processes
        }
        self._stems = sorted({stem for each in self._backlogs.values() for stem in each.stems})
        made_by = fingerprints.read(self._conn)
        self._aside = Aside()
        self._on = self._aside.open(
            opened(session.database_url, role="counterfoil_writer", name="processes", readers=READERS)
        )
        self._decider = Decider(states=self._on.states, fingerprints=made_by)

    def round(self) -> int:
        """Read triggers, decide for a while, save how far that came; how many triggers there were, or are left.

        Raises:
            OpenAgain: the log is in another epoch, or another process was here.
            Exception: what is in flight is left to the next session.
        """
        takers = self._backlogs.values() if self._decider.waiting < READ_BELOW else ()
        tail = backlog.read(self._conn, takers, stems=self._stems)
        if tail.epoch != self._epoch:
            raise OpenAgain("the log was fenced: it is another one")
        taken = self._take(tail)
        if self._aside.running or not self._decider.settled:
            self._aside.run(self._decide())
        for each in self._backlogs.values():
            each.save()
        self._show()
        is_busy = self._aside.running or not self._decider.settled or self._is_behind(tail.head)
        return WAITS.backlog if is_busy else taken

    def close(self) -> None:
        """Finish appends in flight; noted or not, they have their outcomes."""
        try:
            self._aside.close()
        finally:
            for process in self._group.processes:
                self._session.metrics.left(process.name)

    def _is_behind(self, head: int) -> bool:
        return any(each.progress.read < head and not each.full for each in self._backlogs.values())

    def _take(self, tail: Tail) -> int:
        """Take what operators want tried again, and the next triggers of all processes, in the order of the log."""
        taken: list[Trigger] = []
        for process in self._group.processes:
            triggers = self._backlogs[process.name]
            if again := triggers.take_retries(tail.head):
                self._decider.retry([self._trigger(process, event) for event in again])
            taken += [self._trigger(process, event) for event in triggers.take(tail)]
        self._decider.deliver(sorted(taken, key=lambda trigger: trigger.recorded.position))
        return len(taken)

    def _trigger(self, process: Process, event: RecordedEvent) -> Trigger:
        return Trigger(process, process.reactions[event.type], event, self._epochs.at(event.position))

    def _show(self) -> None:
        for name, triggers in self._backlogs.items():
            self._metrics.full.labels(name).set(triggers.full)
        self._metrics.in_flight.labels(self._group.name).set(self._decider.in_flight)
        self._metrics.waiting.labels(self._group.name).set(self._decider.waiting)

    # The event loop's side.

    async def _decide(self) -> None:
        """Run the decider until it waits for triggers, or the round is over."""
        over_s = time.monotonic() + ROUND_S
        while (left_s := over_s - time.monotonic()) > 0:
            effects = self._decider.step(datetime.now(UTC), at_s=time.monotonic())
            for effect in effects:
                self._carry_out(effect)
            if self._aside.running:
                for task in await self._aside.ended(within_s=left_s):
                    task.result()
            elif pause_s := self._decider.pause_s(time.monotonic()):
                await asyncio.sleep(min(pause_s, left_s))
            elif not effects:
                return
            if self._decider.waiting < READ_BELOW and self._decider.in_flight:
                return

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Load():
                self._aside.begin(self._load(effect))
            case Append():
                self._aside.begin(self._append(effect))
            case Park(trigger, failure):
                self._backlogs[trigger.process.name].park(trigger.recorded, failure)
                self._metrics.parkings.labels(trigger.process.name).inc()
            case Done(trigger, outcome):
                self._backlogs[trigger.process.name].done(trigger.recorded)
                self._metrics.triggers.labels(trigger.process.name, outcome).inc()
            case _:
                assert_never(effect)

    async def _load(self, load: Load) -> None:
        failures: dict[str, str] = {}
        states = await self._on.states.load(load.streams, failures=failures)
        # Outcomes last: whatever of an outcome the states show, its key is known by now.
        outcomes = await self._on.reader.fingerprints(load.keys)
        self._decider.loaded(load.number, Loaded(states, failures, outcomes))

    async def _append(self, append: Append) -> None:
        answers = await self._on.execution.append_chain(append.requests, epoch=self._epoch)
        self._metrics.conflicts.inc(
            sum(isinstance(answer, WrongVersion | ConditionFailed) for answer in answers)
        )
        self._decider.answered(answers, at_s=time.monotonic())
