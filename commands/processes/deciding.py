"""The step function of process managers: a batch of triggers is decided one after another and appended as one chain.

No I/O happens here. Records, loaded states and verdicts come in; what is to be done comes out as effects of `step`:

1. load   what a batch of triggers needs: their states, then their outcomes
2. decide one after another, each on the states that the decisions before it lead to (speculative states)
3. append all decisions as one chain; meanwhile the next batch is loaded and decided on the speculative states
4. settle what was accepted; the first append that was not refuses all later ones, and those triggers begin again at 1,
          on states that are loaded anew

A rejection or a failure counts only in a batch whose states were loaded anew, with nothing in flight, and only where
no earlier decision of the batch wrote what it was reached on. Anywhere else its trigger begins such a batch.

Errors:
    TooManyParked   so many triggers of a process are parked that going on would hide it
"""

import random
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, Final, assert_never

from msgspec import Struct

from commands.decision import Decision, Folded, View
from commands.processes.process import Process, Rejected
from commands.processes.progress import Progress
from commands.processes.trigger import Trigger, Undecidable
from commands.recording import Unanswered, Unfit, append_request, evolved
from commands.states import States
from domain.aggregate import Aggregate
from event_store.consumers import parking
from event_store.consumers.checkpoints import Mark
from event_store.log.envelope import (
    Accepted,
    AppendRequest,
    ChainBroken,
    ConditionFailed,
    FingerprintMismatch,
    Replayed,
    TrackedAlready,
    Verdict,
    WrongVersion,
)
from event_store.log.fingerprints import Fingerprints
from event_store.transport.transport import Partition, Record

BATCH_MAX: Final = 256
"""Triggers decided and appended together; halved by every conflict, so that little is decided in vain."""

BATCH_STREAMS_MAX: Final = 2_000
"""Streams that the triggers of a batch read together, unless a single one reads more: it bounds what they append."""

CONFLICTS_MAX: Final = 1_000
"""Conflicts of one trigger with other writers before it is parked."""

CONFLICT_BACKOFF_S: Final = 0.001
CONFLICT_BACKOFF_MAX_S: Final = 0.25
DEPENDENCY_BACKOFF_S: Final = 0.05
DEPENDENCY_BACKOFF_MAX_S: Final = 5.0
"""First and longest pause after a setback; doubled each time in a row, with jitter."""

Answer = Verdict | Unanswered | Unfit


class TooManyParked(Exception):
    """So many triggers of a process are parked that going on would hide it."""

    def __init__(self, process: str) -> None:
        super().__init__(f"process {process} takes no more triggers until parked ones are retried or skipped")


class Load(Struct, frozen=True):
    """Load the states of these streams and then the outcomes of these keys; tell by `loaded`."""

    number: int
    streams: Mapping[str, Aggregate[Any]]
    keys: Sequence[bytes]


class Loaded(Struct, frozen=True):
    """What a load found: states, why others cannot be folded, and the fingerprints of keys that have an outcome.

    `epoch` is the one in which the states were read.
    """

    states: Mapping[str, Folded[Any]]
    failures: Mapping[str, str]
    outcomes: Mapping[bytes, bytes]
    epoch: int


class Append(Struct, frozen=True):
    """Append these requests, in order, if the log is in this epoch still; tell by `answered`."""

    requests: Sequence[AppendRequest]
    epoch: int


class Park(Struct, frozen=True):
    """Note the trigger as parked, durably; tell by `done`. Without a failure it waits behind another of its key."""

    trigger: Trigger
    failure: str | None


class Done(Struct, frozen=True):
    """The trigger has its outcome in the log; tell by `done`.

    The outcome is decided, rejected, empty, or replayed: an earlier append, or an operator's skip, had it.
    """

    trigger: Trigger
    outcome: str


Effect = Load | Append | Park | Done


class _Decided(Struct, frozen=True):
    """A trigger with its decision, the append that records it, and what becomes of the trigger once it is accepted."""

    trigger: Trigger
    decision: Decision
    view: View
    request: AppendRequest
    reached: Mapping[str, Folded[Any]]
    outcome: str


class _Batch(Struct):
    """Triggers that are decided together, on these states; `fresh`: all are loaded for it, with nothing in flight."""

    number: int
    triggers: list[Trigger]
    fresh: bool
    states: dict[str, Folded[Any]]
    loaded: Loaded | None = None
    written: set[str] = set()
    decided: list[_Decided] = []


