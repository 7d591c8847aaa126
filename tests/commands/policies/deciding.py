"""A shop, its log and two policy workers in one thread, driven by a seed: any step may crash, repeat or come late.

Pipeline, progress and the writer's batcher are the product's own; the log is in memory. Both workers believe to be
the active one.
"""

import random
from bisect import bisect_right
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from operator import attrgetter, itemgetter
from typing import TypeVar

from commands.policies import trigger as triggers
from commands.policies.effects import Done, Park, Read, Send
from commands.policies.fulfilment import FULFILMENT
from commands.policies.pipeline import Pipeline
from commands.policies.progress import Arrival, Mark, Portion, Progress
from commands.policies.restock import RESTOCK
from commands.policies.states import Fact
from domain.event import Event
from domain.ids import CreditNoteId, OrderId, Sku
from domain.inventory import stock_item
from domain.money import Currency, UnitPrice
from domain.ordering import credit_note, order
from domain.ordering.lines import LineRequest
from domain.rejection import Rejection
from event_store import codec
from event_store.appending.batching import Batcher, Queued
from event_store.envelope import (
    Accepted,
    AppendRequest,
    Expectation,
    Metadata,
    NewEvent,
    RecordedEvent,
    Verdict,
    decode_metadata,
    encode_metadata,
    new_nonce,
)
from event_store.fingerprints import Fingerprints
from event_store.memory import MemoryLog, WrongEpoch
from event_store.partition_log import as_record
from event_store.partitioning import partition_of
from event_store.transport import Partition
from tests.commands.policies import checking

PARTITIONS = 3
SOURCES: tuple[Partition, ...] = tuple(number for number in range(PARTITIONS))
SKUS = tuple(Sku(name) for name in ("A", "B", "C"))
SERVICE = Sku("POST")
STEPS = 250
CALM_ROUNDS_MAX = 3_000
START = datetime(2026, 3, 1, tzinfo=UTC)
FINGERPRINTS = Fingerprints(bytes(32))
REACTIONS = {
    type_name: (policy, reaction)
    for policy in (FULFILMENT, RESTOCK)
    for type_name, reaction in policy.reaction_to().items()
}

S = TypeVar("S")

_position = attrgetter("position")
_first = itemgetter(0)


