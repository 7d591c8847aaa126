"""Two projection workers, their document cache and its readers in one thread, driven by a seed.

Relay, follower, link rule, step, mirror and the rule by which a document is trusted are the product's own; log,
topic, tables and cache are in memory. At every call across that border the world may crash the caller or let another
actor run first: both workers act as owners of every partition, and the cache may be emptied, go away or come back old.
"""

import contextlib

import msgspec
from prometheus_client import CollectorRegistry

from counterfoil.testing.scheduling import Crash
from event_store.log import codec, decoding
from event_store.log.envelope import ANY, AppendRequest, Expectation, NewEvent
from event_store.log.reading import History
from event_store.transport.partitioning import partition_of
from event_store.transport.position_token import PositionToken
from event_store.transport.transport import TransportError
from projections import catching_up
from projections.checkpoints import Cursor
from projections.errors import CheckpointConflict
from projections.folding import decoder_of
from projections.metrics import ProjectionMetrics
from projections.mirroring import Mirror, body_of
from projections.step import Commit, Following, Load, step
from projections.storing import BuildId
from read_api.checkpoints import Checkpoints, CheckpointSnapshot, LiveBuild
from read_api.polling import SETTLED_AFTER_S
from read_api.reading.documents import DocumentsByKey, MissedDocument
from read_api.reading.resource import Found, Resource, only_row
from runtime import documents
from runtime.breaker import Breaker
from runtime.documents import DocumentsUnavailable
from tests.projections.counting import Counted, Faults, counting_views
from tests.simulation.carrying import PARTITIONS, STEPS, ConsumerActor, RelayActor, World

COUNTERS, _ = counting_views(Faults())
BUILD = BuildId(COUNTERS.name, COUNTERS.shape, 1)
HISTORY = History("simulated", epoch=1)
PREFIX = documents.prefix(
    COUNTERS.document, installation=HISTORY.installation, epoch=HISTORY.epoch, build=BUILD.label
)
DECODER = decoder_of([COUNTERS])
METRICS = ProjectionMetrics(CollectorRegistry())
SOURCES = tuple(number for number in range(PARTITIONS))
NAMES = tuple("abcdef")
CALM_ROUNDS_MAX = 400
READS_PER_ACT = 3
EVERYTHING = object()
"""Announced when all keys changed, or the connection was lost."""


class Shop(World):
    """Counters that are counted up, what two workers make of it in a table, and a cache of that."""

    def __init__(self, seed, *, crash_at=None):
        super().__init__(seed, crash_at=crash_at)
        self.rows = {}
        self.cursors = {source: Cursor(0, None, 0) for source in SOURCES}
        self.cache = Cache(self)
        self.snapshots = []
        self.problems = []

    def append(self):
        """Each event's number is its own position, so a row shows what was folded into it."""
        name = self.chance.choice(NAMES)
        first = self.log.position + 1
        counted = [Counted(name, first + each) for each in range(self.chance.randint(1, 3))]
        events = tuple(NewEvent(f"counter-{name}", *codec.encode(each), b"{}") for each in counted)
        key = first.to_bytes(16, "big")
        request = AppendRequest(key, bytes(32), events, (Expectation(f"counter-{name}", ANY),))
        self.log.append_batch([request], epoch=1)

    def commit(self, plans):
        """One transaction: every checkpoint from where it was read, and the rows."""
        for move in (move for plan in plans for move in plan.moves):
            if self.cursors[move.source] != move.before:
                raise CheckpointConflict(f"{move.source} was moved by another")
        for plan in plans:
            self.move(plan)
            self.rows |= plan.rows

    def move(self, plan):
        self.cursors |= {move.source: move.after for move in plan.moves}

    def counted(self, name, *, upto):
        """What a counter's row must hold once everything up to a position is in it."""
        return [event.position for event in self.log.read_stream(f"counter-{name}") if event.position <= upto]

    def snapshot(self):
        """What a query API sees of the tables."""
        positions = {number: cursor.position for number, cursor in self.cursors.items()}
        checkpoints = Checkpoints(epoch=1, generation=1, positions=positions)
        build = LiveBuild(BUILD, checkpoints, parked={}, parked_count=0)
        snapshot = CheckpointSnapshot(
            seen_at=self.clock.at_s,
            installation=HISTORY.installation,
            position=self.log.position,
            epoch=1,
            recorded_at=self.log.now,
            first_positions={1: 1},
            partitions={1: PARTITIONS},
            published={},
            builds={COUNTERS.name: build},
        )
        self.snapshots.append(snapshot)


