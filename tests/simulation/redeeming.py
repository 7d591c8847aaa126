"""Many checkouts that promised the last of a coupon, completed at once by two command APIs, under a seeded scheduler.

Processes die, answers are lost, and everybody repeats until the outcome is known: as many redeem as the limit says.
"""

import asyncio
from collections import Counter

from commands.cart import checking_out
from commands.cart.checking_out import CheckOut
from counterfoil.testing.scheduling import MOMENT_S
from domain.event import partition_key_of, tags_of
from domain.ids import CartId, CheckoutId, OrderId
from event_store.log import codec
from event_store.log.envelope import AppendRequest, NewEvent
from tests.cart_examples import (
    cart_opened,
    checkout_started,
    coupon_applied,
    item_added,
    line_off,
    promotion_off,
    totals,
)
from tests.commands.http_spec import stream_of
from tests.pricing_examples import coupon_created, promotion_defined
from tests.simulation.commanding import NOT_FINAL, Attempt, Process, World, _stream_event

BUYERS = 64
LIMIT = 10
AT_ONCE = 8
"""Buyers of whom none waits for another; a process that dies takes all of them along."""
EXHAUSTED = "coupon-exhausted"


async def read_tagged(reader, tags, types, *, after=0, upto=None, limit):
    """`reading.read_tagged_async` of the log in memory."""
    log = reader.world.log
    last = log.position if upto is None else upto
    found = [event for event in log.tagged(tags, types, after=after) if event.position <= last]
    return log.position, [_stream_event(event) for event in found[:limit]]


def _given(world):
    """A coupon for ten, and carts that are frozen with it."""
    events = [promotion_defined(), coupon_created(limit=LIMIT)]
    for number in range(BUYERS):
        cart, order = CartId(f"c{number}"), OrderId(f"o{number}")
        events += [
            cart_opened(cart_id=cart),
            item_added(cart_id=cart),
            coupon_applied(cart_id=cart),
            checkout_started(
                cart_id=cart,
                checkout_id=CheckoutId(order),
                order_id=order,
                totals=totals(510, discount=51),
                discounts=(line_off(51),),
                promotions=(promotion_off(51),),
            ),
        ]
    new = []
    for event in events:
        aggregate, identifier = stream_of(event)
        stream = aggregate.stream(identifier)
        new.append(NewEvent(stream, *codec.encode(event), b"", partition_key_of(event), tags_of(event)))
    world.log.append_batch(
        [AppendRequest(b"given" + bytes(11), bytes(32), tuple(new), ())], epoch=world.log.epoch
    )


class Buyer:
    """Somebody who completes a checkout, and repeats that until they know what came of it."""

    def __init__(self, world, number, processes):
        self.world, self.number, self.processes = world, number, processes
        self.code = None

    async def buy(self):
        cart_id, body = f"c{self.number}", CheckOut(checkout_id=f"o{self.number}")
        key = self.number.to_bytes(16)
        while self.code is None:
            self.world.clock.pass_s(MOMENT_S)
            attempt = Attempt(key, self.world.clock.at_s, "", None, None)
            process = self.world.chance.choice(self.processes)
            await process.ask(
                attempt,
                key * 2,
                lambda caller: checking_out.check_out(cart_id=cart_id, body=body, caller=caller),
            )
            if attempt.answer is not None:
                self.code = "ordered"
            elif attempt.code not in NOT_FINAL:
                self.code = attempt.code


async def _run(world):
    processes = [Process(world), Process(world)]
    buyers = [Buyer(world, number, processes) for number in range(BUYERS)]
    waiting = iter(buyers)

    async def come():
        for buyer in waiting:
            await buyer.buy()

    await asyncio.gather(*(come() for _ in range(AT_ONCE)))
    return buyers


def run(seed, *, loop):
    """One schedule; what is wrong in the end, if anything."""
    world = World(seed)
    _given(world)
    buyers = loop.run_until_complete(_run(world))
    return list(_problems(world, Counter(buyer.code for buyer in buyers)))


def _problems(world, codes):
    if codes != {"ordered": LIMIT, EXHAUSTED: BUYERS - LIMIT}:
        yield f"the answers were {dict(codes)}"
    types = Counter(event.type.split(".")[1] for event in world.log.events)
    found = types["coupon_redeemed"], types["order_placed"], types["cart_checked_out"]
    if found != (LIMIT,) * 3:
        yield f"{found[0]} redeemed, {found[1]} ordered and {found[2]} carts ended"
    for event in world.log.events:
        if event.type == "ordering.order_placed.v3":
            order = codec.decode(event.type, event.payload)
            if (order.total, sum(line.total for line in order.lines)) != (459, 459):
                yield f"{order.order_id} costs {order.total}"
