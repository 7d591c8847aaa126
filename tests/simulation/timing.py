"""A shop whose fulfilment stalls, stops and parks for days, and two consumers of timers, in virtual time, by a seed.

Folds, the rule of who waits, firing, execution and states are the product's own; the log is in memory. At every call to
the log somebody else may be first, an answer may be lost, and who fires may die with all it keeps.
"""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta

from commands.calls import Call
from commands.execution import Caller, Slot
from commands.processes import timers
from commands.processes.due import Due, ProcessProgress
from commands.processes.firing import fire
from commands.processes.fulfilment import UNDECIDED
from counterfoil.contexts import CONTEXTS
from domain.ids import OrderId, Sku
from domain.money import Currency, UnitPrice
from domain.ordering import order
from domain.ordering.events import OrderConfirmed, OrderPlaced, OrderRejected
from domain.ordering.lines import LineRequest
from event_store.log import codec
from event_store.log.envelope import (
    AppendRequest,
    Expectation,
    Metadata,
    NewEvent,
    encode_metadata,
    new_nonce,
)
from event_store.log.fingerprints import Fingerprints
from projections.catching_up import decode
from projections.folding import BatchFold, decoder_of
from runtime.problems import ProblemError
from tests.simulation import commanding

(TIMERS,) = [view for view in CONTEXTS.timers if view.name == "timers_fulfilment"]
START = datetime(2026, 3, 1, tzinfo=UTC)
LONG_AGO = datetime(2010, 12, 1, tzinfo=UTC)
DAY = timedelta(days=1)
STEPS = 60
CALM_ROUNDS_MAX = 400
SECRET = Fingerprints(b"secret")


class Shop(commanding.World):
    """What survives a crash: the log, the view, how far fulfilment is, and whether somebody runs it."""

    def __init__(self, seed):
        super().__init__(seed)
        self.passed = 0
        self.parked = {}
        self.stalled = self.off = False
        self.renewed_at = self.log.now
        self.rows = {}
        self.folded = 0
        self.own_keys = set()
        self.problems = []
        self.excused = set()
        """Positions of orders about which nothing was to be expected of fulfilment, at some moment."""

    def pass_time(self, delta):
        self.clock.pass_s(delta.total_seconds())
        self.log.now = self.clock.now

    def let_time_pass(self):
        """Minutes mostly, a day now and then: an outage lasts longer than an order may wait."""
        self.pass_time(timedelta(minutes=self.chance.choice((1, 1, 10, 60, 60 * 8, 60 * 26))))
        if not self.off:
            self.renewed_at = self.log.now
        self.note_excuses()

    def note_excuses(self):
        is_off = self.log.now - self.renewed_at > timers.OFF_AFTER
        for event in self.log.events:
            if event.type == "ordering.order_placed.v3" and (
                is_off
                or event.position <= self.passed
                or self.parked.get(event.stream, 10**9) <= event.position
            ):
                self.excused.add(event.position)

    def note_prices(self, after):
        """What was appended just now: a rejection needs an excuse at that moment, not later."""
        self.note_excuses()
        for event in self.log.read_after(after):
            if event.type == "ordering.order_rejected.v2":
                (placing, *_) = self.log.read_stream(event.stream)
                if placing.position not in self.excused:
                    self.problems.append(f"{event.stream} was rejected while fulfilment was merely behind")

    def place(self):
        """Somebody imports an order of long ago."""
        name = OrderId(f"o{self.log.position}")
        line = LineRequest(sku=Sku("A"), quantity=1, unit_price=UnitPrice("1.00"), stocked=True)
        decided = order.place(
            None,
            order_id=name,
            customer_id=None,
            placed_at=LONG_AGO,
            country="GB",
            currency=Currency("GBP"),
            lines=[line],
        )
        stream, key = order.ORDER.stream(name), self.chance.randbytes(16)
        metadata = encode_metadata(
            Metadata(actor="a", command="c", correlation_id="k", nonce=new_nonce(), occurred_at=LONG_AGO)
        )
        events = tuple(NewEvent(stream, *codec.encode(event), metadata) for event in decided)
        self.log.append_batch(
            [AppendRequest(key, bytes(32), events, (Expectation(stream, 0),))], epoch=self.log.epoch
        )
        self.own_keys.add(key)

    def fold(self, *, everything=False):
        """The projections take some events; a rebuild has to come to the same."""
        if self.roll(0.05):
            again = {}
            _fold(again, self.log.events[: self.folded])
            if again != self.rows:
                self.problems.append(f"a rebuild up to {self.folded} comes to other rows")
        upto = self.log.position if everything else self.folded + self.chance.randint(0, 4)
        _fold(self.rows, self.log.events[self.folded : upto])
        self.folded = max(self.folded, min(upto, self.log.position))


def _fold(rows, events):
    decoder = decoder_of([TIMERS])
    fold = BatchFold(TIMERS, skips=frozenset(), parked=frozenset())
    fold.gather([decode(event, decoder=decoder) for event in events if decoder.wants(event.type)])
    for key, row in fold.fold(rows).rows.items():
        rows.pop(key, None)
        if row.row is not None:
            rows[key] = row