class Shop:
    """What survives a crash: the log, the checkpoints; and the callers of the command API, who always succeed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.log = MemoryLog()
        self.epochs: list[tuple[int, int]] = [(1, 1)]
        self.checkpoints = {source: Mark(0) for source in SOURCES}
        self.steps = 0
        self.calm = False
        self.callers_keys: set[bytes] = set()
        self.problems: list[str] = []
        self.orders: list[OrderId] = []
        self.notes = 0
        self._partitions: dict[Partition, list[RecordedEvent]] = {source: [] for source in SOURCES}
        self._cut = 0

    @property
    def now(self) -> datetime:
        return START + timedelta(seconds=self.at_s)

    @property
    def at_s(self) -> float:
        return self.steps * 0.01

    def roll(self, probability: float) -> bool:
        return not self.calm and self.chance.random() < probability

    def epoch_at(self, position: int) -> int:
        return self.epochs[bisect_right(self.epochs, position, key=_first) - 1][1]

    def call(self) -> None:
        """Somebody does something in the shop."""
        action = CALLS[int(self.chance.random() * len(CALLS))]
        try:
            action(self)
        except Rejection:
            return

    def place(self) -> None:
        order_id = OrderId(f"o{len(self.orders) + 1}")
        self.orders.append(order_id)
        decided = order.place(
            None,
            order_id=order_id,
            customer_id=None,
            placed_at=self.now,
            country="United Kingdom",
            currency=Currency("GBP"),
            lines=self._lines(),
        )
        self._append(order.ORDER.stream(order_id), decided)

    def cancel(self) -> None:
        if self.orders:
            order_id = self.chance.choice(self.orders[-4:])
            state = self._state(order.ORDER.stream(order_id), order.evolve)
            decided = order.cancel(state, order_id=order_id, reason="customer", now=self.now)
            self._append(order.ORDER.stream(order_id), decided)

    def ship(self) -> None:
        if self.orders:
            order_id = self.chance.choice(self.orders)
            state = self._state(order.ORDER.stream(order_id), order.evolve)
            self._append(order.ORDER.stream(order_id), order.ship(state, order_id=order_id, now=self.now))

    def credit(self) -> None:
        self.notes += 1
        note_id = CreditNoteId(f"c{self.notes}")
        decided = credit_note.issue(
            None,
            credit_note_id=note_id,
            against=None,
            customer_id=None,
            issued_at=self.now,
            country="United Kingdom",
            currency=Currency("GBP"),
            lines=self._lines(),
        )
        self._append(credit_note.CREDIT_NOTE.stream(note_id), decided)

    def receive(self) -> None:
        sku = self.chance.choice(SKUS)
        quantity = self.chance.randint(1, 8)
        decided = stock_item.receive(None, sku=sku, quantity=quantity, reference="", now=self.now)
        self._append(stock_item.STOCK.stream(sku), decided)

    def adjust(self) -> None:
        """Half the time everything that is available is lost: a wrong belief about it shows at once."""
        sku = self.chance.choice(SKUS)
        state = self._state(stock_item.STOCK.stream(sku), stock_item.evolve)
        available = 0 if state is None else state.available
        delta = -available if self.chance.random() < 0.5 else self.chance.randint(-3, 3)
        decided = stock_item.adjust(state, sku=sku, delta=delta, reason="count", note="", now=self.now)
        self._append(stock_item.STOCK.stream(sku), decided)

    def _lines(self) -> list[LineRequest]:
        codes = [self.chance.choice((*SKUS, SKUS[0], SERVICE)) for _ in range(self.chance.randint(1, 4))]
        return [
            LineRequest(
                sku=sku,
                quantity=self.chance.randint(1, 3),
                unit_price=UnitPrice("1.00"),
                stocked=sku != SERVICE,
            )
            for sku in codes
        ]

    def _state(self, stream: str, evolve: Callable[[S | None, Event], S]) -> S | None:
        state: S | None = None
        for event in self.log.read_stream(stream):
            state = evolve(state, codec.decode(event.type, event.payload))
        return state

    def _append(self, stream: str, decided: list[Event]) -> None:
        key = self.chance.randbytes(16)
        metadata = encode_metadata(
            Metadata(actor="caller", command="test", correlation_id=key.hex(), nonce=new_nonce())
        )
        events = tuple(NewEvent(stream, *codec.encode(event), metadata) for event in decided)
        expectations = (Expectation(stream, self.log.version(stream)),)
        request = AppendRequest(key, bytes(32), events, expectations)
        assert isinstance(self.log.append_batch([request], epoch=self.log.epoch)[0], Accepted)
        self.callers_keys.add(key)

    def partition(self, source: Partition) -> list[RecordedEvent]:
        """The events of one partition, in order."""
        for event in self.log.read_after(self._cut):
            self._partitions[partition_of(event.key, PARTITIONS)].append(event)
        self._cut = self.log.position
        return self._partitions[source]

    def has_ended(self) -> bool:
        """Whether every checkpoint stands at the end of its partition."""
        return all(
            mark.position == (events[-1].position if (events := self.partition(source)) else 0)
            for source, mark in self.checkpoints.items()
        )

    def fence(self) -> None:
        self.log.epoch += 1
        self.epochs.append((self.log.position + 1, self.log.epoch))


# As often as its share of the table: drawing from weights would take longer than most of these do.
CALLS = (
    *(Shop.place,) * 8,
    *(Shop.cancel,) * 3,
    *(Shop.ship,) * 3,
    *(Shop.credit,) * 2,
    *(Shop.receive,) * 3,
    *(Shop.adjust,) * 3,
)


class Worker:
    """One process: what it holds in memory is gone with a crash."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.restart()

    def restart(self) -> None:
        shop = self.shop
        self.pipeline = Pipeline(horizon=shop.log.position, jitter=random.Random(shop.chance.random()))
        self.progress = Progress(dict(shop.checkpoints))
        self.batcher: Batcher[int] = Batcher()
        self.epoch = shop.log.epoch
        self.standing = {source: shop.checkpoints[source].position for source in SOURCES}
        self.marks = dict(shop.checkpoints)
        self.sent: list[Queued[int]] = []
        self.resend = False
        self.answers: list[tuple[int, Verdict]] = []
        self.read: Read | None = None
        self.facts: dict[str, list[Fact]] | None = None
        self.outcomes: dict[bytes, bytes] | None = None
        self.delivered_at: dict[int, int] = {}
        self.read_at: dict[str, int] = {}

    def act(self) -> None:
        ACTIONS[int(self.shop.chance.random() * len(ACTIONS))](self)

    def poll(self) -> None:
        """Some partition brings some records; now and then it begins further back."""
        shop = self.shop
        source = shop.chance.choice(SOURCES)
        if shop.roll(0.1):
            self.standing[source] = shop.checkpoints[source].position
            self.marks[source] = shop.checkpoints[source]
        arrivals: list[Arrival] = []
        mark = self.marks[source]
        limit = shop.chance.randint(1, 6)
        events = shop.partition(source)
        first = bisect_right(events, self.standing[source], key=_position)
        for event in events[first : first + limit]:
            record = as_record(event, partition=source, prev=0, epoch=shop.epoch_at(event.position))
            if event.type in REACTIONS:
                policy, reaction = REACTIONS[event.type]
                trigger = triggers.trigger_of(
                    record, policy=policy, reaction=reaction, fingerprints=FINGERPRINTS
                )
                arrivals.append(Arrival(mark, [trigger]))
                self.delivered_at.setdefault(event.position, shop.steps)
            mark = Mark(event.position, event.leaf)
            self.standing[source] = event.position
        self.marks[source] = mark
        self.progress.deliver(Portion(source, arrivals, mark))
        self.pipeline.deliver([trigger for arrival in arrivals for trigger in arrival.triggers])

    def step(self) -> None:
        for effect in self.pipeline.step(self.shop.now, at_s=self.shop.at_s):
            match effect:
                case Send():
                    self._check_refusal(effect.request)
                    self.batcher.offer(effect.request, effect.number)
                case Read():
                    self.read = effect
                case Park():
                    self.shop.problems.append(f"parked {effect.trigger.causation}: {effect.failure}")
                    self.progress.done(effect.trigger)
                case Done():
                    self.progress.done(effect.trigger)

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
        if self.shop.roll(0.05):
            self._fail(batch)
            return
        try:
            verdicts = self.shop.log.append_batch([queued.request for queued in batch], epoch=self.epoch)
        except WrongEpoch:
            self.epoch = self.shop.log.epoch
            self._fail(batch, epoch_changed=True)
            return
        if self.shop.roll(0.1):
            self.resend = True
        elif self.shop.roll(0.05):
            self._fail(batch)
        else:
            self.answers.extend(self.batcher.settle(batch, verdicts))
            self.sent = []

    def _fail(self, batch: list[Queued[int]], *, epoch_changed: bool = False) -> None:
        self.sent = []
        for number in self.batcher.fail(batch):
            self.pipeline.failed(number, at_s=self.shop.at_s, epoch_changed=epoch_changed)

    def answer(self) -> None:
        for _ in range(min(len(self.answers), self.shop.chance.randint(1, 5))):
            number, verdict = self.answers.pop(0)
            self.pipeline.answered(number, verdict, at_s=self.shop.at_s)

    def execute_read(self) -> None:
        """Facts are read, later outcomes; what is found arrives later still."""
        shop = self.shop
        if self.read is None or self.outcomes is not None:
            return
        if self.facts is None:
            self.facts = {
                stream: [Fact(event.version, event.type, event.payload) for event in found]
                for stream, after in self.read.after.items()
                if (found := shop.log.read_stream(stream, after_version=after))
            }
            self.read_at.update(dict.fromkeys(self.read.after, shop.steps))
        else:
            keys = set(self.read.keys)
            self.outcomes = {key: outcome[0] for key, outcome in shop.log._outcomes.items() if key in keys}

    def finish_read(self) -> None:
        if self.read is None or self.facts is None or self.outcomes is None:
            return
        number, facts, outcomes = self.read.number, self.facts, self.outcomes
        self.read = self.facts = self.outcomes = None
        self.pipeline.page(number, facts)
        self.pipeline.taken(number, outcomes=outcomes)

    def save(self) -> None:
        for source, mark in self.progress.reached().items():
            if mark.position > self.shop.checkpoints[source].position:
                self.shop.checkpoints[source] = mark

    def _check_refusal(self, request: AppendRequest) -> None:
        """A refusal is decided on stock that this worker read from the log after the trigger had arrived."""
        if not any(event.type == "ordering.order_rejected.v1" for event in request.events):
            return
        causation = decode_metadata(request.events[0].metadata).causation
        assert causation is not None
        position = int(causation.partition(".")[2])
        for expectation in request.expectations:
            if expectation.stream.startswith("stock-"):
                read_at = self.read_at.get(expectation.stream, -1)
                if read_at < self.delivered_at[position]:
                    self.shop.problems.append(f"{causation} refused on {expectation.stream} from the cache")


