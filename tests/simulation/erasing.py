"""Customers who order and are erased at the same time, over two command APIs and a sender on one log in memory.

Endpoints, decisions, keyring and what destroys keys are the product's own; log, key database and time are not. Each may
die at every call, be overtaken there, or lose the answer.
"""

import asyncio

from commands import catalogue, customers, ordering
from commands.catalogue import CreateProduct
from commands.customers import EraseCustomer, RegisterCustomer
from commands.gateways.shredding import Destroyed, Shredder, record
from commands.ordering import CancelOrder, GivenContact, Line, PlaceOrder
from commands.personal_data import PersonalData
from counterfoil.testing.scheduling import Crash
from domain.customers.customer import CUSTOMER
from domain.customers.events import ErasureRequested, PersonalDataErased
from domain.ordering.events import OrderCancelled, OrderPlaced
from domain.sealed import ERASURE_TAG
from event_store.log import codec
from runtime.keyring.keyring import Erasures, Keyring
from runtime.keyring.master import MasterKeys
from tests.simulation.commanding import NOT_FINAL, NOW, Client, Process, World, _stream_event

CUSTOMERS = ("ada", "bob")
BUYERS = 3
ACTS_EACH = 6
MASTER = bytes(32)
REFUSED = {"orders-open", "customer-erased", None}


async def read_tagged(reader, tags, types, *, after=0, upto=None, limit):
    """`reading.read_tagged_async` of the log in memory."""
    log = reader.world.log
    found = [each for each in log.tagged(tags, types, after=after) if upto is None or each.position <= upto]
    return log.position, [_stream_event(each) for each in found[:limit]]


class Keys:
    """The key database, as a process calls it."""

    def __init__(self, world):
        self.world = world
        self.process = None

    async def _called(self):
        if self.process is None:
            await self.world.call()
        else:
            await self.world.call_of(self.process)

    async def of_subject(self, subject):
        await self._called()
        return self.world.keys.get(subject)

    async def add(self, subject, key):
        await self._called()
        return self.world.keys.setdefault(subject, key)

    async def destroy(self, key_ids):
        await self._called()
        for subject, key in list(self.world.keys.items()):
            if key.key_id in key_ids:
                del self.world.keys[subject]
        await self._called()


def a_process(world):
    """A command API that seals."""

    async def erasures(_position):
        found = [codec.decode(each.type, each.payload) for each in world.log.tagged([ERASURE_TAG], [])]
        return Erasures(1, world.log.position, [key for each in found for key in each.key_ids])

    keys = Keys(world)
    process = Process(world, personal=PersonalData(Keyring(keys, MasterKeys(lambda: [MASTER]), erasures)))
    keys.process = process
    return process


class Buyer(Client):
    """Somebody who orders, thinks better of it, and wants to be forgotten."""

    async def trade(self):
        placed = []
        for each in range(ACTS_EACH):
            name, key = self.world.chance.choice(CUSTOMERS), bytes([self.number, each]) * 8
            roll = self.world.chance.random()
            if roll < 0.2:
                await self._erase(key, name)
            elif roll < 0.6 and placed:
                await self._cancel(key, placed.pop())
            elif await self._place(key, name) is not None:
                placed.append(key.hex())
        for number, order_id in enumerate(placed):
            await self._cancel(bytes([self.number, 100 + number]) * 8, order_id)

    async def _place(self, key, name):
        body = PlaceOrder(
            order_id=key.hex(),
            customer_id=name,
            contact=GivenContact(name=name),
            country="FR",
            currency="GBP",
            lines=[Line(sku="A", quantity=1)],
        )
        return await self._send(key, lambda caller: ordering.place_order(body=body, caller=caller), sku=name)

    async def _cancel(self, key, order_id):
        body = CancelOrder(reason="customer")
        await self._send(
            key,
            lambda caller: ordering.cancel_order(order_id=order_id, body=body, caller=caller),
            sku=order_id,
        )

    async def _erase(self, key, name):
        await self._send(
            key,
            lambda caller: customers.erase_customer(customer_id=name, body=EraseCustomer(), caller=caller),
            sku=name,
        )


