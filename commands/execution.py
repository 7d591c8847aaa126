"""The only write path: load, decide, append under the caller's key, and say what the log said.

A command may be decided on a state that this process kept, or on the assumption that its stream is new: the
append names the version it was decided on, so the log refuses what was wrong, also a decision that nothing is to
be done. What such a state *refuses*, though, never reaches the log. Therefore a refusal counts only on a freshly
loaded state, and only after the key was found to have no outcome yet.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter

from commands import limits, refusals
from commands.calls import ANY_VERSION, Call, uuid7
from commands.log_reading import LogReader, LogUnreachable, Outcome
from commands.states import ABSENT, Folded, States
from commands.turns import Turns
from commands.watching import Watch
from domain.aggregate import Aggregate
from domain.event import Event
from domain.rejection import Rejection
from event_store import codec
from event_store.appending import errors
from event_store.appending.writer import Writer
from event_store.envelope import (
    Accepted,
    AppendRequest,
    Expectation,
    FingerprintMismatch,
    NewEvent,
    Replayed,
    Verdict,
    WrongVersion,
)
from event_store.partitioning import partition_of
from event_store.position_token import PositionToken
from runtime.problems import ProblemError

S = TypeVar("S")
R = TypeVar("R")


class Answer(Struct, frozen=True):
    """What the log says to a command: `position` is that of the last event, `replayed` that it was said before."""

    stream: str
    version: int
    position: int
    replayed: bool = False

    @property
    def identifier(self) -> str:
        """The stream's name without its category."""
        return self.stream.partition("-")[2]


class Readings(Generic[R]):
    """States of other streams that a decision looks at.

    `known` is for facts that never change: the state may be an old one. Whoever takes `current` relies on the
    version, and the append fails if it is not the newest.
    """

    def __init__(self, aggregate: Aggregate[R], identifiers: Iterable[str]) -> None:
        self._states: dict[str, Folded[R]] = {}
        self._relied_on: dict[str, int] = {}
        self.aggregate = aggregate
        self.streams = {identifier: aggregate.stream(identifier) for identifier in identifiers}

    def known(self, identifier: str) -> R | None:
        """The state as last seen; None only if the log has no such stream."""
        return self._states[self.streams[identifier]].state

    def current(self, identifier: str) -> R | None:
        """The newest state."""
        stream = self.streams[identifier]
        self._relied_on[stream] = self._states[stream].version
        return self._states[stream].state

    def settle(self, states: dict[str, Folded[Any]]) -> None:
        """Take the states of one attempt."""
        self._states = states
        self._relied_on = {}

    def expectations(self) -> list[Expectation]:
        """The versions that the decision relied on."""
        return [Expectation(stream, version) for stream, version in self._relied_on.items()]