class Table:
    """What the steps ask of a table besides being written."""

    view = COUNTERS
    build = BUILD

    def page(self, world, *, after, limit):
        world.border()
        rows = sorted((key, row) for key, row in world.rows.items() if after is None or key > after)
        return rows[:limit]


class Cache:
    """Documents that may be gone, old or out of reach at any call."""

    def __init__(self, world):
        self.world = world
        self.values = {}
        self.kept = {}
        self.away = False
        self.announced = []
        self.evicted = set()

    def put_if_newer(self, some):
        self.move_checkpoints((), documents=some)

    def move_checkpoints(self, moves, *, documents=()):
        self._reach()
        found = {move.key: self.values.get(move.key) for move in moves}
        if any(found[move.key] != move.expected for move in moves):
            return found
        for document in documents:
            self._put_if_newer(document)
        for move in moves:
            self.values[move.key] = move.value
            self.announced.append(move.key)
        if self.world.roll(0.05):
            raise DocumentsUnavailable("the answer was lost")
        return None

    def get_many(self, keys):
        self._reach()
        return [self.values.get(key) for key in keys]

    def forget(self, prefix):
        self._reach()
        gone = [key for key in self.values if key.startswith(prefix)]
        for key in gone:
            del self.values[key]
        self.announced += gone
        return len(gone)

    def fill(self, document, *, checkpoint_key, checkpoint):
        """What the script does that puts a document back."""
        if not self.away and self.may_fill(checkpoint_key, checkpoint):
            self._put_if_newer(document)

    def may_fill(self, checkpoint_key, checkpoint):
        return self.values.get(checkpoint_key) == checkpoint

    def _put_if_newer(self, document):
        if self.values.get(document.key, b"")[:20] < document.value[:20]:
            self.values[document.key] = document.value
            self.announced.append(document.key)

    def close(self):
        pass

    def suffer(self):
        """A restart without contents, or with older ones, an outage that begins or ends, or an eviction."""
        match self.world.chance.randrange(8):
            case 0:
                self.values = {}
                self.announced.append(EVERYTHING)
            case 1 | 2:
                self.kept = dict(self.values)
            case 3:
                self.values = dict(self.kept)
                self.announced.append(EVERYTHING)
            case 4:
                self.away = not self.away
            case _:
                documents_ = sorted(key for key in self.values if "@" not in key)
                for key in documents_[: self.world.chance.randrange(3)]:
                    del self.values[key]
                    self.announced.append(key)
                    self.evicted.add(key)

    def _reach(self):
        self.world.border()
        if self.away and not self.world.calm:
            raise DocumentsUnavailable("out of reach")


