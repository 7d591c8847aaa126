"""The only write path: load, decide, append under the caller's key, answer. `Execution._attempt` is the whole of it."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Generic, TypeVar

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter

from commands import limits, preconditions, recording, refusals
from commands.calls import Call, SeenAt, uuid7
from commands.decision import (
    ABSENT,
    Decision,
    DecisionView,
    NotLoaded,
    Selection,
    StreamState,
    TagQuery,
    events_of,
)
from commands.log_polling import LogPoller
from commands.log_reading import NOWHERE, LogReader, LogUnreachable, Outcome, Placed
from commands.personal_data import NOT_CONFIGURED, PersonalData
from commands.premises import BARE, Premises
from commands.recording import Answer, Unanswered, Unfit, answer_of
from commands.states import States
from commands.stream_locks import StreamLocks
from domain.aggregate import Aggregate, category_of
from domain.event import Event
from domain.rejection import Rejection
from event_store.log.appending import errors
from event_store.log.appending.writer import Writer
from event_store.log.envelope import (
    Accepted,
    AppendRequest,
    ConditionFailed,
    FingerprintMismatch,
    Replayed,
    Verdict,
    WrongVersion,
)
from event_store.log.fingerprints import Fingerprints
from event_store.transport.partitioning import partition_of
from event_store.transport.position_token import PositionToken
from runtime.problems import ProblemError

S = TypeVar("S")

Decide = Callable[[S | None, DecisionView], Decision | Sequence[Event]]
"""A decision: the state of the stream that the command addresses, and a view of everything else."""


class Slot:
    """A place in the log's queue, held from before any work until the first append."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._held = True

    def free(self) -> None:
        """Release the place, once."""
        if self._held:
            self._held = False
            self._writer.release(1)


class _Work(Struct, Generic[S], kw_only=True):
    """One command in progress: what to decide, on which stream, and what its earlier attempts read."""

    call: Call
    slot: Slot
    aggregate: Aggregate[S]
    identifier: str
    stream: str
    """The stream that the command addresses."""
    decide: Decide[S]
    creates: bool
    """The stream is assumed to be new: the common case needs no load."""
    generated: bool
    """The id was made up for this attempt, so a replay has to find out which one the first attempt got."""
    occurred_at: datetime | None
    owner: Callable[[S], str | None] | None = None
    fresh: bool = False
    """The next attempt decides on loaded states only."""
    streams: dict[str, Aggregate[Any]] = {}
    questions: dict[TagQuery, None] = {}
    locks: list[str] = []
    """Conditions of the decision, besides the version of its stream."""


class _Attempt(Struct):
    """The states of one attempt: they stay the same however often the decision is called."""

    epoch: int
    states: dict[str, StreamState[Any]] = {}
    loaded: set[str] = set()
    selections: dict[TagQuery, Selection] = {}

    @property
    def fresh(self) -> bool:
        """Whether every state that was read was loaded for this attempt."""
        return self.states.keys() <= self.loaded


class _Decided(Struct, frozen=True):
    """A decision with the view that it was reached on, and the append that it becomes."""

    decision: Decision
    view: DecisionView
    base: StreamState[Any]
    request: AppendRequest


