"""The policies' step function: triggers are decided one after another, their appends travel as one chain.

No I/O happens here. Triggers, answers and readings come in; what should be done comes out as effects of `step`.
A decision is reached on the newest states, acknowledged or hoped for, and is sent without waiting for those before
it. Each append carries a chain id and the exact version of every stream it read: when one is not accepted, the log
refuses all later ones of the chain, hope is dropped, the streams concerned are read again and the triggers are
decided again, from that one on, in their order.

Errors:
    PolicyError
    ├── TriggerStarved   other writers were faster too many times in a row
    └── TooManyParked    so much waits for a person that going on would hide it
"""

import random
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, assert_never

from msgspec import Struct

from commands.policies.effects import Done, Effect, Outcome, Park, Read, Send
from commands.policies.policy import Decision, evolve
from commands.policies.states import Fact, Held, StateTable
from commands.policies.trigger import GivenUp, Trigger, request_of, skip_of
from event_store.envelope import (
    ANY,
    Accepted,
    ChainBroken,
    ConditionFailed,
    FingerprintMismatch,
    Replayed,
    TrackedAlready,
    Verdict,
    WrongVersion,
)

WINDOW_MAX: Final = 256
"""Appends in flight; halved by every conflict, so that little is decided in vain, and grown again one by one."""

IN_FLIGHT_BYTES_MAX: Final = 3 * 1024 * 1024
"""Bytes of events in flight: about one batch at the server, one on the way and one gathering."""

DECISIONS_PER_STEP_MAX: Final = 32
"""Decisions before the driver gets its turn again."""

READ_STREAMS_MAX: Final = 2_000
"""Streams and outcome keys in one reading (its last trigger may need a few more)."""

AHEAD_STREAMS_MAX: Final = 10_000
"""Streams of undecided triggers that are read in advance."""

COMPANIONS_MAX: Final = 256
"""Waiting triggers looked at for the same shortage when a refusal is checked against the log."""

CONFLICTS_MAX: Final = 1_000
"""Conflicts of one trigger with other writers before the worker gives up and says so."""

PARKED_PER_KEY_MAX: Final = 1_000
PARKED_MAX: Final = 10_000
"""Triggers that may wait for a person, per partition key and in all."""

CONFLICT_BACKOFF_S: Final = 0.001
CONFLICT_BACKOFF_MAX_S: Final = 0.25
DEPENDENCY_BACKOFF_S: Final = 0.05
DEPENDENCY_BACKOFF_MAX_S: Final = 5.0
"""First and longest pause after a setback; doubled each time in a row, with jitter."""


class PolicyError(Exception):
    """The policies cannot go on."""


class TriggerStarved(PolicyError):
    """Other writers took the streams of one trigger too many times in a row."""


class TooManyParked(PolicyError):
    """So many triggers wait for a person that going on would hide it."""


class _Flight(Struct):
    """An append on its way, the states it hopes for, and what becomes of its trigger if it is accepted."""

    trigger: Trigger
    reached: dict[str, Held]
    outcome: Outcome
    size: int


