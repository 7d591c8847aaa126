"""Process managers under the scheduler: two workers on a log in memory, killed, late, repeating, fenced; from a seed.

Decider, progress, states and the writer's batcher are the product's own. Each worker acts as the active one, as one
does that was paused. A test says which processes, what callers do meanwhile, and what no log may say:

    def run(seed):
        return processes.run(seed, processes=(RETURNS,), callers=lambda world: Library(world).call, check=over_lent)

    def test_no_book_is_lent_twice(explored):
        assert {} == explored(run, schedules=300)
"""

import contextlib
import random
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, TypeVar, cast

from commands.decision import ABSENT, StreamState
from commands.processes.deciding import Append, Decider, Done, Load, Loaded, Park
from commands.processes.process import Process
from commands.processes.trigger import Trigger, outcome_key
from commands.recording import Unanswered
from commands.states import States
from counterfoil.testing.memory import MemoryLog
from counterfoil.testing.scheduling import Problems, Scheduler
from domain.aggregate import Aggregate
from domain.event import Event, partition_key_of, tags_of
from domain.rejection import Rejection
from event_store.consumers.backlog import Progress
from event_store.log import codec
from event_store.log.appending.batching import Batcher, Queued
from event_store.log.envelope import (
    Accepted,
    AppendRequest,
    Expectation,
    Metadata,
    NewEvent,
    Verdict,
    encode_metadata,
    new_nonce,
)
from event_store.log.fingerprints import Fingerprints

STEPS: Final = 250
STEP_S: Final = 0.01
CALM_ROUNDS_MAX: Final = 3_000
"""Rounds without any mishap within which everything has to be decided."""
ACTS_PER_STEP: Final = 4
ACTS_PER_CALM_ROUND: Final = 8

S = TypeVar("S")

_first = itemgetter(0)


class World(Scheduler):
    """What survives a crash: the log and the checkpoints; and callers, whose commands are never lost."""

    def __init__(self, seed: int, *, processes: Sequence[Process]) -> None:
        super().__init__(seed)
        self.processes = processes
        self.log = MemoryLog()
        self.epochs: list[tuple[int, int]] = [(1, 1)]
        self.checkpoints = {process.name: 0 for process in processes}
        self.steps = 0
        self.problems: Problems = []
        self._callers_keys: set[bytes] = set()

    def state(self, aggregate: Aggregate[S], identifier: str) -> S | None:
        """The state of a stream now."""
        state: S | None = None
        for event in self.log.read_stream(aggregate.stream(identifier)):
            state = aggregate.evolve(state, codec.decode(event.type, event.payload))
        return state

    def append(self, aggregate: Aggregate[Any], identifier: str, events: Iterable[Event]) -> None:
        """Append what a caller decided."""
        stream = aggregate.stream(identifier)
        key = self.chance.randbytes(16)
        cause = Metadata(actor="caller", command="test", correlation_id=key.hex(), nonce=new_nonce())
        request = AppendRequest(
            key,
            bytes(32),
            tuple(_new_event(stream, event, encode_metadata(cause)) for event in events),
            (Expectation(stream, self.log.version(stream)),),
        )
        assert isinstance(self.log.append_batch([request], epoch=self.log.epoch)[0], Accepted)
        self._callers_keys.add(key)

    def pass_step(self) -> None:
        """A moment passes."""
        self.steps += 1
        self.clock.pass_s(STEP_S)

    def epoch_at(self, position: int) -> int:
        """The epoch in which an event was recorded."""
        return self.epochs[bisect_right(self.epochs, position, key=_first) - 1][1]

    def has_ended(self) -> bool:
        """Whether every checkpoint stands at the end of the log."""
        return set(self.checkpoints.values()) == {self.log.position}

    def fence(self) -> None:
        """Begin another epoch, as after a restore that lost nothing."""
        self.log.epoch += 1
        self.epochs.append((self.log.position + 1, self.log.epoch))

    def outcomes_amiss(self) -> Iterable[str]:
        """Every trigger has one outcome under its key, and nothing else has one."""
        expected = {
            outcome_key(process.name, epoch=self.epoch_at(event.position), position=event.position)
            for event in self.log.events
            for process in self.processes
            if event.type in process.reactions
        }
        found = set(self.log.outcomes) - self._callers_keys
        if expected - found:
            yield f"{len(expected - found)} triggers have no outcome"
        if found - expected:
            yield f"{len(found - expected)} outcomes belong to no trigger"


