"""Lost parcels: what their buyers get for them, each in one append with what it takes of stock or money.

So nobody gets both, or one of them twice, whatever is sent again or decided at the same time.
"""

from datetime import datetime
from functools import reduce
from typing import Any

from commands.amounts_held import let_go
from commands.crediting import given_back
from commands.decision import Appended, Decision, DecisionView, events_of
from domain.ids import OrderId
from domain.inventory import stock_item
from domain.inventory.locations import ALL, LOCATIONS, open_locations
from domain.inventory.stock_item import STOCK
from domain.inventory.stock_refusals import InsufficientStock
from domain.ordering import purchase as purchasing
from domain.ordering.order import ORDER
from domain.ordering.purchase import PURCHASE, payment_of
from domain.payments.payment import PAYMENT
from domain.shipping import shipment as shipments
from domain.shipping.events import Remedy
from domain.shipping.shipment import SHIPMENT, Shipment


def settle(
    shipment: Shipment | None, view: DecisionView, *, order_id: OrderId, remedy: Remedy, now: datetime
) -> Decision:
    """Give the money back, or send the same pieces again, for which a label is requested under a key of its own.

    What a provider took of an order that was placed with a method is given back here, and store credit; anything else
    is refunded by hand.

    Raises:
        NotLost, SettledOtherwise: there is nothing (more) to settle.
        InsufficientStock: not that many pieces are available, or the lost ones are not off the books yet.
    """
    settled = shipments.settle_loss(shipment, order_id=order_id, remedy=remedy, now=now)
    if not settled or shipment is None:
        return Decision()
    taken = (
        (*_refunded(order_id, view, now), *_credited(order_id, view, now))
        if remedy == "refund"
        else _sent_again(shipment, order_id, view, now)
    )
    return Decision((*events_of(SHIPMENT, order_id, settled), *taken))


def _refunded(order_id: OrderId, view: DecisionView, now: datetime) -> tuple[Appended, ...]:
    """Let go of the payments, now or once it is known what became of them."""
    view.prefetch(PURCHASE, (order_id,))
    view.prefetch(PAYMENT, (payment_of(order_id),))
    purchase = view.current(PURCHASE, order_id)
    if purchase is None:
        return ()
    unwound = purchasing.unwind(purchase, released=(), now=now)
    return (*events_of(PURCHASE, order_id, unwound), *let_go(purchase, view, now=now))


def _credited(order_id: OrderId, view: DecisionView, now: datetime) -> tuple[Appended, ...]:
    """Give the store credit back that was to pay the order."""
    order = view.known(ORDER, order_id)  # its customer never changes
    return () if order is None else given_back(order_id, order.customer_id, view, now=now)


def _sent_again(
    shipment: Shipment, order_id: OrderId, view: DecisionView, now: datetime
) -> tuple[Appended, ...]:
    """Take the pieces of another parcel off the books."""
    view.prefetch(LOCATIONS, (ALL,))
    view.prefetch(STOCK, [content.sku for content in shipment.contents])
    locations = open_locations(view.current(LOCATIONS, ALL))
    taken: list[Appended] = []
    for content in shipment.contents:
        item = view.current(STOCK, content.sku)
        of_it: dict[str, Any] = {
            "sku": content.sku,
            "order_id": order_id,
            "quantity": content.quantity,
            "now": now,
        }
        if item is not None and order_id in item.reserved_elsewhere:
            # Where its pieces lie is known by order: those of the first parcel have to leave before.
            raise InsufficientStock(sku=content.sku, requested=content.quantity, available=0)
        reserved = stock_item.reserve(item, **of_it, locations=locations)
        left = stock_item.ship(reduce(stock_item.evolve, reserved, item), **of_it)
        taken.extend(events_of(STOCK, content.sku, [*reserved, *left]))
    return tuple(taken)