class Projector(ConsumerActor):
    """A worker's process: dies and comes back with nothing but tables and cache."""

    def act(self):
        with contextlib.suppress(TransportError):
            super().act()

    def _be_born(self):
        super()._be_born()
        self.mirror = Mirror(
            self.world.cache,
            metrics=METRICS,
            breaker=Breaker(failures_max=1, open_s=0.5),
            clock=lambda: self.world.clock.at_s,
        )

    def _round(self):
        followed = self.follower.poll(0.0)
        if followed.assigned:
            self._adopt()
            return
        if followed.records:
            self._feed(catching_up.from_records(followed.records, decoder=DECODER))
        self._catch_up()
        self.mirror.step(self.world)

    def _catch_up(self):
        """A build behind what was delivered reads the log; so does the worker."""
        ends = self.follower.positions
        if behind := catching_up.targets_behind([self.following], ends):
            feed, _ = catching_up.page(self.world, behind, ends, partitions=PARTITIONS, decoder=DECODER)
            self._feed(feed)

    def _feed(self, feed):
        try:
            committed = self._run(step([self.following], feed))
        except CheckpointConflict:
            self._adopt()
        else:
            self.mirror.after_commit(committed)

    def _adopt(self):
        self.following = Following(
            Table(), cursors=self.world.cursors, parked={}, skips=frozenset(), stopped=None
        )
        for source, cursor in self.following.cursors.items():
            self.follower.start(source, position=cursor.position, leaf=cursor.leaf)
        self.mirror.adopt(self.world, [self.following], history=HISTORY)

    def _run(self, work):
        answer = None
        while True:
            try:
                effect = work.send(answer)
            except StopIteration as done:
                return done.value
            self.world.border()
            match effect:
                case Load(wanted):
                    rows = self.world.rows
                    answer = [{key: rows[key] for key in keys if key in rows} for _, keys in wanted]
                case Commit(plans):
                    answer = self.commit(plans)
                    self.world.border()

    def commit(self, plans):
        self.world.commit(plans)


class Reader:
    """A query API: takes snapshots of the tables now and then, and answers from the cache what it trusts.

    It holds what it read. Announcements come late, but before the reply to whatever is asked after them. What it had
    to read from the tables it puts back, some time later.
    """

    def __init__(self, world):
        self.world = world
        self.answered = 0
        self.from_memory = 0
        self.filled = 0
        self.held = {}
        self.checkpoints = {}
        self.asked = 0
        self.heard = 0
        self.missed = []
        resource = Resource("counter", COUNTERS, only_row)
        self._documents = DocumentsByKey(resource, documents=self, poller=self, clock=lambda: self.asked)
        world.snapshot()

    @property
    def latest(self):
        return self.world.snapshots[-1]

    @property
    def settled(self):
        old = [
            each for each in self.world.snapshots if each.seen_at <= self.world.clock.at_s - SETTLED_AFTER_S
        ]
        return old[-1] if old else self.world.snapshots[0]

    def cached(self, key):
        return self.held.get(key)

    def cached_checkpoint(self, key, *, asked_since):
        value, asked = self.checkpoints.get(key, (None, 0))
        return value if asked > asked_since else None

    async def get(self, keys):
        self.hear_before_reply()
        values = tuple(self.world.cache.values.get(key) for key in keys)
        self.asked += 1
        for key, value in zip(keys, values, strict=True):
            held = self.checkpoints if documents.is_checkpoint(key) else self.held
            if value is not None:
                held[key] = value if held is self.held else (value, self.asked)
            else:
                held.pop(key, None)
        return values

    def hear_before_reply(self):
        self.hear(len(self.world.cache.announced))

    def hear(self, upto):
        for key in self.world.cache.announced[self.heard : upto]:
            if key is EVERYTHING:
                self.held.clear()
                self.checkpoints.clear()
            else:
                self.held.pop(key, None)
        self.heard = max(self.heard, upto)

    def fill(self, document, *, checkpoint_key, checkpoint):
        before = dict(self.world.cache.values)
        self.world.cache.fill(document, checkpoint_key=checkpoint_key, checkpoint=checkpoint)
        self.filled += before != self.world.cache.values

    def act(self):
        if self.missed and self.world.chance.random() < 0.3:
            self._documents.fill(*self.missed.pop(0))
        if self.world.chance.random() < 0.4:
            self.world.snapshot()
        for _ in range(READS_PER_ACT):
            self._read()

    def _read(self):
        self.hear(self.world.chance.randint(self.heard, len(self.world.cache.announced)))
        name = self.world.chance.choice(NAMES)
        own = partition_of(f"counter-{name}", PARTITIONS)
        written = self.world.counted(name, upto=self.world.log.position)
        token = None
        if written and self.world.chance.random() < 0.5:
            token = PositionToken(1, 1, {own: written[-1]})
        least = max(
            self.settled.builds[COUNTERS.name].checkpoints.positions[own], token.highest if token else 0
        )
        found = self._documents.cached(name) if token is None else None
        self.from_memory += found is not None
        found = found or driven(self._documents.read(name, token))
        if isinstance(found, MissedDocument):
            self._read_rows(found, name)
        elif found is not None:
            self.answered += 1
            self._judge(name, found, least=max(least, found.checkpoints.positions[own]))

    def _read_rows(self, missing, name):
        versioned = self.world.rows.get((name,))
        if versioned is not None:
            stood = {number: cursor.position for number, cursor in self.world.cursors.items()}
            checkpoints = Checkpoints(epoch=1, generation=1, positions=stood)
            self.missed.append(
                (missing, Found(BUILD, body_of(versioned.row), versioned.position, checkpoints))
            )

    def _judge(self, name, found, *, least):
        has = msgspec.json.decode(found.body)["numbers"] if found.body else []
        if has != self.world.counted(name, upto=max([least, *has])):
            self.world.problems.append(
                f"{name} was answered with {has}, everything to {least} was to be in it"
            )