class Pipeline:
    """One worker's triggers, states and appends on their way."""

    def __init__(
        self,
        *,
        horizon: int = 0,
        parked: Mapping[tuple[str, str], int] | None = None,
        jitter: random.Random | None = None,
        first_chain: int = 1,
    ) -> None:
        """`horizon` is the log's position at the start: triggers up to there may have an outcome already.

        `parked` counts the triggers that wait by (policy, partition key); `first_chain` must be above every
        chain id the writer has seen.
        """
        self.states = StateTable()
        self.conflicts = 0
        self._horizon = horizon
        self._parked: Counter[tuple[str, str]] = Counter(parked or {})
        self._jitter = jitter or random.Random()
        self._chain = first_chain
        self._queue: deque[Trigger] = deque()
        self._unread: deque[Trigger] = deque()
        self._ahead_streams = 0
        self._flights: dict[int, _Flight] = {}
        self._in_flight_bytes = 0
        self._again: dict[int, Trigger] = {}
        self._broken = False
        self._deciding = True
        self._forget_all = False
        self._stale: set[str] = set()
        self._reading: tuple[Read, tuple[Trigger, ...]] | None = None
        self._number = 0
        self._window = WINDOW_MAX
        self._setbacks = 0
        self._not_before_s = 0.0
        self._effects: list[Effect] = []

    # What the driver tells.

    def deliver(self, triggers: Iterable[Trigger]) -> None:
        """Take triggers in the order in which they are to be decided."""
        self._number += 1
        for trigger in triggers:
            self._admit(trigger)
            self._queue.append(trigger)
            self._unread.append(trigger)

    def retry(self, key: tuple[str, str], triggers: Sequence[Trigger]) -> None:
        """Decide all parked triggers of a key again, oldest first and before anything else."""
        self._number += 1
        self._parked.pop(key, None)
        for trigger in reversed(triggers):
            trigger.unparked = True
            self._admit(trigger)
            self._queue.appendleft(trigger)
            self._unread.appendleft(trigger)

    def answered(self, number: int, verdict: Verdict, *, at_s: float) -> None:
        """Take the verdict on one append.

        Raises:
            TriggerStarved: other writers were faster too many times.
        """
        flight = self._land(number)
        match verdict:
            case Accepted():
                self._number += 1
                self.states.settle(flight.reached, number=self._number)
                self._window = min(self._window + 1, WINDOW_MAX)
                self._setbacks = 0
                self._finish(flight.trigger, flight.outcome)
            case Replayed():
                self._break_on(flight.trigger)
                self._finish(flight.trigger, "replayed")
            case WrongVersion():
                self._conflicted(flight.trigger, at_s)
                self._repeat(number, flight.trigger)
            case ChainBroken():
                self._broken = True
                self._repeat(number, flight.trigger)
            case FingerprintMismatch():
                flight.trigger.failure = "its outcome key was used for another trigger"
                self._break_on(flight.trigger)
                self._repeat(number, flight.trigger)
            case ConditionFailed() | TrackedAlready():
                raise AssertionError("policies state no conditions and track nothing")
            case _:
                assert_never(verdict)

    def failed(self, number: int, *, at_s: float, epoch_changed: bool = False) -> None:
        """Note that an append has no verdict; whether it is stored is found out by sending the same key again."""
        flight = self._land(number)
        self._break_on(flight.trigger)
        self._forget_all |= epoch_changed
        self._repeat(number, flight.trigger)
        self._back_off(at_s, DEPENDENCY_BACKOFF_S, DEPENDENCY_BACKOFF_MAX_S)

    def unfit(self, number: int, reason: str) -> None:
        """Note that an append can never be taken as it is: trying again changes nothing."""
        flight = self._land(number)
        flight.trigger.failure = reason
        self._break_on(flight.trigger)
        self._repeat(number, flight.trigger)

    def page(self, number: int, facts: Mapping[str, Sequence[Fact]]) -> None:
        """Take facts that a reading found; those of a stream continue the ones taken before.

        Raises:
            codec.UnknownEventType: a newer version wrote events that this one cannot read; it must stop.
        """
        assert self._reading is not None
        assert self._reading[0].number == number
        for stream, some in facts.items():
            self.states.take(stream, some, after=some[0].version - 1, read=0)

    def taken(self, number: int, *, outcomes: Mapping[bytes, bytes]) -> None:
        """Take the end of a reading, and the fingerprints of those outcome keys that are known."""
        assert self._reading is not None
        assert self._reading[0].number == number
        read, triggers = self._reading
        self._reading = None
        for stream, after in read.after.items():
            self.states.take(stream, (), after=after, read=number)
        self._stale.difference_update(read.after)
        for trigger in triggers:
            trigger.looked_up = number
            trigger.outcome_known = outcomes.get(trigger.outcome_key) == trigger.fingerprint

    def stop_deciding(self) -> None:
        """Only take answers from now on: the worker drains."""
        self._deciding = False

    # What the driver asks.

    @property
    def waiting(self) -> int:
        """Triggers that are delivered and not yet sent."""
        return len(self._queue) + len(self._again)

    @property
    def in_flight(self) -> int:
        """Appends sent whose verdict is not known."""
        return len(self._flights)

    @property
    def is_reading(self) -> bool:
        """Whether a reading is on its way."""
        return self._reading is not None

    @property
    def parked(self) -> Mapping[tuple[str, str], int]:
        """How many triggers wait for a person, by (policy, partition key)."""
        return self._parked

    def pause_s(self, at_s: float) -> float:
        """How long nothing will be done because of a setback, in seconds."""
        return max(0.0, self._not_before_s - at_s)

    def step(self, now: datetime, *, at_s: float) -> list[Effect]:
        """Do what can be done now; `at_s` is a monotonic clock, in seconds.

        Raises:
            TooManyParked: the worker must stop and say so.
        """
        if self._broken and not self._flights:
            self._recover()
        may_decide = self._deciding and not self._broken and at_s >= self._not_before_s
        if may_decide and not self._read_stale():
            self._read_ahead()
            self._decide(now)
        effects, self._effects = self._effects, []
        return effects

    # Private steps, in the order of a trigger's life.

    def _admit(self, trigger: Trigger) -> None:
        trigger.arrived = self._number
        if trigger.version == 1 and trigger.event is not None and trigger.stream in trigger.reads:
            self.states.seed(trigger.stream, trigger.event, read=self._number)

    def _read_ahead(self) -> None:
        """Read what the next triggers need, before it is their turn."""
        if self._reading is not None:
            return
        after: dict[str, int] = {}
        asked: list[Trigger] = []
        if self._queue:
            after.update(dict.fromkeys(self.states.missing(self._queue[0].reads), 0))
        while self._unread and self._ahead_streams < AHEAD_STREAMS_MAX:
            if len(after) + len(asked) >= READ_STREAMS_MAX:
                break
            trigger = self._unread.popleft()
            trigger.read_ahead = True
            self._ahead_streams += len(trigger.reads)
            after.update(dict.fromkeys(self.states.missing(trigger.reads), 0))
            if trigger.position <= self._horizon:
                asked.append(trigger)
            else:
                trigger.outcome_known = False
        self._read(after, asked)

    def _read_stale(self) -> bool:
        """Read again what a refused append was decided on; nothing is decided before that."""
        if self._stale and self._reading is None:
            self._read({stream: self.states.acknowledged_version(stream) for stream in self._stale}, ())
        return bool(self._stale)

    def _read(self, after: Mapping[str, int], asked: Sequence[Trigger]) -> None:
        if not after and not asked:
            return
        self._number += 1
        read = Read(self._number, dict(after), tuple(trigger.outcome_key for trigger in asked))
        self._reading = (read, tuple(asked))
        self._effects.append(read)

    def _decide(self, now: datetime) -> None:
        for _ in range(DECISIONS_PER_STEP_MAX):
            if not self._queue or not self._settle_next(self._queue[0], now):
                return
            self._no_longer_ahead(self._queue.popleft())

    def _no_longer_ahead(self, trigger: Trigger) -> None:
        if trigger.read_ahead:
            trigger.read_ahead = False
            self._ahead_streams -= len(trigger.reads)

    def _settle_next(self, trigger: Trigger, now: datetime) -> bool:
        """Send, park or finish the trigger; False when it must wait for something."""
        if trigger.outcome_known is None:
            return False
        if trigger.outcome_known:
            self._finish(trigger, "replayed")
            return True
        if trigger.parking_key in self._parked:
            return self._park(trigger, None)
        if trigger.given_up is not None:
            return self._skip(trigger, trigger.given_up, now)
        if trigger.failure is not None:
            return self._fail(trigger, trigger.failure)
        if self.states.missing(trigger.reads) or not self._has_room():
            return False
        return self._decide_on_states(trigger, now)

    def _decide_on_states(self, trigger: Trigger, now: datetime) -> bool:
        held = {stream: self.states.newest(stream) for stream in trigger.reads}
        states = {stream: below.state for stream, below in held.items() if below is not None}
        failure = next(
            (below.failure for below in held.values() if below is not None and below.failure), None
        )
        decision = Decision()
        if failure is None:
            try:
                decision = trigger.reaction.decide(trigger.event, states, now)
            except Exception as error:  # noqa: BLE001 - a decision that fails is parked, whatever the failure
                failure = f"{type(error).__name__}: {error}"
        if failure is not None:
            return self._fail(trigger, failure)
        if decision.refused_by and not self._is_settled(trigger):
            self._check_again(trigger, decision.refused_by)
            return False
        return self._send(trigger, decision, now)

    def _fail(self, trigger: Trigger, failure: str) -> bool:
        """Park the trigger, once it is certain that this is no stale state and that it has no outcome already.

        An earlier worker may have done it, or this one, when it was delivered twice: what then cannot be done a
        second time must not be parked. So its outcome is looked for after the states were read, and after this
        worker's own appends became part of them: they show the effect of any outcome before that.
        """
        held = [below for stream in trigger.reads if (below := self.states.newest(stream)) is not None]
        newest = [max(below.read, below.settled) for below in held]
        if self._is_settled(trigger) and trigger.looked_up >= max(newest, default=trigger.arrived):
            return self._park(trigger, failure)
        self._check_again(trigger, ())
        return False

    def _is_settled(self, trigger: Trigger) -> bool:
        return all(self.states.is_settled(stream, since=trigger.arrived) for stream in trigger.reads)

    def _check_again(self, trigger: Trigger, refused_by: tuple[str, ...]) -> None:
        """Read what speaks against the trigger from the log, once all that was sent of it is answered.

        Those that wait behind it and want the same scarce streams are served by the same reading.
        """
        if self._reading is not None or self.states.hopes_for(trigger.reads):
            return
        wanted = dict.fromkeys(trigger.reads)
        scarce = set(refused_by)
        for waiting in list(self._queue)[1:COMPANIONS_MAX] if scarce else ():
            if len(wanted) >= READ_STREAMS_MAX:
                break
            if not scarce.isdisjoint(waiting.reads):
                wanted.update(dict.fromkeys(waiting.reads))
        self._read({stream: self.states.acknowledged_version(stream) for stream in wanted}, (trigger,))

    def _has_room(self) -> bool:
        return len(self._flights) < self._window and self._in_flight_bytes < IN_FLIGHT_BYTES_MAX

    def _skip(self, trigger: Trigger, given_up: GivenUp, now: datetime) -> bool:
        decision = skip_of(trigger, given_up, now)
        expected = {stream: ANY for stream, _ in decision.events}
        return self._send_expecting(trigger, decision, expected, {}, now)

    def _send(self, trigger: Trigger, decision: Decision, now: datetime) -> bool:
        expected: dict[str, int] = {}
        reached: dict[str, Held] = {}
        for stream in trigger.reads:
            held = self.states.newest(stream)
            assert held is not None, "decided on a state that is not there"
            expected[stream] = held.version
        for stream, event in decision.events:
            below = self.states.newest(stream)
            assert below is not None, f"{trigger.reaction.name} writes {stream} without reading it"
            state = evolve(stream, below.state, event)
            reached[stream] = self.states.hope(stream, version=below.version + 1, state=state)
        return self._send_expecting(trigger, decision, expected, reached, now)

    def _send_expecting(
        self,
        trigger: Trigger,
        decision: Decision,
        expected: Mapping[str, int],
        reached: dict[str, Held],
        now: datetime,
    ) -> bool:
        request = request_of(trigger, decision, expected=expected, chain=self._chain, now=now)
        self._number += 1
        size = sum(len(event.payload) + len(event.metadata) for event in request.events)
        self._flights[self._number] = _Flight(trigger, reached, _outcome_of(trigger, decision), size)
        self._in_flight_bytes += size
        self._effects.append(Send(self._number, request))
        return True

    def _park(self, trigger: Trigger, failure: str | None) -> bool:
        if self._flights:
            return False
        key = trigger.parking_key
        self._parked[key] += 1
        if self._parked[key] > PARKED_PER_KEY_MAX or self._parked.total() > PARKED_MAX:
            raise TooManyParked(f"{self._parked.total()} triggers wait, {self._parked[key]} of {key[1]}")
        self._effects.append(Park(trigger, failure))
        return True

    def _finish(self, trigger: Trigger, outcome: Outcome) -> None:
        if trigger.version == 1:
            self.states.forget(trigger.stream)
        self._effects.append(Done(trigger, outcome))

    def _land(self, number: int) -> _Flight:
        flight = self._flights.pop(number)
        self._in_flight_bytes -= flight.size
        return flight

    def _break_on(self, trigger: Trigger) -> None:
        self._broken = True
        self._stale.update(trigger.reads)

    def _conflicted(self, trigger: Trigger, at_s: float) -> None:
        self.conflicts += 1
        trigger.conflicts += 1
        if trigger.conflicts > CONFLICTS_MAX:
            raise TriggerStarved(f"{trigger.causation} met {trigger.conflicts} conflicts")
        self._window = max(1, self._window // 2)
        self._break_on(trigger)
        self._back_off(at_s, CONFLICT_BACKOFF_S, CONFLICT_BACKOFF_MAX_S)

    def _repeat(self, number: int, trigger: Trigger) -> None:
        self._again[number] = trigger

    def _recover(self) -> None:
        """Every append of the broken chain is answered: begin a new chain with what has no outcome."""
        if self._forget_all:
            self.states.drop_all()
            self._forget_all = False
        self.states.drop_hope()
        for number in sorted(self._again, reverse=True):
            self._queue.appendleft(self._again[number])
        self._again.clear()
        self._chain += 1
        self._broken = False

    def _back_off(self, at_s: float, first_s: float, longest_s: float) -> None:
        self._setbacks += 1
        pause_s = min(longest_s, first_s * 2 ** min(self._setbacks - 1, 30))
        self._not_before_s = max(self._not_before_s, at_s + pause_s * self._jitter.uniform(0.5, 1.0))


def _outcome_of(trigger: Trigger, decision: Decision) -> Outcome:
    if trigger.given_up is not None:
        return "given_up"
    if decision.refused_by:
        return "refused"
    return "decided" if decision.events else "empty"