class Fulfilment(commanding.Process):
    """Decides one order after another, as a process manager does: under one key for each trigger, or parks it."""

    async def work(self):
        shop = self.world
        if shop.off or shop.stalled:
            return
        for event in shop.log.read_after(shop.passed, limit=2):
            if event.type == "ordering.order_placed.v3":
                if shop.roll(0.15):
                    shop.parked[event.stream] = event.position
                elif not await self.decide(event):
                    return
            shop.passed = event.position
            shop.note_excuses()

    async def retry(self):
        """An operator has a parked order decided after all."""
        shop = self.world
        if shop.parked:
            stream, position = shop.chance.choice(sorted(shop.parked.items()))
            if await self.decide(shop.log.events[position - 1]):
                shop.parked.pop(stream, None)

    async def decide(self, event):
        key = hashlib.sha256(f"policy {event.position}".encode()).digest()[:16]
        self.world.own_keys.add(key)

        def confirm(state, _view):
            return (
                order.confirm(state, order_id=state.order_id, now=START) if state.status == "placed" else []
            )

        call = Call(command="reserve", actor="policy", key=key, fingerprint=key * 2, correlation_id="")
        caller = Caller(self.execution, call=call, slot=Slot(commanding.Writer(self)), now=START)
        try:
            await caller.execute(order.ORDER, event.stream.partition("-")[2], confirm)
        except ProblemError:
            return False
        return True


class Firing(commanding.Process):
    """The consumer of timers: reads what is due, and fires what may."""

    async def one_pass(self):
        shop = self.world
        now, log = shop.log.now, shop.log
        progress = ProcessProgress(runs=now - shop.renewed_at <= timers.OFF_AFTER, through=shop.passed)
        due = [row.row for row in shop.rows.values() if row.row.due_at + DAY <= now]
        outcomes = set(log.outcomes)  # what a page saw of them is old before it fires
        page = [_due(log, row) for row in sorted(due, key=lambda row: (row.due_at, row.stream))]
        going = [
            each_due for each_due in page if each_due.key not in outcomes and not progress.is_behind(each_due)
        ]
        await shop.call_of(self)
        reader = commanding.Reader(self)
        for each_due in going:
            slot = Slot(commanding.Writer(self))
            await fire(
                self.execution,
                UNDECIDED,
                each_due,
                slot=slot,
                reader=reader,
                fingerprints=SECRET,
                now=now,
            )


def _due(log, row):
    event = log.events[row.set_at - 1]
    return Due(
        row.process,
        row.name,
        row.stream,
        row.set_at,
        row.due_at,
        event.version,
        event.type,
        event.metadata.decode(),
        1,
    )


async def _attempted(work):
    """What fails for want of the log is tried again some other time."""
    try:
        await work()
    except (commanding.LogUnreachable, ProblemError):
        return


async def _run(shop):
    fulfilment, firing = Fulfilment(shop), [Firing(shop), Firing(shop)]
    for _ in range(STEPS):
        _change(shop)
        shop.fold()
        await _at_once(shop, fulfilment, firing)
    shop.calm, shop.off, shop.stalled = True, False, False
    for _ in range(CALM_ROUNDS_MAX):
        shop.pass_time(timedelta(hours=1))
        shop.renewed_at = shop.log.now
        await fulfilment.work()
        shop.fold(everything=True)
        await firing[0].one_pass()
        if shop.passed == shop.folded == shop.log.position and not shop.rows:
            return
    shop.problems.append(f"timers that run for ever: {sorted(shop.rows)}")


def _change(shop):
    """Something happens in the shop, or to those who run it."""
    roll = shop.chance.random()
    if roll < 0.3:
        shop.place()
    elif roll < 0.35:
        shop.off = not shop.off
    elif roll < 0.42:
        shop.stalled = not shop.stalled
    elif roll < 0.55:
        shop.let_time_pass()


async def _at_once(shop, fulfilment, firing):
    """All work at the same moment; each may die in the middle of it."""
    other = shop.chance.choice(firing)
    working = [(fulfilment, fulfilment.work), (other, other.one_pass)]
    if shop.roll(0.2):
        working.append((firing[0], firing[0].one_pass))
    if shop.roll(0.1):
        working.append((fulfilment, fulfilment.retry))
    tasks = [process.begin(_attempted(work)) for process, work in working]
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome


def run(seed, *, loop):
    """One schedule; what is wrong in the end, if anything."""
    shop = Shop(seed)
    loop.run_until_complete(_run(shop))
    return [*shop.problems, *_problems(shop)]


def _problems(shop):
    placed, decided = {}, {}
    lawful = set(shop.own_keys)
    for event in shop.log.events:
        decoded = codec.decode(event.type, event.payload)
        match decoded:
            case OrderPlaced():
                placed[event.stream] = event
                lawful.add(_key(event))
            case OrderConfirmed() | OrderRejected():
                decided.setdefault(event.stream, []).append(type(decoded).__name__)
        if isinstance(decoded, OrderRejected):
            set_by = placed[event.stream]
            if event.recorded_at - set_by.recorded_at < DAY:
                yield f"{event.stream} was rejected after {event.recorded_at - set_by.recorded_at}"
    for stream in placed:
        if len(decided.get(stream, [])) != 1:
            yield f"{stream} went {decided.get(stream)}"
    yield from (f"an outcome has the key {key.hex()}" for key in set(shop.log.outcomes) - lawful)


def _key(event):
    """The key of the order's timer, by the checker's own account."""
    return hashlib.sha256(f"timer:fulfilment:undecided:{event.stream}:{event.position}".encode()).digest()[
        :16
    ]