def page_after(world, position, *, rows_max, upto, stems):
    """`paging.page_after` of the log in memory."""
    world.border()
    return [event for event in world.log.events[position:upto] if decoding.stem(event.type) in stems][
        :rows_max
    ]


def leaves_at(world, positions):
    """`reading.leaves_at` of the log in memory."""
    world.border()
    return {at: world.log.events[at - 1].leaf for at in positions if 0 < at <= world.log.position}


def leaf_at(world, position):
    """`reading.leaf_at` of the log in memory."""
    world.border()
    return world.log.events[position - 1].leaf if 0 < position <= world.log.position else None


def driven(coroutine):
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


def run(seed, *, crash_at=None):
    """One schedule; what is wrong in the end, if anything."""
    world = Shop(seed, crash_at=crash_at)
    relay = RelayActor(world, "first")
    workers = [Projector(world), Projector(world)]
    reader = Reader(world)
    appending = [world.append, world.append]
    world.others = [
        relay.act,
        *(worker.act for worker in workers),
        reader.act,
        world.cache.suffer,
        *appending,
    ]
    for _ in range(STEPS * 2):
        world.clock.pass_s(world.chance.choice((0.0, 0.1, 0.5)))
        with contextlib.suppress(Crash):
            world.chance.choice(world.others)()
    world.calm = True
    for _ in range(CALM_ROUNDS_MAX):
        world.clock.pass_s(0.6)
        relay.act()
        workers[0].act()
        world.snapshot()
        reader.act()
        if _complete(world):
            break
    return [*world.problems, *_problems(world)]


def _complete(world):
    ends = {source: world.in_partition(source, after=0, upto=world.log.position)[-1:] for source in SOURCES}
    stand = all(world.cursors[source].position == end[0].position for source, end in ends.items() if end)
    mirrored = [_mirrored(world, number) for number in SOURCES]
    return stand and mirrored == [world.cursors[source].position for source in SOURCES]


def _mirrored(world, partition):
    key = documents.checkpoint_key(PREFIX, partition=partition)
    value = world.cache.values.get(key)
    return 0 if value is None else documents.parse_checkpoint(value).position


def _problems(world):
    for name in NAMES:
        expected = world.counted(name, upto=world.log.position)
        versioned = world.rows.get((name,))
        has = list(versioned.row.numbers) if versioned else []
        if has != expected:
            yield f"{name}: the log has {expected}, the row {has}"
        key = documents.document_key(PREFIX, name)
        if key in world.cache.evicted and key not in world.cache.values:
            continue
        kept = documents.parse_document(world.cache.values.get(key, b"%020d" % 0))[1]
        if (msgspec.json.decode(kept)["numbers"] if kept else []) != expected:
            yield f"{name}: the log has {expected}, the document {kept}"
