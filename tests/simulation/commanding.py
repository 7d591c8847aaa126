"""Two command APIs on one log in memory, and callers who repeat, compete and insist on versions, driven by a seed.

Execution, states, turns and the endpoints are the product's own. At every call to the log its process may die with all
it keeps, callers of the other one may be first, the answer may be lost, and the log may be out of reach.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

from commands import catalogue, ordering
from commands.calls import Call
from commands.catalogue import ChangePrice, CreateProduct
from commands.execution import Caller, Execution, Slot
from commands.log_polling import LogPoller
from commands.log_reading import NOWHERE, LogState, LogUnreachable, Outcome, Placed
from commands.ordering import Line, PlaceOrder
from commands.personal_data import NOT_CONFIGURED
from commands.states import States
from counterfoil.testing.memory import MemoryLog, WrongEpoch
from counterfoil.testing.scheduling import MOMENT_S, Crash, Scheduler
from event_store.log import codec
from event_store.log.appending.errors import EpochChanged, OutcomeUnknown, StoreUnavailable
from event_store.log.reading import StreamEvent
from runtime.problems import ProblemError

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SKUS = ("A", "B")
CURRENCIES = ("GBP", "USD")
CALLERS = 3
COMMANDS_EACH = 12
NOT_FINAL = {"outcome-unknown", "store-unavailable", "contended", "shutting-down"}


@dataclass
class Attempt:
    """One request: what was asked, and what came of it between two moments."""

    key: bytes
    invoke_s: float
    sku: str
    if_match: int | None
    currency: str | None
    answer: object = None
    code: str | None = None
    returned_s: float = 0.0


@dataclass
class Price:
    """What a product was from a moment on."""

    since_s: float
    version: int
    currency: str | None


class World(Scheduler):
    """What survives a crash."""

    def __init__(self, seed):
        super().__init__(seed)
        self.log = MemoryLog(now=self.clock.now)
        self.attempts = []
        self.prices = {}

    async def call_of(self, process):
        """A process calls the log, or dies of it with everything under way, whichever of its tasks it was."""
        try:
            await self.call()
        except Crash:
            process.die()
            raise asyncio.CancelledError from None

    def note_prices(self, after):
        for event in self.log.read_after(after):
            if event.stream.startswith("product-"):
                decoded = codec.decode(event.type, event.payload)
                price = Price(self.clock.at_s, event.version, decoded.currency)
                self.prices.setdefault(decoded.sku, []).append(price)


class Writer:
    """The log as the command API appends to it."""

    waiting = 0

    def __init__(self, process):
        self.process, self.world = process, process.world

    async def append(self, request, *, epoch):
        await self.world.call_of(self.process)
        if self.world.roll(0.05):
            raise StoreUnavailable("out of reach")
        before = self.world.log.position
        try:
            [verdict] = self.world.log.append_batch([request], epoch=epoch)
        except WrongEpoch as error:
            raise EpochChanged(epoch) from error
        self.world.note_prices(before)
        await self.world.call_of(self.process)
        if self.world.roll(0.1):
            raise OutcomeUnknown("the answer was lost")
        return verdict

    def release(self, count):
        pass


class Reader:
    """The log as the command API reads it."""

    def __init__(self, process):
        self.process, self.world = process, process.world

    async def _ask(self):
        await self.world.call_of(self.process)
        if self.world.roll(0.03):
            raise LogUnreachable("out of reach")

    async def read(self, ask):
        await self._ask()
        found = await ask(self)
        await self.world.call_of(self.process)
        return found

    async def log_state(self):
        await self._ask()
        return LogState(epoch=self.world.log.epoch, generation=1, partitions=3)

    async def outcome(self, key):
        await self._ask()
        kept = self.world.log._outcomes.get(key)
        if kept is None:
            return self.world.log.epoch, None
        fingerprint, accepted = kept
        found = Outcome(fingerprint, accepted.first, accepted.last, accepted.versions)
        await self.world.call_of(self.process)
        return self.world.log.epoch, found

    async def placed(self, first, last):
        await self._ask()
        return [_placed(event) for event in self.world.log.read_after(first - 1, limit=last - first + 1)]

    async def placed_at(self, stream, version):
        await self._ask()
        events = self.world.log.read_stream(stream)
        return next((_placed(event) for event in events if event.version == version), NOWHERE)

    async def types_since(self, stream, version):
        await self._ask()
        return [event.type for event in self.world.log.read_stream(stream, after_version=version)]


def _placed(event):
    return Placed(event.stream, event.position, event.key)


def _stream_event(event):
    return StreamEvent(event.stream, event.version, event.position, event.type, event.payload, event.key)


async def load_streams(reader, after, *, limit):
    """`reading.load_streams_async` of the log in memory."""
    log = reader.world.log
    return {
        (stream, version): [_stream_event(event) for event in found[:limit]]
        for stream, version in after
        if (found := log.read_stream(stream, after_version=version))
    }


class Process:
    """One command API: dies with its states and everything under way."""

    def __init__(self, world, *, personal=NOT_CONFIGURED):
        self.world = world
        self.personal = personal
        self.tasks = set()
        self._be_born()

    def die(self):
        for task in list(self.tasks):
            task.cancel()
        self._be_born()

    def begin(self, work):
        """Work that ends with the process."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def _be_born(self):
        reader = Reader(self)
        states = States(reader)
        log_state = LogState(epoch=self.world.log.epoch, generation=1, partitions=3)
        poller = LogPoller(reader, log_state=log_state, on_new_epoch=states.drop_all)
        self.execution = Execution(Writer(self), reader=reader, states=states, poller=poller)

    async def ask(self, attempt, fingerprint, command):
        """Carry one request out; an end of the process leaves its outcome unknown."""
        call = Call(
            command="simulated",
            actor="caller",
            key=attempt.key,
            fingerprint=fingerprint,
            correlation_id="",
            if_match=attempt.if_match,
        )
        caller = Caller(self.execution, call=call, slot=Slot(Writer(self)), now=NOW, personal=self.personal)
        task = self.begin(command(caller))
        await asyncio.wait({task})
        self.world.clock.pass_s(MOMENT_S)
        attempt.returned_s = self.world.clock.at_s
        if task.cancelled():
            attempt.code = "outcome-unknown"
        elif isinstance(problem := task.exception(), ProblemError):
            attempt.code = problem.type.slug
        else:
            attempt.answer = task.result()


