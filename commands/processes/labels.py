"""Labels: a shipped order needs one from the carrier. Runs only where a carrier is configured."""

from datetime import datetime
from typing import Final

from commands.decision import Decision, DecisionView, events_of
from commands.parcel import contents_of
from commands.processes.process import Process, Streams
from domain.ordering.events import OrderShipped
from domain.ordering.order import ORDER
from domain.shipping import shipment as shipments
from domain.shipping.shipment import SHIPMENT
from event_store.consumers.starting import HEAD

LABELS: Final = Process("labels", writes=(SHIPMENT,), start=HEAD, gateway="carrier")


def order_and_shipment(event: OrderShipped) -> Streams:
    """The order, which has the country, and its shipment, which a caller may have requested before."""
    return [(ORDER, event.order_id), (SHIPMENT, event.order_id)]


@LABELS.when(OrderShipped, reads=order_and_shipment)
def request(event: OrderShipped, view: DecisionView, now: datetime) -> Decision:
    """Request a label for whatever is in the parcel; an order of services has none."""
    order = view.current(ORDER, event.order_id)
    assert order is not None, "an order that was shipped has no state"
    contents = contents_of(order)
    shipment = view.current(SHIPMENT, event.order_id)
    if not contents or shipment is not None:
        return Decision()
    events = shipments.request_label(
        None, order_id=event.order_id, country=order.country, contents=contents, now=now
    )
    return Decision(events_of(SHIPMENT, event.order_id, events))