Callers = Callable[[World], Callable[[], None]]
"""Makes what one caller does, whenever it is called: it appends to the world, or is refused."""
Check = Callable[[World], Iterable[str]]
"""What a log says that it must not say."""
Suspect = Callable[[AppendRequest, "Worker"], Iterable[str]]
"""What is wrong with an append that a worker is about to send."""


def _new_event(stream: str, event: Event, metadata: bytes) -> NewEvent:
    return NewEvent(stream, *codec.encode(event), metadata, partition_key_of(event), tags_of(event))


class Worker:
    """One process: what it holds in memory is gone with a crash."""

    def __init__(self, world: World, suspect: Suspect) -> None:
        self.world = world
        self._suspect = suspect
        self.restart()

    def restart(self) -> None:
        """Die, and come back with nothing but the checkpoints."""
        world = self.world
        self.states = States(cast("Any", None))
        self.progress = {name: Progress(position) for name, position in world.checkpoints.items()}
        self.decider = Decider(
            states=self.states,
            fingerprints=Fingerprints(b"secret"),
            jitter=random.Random(world.chance.random()),
        )
        self.batcher: Batcher[int] = Batcher()
        self.epoch = world.log.epoch
        self.sent: list[Queued[int]] = []
        self.resend = False
        self.answers: list[tuple[int, Verdict | Unanswered]] = []
        self.flight: list[Verdict | Unanswered | None] = []
        self.load: Load | None = None
        self.loading: Loading | None = None
        self.delivered_at: dict[int, int] = {}
        self.read_at: dict[str, int] = {}

    def act(self) -> None:
        """Do one of the things that a worker does, whichever."""
        ACTIONS[int(self.world.chance.random() * len(ACTIONS))](self)

    def read(self) -> None:
        """Each process takes some events of the log."""
        for process in self.world.processes:
            self.decider.deliver(self._taken(process))

    def _taken(self, process: Process) -> Iterator[Trigger]:
        world, progress = self.world, self.progress[process.name]
        for event in world.log.read_after(progress.read, limit=world.chance.randint(1, 6)):
            progress.read = event.position
            if event.type in process.reactions:
                self.delivered_at.setdefault(event.position, world.steps)
                progress.open[event.position] = event
                yield Trigger(process, process.reactions[event.type], event, world.epoch_at(event.position))

    def step(self) -> None:
        """Let the decider go on, and take its effects."""
        for effect in self.decider.step(self.world.clock.now, at_s=self.world.clock.at_s):
            match effect:
                case Append():
                    self._append(effect)
                case Load():
                    self.load, self.loading = effect, None
                case Park(trigger, failure):
                    self.world.problems.append(f"parked {trigger.causation}: {failure}")
                    self._done(trigger)
                case Done(trigger):
                    self._done(trigger)

    def _done(self, trigger: Trigger) -> None:
        self.progress[trigger.process.name].open.pop(trigger.recorded.position, None)

    def _append(self, append: Append) -> None:
        self.flight = [None] * len(append.requests)
        for ordinal, request in enumerate(append.requests):
            self.world.problems += self._suspect(request, self)
            self.batcher.offer(request, ordinal, epoch=self.epoch)

    def write(self) -> None:
        """A batch goes to the log; its answers come later, or are lost and asked for again, or never come."""
        if self.sent:
            if not self.resend:
                return
            batch = self.sent
        else:
            batch, refused = self.batcher.take()
            self.answers.extend(refused)
        self.sent, self.resend = batch, False
        if not batch:
            return
        epochs = {queued.epoch for queued in batch}
        if epochs != {self.world.log.epoch} or self.world.roll(0.05):
            self._fail(batch)
            return
        verdicts = self.world.log.append_batch(
            [queued.request for queued in batch], epoch=self.world.log.epoch
        )
        if self.world.roll(0.1):
            self.resend = True
        elif self.world.roll(0.05):
            self._fail(batch)
        else:
            self.answers.extend(self.batcher.settle(batch, verdicts))
            self.sent = []

    def _fail(self, batch: list[Queued[int]]) -> None:
        self.sent = []
        self.answers.extend((ticket, Unanswered("")) for ticket in self.batcher.fail(batch))

    def answer(self) -> None:
        """Some verdicts arrive."""
        for _ in range(min(len(self.answers), self.world.chance.randint(1, 5))):
            ordinal, answer = self.answers.pop(0)
            self.flight[ordinal] = answer
            complete = [each for each in self.flight if each is not None]
            if len(complete) == len(self.flight):
                self.decider.answered(complete, at_s=self.world.clock.at_s)

    def check_epoch(self) -> None:
        """In another epoch nothing that is in memory is worth anything."""
        if self.epoch != self.world.log.epoch:
            self.restart()

    def execute_load(self) -> None:
        """States are read, later outcomes; what is found arrives later still."""
        world = self.world
        if self.load is None:
            return
        if self.loading is None:
            self.loading = Loading(self, self.load.streams)
            self.read_at.update(dict.fromkeys(self.load.streams, world.steps))
        elif self.loading.outcomes is None:
            keys = set(self.load.keys)
            self.loading.outcomes = {
                key: outcome[0] for key, outcome in world.log.outcomes.items() if key in keys
            }

    def finish_load(self) -> None:
        """What was read arrives."""
        load, loading = self.load, self.loading
        if load is None or loading is None or loading.outcomes is None:
            return
        self.load = self.loading = None
        for stream, folded in loading.states.items():
            self.states._keep(stream, load.streams[stream], folded)
        self.decider.loaded(load.number, Loaded(loading.states, {}, loading.outcomes))

    def save(self) -> None:
        """Write the checkpoints: seldom, so that much is read again after a crash."""
        if self.world.roll(0.8):
            return
        for name, progress in self.progress.items():
            self.world.checkpoints[name] = max(progress.reached, self.world.checkpoints[name])
            progress.saved = progress.reached