class Decider:
    """The triggers of one lease group, their states, the batch in flight and the one that is to follow it."""

    def __init__(
        self,
        processes: Iterable[Process],
        marks: Mapping[str, Mapping[Partition, Mark]],
        *,
        states: States,
        fingerprints: Fingerprints,
        parked: Mapping[tuple[str, str], int] | None = None,
        jitter: random.Random | None = None,
    ) -> None:
        """`processes` take triggers from their `marks` on; `parked` counts triggers by (process, partition key)."""
        self.progress = Progress(_earliest(marks.values()))
        self.conflicts = 0
        self._marks = marks
        self._processes = tuple(process for process in processes if process.name in marks)
        self._states = states
        self._fingerprints = fingerprints
        self._parked: Counter[tuple[str, str]] = Counter(parked or {})
        self._parked_of = _by_process(self._parked)
        self._jitter = jitter or random.Random()
        self._queue: deque[Trigger] = deque()
        self._next: _Batch | None = None
        self._flight: _Batch | None = None
        self._fresh = False
        self._deciding = True
        self._number = 0
        self._size = BATCH_MAX
        self._setbacks = 0
        self._not_before_s = 0.0
        self._effects: list[Effect] = []

    # What the driver tells.

    def deliver(
        self,
        brought: Mapping[Partition, Sequence[Record]],
        *,
        passed_over: Mapping[Partition, int] | None = None,
    ) -> None:
        """Take records of partitions in their order; what was delivered before is dropped.

        `passed_over` says up to which position a partition holds nothing more.
        """
        triggers: list[Trigger] = []
        for records in brought.values():
            for record in records:
                found = self._triggers(record)
                if self.progress.deliver(record, found):
                    triggers.extend(found)
        for partition, position in (passed_over or {}).items():
            self.progress.pass_over(partition, position)
        self._queue.extend(sorted(triggers, key=_position))

    def retry(self, triggers: Sequence[Trigger]) -> None:
        """Decide all parked triggers of a key again, oldest first and before anything else."""
        self._take_back()
        for trigger in triggers:
            self._parked_of[trigger.process.name] -= self._parked.pop(trigger.parking_key, 0)
        self._queue.extendleft(reversed(triggers))

    def loaded(self, number: int, loaded: Loaded) -> None:
        """Take what a load found."""
        batch = self._next
        if batch is not None and batch.number == number:  # else its triggers were taken back meanwhile
            batch.loaded = loaded
            batch.states.update(loaded.states)

    def answered(self, answers: Sequence[Answer], *, at_s: float) -> None:
        """Take what came of the appends in flight; what was not accepted begins anew, before what was to follow it."""
        assert self._flight is not None, "nothing is in flight"
        batch, self._flight = self._flight, None
        again: list[Trigger] = []
        for decided, answer in zip(batch.decided, answers, strict=True):
            match answer:
                case Accepted():
                    self._states.settle(decided.decision, decided.view, first=answer.first)
                    self._effects.append(Done(decided.trigger, decided.outcome))
                case Replayed():
                    self._effects.append(Done(decided.trigger, "replayed"))
                case _:
                    self._note_refusal(decided.trigger, answer, at_s)
                    again.append(decided.trigger)
        if all(isinstance(answer, Accepted) for answer in answers):
            self._size = min(self._size * 2, BATCH_MAX)
            self._setbacks = 0
        else:
            self._take_back()
            self._queue.extendleft(reversed(again))
            self._fresh = True

    def done(self, trigger: Trigger) -> None:
        """Note that what a trigger came to is durable."""
        if not trigger.unparked:
            self.progress.done(trigger)

    def stop_deciding(self) -> None:
        """Only take answers from now on: the worker drains."""
        self._deciding = False
        self._take_back()

    # What the driver asks.

    @property
    def waiting(self) -> int:
        """Triggers that are delivered and not in flight."""
        return len(self._queue) + (0 if self._next is None else len(self._next.triggers))

    @property
    def in_flight(self) -> int:
        """Appends whose verdict is not known."""
        return 0 if self._flight is None else len(self._flight.decided)

    @property
    def busy(self) -> bool:
        """Whether some trigger is delivered that nobody is done with."""
        return bool(self.waiting or self._flight or self.progress.open)

    def parked_keys(self, process: str) -> int:
        """The partition keys of a process that are parked."""
        return sum(name == process for name, _ in self._parked)

    @property
    def full(self) -> set[str]:
        """The processes that take no more triggers."""
        return full_processes(self._parked)

    def pause_s(self, at_s: float) -> float:
        """How long nothing will be done because of a setback, in seconds."""
        return max(0.0, self._not_before_s - at_s)

    def step(self, now: datetime, *, at_s: float) -> list[Effect]:
        """Do what can be done now; `at_s` is a monotonic clock, in seconds.

        Raises:
            TooManyParked: the worker must go on without that process.
        """
        if self._next is not None and self._next.loaded is not None and not self._next.decided:
            self._decide(self._next, self._next.loaded, now)
        if self._next is not None and self._next.decided and self._flight is None:
            self._send(self._next)
        if self._may_begin(at_s):
            self._begin()
        effects, self._effects = self._effects, []
        return effects

    # Private steps, in the order of a trigger's life.

    def _triggers(self, record: Record) -> list[Trigger]:
        """What a record is to the processes, except to those that were registered or came further than it."""
        return [
            Trigger(process, process.reactions[record.type], record)
            for process in self._processes
            if record.type in process.reactions
            and record.position > self._marks[process.name][record.partition].position
        ]

    def _may_begin(self, at_s: float) -> bool:
        free = self._next is None and (self._flight is None or not self._fresh)
        return free and bool(self._queue) and self._deciding and at_s >= self._not_before_s

    def _begin(self) -> None:
        """Take the next batch from the queue, and ask for the states that are not at hand."""
        triggers: list[Trigger] = []
        states: dict[str, Folded[Any]] = {}
        missing: dict[str, Aggregate[Any]] = {}
        while self._queue and len(triggers) < self._size and len(states) + len(missing) < BATCH_STREAMS_MAX:
            trigger = self._queue.popleft()
            trigger.prepare()
            triggers.append(trigger)
            for stream, aggregate in trigger.reads.items():
                if stream in states or stream in missing:
                    continue
                found = None if self._fresh else self._newest(stream) or trigger.first_state(stream)
                if found is None:
                    missing[stream] = aggregate
                else:
                    states[stream] = found
        self._number += 1
        self._next = _Batch(self._number, triggers, self._fresh, states)
        self._fresh = False
        self._effects.append(Load(self._number, missing, [trigger.key for trigger in triggers]))

    def _newest(self, stream: str) -> Folded[Any] | None:
        """The speculative state that the appends in flight lead to, else the one that is kept."""
        if self._flight is not None and stream in self._flight.written:
            return self._flight.states[stream]
        return self._states.kept(stream)

    def _decide(self, batch: _Batch, loaded: Loaded, now: datetime) -> None:
        for ordinal, trigger in enumerate(batch.triggers):
            if loaded.outcomes.get(trigger.key) == trigger.fingerprint(self._fingerprints):
                self._effects.append(Done(trigger, "replayed"))
            elif not self._decide_next(trigger, batch, loaded, now):
                self._queue.extendleft(reversed(batch.triggers[ordinal:]))
                self._fresh = True
                break
        batch.triggers = [decided.trigger for decided in batch.decided]
        # What is scarce now is scarce for the next as well: they would only be found out to need loaded states.
        self._fresh |= any(each.outcome == "rejected" for each in batch.decided)
        if not batch.decided:
            self._next = None

    def _decide_next(self, trigger: Trigger, batch: _Batch, loaded: Loaded, now: datetime) -> bool:
        """Decide or park the trigger; False where its states have to be loaded anew first."""
        if trigger.parking_key in self._parked:
            self._park(trigger, None)
            return True
        try:
            failures = [loaded.failures[stream] for stream in trigger.reads if stream in loaded.failures]
            decided = self._decided(trigger, batch, failures, now)
        except Exception as error:  # noqa: BLE001 - whatever the failure: it parks this trigger's key, nothing else
            failure = str(error) if isinstance(error, Undecidable) else f"{type(error).__name__}: {error}"
            return self._fail(trigger, batch, failure)
        if decided.outcome == "rejected" and not self._is_settled(trigger, batch):
            return False
        batch.decided.append(decided)
        batch.written.update(decided.reached)
        batch.states.update(decided.reached)
        return True

    def _send(self, batch: _Batch) -> None:
        assert batch.loaded is not None, "decided on states that were never loaded"
        self._flight, self._next = batch, None
        self._effects.append(Append([each.request for each in batch.decided], batch.loaded.epoch))

    def _is_settled(self, trigger: Trigger, batch: _Batch) -> bool:
        """Whether its states were loaded after it arrived, with nothing in flight, and not written since."""
        return batch.fresh and batch.written.isdisjoint(trigger.reads)

    def _fail(self, trigger: Trigger, batch: _Batch, failure: str) -> bool:
        """Park the trigger, once it is certain that no earlier worker did already what now fails.

        Its outcome was looked for after its states were loaded. And what was decided before it must be answered first:
        those of its key must not be parked behind it.
        """
        if batch.decided or not self._is_settled(trigger, batch):
            return False
        self._park(trigger, failure)
        return True

    def _decided(self, trigger: Trigger, batch: _Batch, failures: Sequence[str], now: datetime) -> _Decided:
        if failures:
            raise Undecidable(failures[0])
        view = View(batch.states.get)
        for stream, aggregate in trigger.reads.items():
            view.rely_on(aggregate, stream)
        decision = trigger.decide(view, now)
        request = append_request(
            decision,
            view,
            key=trigger.key,
            fingerprint=trigger.fingerprint(self._fingerprints),
            cause=trigger.cause(now),
            chain=batch.number,
        )
        reached = {stream: folded for stream, (_, folded) in evolved(decision, view).items()}
        return _Decided(trigger, decision, view, request, reached, _outcome_of(decision))

    def _park(self, trigger: Trigger, failure: str | None) -> None:
        name, key = trigger.process.name, trigger.parking_key
        if self._parked[key] >= parking.WAITING_PER_KEY_MAX or self._parked_of[name] >= parking.WAITING_MAX:
            raise TooManyParked(name)
        self._parked[key] += 1
        self._parked_of[name] += 1
        self._effects.append(Park(trigger, failure))

    def _note_refusal(self, trigger: Trigger, answer: Answer, at_s: float) -> None:
        match answer:
            case WrongVersion() | ConditionFailed():
                self.conflicts += 1
                trigger.conflicts += 1
                if trigger.conflicts > CONFLICTS_MAX:
                    trigger.failure = f"other writers were faster {trigger.conflicts:,} times"
                self._size = max(1, self._size // 2)
                self._back_off(at_s, CONFLICT_BACKOFF_S, CONFLICT_BACKOFF_MAX_S)
            case Unanswered():  # whether it is stored is found out by the next look for its outcome
                self._back_off(at_s, DEPENDENCY_BACKOFF_S, DEPENDENCY_BACKOFF_MAX_S)
            case Unfit():
                trigger.failure = answer.reason
            case FingerprintMismatch():
                trigger.failure = "its outcome key was used for another trigger"
            case ChainBroken():
                pass
            case Accepted() | Replayed() | TrackedAlready():
                raise AssertionError(f"{answer!r} refuses nothing")
            case _:
                assert_never(answer)

    def _take_back(self) -> None:
        """Put the batch that is not in flight yet back into the queue: something comes before it."""
        if self._next is not None:
            self._queue.extendleft(reversed(self._next.triggers))
            self._next = None

    def _back_off(self, at_s: float, first_s: float, longest_s: float) -> None:
        self._setbacks += 1
        pause_s = min(longest_s, first_s * 2 ** min(self._setbacks - 1, 30))
        self._not_before_s = max(self._not_before_s, at_s + pause_s * self._jitter.uniform(0.5, 1.0))


_position = attrgetter("record.position")


def full_processes(parked: Mapping[tuple[str, str], int]) -> set[str]:
    """Those of which no more triggers may be parked, by the number of parked ones by (process, partition key)."""
    by_key = {name for (name, _), count in parked.items() if count >= parking.WAITING_PER_KEY_MAX}
    return by_key | {name for name, count in _by_process(parked).items() if count >= parking.WAITING_MAX}


def _by_process(parked: Mapping[tuple[str, str], int]) -> Counter[str]:
    total: Counter[str] = Counter()
    for (name, _), count in parked.items():
        total[name] += count
    return total


def _outcome_of(decision: Decision) -> str:
    if isinstance(decision, Rejected):
        return "rejected"
    return "decided" if decision.events else "empty"


def _earliest(marks: Iterable[Mapping[Partition, Mark]]) -> dict[Partition, Mark]:
    """Where to begin to read each partition: at the process that is furthest behind."""
    starts: dict[Partition, Mark] = {}
    for each in marks:
        for source, mark in each.items():
            if source not in starts or mark.position < starts[source].position:
                starts[source] = mark
    return starts
