"""A relay, a broker and a consumer in one thread, driven by a seed: every step may fail, repeat, overtake or be lost.

The relay and the follower are the product's own; what they talk to is in memory. At every call across that border the
world may crash the caller, or let another actor run first.
"""

import contextlib
import hashlib
from collections.abc import Mapping, Sequence

from msgspec import structs
from prometheus_client import CollectorRegistry

from counterfoil.testing.memory import MemoryLog
from counterfoil.testing.scheduling import Crash, Scheduler
from event_store.log.envelope import ANY, AppendRequest, Expectation, NewEvent, RecordedEvent
from event_store.transport.following import Follower, FollowerMetrics
from event_store.transport.generations import Epochs, Frame, Published
from event_store.transport.partition_log import PartitionPage, as_record
from event_store.transport.partitioning import partition_of
from event_store.transport.relay import NotActive, Relay, RelayMetrics, RelayState
from event_store.transport.transport import (
    Batch,
    Fork,
    Generation,
    Partition,
    PublishFailed,
    Record,
    TransportError,
)

PARTITIONS = 3
GENERATION = Generation(
    installation="simulated",
    generation=1,
    partitions=PARTITIONS,
    start_position=1,
    carrier="kafka",
)
SOURCES = tuple(range(PARTITIONS))
FRAME = Frame(epochs=Epochs(first_positions=(1,), epochs=(1,)))
STEPS = 60
CALM_ROUNDS_MAX = 400
PAGE_ROWS = 3
ROUND_ROWS = 4


class World(Scheduler):
    """Everything that survives a crash."""

    def __init__(self, seed: int, *, crash_at: int | None = None) -> None:
        super().__init__(seed, crash_at=crash_at)
        self.log = MemoryLog()
        self.topic: dict[Partition, list[Record]] = {source: [] for source in SOURCES}
        self.row = RelayState(GENERATION, 0, dict.fromkeys(SOURCES, 0))
        self.owner = ""
        self.checkpoints: dict[Partition, int] = dict.fromkeys(SOURCES, 0)
        self.applied: dict[Partition, list[int]] = {source: [] for source in SOURCES}

    def append(self) -> None:
        stream = f"order-{self.chance.randrange(6)}"
        kind = self.chance.choice(("shop.counted.v1", "shop.happened.v1"))
        events = tuple(NewEvent(stream, kind, b"{}", b"{}") for _ in range(self.chance.randint(1, 3)))
        digest = hashlib.sha256(str(self.log.position).encode()).digest()
        request = AppendRequest(
            key=digest[:16], fingerprint=digest, events=events, expectations=(Expectation(stream, ANY),)
        )
        self.log.append_batch([request], epoch=1)

    def in_partition(self, source: Partition, *, after: int, upto: int) -> list[RecordedEvent]:
        events = self.log.events[after:upto]
        return [event for event in events if partition_of(event.key, PARTITIONS) == source]

    def verify(self, carried: Mapping[int, bytes]) -> None:
        for position, leaf in carried.items():
            logged = self.log.events[position - 1].leaf if position <= self.log.position else None
            if logged != leaf:
                raise Fork(position=position, carried=leaf, logged=logged)


class Ledger:
    """The relay's rows."""

    def __init__(self, world: World, owner: str) -> None:
        self.world, self.owner = world, owner

    def load(self) -> RelayState:
        self.world.border()
        self.world.owner = self.owner
        return self.world.row

    def rows_after(self, position: int, *, limit: int) -> Sequence[RecordedEvent]:
        self.world.border()
        return self.world.log.read_after(position, limit=limit)

    def frame(self, _generation: Generation) -> Frame:
        self.world.border()
        return FRAME

    def save(self, state: RelayState) -> None:
        self.world.border()
        if self.world.owner != self.owner or state.position < self.world.row.position:
            raise NotActive("taken over")
        self.world.row = state
        self.world.border()

    def verify(self, carried: Mapping[int, bytes]) -> None:
        self.world.verify(carried)


class Publisher:
    """A broker that loses, repeats and swaps, acknowledging all the same; or fails after a part was stored."""

    def __init__(self, world: World) -> None:
        self.world = world

    def publish(self, records: Sequence[Record]) -> None:
        self.world.border()
        failing_at = self.world.chance.randrange(len(records)) if self.world.roll(0.1) else None
        for index, record in enumerate(records):
            if index == failing_at:
                raise PublishFailed("one future failed")
            self._store(record)
            self.world.border()

    def last_records(self) -> dict[Partition, Record]:
        return {source: records[-1] for source, records in self.world.topic.items() if records}

    def close(self) -> None:
        pass

    def _store(self, record: Record) -> None:
        stored = self.world.topic[record.partition]
        if self.world.roll(0.05):
            return
        stored.append(record)
        if self.world.roll(0.05):
            stored.append(record)
        if len(stored) > 1 and self.world.roll(0.05):
            stored[-1], stored[-2] = stored[-2], stored[-1]


