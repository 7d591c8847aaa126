"""The step function of process managers: a batch of triggers is decided one after another and appended as one chain.

No I/O happens here. Records, loaded states and verdicts come in; what is to be done comes out as effects of `step`:

1. load   what a batch of triggers needs: their states, then their outcomes; again where states name more streams
2. decide one after another, each on the states that the decisions before it lead to (speculative states)
3. append all decisions as one chain; meanwhile the next batch is loaded and decided on the speculative states
4. settle what was accepted; the first append that was not refuses all later ones, and those triggers begin again at 1,
          on states that are loaded anew

A rejection or a failure counts only in a batch whose states were loaded anew, with nothing in flight, and only where
no earlier decision of the batch wrote what it was reached on. Anywhere else its trigger begins such a batch.
"""

import random
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from commands.decision import Decision, DecisionView, StreamState
from commands.processes.process import Rejected
from commands.processes.trigger import Trigger, Undecidable
from commands.recording import Unanswered, Unfit, append_request, evolved
from commands.states import States
from domain.aggregate import Aggregate
from event_store.consumers.backoff import Backoff
from event_store.log.envelope import (
    Accepted,
    AppendRequest,
    ChainBroken,
    ConditionFailed,
    FingerprintMismatch,
    Replayed,
    Verdict,
    WrongVersion,
)
from event_store.log.fingerprints import Fingerprints

BATCH_MAX: Final = 256
"""Triggers decided and appended together; halved by every conflict, so that little is decided in vain."""

BATCH_STREAMS_MAX: Final = 2_000
"""Streams that the triggers of a batch read together, unless a single one reads more: it bounds what they append."""

CONFLICTS_MAX: Final = 1_000
"""Conflicts of one trigger with other writers before it is parked."""

CONFLICT_BACKOFF_S: Final = 0.001
CONFLICT_BACKOFF_MAX_S: Final = 0.25
OUTAGE_BACKOFF_S: Final = 0.05
OUTAGE_BACKOFF_MAX_S: Final = 5.0
"""First and longest pause after a setback; doubled each time in a row, with jitter."""

Answer = Verdict | Unanswered | Unfit


class Load(Struct, frozen=True):
    """Load the states of these streams and then the outcomes of these keys; tell by `loaded`."""

    number: int
    streams: Mapping[str, Aggregate[Any]]
    keys: Sequence[bytes]


class Loaded(Struct, frozen=True):
    """The result of a load: states, errors of folds, and the fingerprints of keys with an outcome."""

    states: Mapping[str, StreamState[Any]]
    failures: Mapping[str, str]
    outcomes: Mapping[bytes, bytes]


class Append(Struct, frozen=True):
    """Append these requests, in order, if the log is in the epoch of all loads still; tell by `answered`."""

    requests: Sequence[AppendRequest]


class Park(Struct, frozen=True):
    """The trigger can never be decided. What was delivered of its parking key is dropped, and waits behind it."""

    trigger: Trigger
    failure: str


class Done(Struct, frozen=True):
    """The trigger has its outcome in the log: decided, rejected, empty, or replayed, where an earlier append had it."""

    trigger: Trigger
    outcome: str


Effect = Load | Append | Park | Done


class _Decided(Struct, frozen=True):
    """A trigger with its decision, the append that records it, and what becomes of the trigger once it is accepted."""

    trigger: Trigger
    decision: Decision
    view: DecisionView
    request: AppendRequest
    reached: Mapping[str, StreamState[Any]]
    outcome: str


class _Batch(Struct):
    """Triggers that are decided together, on these states; `fresh`: all are loaded for it, with nothing in flight."""

    number: int
    triggers: list[Trigger]
    fresh: bool
    states: dict[str, StreamState[Any]]
    loaded: Loaded | None = None
    written: set[str] = set()
    decided: list[_Decided] = []