class Caller:
    """One command of one caller: what a route needs to decide and to answer."""

    def __init__(
        self,
        execution: "Execution",
        *,
        call: Call,
        slot: Slot,
        now: datetime,
        fingerprints: Fingerprints | None = None,
        personal: PersonalData = NOT_CONFIGURED,
        premises: Premises = BARE,
    ) -> None:
        """`fingerprints` are for a command that is remembered under a key of its own; `personal` seals."""
        self.execution, self.call, self.fingerprints, self.personal = execution, call, fingerprints, personal
        self.premises, self.now, self._slot, self._generated = premises, now, slot, False

    @property
    def actor(self) -> str:
        """The actor of the events that follow."""
        return self.call.actor

    @property
    def confined_to(self) -> str | None:
        """The owner whose objects alone the caller can see; None: all objects."""
        return self.call.authority.confined_to

    def new_id(self) -> str:
        """A generated id, where the caller gave none."""
        self._generated = True
        return uuid7(self.now)

    async def execute(
        self,
        aggregate: Aggregate[S],
        identifier: str,
        decide: Decide[S],
        *,
        creates: bool = False,
        fresh: bool = False,
        occurred_at: datetime | None = None,
        owner: Callable[[S], str | None] | None = None,
    ) -> Answer:
        """Decide on the state of a stream and append what was decided; `decide` may be called several times.

        `fresh`: also the first time on a state that is loaded for it. `owner` says whose the stream is: for a caller
        who is confined to their own, `decide` gets what is somebody else's as what there is not, and has to refuse it.

        Raises:
            ProblemError: the command is refused, or cannot be answered at the moment.
        """
        return await self.execution.execute(
            _Work(
                call=self.call,
                slot=self._slot,
                aggregate=aggregate,
                identifier=identifier,
                stream=aggregate.stream(identifier),
                decide=decide,
                creates=creates,
                generated=self._generated,
                fresh=fresh,
                occurred_at=occurred_at,
                owner=owner,
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
        poller: LogPoller,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._conflicts = Counter(
            "counterfoil_command_conflicts",
            "Decisions made again because their stream, or one they relied on, had another version.",
            registry=registry,
        )
        self._writer = writer
        self.reader = reader
        self._states = states
        self._poller = poller
        self._locks = StreamLocks()

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        name: str,
        reader: LogReader,
        states: States,
        poller: LogPoller,
        registry: CollectorRegistry | None = None,
    ) -> AsyncIterator["Execution"]:
        """Executes commands on the log at `url` with a writer of its own; at the end it finishes those in flight."""
        async with Writer.open(url, name=name) as writer:
            yield cls(writer, reader=reader, states=states, poller=poller, registry=registry)

    @property
    def waiting(self) -> int:
        """Requests that wait for the log."""
        return self._writer.waiting

    def has_room(self) -> bool:
        """Whether a command would be accepted now."""
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

    def position_token(self, touched: Iterable[tuple[str, int]]) -> str:
        """The token of these partition keys, each up to a position."""
        log_state = self._poller.log_state
        partitions: dict[int, int] = {}
        for key, position in touched:
            partition = partition_of(key, log_state.partitions)
            partitions[partition] = max(position, partitions.get(partition, 0))
        return PositionToken(log_state.epoch, log_state.generation, partitions).encode()

    async def execute(self, work: _Work[S]) -> Answer:
        """Decide a command and have the log record what was decided.

        Raises:
            ProblemError: the command is refused, or cannot be answered at the moment.
        """
        await self._locks.take(work.stream)
        try:
            self._require_log()  # a command that waited long for a lock must not wait for a silent log again
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
            self._locks.give(work.stream)
            for lock in work.locks:
                self._locks.give(lock)

    async def append_chain(
        self, requests: Iterable[AppendRequest], *, epoch: int
    ) -> list[Verdict | Unanswered | Unfit]:
        """Append decisions of a process manager in `epoch`, as one chain in order; the outcome of each request."""
        answers = await self._writer.append_chain(requests, epoch=epoch)
        return [each if isinstance(each, Verdict) else _without_verdict(each) for each in answers]

    def _require_log(self) -> None:
        if not self._poller.answers:
            raise refusals.store_unavailable()

    async def _attempts(self, work: _Work[S]) -> Answer:
        for attempt in range(limits.ATTEMPTS_MAX):
            if attempt > 1:  # the second one follows at once: an old cached state is no sign of a race
                await asyncio.sleep(random.uniform(0, limits.RETRY_PAUSE_MAX_S))
            answer = await self._attempt(work)
            if answer is not None:
                return answer
            if not work.fresh and work.questions:
                await self._lock_tags(work)
            work.fresh = True
        problem = refusals.contended(work.stream)
        answer = await self._refused(work, problem, epoch=self._poller.log_state.epoch)
        if answer is None:
            raise problem
        return answer

    async def _lock_tags(self, work: _Work[Any]) -> None:
        """Run commands that conflicted on a tag one after another."""
        # Sorted: two commands with the same tags take their locks in one order, so neither waits for the other.
        for lock in sorted({_lock_of(tag) for _, tags in work.questions for tag in tags}):
            await self._locks.take(lock)
            work.locks.append(lock)

    async def _attempt(self, work: _Work[S]) -> Answer | None:
        """One attempt at a command; None when another one is needed, on newer states."""
        # The epoch is taken before the states: should the log move to another one behind them, it will not match.
        attempt = _Attempt(epoch=self._poller.log_state.epoch)

        # 1. Load, and 2. decide: a state that the decision reads and that is not there is loaded, and it is made again.
        try:
            decided = await self._decided(work, attempt)
        except (Rejection, ProblemError) as refusal:
            # A kept state may be old, and a refusal never reaches the log, which would refuse the version. So a
            # refusal counts only on loaded states: the next attempt loads everything.
            if not attempt.fresh:
                return None
            return await self._refused(work, refusals.problem_of(refusal), epoch=attempt.epoch)

        # 3. Append, also where nothing was decided: the request names the versions that were decided on, kept or
        # assumed ones too, so the log refuses a decision on an old state. It answers a known key from its outcome
        # before it compares anything.
        try:
            work.slot.free()  # in the same step of the event loop as the append: no other request takes the place
            verdict = await self._writer.append(decided.request, epoch=attempt.epoch)
        except errors.EpochChanged:
            await self._poller.poll()
            return None

        match verdict:
            case Accepted():
                # 4. Settle: the next command of this process decides on what this one led to.
                self._settle(decided, verdict, epoch=attempt.epoch)
                # 5. Answer.
                return _answered(decided, work.stream, verdict)
            case Replayed():
                return await self._replayed(
                    work, Outcome(work.call.fingerprint, verdict.first, verdict.last, verdict.versions)
                )
            case FingerprintMismatch():
                raise refusals.key_reused()
            case WrongVersion():
                self._conflicts.inc()
                return None
            case ConditionFailed():
                self._conflicts.inc()
                return await self._excluded(work, decided, verdict, epoch=attempt.epoch)
        raise AssertionError(f"{verdict!r} to a request without chain and tracking")

    async def _decided(self, work: _Work[S], attempt: _Attempt) -> _Decided:
        """The decision, made again as often as it reads a state that has to be loaded first.

        Raises:
            Rejection, ProblemError: it refuses the command.
        """
        if work.fresh:
            await self._load(work, attempt, work.streams, work.questions)
        held, authority = partial(self._held, work, attempt), work.call.authority
        for _ in range(limits.READ_ROUNDS_MAX):
            view = DecisionView(held, attempt.selections.get)
            try:
                authority.prefetch(view)
                base = view.rely_on(work.aggregate, work.stream)
                authority.require(view)
                shown = authority.shown(base, work.owner)
                preconditions.require_seen(work.call.if_match, work.stream, shown, epoch=attempt.epoch)
                decided = work.decide(shown.state, view)
                assert shown is base, f"{work.call.command} decides about what there is not for its caller"
                if not isinstance(decided, Decision):
                    decided = Decision(events_of(work.aggregate, work.identifier, decided))
                request = recording.append_request(
                    decided,
                    view,
                    key=work.call.key,
                    fingerprint=work.call.fingerprint,
                    cause=work.call.metadata(occurred_at=work.occurred_at),
                )
            except NotLoaded as missing:
                await self._load(work, attempt, missing.streams, missing.questions)
            else:
                return _Decided(decided, view, base, request)
        raise AssertionError(
            f"{work.call.command} still reads new streams after {limits.READ_ROUNDS_MAX} rounds"
        )

    def _held(self, work: _Work[Any], attempt: _Attempt, stream: str) -> StreamState[Any] | None:
        """The state of a stream in this attempt: cached, unless the attempt needs loaded states."""
        found = attempt.states.get(stream)
        if found is not None or work.fresh:
            return found
        found = self._states.kept(stream)
        if found is None and work.creates and stream == work.stream:
            found = ABSENT
        if found is not None:
            attempt.states[stream] = found
        return found

    async def _load(
        self,
        work: _Work[Any],
        attempt: _Attempt,
        streams: Mapping[str, Aggregate[Any]],
        questions: Collection[TagQuery],
    ) -> None:
        """Load the streams that a decision reads, for this attempt, and note them for a later one."""
        loaded, *selections = await asyncio.gather(
            self._states.load(streams), *(self._states.select(question) for question in questions)
        )
        attempt.states |= loaded
        attempt.loaded |= loaded.keys()
        attempt.selections |= zip(questions, selections, strict=True)
        work.streams = {**work.streams, **streams}
        work.questions = {**work.questions, **dict.fromkeys(questions)}

    def _settle(self, decided: _Decided, accepted: Accepted, *, epoch: int) -> None:
        if epoch == self._poller.log_state.epoch:  # else all states were dropped, and these are old too
            self._states.settle(decided.decision, decided.view, first=accepted.first)

    async def _excluded(
        self, work: _Work[Any], decided: _Decided, failed: ConditionFailed, *, epoch: int
    ) -> Answer | None:
        """Refuse what the decision says is refused then; a newer event that it would have read has it made again."""
        for stated in decided.decision.conditions:
            if stated.condition == failed.condition:
                return await self._refused(work, refusals.problem_of(stated.refusal), epoch=epoch)
        return None

    async def _refused(self, work: _Work[Any], problem: ProblemError, *, epoch: int) -> Answer | None:
        """Refuse a command unless its key has an outcome: then that is the answer, the same as the first time.

        None when the log turns out to be another one than the states came from: all has to be decided again.
        """
        current, outcome = await self.reader.outcome(work.call.key)
        if current != epoch:
            await self._poller.poll()
            return None
        if outcome is None:
            await self._explain(work, problem)
            raise problem
        if outcome.fingerprint != work.call.fingerprint:
            raise refusals.key_reused()
        return await self._replayed(work, outcome)

    async def _replayed(self, work: _Work[Any], outcome: Outcome) -> Answer:
        """The first answer, rendered again from the same stream, versions and positions."""
        placed = await self.reader.placed(outcome.first, outcome.last) if outcome.last else []
        stream = work.stream
        if work.generated:
            category = work.aggregate.category
            stream = next(each.stream for each in placed if category_of(each.stream) == category)
        version = next(iter(outcome.versions), 0)  # an append that names no stream has no version
        base = (
            NOWHERE
            if any(each.stream == stream for each in placed)
            else await self.reader.placed_at(stream, version)
        )
        return answer_of(stream, version, placed, base=base, replayed=True)

    async def _explain(self, work: _Work[Any], problem: ProblemError) -> None:
        """Add to a problem about an old version the events since."""
        seen = work.call.if_match
        if problem.type.slug != "precondition-failed" or seen is None or not problem.facts["actual"]:
            return
        if isinstance(seen, SeenAt):
            seen = await self.reader.version_at(work.stream, seen.position)
        if seen >= 0:
            problem.facts["events_since"] = await self.reader.types_since(work.stream, seen)


def _lock_of(tag: str) -> str:
    """The name of a tag's lock; no stream has it."""
    return f"tag {tag}"


def _without_verdict(error: errors.AppendError) -> Unanswered | Unfit:
    kind = Unfit if isinstance(error, errors.InvalidRequest) else Unanswered
    return kind(str(error) or type(error).__name__)


def _answered(decided: _Decided, stream: str, accepted: Accepted) -> Answer:
    placed = [
        Placed(event.stream, position, event.partition_key or event.stream)
        for position, event in enumerate(decided.request.events, start=accepted.first)
    ]
    base = Placed(stream, decided.base.position, decided.base.key)
    return answer_of(stream, accepted.versions[0], placed, base=base)