class Sender:
    """What carries erasures out: it dies as often as others, and begins again."""

    def __init__(self, world, processes):
        self.world, self.client = world, Client(world, 200, processes)
        self.shredder = Shredder(Keys(world), vault=None)

    async def send(self):
        """All that is asked for and not recorded."""
        for number, name in enumerate(CUSTOMERS):
            events = [
                codec.decode(each.type, each.payload)
                for each in self.world.log.read_stream(f"customer-{name}")
            ]
            intents = [each for each in events if isinstance(each, ErasureRequested)]
            if intents and not isinstance(events[-1], PersonalDataErased):
                await self._carry_out(number, intents[0])

    async def _carry_out(self, number, intent):
        try:
            answer = await self.shredder.ask("", intent)
        except Crash:
            return
        assert answer == Destroyed()

        async def recorded(caller):
            return await caller.execute(
                CUSTOMER,
                intent.customer_id,
                lambda customer, _: list(record(customer, intent, answer, NOW)),
            )

        await self.client._send(bytes([200, number]) * 8, recorded, sku=intent.customer_id)


async def _run(world):
    world.keys = {}
    processes = [a_process(world), a_process(world)]
    opening, sender = Client(world, 255, processes), Sender(world, processes)
    world.calm = True
    product = CreateProduct(sku="A", title="A", stocked=True, unit_price="1.00", currency="GBP")
    await opening._send(
        bytes([255, 0]) * 8, lambda caller: catalogue.create_product(body=product, caller=caller), sku="A"
    )
    for number, name in enumerate(CUSTOMERS, start=1):
        body = RegisterCustomer(customer_id=name, country="France")
        await opening._send(
            bytes([255, number]) * 8,
            lambda caller, body=body: customers.register_customer(body=body, caller=caller),
            sku=name,
        )
    world.calm = False
    buying = [asyncio.ensure_future(Buyer(world, number, processes).trade()) for number in range(BUYERS)]
    while not all(task.done() for task in buying):
        await asyncio.sleep(0)
        await sender.send()
    for task in buying:
        task.result()
    world.calm = True
    await sender.send()


def run(seed, *, loop):
    """One schedule; what is wrong in the end, if anything."""
    world = World(seed)
    loop.run_until_complete(_run(world))
    return [problem for name in CUSTOMERS for problem in _problems(world, name)] + [
        f"{attempt.key.hex()} was answered {attempt.code}"
        for attempt in world.attempts
        if attempt.code not in REFUSED | NOT_FINAL
    ]


def _problems(world, name):
    orders, intents, recorded = {}, [], 0
    for event in (codec.decode(each.type, each.payload) for each in world.log.events):
        match event:
            case OrderPlaced(customer_id=customer_id) if customer_id == name:
                orders[event.order_id] = event.contact.name.key_id, True, bool(intents)
            case OrderCancelled(order_id=order_id) if order_id in orders:
                orders[order_id] = orders[order_id][0], False, orders[order_id][2]
            case ErasureRequested(customer_id=customer_id) if customer_id == name:
                intents.append(event)
                if any(is_open for _, is_open, _ in orders.values()):
                    yield f"the erasure of {name} was accepted while an order was open"
            case PersonalDataErased(customer_id=customer_id) if customer_id == name:
                recorded += 1
    if any(late for *_, late in orders.values()):
        yield f"an order of {name} was recorded after the erasure was asked for"
    if len(intents) > 1 or recorded != len(intents):
        yield f"the erasure of {name} was asked for {len(intents)} times, and recorded {recorded} times"
    yield from _keys_at_fault(world, name, intents, sealed_under={key for key, *_ in orders.values()})


def _keys_at_fault(world, name, intents, *, sealed_under):
    left = {key.key_id for key in world.keys.values()}
    if not intents and not sealed_under <= left:
        yield f"contact data of {name} is lost, and nobody was erased"
    if intents and (sealed_under & left or not sealed_under <= {*intents[0].key_ids}):
        yield f"contact data of {name} can be opened after the erasure"
