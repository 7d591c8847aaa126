"""A shop, its log and two process workers in one thread, driven by a seed: any step may crash, repeat or come late.

Decider, progress, states and the writer's batcher are the product's own; the log is in memory. Both workers believe to
be the active one. One process has steps, and every order placed triggers it besides fulfilment.
"""

import random
from bisect import bisect_right
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from operator import attrgetter, itemgetter
from typing import Any, TypeVar, cast

from commands.decision import ABSENT, Folded
from commands.processes.deciding import Append, Decider, Done, Load, Loaded, Park
from commands.processes.fulfilment import FULFILMENT
from commands.processes.progress import Mark
from commands.processes.restock import RESTOCK
from commands.processes.trigger import outcome_key
from commands.recording import Unanswered
from commands.states import States
from domain.aggregate import Aggregate
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
from event_store.memory import MemoryLog
from event_store.partition_log import as_record
from event_store.partitioning import partition_of
from event_store.transport import Partition
from tests.commands.processes import checking
from tests.commands.processes.packing import PACKING

PARTITIONS = 3
SOURCES: tuple[Partition, ...] = tuple(range(PARTITIONS))
SKUS = tuple(Sku(name) for name in ("A", "B", "C"))
SERVICE = Sku("POST")
STEPS = 250
CALM_ROUNDS_MAX = 3_000
START = datetime(2026, 3, 1, tzinfo=UTC)
PROCESSES = (FULFILMENT, RESTOCK, PACKING)

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
        self.states = States(cast("Any", None))
        self.decider = Decider(
            PROCESSES,
            {process.name: dict(shop.checkpoints) for process in PROCESSES},
            states=self.states,
            fingerprints=Fingerprints(b"secret"),
            jitter=random.Random(shop.chance.random()),
        )
        self.batcher: Batcher[int] = Batcher()
        self.epoch = shop.log.epoch
        self.must_look = False
        self.standing = {source: shop.checkpoints[source].position for source in SOURCES}
        self.sent: list[Queued[int]] = []
        self.resend = False
        self.answers: list[tuple[int, Verdict | Unanswered]] = []
        self.flight: list[Verdict | Unanswered | None] = []
        self.load: Load | None = None
        self.loading: Loading | None = None
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
        limit = shop.chance.randint(1, 6)
        events = shop.partition(source)
        first = bisect_right(events, self.standing[source], key=_position)
        records = [
            as_record(event, partition=source, prev=0, epoch=shop.epoch_at(event.position))
            for event in events[first : first + limit]
        ]
        for record in records:
            self.delivered_at.setdefault(record.position, shop.steps)
            self.standing[source] = record.position
        self.decider.deliver({source: records})

    def step(self) -> None:
        for effect in self.decider.step(self.shop.now, at_s=self.shop.at_s):
            match effect:
                case Append():
                    self._append(effect)
                case Load():
                    self.load, self.loading = effect, None
                case Park():
                    self.shop.problems.append(f"parked {effect.trigger.causation}: {effect.failure}")
                    self.decider.done(effect.trigger)
                case Done():
                    self.decider.done(effect.trigger)

    def _append(self, append: Append) -> None:
        self.flight = [None] * len(append.requests)
        for ordinal, request in enumerate(append.requests):
            self._check_refusal(request)
            self.batcher.offer(request, ordinal, epoch=append.epoch)

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
        if epochs != {self.shop.log.epoch} or self.shop.roll(0.05):
            self._fail(batch)
            return
        verdicts = self.shop.log.append_batch([queued.request for queued in batch], epoch=self.shop.log.epoch)
        if self.shop.roll(0.1):
            self.resend = True
        elif self.shop.roll(0.05):
            self._fail(batch)
        else:
            self.answers.extend(self.batcher.settle(batch, verdicts))
            self.sent = []

    def _fail(self, batch: list[Queued[int]]) -> None:
        self.sent = []
        self.answers.extend((ticket, Unanswered("")) for ticket in self.batcher.fail(batch))

    def answer(self) -> None:
        for _ in range(min(len(self.answers), self.shop.chance.randint(1, 5))):
            ordinal, answer = self.answers.pop(0)
            self.flight[ordinal] = answer
            complete = [each for each in self.flight if each is not None]
            if len(complete) == len(self.flight):
                self.decider.answered(complete, at_s=self.shop.at_s)
                self.must_look |= any(isinstance(each, Unanswered) for each in complete)

    def look(self) -> None:
        """After an append without a verdict: if the log left its epoch, no state is worth anything."""
        if self.must_look and self.epoch != self.shop.log.epoch:
            self.epoch = self.shop.log.epoch
            self.states.drop_all()
        self.must_look = False

    def execute_load(self) -> None:
        """States are read, later outcomes; what is found arrives later still."""
        shop = self.shop
        if self.load is None:
            return
        if self.loading is None:
            self.loading = Loading(self, self.load.streams)
            self.read_at.update(dict.fromkeys(self.load.streams, shop.steps))
        elif self.loading.outcomes is None:
            keys = set(self.load.keys)
            self.loading.outcomes = {
                key: outcome[0] for key, outcome in shop.log._outcomes.items() if key in keys
            }

    def finish_load(self) -> None:
        load, loading = self.load, self.loading
        if load is None or loading is None or loading.outcomes is None:
            return
        self.load = self.loading = None
        if loading.life != self.states._life:  # all states were dropped meanwhile: they are loaded once more
            loading = Loading(self, load.streams, epoch=loading.epoch, outcomes=loading.outcomes)
        for stream, folded in loading.states.items():
            self.states._keep(stream, load.streams[stream], folded)
        self.decider.loaded(load.number, Loaded(loading.states, {}, loading.outcomes or {}, loading.epoch))

    def save(self) -> None:
        for source, mark in self.decider.progress.reached().items():
            if mark.position > self.shop.checkpoints[source].position:
                self.shop.checkpoints[source] = mark

    def _check_refusal(self, request: AppendRequest) -> None:
        """A refusal is decided on stock that this worker read from the log after the trigger had arrived."""
        if not any(event.type == "ordering.order_rejected.v2" for event in request.events):
            return
        causation = decode_metadata(request.events[0].metadata).causation
        assert causation is not None
        position = int(causation.partition(".")[2])
        for expectation in request.expectations:
            if expectation.stream.startswith("stock-"):
                read_at = self.read_at.get(expectation.stream, -1)
                if read_at < self.delivered_at[position]:
                    self.shop.problems.append(f"{causation} refused on {expectation.stream} from the cache")


