"""What a decision of the shop's process managers looks at, after given events of an order and of one SKU's stock."""

from collections.abc import Iterable
from typing import Any

from commands.decision import ABSENT, DecisionView, StreamState
from counterfoil.testing.spec import given_streams
from domain.aggregate import Aggregate
from domain.event import Event
from domain.inventory.stock_item import STOCK
from domain.ordering.order import ORDER
from domain.pricing.redemption import REDEMPTION
from domain.shipping.shipment import SHIPMENT
from tests.examples import SKU

ORDER_ID = "536365"


def after(
    *,
    order: Iterable[Event] = (),
    stock: Iterable[Event] = (),
    shipment: Iterable[Event] = (),
    redemption: Iterable[Event] = (),
) -> DecisionView:
    """A view of the order, of the stock of its SKU, of its shipment, and of the coupon that it used."""
    return given_streams(
        *((ORDER, ORDER_ID, event) for event in order),
        *((STOCK, SKU, event) for event in stock),
        *((SHIPMENT, ORDER_ID, event) for event in shipment),
        *((REDEMPTION, ORDER_ID, event) for event in redemption),
    ).view


def folded(aggregate: Aggregate[Any], identifier: str, events: Iterable[Event]) -> StreamState[Any]:
    """The state of a stream after these events."""
    state, version = ABSENT.state, 0
    for version, event in enumerate(events, start=1):  # noqa: B007 - the last one counts
        state = aggregate.evolve(state, event)
    return StreamState(state=state, version=version, position=version, key=aggregate.stream(identifier))
