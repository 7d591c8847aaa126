"""Order fulfilment: placed, an order reserves stock or is rejected; cancelled, it lets go; shipped, stock leaves."""

from datetime import datetime

from commands.policies.policy import NOTHING, Decision, Policy, Reaction, States, stock_in
from domain.event import Event
from domain.inventory import stock_item
from domain.inventory.stock_item import STOCK, InsufficientStock
from domain.ordering import order as ordering
from domain.ordering.events import OrderCancelled, OrderPlaced, OrderShipped, Shortage
from domain.ordering.order import ORDER, Order, Status


def placed_reads(event: OrderPlaced) -> tuple[str, ...]:
    """The order, which may have been cancelled meanwhile, and the stock of every stocked code, once."""
    stocked = dict.fromkeys(STOCK.stream(line.sku) for line in event.lines if line.stocked)
    return (ORDER.stream(event.order_id), *stocked)


def when_order_placed(event: OrderPlaced, states: States, now: datetime) -> Decision:
    """Reserve every stocked code, summed over its lines, and confirm; or reject with all that was missing."""
    order = states[ORDER.stream(event.order_id)]
    assert isinstance(order, Order), "an order that was placed has no state"
    if order.status is not Status.PLACED:
        return Decision(refused_by=(ORDER.stream(event.order_id),))
    reserved: list[tuple[str, Event]] = []
    missing: list[Shortage] = []
    for code in order.skus:
        if not code.stocked:
            continue
        item = stock_in(states, code.sku)
        try:
            facts = stock_item.reserve(
                item, sku=code.sku, order_id=order.order_id, quantity=code.units, now=now
            )
        except InsufficientStock as short:
            missing.append(Shortage(sku=code.sku, requested=code.units, available=short.available))
        else:
            reserved.extend((STOCK.stream(code.sku), fact) for fact in facts)
    return _rejected(order, missing, now) if missing else _confirmed(order, reserved, now)


def _rejected(order: Order, missing: list[Shortage], now: datetime) -> Decision:
    facts = ordering.reject(order, order_id=order.order_id, missing=missing, now=now)
    stream = ORDER.stream(order.order_id)
    short = tuple(STOCK.stream(shortage.sku) for shortage in missing)
    return Decision(events=tuple((stream, fact) for fact in facts), refused_by=short)


def _confirmed(order: Order, reserved: list[tuple[str, Event]], now: datetime) -> Decision:
    stream = ORDER.stream(order.order_id)
    confirmed = [(stream, fact) for fact in ordering.confirm(order, order_id=order.order_id, now=now)]
    return Decision(events=(*reserved, *confirmed))


def cancelled_reads(event: OrderCancelled) -> tuple[str, ...]:
    """The stock that the order had reserved; nothing when it was not confirmed."""
    if not event.was_confirmed:
        return ()
    return tuple(STOCK.stream(code.sku) for code in event.skus if code.stocked)


def when_order_cancelled(event: OrderCancelled, states: States, now: datetime) -> Decision:
    """Release what a confirmed order had reserved; an order that was not confirmed holds nothing."""
    if not event.was_confirmed:
        return NOTHING
    released: list[tuple[str, Event]] = []
    for code in event.skus:
        if code.stocked:
            facts = stock_item.release(
                stock_in(states, code.sku),
                sku=code.sku,
                order_id=event.order_id,
                quantity=code.units,
                reason="cancelled",
                now=now,
            )
            released.extend((STOCK.stream(code.sku), fact) for fact in facts)
    return Decision(events=tuple(released))


def shipped_reads(event: OrderShipped) -> tuple[str, ...]:
    """The stock that left with the order."""
    return tuple(STOCK.stream(code.sku) for code in event.skus)


def when_order_shipped(event: OrderShipped, states: States, now: datetime) -> Decision:
    """Turn the order's reservations into shipped stock."""
    shipped: list[tuple[str, Event]] = []
    for code in event.skus:
        facts = stock_item.ship(
            stock_in(states, code.sku),
            sku=code.sku,
            order_id=event.order_id,
            quantity=code.quantity,
            now=now,
        )
        shipped.extend((STOCK.stream(code.sku), fact) for fact in facts)
    return Decision(events=tuple(shipped))


FULFILMENT = Policy(
    name="fulfilment",
    reactions=(
        Reaction("when_order_placed", OrderPlaced, placed_reads, when_order_placed),
        Reaction("when_order_cancelled", OrderCancelled, cancelled_reads, when_order_cancelled),
        Reaction("when_order_shipped", OrderShipped, shipped_reads, when_order_shipped),
    ),
)
