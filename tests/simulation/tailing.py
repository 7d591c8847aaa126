"""Two processes that tail the log for a global view, in one thread, driven by a seed.

Tail, pages, turn and the hand-over to a second build are the product's own; log, tables and the lease are in memory. At
every call across that border the world may crash the caller or let another actor run first, and the lease is worth
nothing: both may act as its holders at any time, as an owner does that was paused.
"""

import threading

from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from counterfoil.testing.scheduling import Crash
from event_store.consumers.driver import ConsumerSession, Hosted
from event_store.consumers.health import ConsumerHealth
from event_store.consumers.metrics import ConsumerMetrics
from event_store.consumers.news import News
from event_store.log import codec
from event_store.log.envelope import ANY, AppendRequest, Expectation, NewEvent
from event_store.log.reading import Head
from projections import builds, tailing
from projections.checkpoints import Cursor
from projections.errors import CheckpointConflict
from projections.folding import Versioned
from projections.metrics import ProjectionMetrics
from projections.step import Commit, Following, Load
from projections.storing import BuildId
from projections.tailing import THE_LOG, Tail
from projections.view import GLOBAL, Row, View
from tests.projections.counting import Counted
from tests.simulation.carrying import STEPS, World

CALM_ROUNDS_MAX = 200
PAGE_EVENTS = 3
PAGE_POSITIONS = 7
ALL = ("all",)


class Journal(Row, frozen=True):
    name: str
    numbers: tuple[int, ...]


JOURNAL = View(name="journal", row=Journal, key=("name",), shape=1, kind=GLOBAL)
LIVE, OTHER = (BuildId(JOURNAL.name, JOURNAL.shape, number) for number in (1, 2))
METRICS, SHARED = ProjectionMetrics(CollectorRegistry()), ConsumerMetrics(CollectorRegistry())


@JOURNAL.on(Counted, keys=lambda _: [ALL])
def noted(row: Journal | None, event: Counted) -> Journal | None:
    return Journal("all", (*(row.numbers if row else ()), event.number))


class Books(World):
    """Events of which some are counted, and what the tails make of them in the tables of one or two builds."""

    def __init__(self, seed, *, crash_at=None):
        super().__init__(seed, crash_at=crash_at)
        self.rows = {LIVE: {}}
        self.cursors = {LIVE: Cursor(0, None, 0)}

    def append(self):
        """Each counted event's number is its own position, so the row shows what was folded, in which order."""
        requests = []
        for _ in range(self.chance.randint(1, 4)):
            first = self.log.position + 1 + len(requests)
            event = NewEvent("counter-a", *codec.encode(Counted("a", first)), b"{}")
            if self.chance.random() < 0.4:
                event = NewEvent("counter-a", "shop.happened.v1", b"{}", b"{}")
            key = first.to_bytes(16, "big")
            requests.append(AppendRequest(key, bytes(32), (event,), (Expectation("counter-a", ANY),)))
        self.log.append_batch(requests, epoch=1)

    def rebuild(self):
        """A second build, once: folded up to some position that the log holds."""
        if OTHER not in self.cursors and self.log.position:
            upto = self.chance.randint(1, self.log.position)
            numbers = self.counted(upto=upto)
            self.rows[OTHER] = {ALL: Versioned(Journal("all", numbers), numbers[-1])} if numbers else {}
            self.cursors[OTHER] = Cursor(upto, self.log.events[upto - 1].leaf, 0)

    def counted(self, *, upto):
        """The positions that a row must hold once everything up to a position is in it."""
        return tuple(
            event.position
            for event in self.log.events
            if event.type == "counting.counted.v1" and event.position <= upto
        )

    def commit(self, plans):
        """One transaction: every checkpoint from where it was read, and the rows."""
        for move in (move for plan in plans for move in plan.moves):
            if self.cursors[move.build] != move.before:
                raise CheckpointConflict(f"{move.build} was moved by another")
        for plan in plans:
            self.move(plan)
            self.write(plan)

    def move(self, plan):
        self.cursors |= {move.build: move.after for move in plan.moves}

    def write(self, plan):
        self.rows[plan.build] |= plan.rows