class Client:
    """Somebody who changes prices and places orders, and repeats each until its outcome is known."""

    def __init__(self, world, number, processes):
        self.world, self.number, self.processes = world, number, processes
        self.seen = {}

    async def trade(self):
        for each in range(COMMANDS_EACH):
            sku = self.world.chance.choice(SKUS)
            key = bytes([self.number, each]) * 8
            if self.world.chance.random() < 0.6:
                await self._price(key, sku)
            else:
                await self._order(key, sku)

    async def _price(self, key, sku):
        currency = self.world.chance.choice(CURRENCIES)
        body = ChangePrice(unit_price=f"{self.number}.{key[1]:02}", currency=currency)
        if_match = self.seen.get(sku) if self.world.chance.random() < 0.6 else None
        answer = await self._send(
            key,
            lambda caller: catalogue.change_price(sku=sku, body=body, caller=caller),
            sku=sku,
            if_match=if_match,
        )
        if answer is not None:
            self.seen[sku] = answer.version

    async def _order(self, key, sku):
        currency = self.world.chance.choice(CURRENCIES)
        body = PlaceOrder(
            order_id=key.hex(), country="FR", currency=currency, lines=[Line(sku=sku, quantity=1)]
        )
        await self._send(
            key, lambda caller: ordering.place_order(body=body, caller=caller), sku=sku, currency=currency
        )

    async def _send(self, key, command, *, sku, if_match=None, currency=None):
        while True:
            copies = self.processes if self.world.roll(0.2) else [self.world.chance.choice(self.processes)]
            self.world.clock.pass_s(MOMENT_S)
            made = [Attempt(key, self.world.clock.at_s, sku, if_match, currency) for _ in copies]
            self.world.attempts += made
            await asyncio.gather(
                *(process.ask(each, key * 2, command) for process, each in zip(copies, made, strict=True))
            )
            final = [each for each in made if each.code not in NOT_FINAL]
            if final:
                return final[0].answer


async def _run(world):
    processes = [Process(world), Process(world)]
    opening = Client(world, 255, processes)
    world.calm = True
    for number, sku in enumerate(SKUS):
        body = CreateProduct(sku=sku, title=sku, stocked=True, unit_price="1.00", currency="GBP")
        await opening._send(
            bytes([255, number]) * 8,
            lambda caller, body=body: catalogue.create_product(body=body, caller=caller),
            sku=sku,
        )
    world.calm = False
    trading = [asyncio.ensure_future(Client(world, number, processes).trade()) for number in range(CALLERS)]
    while not all(task.done() for task in trading):
        await asyncio.sleep(0)
        if world.roll(0.001):
            world.log.epoch += 1
    for task in trading:
        task.result()


def run(seed, *, loop):
    """One schedule; what is wrong in the end, if anything."""
    world = World(seed)
    loop.run_until_complete(_run(world))
    return list(_problems(world))


def _problems(world):
    answers = {}
    for attempt in world.attempts:
        if attempt.answer is not None:
            reply = (attempt.answer.stream, attempt.answer.version, attempt.answer.position)
            if answers.setdefault(attempt.key, reply) != reply:
                yield f"{attempt.key.hex()} was answered with {answers[attempt.key]} and {reply}"
        elif attempt.code not in NOT_FINAL:
            yield from _unreasonable(world, attempt)
    for key, (stream, version, position) in answers.items():
        event = world.log.events[position - 1]
        if (event.stream, event.version) != (stream, version) or key not in world.log._outcomes:
            yield f"{key.hex()} was answered with {stream} {version} at {position}, the log has {event.stream}"
    unsure = {attempt.key for attempt in world.attempts if attempt.code in NOT_FINAL}
    for key in world.log._outcomes.keys() - answers.keys() - unsure:
        yield f"{key.hex()} was refused each time, and the log keeps an outcome"


def _unreasonable(world, attempt):
    """A refusal must have been right at some moment between question and answer."""
    history = world.prices[attempt.sku]
    during = [
        price
        for price, after in zip(history, [*history[1:], None], strict=True)
        if price.since_s <= attempt.returned_s and (after is None or after.since_s >= attempt.invoke_s)
    ]
    right = {
        "precondition-failed": any(price.version != attempt.if_match for price in during),
        "no-list-price": any(price.currency != attempt.currency for price in during),
    }
    if not right.get(attempt.code):
        yield f"{attempt.key.hex()} was answered {attempt.code}, which was never so while it waited"