class Subscription:
    """Reads the topic from remembered offsets, in pieces."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.offsets: dict[Partition, int] = {}
        self.reported = False

    def poll(self, timeout_s: float, *, max_records: int = 5) -> Batch:  # noqa: ARG002  # the seam's
        self.world.border()
        if not self.reported:
            self.reported = True
            return Batch(records={}, assigned=set(SOURCES), revoked=set())
        records = {}
        for source, offset in self.offsets.items():
            if found := self.world.topic[source][offset : offset + self.world.chance.randint(1, 5)]:
                records[source] = found
                self.offsets[source] += len(found)
        return Batch(records=records, assigned=set(), revoked=set())

    def start_at(self, source: Partition, *, position: int) -> int:
        topic = self.world.topic[source]
        hint = sum(record.position <= position for record in topic)
        wrong = self.world.roll(0.2)
        self.offsets[source] = self.world.chance.randint(0, len(topic)) if wrong else hint
        return position

    def commit(self, source: Partition, *, position: int) -> None:
        pass

    def close(self) -> None:
        pass


class LogOfPartitions:
    """What the follower reads of the log."""

    def __init__(self, world: World) -> None:
        self.world = world

    def page(self, source: Partition, *, after: int, upto: int) -> PartitionPage:
        self.world.border()
        reached = min(upto, after + PAGE_ROWS)
        records, prev = [], after
        for event in self.world.in_partition(source, after=after, upto=reached):
            records.append(as_record(event, partition=source, prev=prev, epoch=1))
            prev = event.position
        return PartitionPage(records=records, reached=reached)

    def published(self) -> Published:
        self.world.border()
        row = self.world.row
        return Published(generation=1, newest=1, position=row.position, partitions=dict(row.partitions))

    def verify(self, carried: Mapping[int, bytes]) -> None:
        self.world.verify(carried)


class RelayActor:
    """A relay's process: dies and comes back with nothing but the rows."""

    def __init__(self, world: World, owner: str) -> None:
        self.world, self.owner = world, owner
        self.metrics = RelayMetrics(CollectorRegistry())
        self.running = False
        self._be_born()

    def act(self) -> None:
        if self.running:  # it is waiting at a border already
            return
        self.running = True
        try:
            with contextlib.suppress(TransportError):  # it repeats what was not acknowledged
                self.relay.round()
        except Crash:
            self._be_born()
        finally:
            self.running = False

    def _be_born(self) -> None:
        self.relay = Relay(
            Ledger(self.world, self.owner),
            open_publisher=lambda _generation: Publisher(self.world),
            metrics=self.metrics,
            rows_per_round=ROUND_ROWS,
        )


class ConsumerActor:
    """A worker that applies what it may and moves its checkpoint in the same transaction."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.metrics = FollowerMetrics(CollectorRegistry())
        self.running = False
        self._be_born()

    def act(self) -> None:
        if self.running:
            return
        self.running = True
        try:
            self._round()
        except Crash:
            self._be_born()
        finally:
            self.running = False

    def _round(self) -> None:
        followed = self.follower.poll(0.0)
        for source in followed.assigned:
            self.follower.start(source, position=self.world.checkpoints[source], leaf=None)
        self.world.border()
        for source, records in followed.records.items():
            self.world.applied[source] += [record.position for record in records]
            self.world.checkpoints[source] = records[-1].position
            self.world.border()  # the next partition's transaction may never come

    def _be_born(self) -> None:
        self.follower = Follower(
            Subscription(self.world),
            log=LogOfPartitions(self.world),
            metrics=self.metrics,
            clock=lambda: self.world.clock.at_s,
        )


def run(seed: int, *, crash_at: int | None = None) -> list[str]:
    """Run one schedule and return what is wrong in the end, if anything.

    With `crash_at` the actor that makes that call across the border dies there, and no other does.
    """
    world = World(seed, crash_at=crash_at)
    relays = [RelayActor(world, "first"), RelayActor(world, "second")]
    consumer = ConsumerActor(world)
    world.others = [relays[0].act, relays[1].act, consumer.act, world.append]
    for _ in range(STEPS):
        world.clock.pass_s(world.chance.choice((0.0, 0.1, 1.0)))
        world.chance.choice(world.others)()
    world.calm = True
    for _ in range(CALM_ROUNDS_MAX):
        world.clock.pass_s(0.6)
        relays[0].act()
        consumer.act()
        if all(_complete(world, source) for source in SOURCES) and world.row.position == world.log.position:
            break
    return [problem for source in SOURCES if (problem := _problem(world, source))]


def _expected(world: World, source: Partition) -> list[int]:
    return [event.position for event in world.in_partition(source, after=0, upto=world.log.position)]


def _complete(world: World, source: Partition) -> bool:
    return world.applied[source][-1:] == _expected(world, source)[-1:]


def _problem(world: World, source: Partition) -> str:
    expected, applied = _expected(world, source), world.applied[source]
    return "" if expected == applied else f"{source}: the log has {expected}, applied was {applied}"


def broken_link_that_ignores_prev(last: int, *, records: Sequence[Record]) -> object:
    """A planted defect: what every consumer does that trusts its broker."""
    from event_store.transport.link import Linked

    fresh = [record for record in records if record.position > last]
    return Linked(apply=fresh, missing=None, rest=[], duplicates=len(records) - len(fresh))


def broken_link_that_applies_repeats(last: int, *, records: Sequence[Record]) -> object:
    """A planted defect: order is kept, repeats are not noticed."""
    from event_store.transport.link import link

    linked = link(last, records=records)
    repeats = [record for record in records if record.position == last]
    return structs.replace(linked, apply=repeats + linked.apply)