ACTIONS = (
    *(Worker.poll,) * 3,
    *(Worker.step,) * 4,
    *(Worker.write,) * 3,
    *(Worker.answer,) * 3,
    *(Worker.execute_read,) * 3,
    *(Worker.finish_read,) * 3,
    Worker.save,
)


def run(seed: int) -> list[str]:
    """One schedule; what is wrong at its end."""
    shop = Shop(seed)
    workers = [Worker(shop), Worker(shop)]
    for _ in range(shop.chance.randint(0, 5)):
        shop.receive()
    for _ in range(STEPS):
        shop.steps += 1
        roll = shop.chance.random()
        if roll < 0.25:
            shop.call()
        elif roll < 0.27:
            shop.chance.choice(workers).restart()
        elif roll < 0.275:
            shop.fence()
        else:
            # The second worker is mostly asleep: a zombie that wakes up now and then.
            workers[shop.chance.random() < 0.2].act()
    shop.calm = True
    for _ in range(CALM_ROUNDS_MAX):
        shop.steps += 1
        for _ in range(8):
            workers[0].act()
        if shop.has_ended():
            return _problems(shop)
    return [*_problems(shop), "the checkpoints do not reach the end of the log"]


def _problems(shop: Shop) -> list[str]:
    expected = {
        triggers.outcome_key(
            REACTIONS[event.type][0].name, epoch=shop.epoch_at(event.position), position=event.position
        )
        for event in shop.log.events
        if event.type in REACTIONS
    }
    found = set(shop.log._outcomes) - shop.callers_keys
    return [*shop.problems, *checking.check(shop.log), *checking.outcomes(found, expected=expected)]