class Slot:
    """A place in the log's queue, held from before any work until the first append."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._held = True

    def free(self) -> None:
        """Give the place up, once."""
        if self._held:
            self._held = False
            self._writer.release(1)


class _Work(Struct, Generic[S], kw_only=True):
    """One command on its way: what to decide, on which stream, with which other states in view."""

    call: Call
    slot: Slot
    aggregate: Aggregate[S]
    stream: str
    decide: Callable[[S | None], Sequence[Event]]
    readings: Readings[Any] | None
    creates: bool
    """The stream is assumed to be new: the common case needs no look at it."""
    generated: bool
    """The id was made up for this attempt, so a replay has to find out which one the first attempt got."""
    occurred_at: datetime | None
    fresh: bool = False
    """The next attempt decides on loaded states only."""


class Caller:
    """One command of one caller: what a route needs to decide and to answer."""

    def __init__(self, execution: "Execution", *, call: Call, slot: Slot, now: datetime) -> None:
        self._execution = execution
        self._call = call
        self._slot = slot
        self._generated = False
        self.now = now

    def new_id(self) -> str:
        """An id for something that the caller did not name."""
        self._generated = True
        return uuid7(self.now)

    async def execute(
        self,
        aggregate: Aggregate[S],
        identifier: str,
        decide: Callable[[S | None], Sequence[Event]],
        *,
        creates: bool = False,
        readings: Readings[Any] | None = None,
        occurred_at: datetime | None = None,
    ) -> Answer:
        """Decide on the state of a stream and append what was decided; `decide` may be called several times.

        Raises:
            ProblemError: the command is refused, or cannot be answered at the moment.
        """
        return await self._execution.execute(
            _Work(
                call=self._call,
                slot=self._slot,
                aggregate=aggregate,
                stream=aggregate.stream(identifier),
                decide=decide,
                readings=readings,
                creates=creates,
                generated=self._generated,
                occurred_at=occurred_at,
            )
        )


class Execution:
    """Executes the commands of one process."""

    def __init__(
        self,
        writer: Writer,
        *,
        reader: LogReader,
        states: States,
        watch: Watch,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._conflicts = Counter(
            "counterfoil_command_conflicts",
            "Decisions made again because their stream, or one they relied on, had another version.",
            registry=registry,
        )
        self._writer = writer
        self._reader = reader
        self._states = states
        self._watch = watch
        self._turns = Turns()

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        name: str,
        reader: LogReader,
        states: States,
        watch: Watch,
        registry: CollectorRegistry | None = None,
    ) -> AsyncIterator["Execution"]:
        """Executes commands on the log at `url` with a writer of its own; at the end what was taken is finished."""
        async with Writer.open(url, name=name) as writer:
            yield cls(writer, reader=reader, states=states, watch=watch, registry=registry)

    @property
    def waiting(self) -> int:
        """Requests that wait for the log."""
        return self._writer.waiting

    def has_room(self) -> bool:
        """Whether a command would be taken now."""
        try:
            self._writer.require_room()
        except errors.QueueFull:
            return False
        return True

    def reserve(self, count: int) -> list[Slot]:
        """Places for `count` commands, to be taken before any work begins for them.

        Raises:
            ProblemError: the queue is full, or the log has not answered for a while: waiting would not help.
        """
        self._require_log()
        try:
            self._writer.reserve(count)
        except errors.QueueFull as error:
            raise refusals.too_busy() from error
        return [Slot(self._writer) for _ in range(count)]

    def position_token(self, answers: Iterable[Answer]) -> str:
        """The token of what these answers touched."""
        standing = self._watch.standing
        partitions: dict[int, int] = {}
        for answer in answers:
            if answer.position:
                partition = partition_of(answer.stream, standing.partitions)
                partitions[partition] = max(answer.position, partitions.get(partition, 0))
        return PositionToken(standing.epoch, standing.generation, partitions).encode()

    async def execute(self, work: _Work[S]) -> Answer:
        """Decide a command and have the log record what was decided.

        Raises:
            ProblemError: the command is refused, or cannot be answered at the moment.
        """
        await self._turns.take(work.stream)
        try:
            self._require_log()  # whoever waited long for a turn must not wait for a silent log again
            return await self._attempts(work)
        except (LogUnreachable, errors.StoreUnavailable) as error:
            raise refusals.store_unavailable() from error
        except errors.QueueFull as error:
            raise refusals.too_busy() from error
        except errors.OutcomeUnknown as error:
            raise refusals.outcome_unknown() from error
        except errors.WriterClosed as error:
            raise refusals.shutting_down() from error
        finally:
            self._turns.give(work.stream)

    def _require_log(self) -> None:
        if not self._watch.answers:
            raise refusals.store_unavailable()

    async def _attempts(self, work: _Work[S]) -> Answer:
        for attempt in range(limits.ATTEMPTS_MAX):
            if attempt > 1:  # the second one follows at once: a kept state was old, nobody need be racing
                await asyncio.sleep(random.uniform(0, limits.RETRY_PAUSE_MAX_S))
            answer = await self._attempt(work)
            if answer is not None:
                return answer
            work.fresh = True
        problem = refusals.contended(work.stream)
        answer = await self._refused(work, problem, epoch=self._watch.standing.epoch)
        if answer is None:
            raise problem
        return answer

    async def _attempt(self, work: _Work[S]) -> Answer | None:
        """Decide and append once; None when it has to be decided again, on newer states."""
        # Taken before the states: should the log move to another epoch behind them, it will not match.
        epoch = self._watch.standing.epoch
        base, fresh = await self._view(work)
        try:
            _check_version(work, base)
            events = work.decide(base.state)
        except (Rejection, ProblemError) as refusal:
            return await self._refused(work, refusals.problem_of(refusal), epoch=epoch) if fresh else None
        try:  # also without events: the log says whether the version is right on which nothing is to be done
            verdict = await self._append(work, base, events, epoch=epoch)
        except errors.EpochChanged:
            await self._watch.look()
            return None
        return await self._settled(work, base, events, verdict, epoch=epoch)

    async def _view(self, work: _Work[S]) -> tuple[Folded[S], bool]:
        """The state to decide on, and whether all states in view were loaded for this attempt."""
        wanted: dict[str, Aggregate[Any]] = {work.stream: work.aggregate}
        if work.readings is not None:
            aggregate = work.readings.aggregate
            wanted.update((stream, aggregate) for stream in work.readings.streams.values())
        states = {} if work.fresh else self._kept(work, wanted)
        missing = {stream: wanted[stream] for stream in wanted if stream not in states}
        if missing:
            states.update(await self._states.load(missing))
        if work.readings is not None:
            work.readings.settle(states)
        return states[work.stream], len(missing) == len(wanted)

    def _kept(self, work: _Work[S], wanted: Iterable[str]) -> dict[str, Folded[Any]]:
        states = {stream: kept for stream in wanted if (kept := self._states.kept(stream)) is not None}
        if work.creates:
            states.setdefault(work.stream, ABSENT)
        return states

    async def _append(
        self, work: _Work[S], base: Folded[S], events: Sequence[Event], *, epoch: int
    ) -> Verdict:
        relied_on = () if work.readings is None else work.readings.expectations()
        request = AppendRequest(
            key=work.call.key,
            fingerprint=work.call.fingerprint,
            events=tuple(
                NewEvent(work.stream, *codec.encode(event), work.call.metadata(occurred_at=work.occurred_at))
                for event in events
            ),
            expectations=(Expectation(work.stream, base.version), *relied_on),
        )
        work.slot.free()
        return await self._writer.append(request, epoch=epoch)

    async def _settled(
        self, work: _Work[S], base: Folded[S], events: Sequence[Event], verdict: Verdict, *, epoch: int
    ) -> Answer | None:
        match verdict:
            case Accepted():
                version, position = verdict.versions[0], verdict.last or base.position
                if (
                    epoch == self._watch.standing.epoch
                ):  # else all states were dropped, and this one is old too
                    self._states.advance(
                        work.stream,
                        work.aggregate,
                        base=base,
                        events=events,
                        version=version,
                        position=position,
                    )
                return Answer(work.stream, version, position)
            case Replayed():
                outcome = Outcome(work.call.fingerprint, verdict.first, verdict.last, verdict.versions)
                return await self._replayed(work, outcome)
            case FingerprintMismatch():
                raise refusals.key_reused()
            case WrongVersion():
                self._conflicts.inc()
                return None
        raise AssertionError(f"{verdict!r} to a request without conditions and chain")

    async def _refused(self, work: _Work[S], problem: ProblemError, *, epoch: int) -> Answer | None:
        """Refuse a command unless its key has an outcome: then that is the answer, the same as the first time.

        None when the log turns out to be another one than the states came from: all has to be decided again.
        """
        current, outcome = await self._reader.outcome(work.call.key)
        if current != epoch:
            await self._watch.look()
            return None
        if outcome is None:
            await self._explain(work, problem)
            raise problem
        if outcome.fingerprint != work.call.fingerprint:
            raise refusals.key_reused()
        return await self._replayed(work, outcome)

    async def _replayed(self, work: _Work[S], outcome: Outcome) -> Answer:
        version = outcome.versions[0]
        stream = await self._reader.stream_at(outcome.first) if work.generated else work.stream
        position = outcome.last or await self._reader.position_of(stream, version)
        return Answer(stream, version, position, replayed=True)

    async def _explain(self, work: _Work[S], problem: ProblemError) -> None:
        """Tell a caller whose version is out of date what has happened since."""
        seen = work.call.if_match
        if problem.type.slug == "precondition-failed" and seen is not None and seen >= 0:
            problem.facts["events_since"] = await self._reader.types_since(work.stream, seen)


def _check_version(work: _Work[S], base: Folded[S]) -> None:
    seen = work.call.if_match
    if seen is None or seen == base.version:
        return
    if seen != ANY_VERSION:
        raise refusals.version_moved(work.stream, expected=seen, actual=base.version)
    if base.version == 0:
        raise refusals.version_moved(work.stream, expected="any version", actual=0)