class Loading:
    """What `States.load` does, cut where the world may go on: read behind what is kept, folded, kept later."""

    def __init__(self, worker: Worker, streams: Mapping[str, Aggregate[Any]]) -> None:
        self.outcomes: dict[bytes, bytes] | None = None
        self.states: dict[str, StreamState[Any]] = {}
        for stream, aggregate in streams.items():
            folded = worker.states._kept.get(stream, ABSENT)
            for event in worker.world.log.read_stream(stream, after_version=folded.version):
                state = aggregate.evolve(folded.state, codec.decode(event.type, event.payload))
                folded = StreamState(
                    state=state, version=event.version, position=event.position, key=event.key
                )
            self.states[stream] = folded


ACTIONS: Final = (
    *(Worker.read,) * 3,
    *(Worker.step,) * 4,
    *(Worker.write,) * 3,
    *(Worker.answer,) * 3,
    *(Worker.execute_load,) * 3,
    *(Worker.finish_load,) * 3,
    Worker.check_epoch,
    Worker.save,
)


def run(
    seed: int,
    *,
    processes: Sequence[Process],
    callers: Callers,
    check: Check,
    suspect: Suspect = lambda _request, _worker: (),
) -> Problems:
    """One schedule; what is wrong at its end: also a trigger that was parked, has no outcome, or has two."""
    world = World(seed, processes=processes)
    workers = [Worker(world, suspect), Worker(world, suspect)]
    call = callers(world)
    for _ in range(STEPS):
        world.pass_step()
        roll = world.chance.random()
        if roll < 0.25:
            with contextlib.suppress(Rejection):
                call()
        elif roll < 0.29:
            world.chance.choice(workers).restart()
        elif roll < 0.295:
            world.fence()
        else:
            # The second worker is mostly asleep: a zombie that wakes up now and then.
            awake = workers[world.chance.random() < 0.2]
            for _ in range(ACTS_PER_STEP):
                awake.act()
    world.calm = True
    for _ in range(CALM_ROUNDS_MAX):
        world.pass_step()
        for _ in range(ACTS_PER_CALM_ROUND):
            workers[0].act()
        if world.has_ended():
            return [*world.problems, *check(world), *world.outcomes_amiss()]
    return [*world.problems, *check(world), "the checkpoints do not reach the end of the log"]