class Decider:
    """The triggers of one lease group, their states, the batch in flight and the one that is to follow it."""

    def __init__(
        self, *, states: States, fingerprints: Fingerprints, jitter: random.Random | None = None
    ) -> None:
        """`states` are those that the worker keeps; `jitter` is drawn from for pauses."""
        self._states = states
        self._fingerprints = fingerprints
        self._queue: deque[Trigger] = deque()
        self._next: _Batch | None = None
        self._flight: _Batch | None = None
        self._fresh = False
        self._number = 0
        self._size = BATCH_MAX
        self._conflict_pauses = Backoff(jitter, first_s=CONFLICT_BACKOFF_S, longest_s=CONFLICT_BACKOFF_MAX_S)
        self._outage_pauses = Backoff(jitter, first_s=OUTAGE_BACKOFF_S, longest_s=OUTAGE_BACKOFF_MAX_S)
        self._not_before_s = 0.0
        self._effects: list[Effect] = []

    # What the driver tells.

    def deliver(self, triggers: Iterable[Trigger]) -> None:
        """Take triggers in the order of the log."""
        self._queue.extend(triggers)

    def retry(self, triggers: Sequence[Trigger]) -> None:
        """Decide triggers that were parked, oldest first and before anything else."""
        self._take_back()
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
        setback: Backoff | None = None
        for decided, answer in zip(batch.decided, answers, strict=True):
            match answer:
                case Accepted():
                    self._states.settle(decided.decision, decided.view, first=answer.first)
                    self._effects.append(Done(decided.trigger, decided.outcome))
                case Replayed():
                    self._effects.append(Done(decided.trigger, "replayed"))
                case _:
                    again.append(decided.trigger)
                    setback = self._refused(decided.trigger, answer) or setback
        if all(isinstance(answer, Accepted) for answer in answers):
            self._size = min(self._size * 2, BATCH_MAX)
            self._conflict_pauses.reset()
            self._outage_pauses.reset()
        else:
            self._not_before_s = at_s + (0.0 if setback is None else setback.after_failure())
            self._take_back()
            self._queue.extendleft(reversed(again))
            self._fresh = True

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
    def settled(self) -> bool:
        """Whether nothing is left to be done, and every effect was returned: those of answers come a step later."""
        return not (self.waiting or self.in_flight or self._effects)

    def pause_s(self, at_s: float) -> float:
        """How long nothing will be done because of a setback, in seconds."""
        return max(0.0, self._not_before_s - at_s)

    def step(self, now: datetime, *, at_s: float) -> list[Effect]:
        """Do what can be done now; `at_s` is a monotonic clock, in seconds."""
        batch = self._next
        if batch is not None and batch.loaded is not None and not batch.decided:
            self._decide(batch, batch.loaded, now)
        if self._next is not None and self._next.decided and self._flight is None:
            self._send(self._next)
        if self._may_begin(at_s):
            self._begin()
        effects, self._effects = self._effects, []
        return effects

    # Private steps, in the order of a trigger's life.

    def _may_begin(self, at_s: float) -> bool:
        free = self._next is None and (self._flight is None or not self._fresh)
        return free and bool(self._queue) and at_s >= self._not_before_s

    def _begin(self) -> None:
        """Take the next batch from the queue, and ask for the states that are not at hand."""
        triggers: list[Trigger] = []
        states: dict[str, StreamState[Any]] = {}
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

    def _newest(self, stream: str) -> StreamState[Any] | None:
        """The speculative state that the appends in flight lead to, else the one that is kept."""
        if self._flight is not None and stream in self._flight.written:
            return self._flight.states[stream]
        return self._states.kept(stream)

    def _decide(self, batch: _Batch, loaded: Loaded, now: datetime) -> None:
        """Decide one trigger after another, up to the first whose states have to be loaded anew before it counts."""
        parked: set[tuple[str, str]] = set()
        for ordinal, trigger in enumerate(batch.triggers):
            if trigger.parking_key in parked:
                continue
            known = loaded.outcomes.get(trigger.key)
            if known is not None and known == trigger.fingerprint(self._fingerprints):
                self._effects.append(Done(trigger, "replayed"))
                continue
            found = self._decided(trigger, batch, loaded.failures, now)
            if found is None:
                self._name_reads(batch.triggers[ordinal + 1 :], batch, loaded.failures, now)
            if found is None or not self._counts(found, trigger, batch):
                self._queue.extendleft(reversed(batch.triggers[ordinal:]))
                self._fresh = True
                break
            if isinstance(found, _Decided):
                batch.decided.append(found)
                batch.written.update(found.reached)
                batch.states.update(found.reached)
            else:
                parked.add(trigger.parking_key)
                self._effects.append(Park(trigger, found))
        if parked:
            self._queue = deque(each for each in self._queue if each.parking_key not in parked)
        batch.triggers = [decided.trigger for decided in batch.decided]
        # What is scarce now is scarce for the next as well: they would only be found out to need loaded states.
        self._fresh |= any(each.outcome == "rejected" for each in batch.decided)
        if not batch.decided:
            self._next = None

    def _name_reads(
        self, triggers: Sequence[Trigger], batch: _Batch, failures: Mapping[str, str], now: datetime
    ) -> None:
        """Have triggers name what they read besides, or each of them would have all others loaded anew."""
        for trigger in triggers:
            if trigger.reaction.then_reads is not None:
                self._decided(trigger, batch, failures, now)

    def _decided(
        self, trigger: Trigger, batch: _Batch, failures: Mapping[str, str], now: datetime
    ) -> _Decided | str | None:
        """The decision, or the error that prevents it; None if more streams are to be loaded for it."""
        if unfolded := [failures[stream] for stream in trigger.reads if stream in failures]:
            return unfolded[0]
        view = DecisionView(batch.states.get)
        try:
            for stream, aggregate in trigger.reads.items():
                view.rely_on(aggregate, stream)
            if trigger.reads_more(view):
                return None
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
        except Undecidable as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - whatever the failure: it parks this trigger's key, nothing else
            return f"{type(error).__name__}: {error}"
        return _Decided(trigger, decision, view, request, reached, _outcome_of(decision))

    def _counts(self, found: _Decided | str, trigger: Trigger, batch: _Batch) -> bool:
        """Whether it is final.

        A failure also waits for the answers of what was decided before it, which must not be parked behind it. By then
        it is certain that no earlier worker did what now fails: outcomes are loaded after states.
        """
        if isinstance(found, str):
            return not batch.decided and self._is_settled(trigger, batch)
        return found.outcome != "rejected" or self._is_settled(trigger, batch)

    def _is_settled(self, trigger: Trigger, batch: _Batch) -> bool:
        """Whether its states were loaded after it arrived, with nothing in flight, and not written since."""
        return batch.fresh and batch.written.isdisjoint(trigger.reads)

    def _send(self, batch: _Batch) -> None:
        self._flight, self._next = batch, None
        self._effects.append(Append([each.request for each in batch.decided]))

    def _refused(self, trigger: Trigger, answer: Answer) -> Backoff | None:
        """Note why an append was not accepted, and what to wait for because of it."""
        match answer:
            case WrongVersion() | ConditionFailed():
                trigger.conflicts += 1
                if trigger.conflicts > CONFLICTS_MAX:
                    trigger.failure = f"other writers were faster {trigger.conflicts:,} times"
                self._size = max(1, self._size // 2)
                return self._conflict_pauses
            case Unanswered():  # whether it is stored is found out when its outcome is loaded next
                return self._outage_pauses
            case Unfit(reason):
                trigger.failure = reason
            case FingerprintMismatch():
                trigger.failure = "its outcome key was used for another trigger"
            case _:
                assert isinstance(answer, ChainBroken), f"{answer!r} refuses nothing"
        return None

    def _take_back(self) -> None:
        """Put the batch that is not in flight yet back into the queue: something comes before it."""
        if self._next is not None:
            self._queue.extendleft(reversed(self._next.triggers))
            self._next = None


def _outcome_of(decision: Decision) -> str:
    if isinstance(decision, Rejected):
        return "rejected"
    return "decided" if decision.events else "empty"
