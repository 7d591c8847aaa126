"""Stock that is lost after it was reserved: the orders concerned are held until it is reserved for them again.

What is decided about stock and orders together is one append, so no order is shipped whose pieces are gone, and nothing
is reserved twice: `0 <= reserved <= on_hand` holds as for every other movement.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import reduce

from msgspec import Struct

from commands.decision import Appended, Decision, DecisionView, events_of
from domain.event import Event
from domain.ids import LocationId, OrderId, Sku
from domain.inventory import stock_item
from domain.inventory.events import AdjustmentReason
from domain.inventory.locations import ALL, LOCATIONS, MAIN, open_locations, require_known
from domain.inventory.stock_item import STOCK, StockItem
from domain.inventory.stock_refusals import InsufficientStock
from domain.ordering import holding
from domain.ordering.events import OrderStockLost
from domain.ordering.order import ORDER, Order


class Loss(Struct, frozen=True, kw_only=True):
    """How many pieces are gone and where, why, and for which orders they were reserved."""

    quantity: int
    reason: AdjustmentReason
    note: str
    at: LocationId = MAIN
    order_ids: Sequence[OrderId]


def write_off(item: StockItem | None, view: DecisionView, *, sku: Sku, loss: Loss, now: datetime) -> Decision:
    """Take pieces off the books of which some are reserved: for these orders, which give all of theirs back.

    Raises:
        OrderUnknown, NotConfirmed, NothingReserved: an order has none of these pieces.
        LocationUnknown: there is no such location.
        InsufficientStock: fewer are there than were lost, but for those that are reserved for other orders.
        QuantityOutOfRange: more than the books can have.
    """
    view.prefetch(ORDER, loss.order_ids)
    locations = view.current(LOCATIONS, ALL)
    require_known(locations, loss.at)
    of_stock: list[Event] = []
    of_orders: list[Appended] = []
    for order_id in loss.order_ids:
        lost = holding.lose_stock(
            view.current(ORDER, order_id),
            order_id=order_id,
            sku=sku,
            waits_for=0 if item is None else item.waiting(order_id),
            now=now,
        )
        [quantity] = [each.quantity for each in lost if isinstance(each, OrderStockLost)]
        given_back = stock_item.lose(item, sku=sku, order_id=order_id, quantity=quantity, now=now)
        item = reduce(stock_item.evolve, given_back, item)
        of_stock.extend(given_back)
        of_orders.extend(events_of(ORDER, order_id, lost))
    corrected = stock_item.adjust(
        item,
        sku=sku,
        delta=-loss.quantity,
        reason=loss.reason,
        note=loss.note,
        at=loss.at,
        locations=open_locations(locations),
        now=now,
    )
    return Decision((*events_of(STOCK, sku, [*of_stock, *corrected]), *of_orders))


def reserve_again(order: Order | None, view: DecisionView, *, order_id: OrderId, now: datetime) -> Decision:
    """Reserve what an order has lost, and lift its hold for that.

    Raises:
        OrderUnknown: there is no such order.
        InsufficientStock: not that many pieces are available, or the order waits for some.
    """
    lifted = holding.lift(order, order_id=order_id, reason="stock", now=now)
    if not lifted or order is None:
        return Decision()
    for sku, quantity in order.backordered.items():
        raise InsufficientStock(sku=sku, requested=quantity, available=0)
    view.prefetch(STOCK, order.lost)
    locations = open_locations(view.current(LOCATIONS, ALL))
    reserved: list[Appended] = []
    for total in order.skus:
        if total.sku in order.lost:
            of_stock = stock_item.reserve(
                view.current(STOCK, total.sku),
                sku=total.sku,
                order_id=order_id,
                quantity=total.units,
                locations=locations,
                now=now,
            )
            reserved.extend(events_of(STOCK, total.sku, of_stock))
    replaced = holding.replace_stock(order, now=now)
    return Decision((*events_of(ORDER, order_id, [*replaced, *lifted]), *reserved))
