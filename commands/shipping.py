"""Commands of shipping: a label is requested for the parcel of an order."""

from pydantic import ConfigDict

from commands.decision import DecisionView
from commands.documentation import Caller
from commands.parcel import contents_of
from commands.payloads import Payload
from commands.recording import Answer
from commands.routing import command, command_router
from domain.event import Event
from domain.ids import OrderId
from domain.ordering import order as orders
from domain.ordering.order import ORDER, OrderUnknown
from domain.shipping import shipment as shipments
from domain.shipping.shipment import SHIPMENT, NothingToSend, NotShipped, Shipment

router = command_router("shipping")


class RequestLabel(Payload):
    """Nothing needs to be said."""

    model_config = ConfigDict(json_schema_extra={"example": {}})


@command(
    router,
    "/orders/{order_id}/shipment/label",
    requires="shipments:label",
    refusals=(OrderUnknown, NotShipped, NothingToSend),
)
async def request_label(order_id: OrderId, body: RequestLabel, caller: Caller) -> Answer:  # noqa: ARG001 - an empty body
    """Have the carrier asked for a label: the first one, or another one after it refused."""

    def request(shipment: Shipment | None, view: DecisionView) -> list[Event]:
        order = view.current(ORDER, order_id)
        if order is None:
            raise OrderUnknown(order_id=order_id)
        if order.status is not orders.Status.SHIPPED:
            raise NotShipped(order_id=order_id, status=order.status)
        return shipments.request_label(
            shipment,
            order_id=order_id,
            country=order.country,
            contents=contents_of(order),
            now=caller.now,
        )

    return await caller.execute(SHIPMENT, order_id, request)