class Table:
    """What the steps ask of a table."""

    view = JOURNAL

    def __init__(self, build):
        self.build = build


class DoubtfulLease:
    """Comes and goes; another may hold it too."""

    def __init__(self, world):
        self.world = world
        self.held = False
        self.terms = 0

    def hold(self):
        self.world.border()
        if self.held:
            self.held = not self.world.roll(0.05)
        elif self.world.calm or self.world.roll(0.5):
            self.held = True
            self.terms += 1
        return self.held

    def renew(self):
        return self.hold()


class TailActor:
    """A process: dies and comes back with nothing but the tables."""

    def __init__(self, world):
        self.world = world
        self.running = False
        self._be_born()

    def act(self):
        if self.running:  # it is waiting at a border already
            return
        self.running = True
        try:
            self.hosted.round()
        except Crash:
            self._be_born()
        finally:
            self.running = False

    def _be_born(self):
        self.kept = None
        session = ConsumerSession(
            conn=self.world,
            lease=DoubtfulLease(self.world),
            stop=threading.Event(),
            news=News(),
            metrics=SHARED,
            database_url="",
        )
        consumer = replace(tailing.consumer([JOURNAL], metrics=METRICS), open=self._open, pausable=False)
        self.hosted = Hosted(consumer, session, health=ConsumerHealth())

    def _open(self, session):
        tail = Tail(session, views=[JOURNAL], metrics=METRICS, clock=lambda: self.world.clock.at_s)
        tail.feeding.performer = self
        return tail

    def run(self, work):
        """What a performer does, in memory."""
        answer = None
        while True:
            try:
                effect = work.send(answer)
            except StopIteration as done:
                return done.value
            self.world.border()
            match effect:
                case Load(wanted):
                    answer = [
                        {
                            key: self.world.rows[table.build][key]
                            for key in keys & self.world.rows[table.build].keys()
                        }
                        for table, keys in wanted
                    ]
                case Commit(plans):
                    answer = self.commit(plans)
                    self.world.border()

    def commit(self, plans):
        self.world.commit(plans)


def head(world):
    """`reading.head` of the log in memory."""
    world.border()
    return Head(world.log.position, 1, None)


def followings(world, _views, *, generation, sources, shared):
    """`adopting.followings` of the tables in memory."""
    world.border()
    return [
        Following(Table(build), cursors={THE_LOG: cursor}, parked={}, skips=frozenset(), stopped=None)
        for build, cursor in world.cursors.items()
    ]


def fed_builds(world, _views):
    """`adopting.fed_builds` of the tables in memory."""
    world.border()
    return {
        build: builds.Build(build, "following", 0, 0, None, world.log.now, build == LIVE)
        for build in world.cursors
    }


def run(seed, *, crash_at=None):
    """One schedule; what is wrong in the end, if anything."""
    world = Books(seed, crash_at=crash_at)
    tails = [TailActor(world), TailActor(world)]
    world.others = [*(tail.act for tail in tails), *(tail.act for tail in tails), world.append, world.rebuild]
    for _ in range(STEPS):
        world.clock.pass_s(world.chance.choice((0.0, 0.1, 0.5)))
        world.chance.choice(world.others)()
    world.calm = True
    for _ in range(CALM_ROUNDS_MAX):
        world.clock.pass_s(0.6)
        tails[0].act()
        if all(cursor.position == world.log.position for cursor in world.cursors.values()):
            break
    return list(_problems(world))


def _problems(world):
    expected = world.counted(upto=world.log.position)
    for build, cursor in world.cursors.items():
        if cursor.position != world.log.position:
            yield f"{build} stands at {cursor.position} of {world.log.position}"
        versioned = world.rows[build].get(ALL)
        has = versioned.row.numbers if versioned else ()
        if has != expected:
            yield f"{build}: the log has {expected}, the row {has}"