class Loading:
    """What `States.load` does, cut where the world may go on: read behind what is kept, folded, kept later."""

    def __init__(
        self,
        worker: Worker,
        streams: Mapping[str, Aggregate[Any]],
        *,
        epoch: int | None = None,
        outcomes: dict[bytes, bytes] | None = None,
    ) -> None:
        self.life = worker.states._life
        self.epoch = worker.epoch if epoch is None else epoch
        self.outcomes = outcomes
        self.states: dict[str, Folded[Any]] = {}
        for stream, aggregate in streams.items():
            folded = worker.states._kept.get(stream, ABSENT)
            for event in worker.shop.log.read_stream(stream, after_version=folded.version):
                state = aggregate.evolve(folded.state, codec.decode(event.type, event.payload))
                folded = Folded(state=state, version=event.version, position=event.position, key=event.key)
            self.states[stream] = folded


ACTIONS = (
    *(Worker.poll,) * 3,
    *(Worker.step,) * 4,
    *(Worker.write,) * 3,
    *(Worker.answer,) * 3,
    *(Worker.execute_load,) * 3,
    *(Worker.finish_load,) * 3,
    Worker.look,
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
        outcome_key(process.name, epoch=shop.epoch_at(event.position), position=event.position)
        for event in shop.log.events
        for process in PROCESSES
        if event.type in process.reactions
    }
    found = set(shop.log._outcomes) - shop.callers_keys
    return [*shop.problems, *checking.check(shop.log), *checking.outcomes(found, expected=expected)]
