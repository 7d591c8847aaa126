"""Commands of shipping: a label is requested for the parcel of an order, and what becomes of it if it is lost."""

from typing import Annotated, Final

from pydantic import ConfigDict, Field

from commands import lost_parcels
from commands.decision import DecisionView
from commands.documentation import Caller
from commands.parcel import contents_of
from commands.payloads import Payload
from commands.recording import Answer
from commands.routing import command, command_router
from domain.event import Event
from domain.ids import OrderId
from domain.inventory.stock_refusals import InsufficientStock
from domain.ordering import order as orders
from domain.ordering.order import ORDER, Order, OrderUnknown
from domain.shipping import shipment as shipments
from domain.shipping.events import CarrierNumber, LossReason, Remedy
from domain.shipping.shipment import (
    SHIPMENT,
    LabelNotAwaited,
    NothingToSend,
    NotLost,
    NotShipped,
    NotUnderWay,
    SettledOtherwise,
    Shipment,
)

router = command_router("shipping")

NUMBER_PATTERN: Final = r"^[!-~]{1,64}$"


class RequestLabel(Payload):
    """Nothing needs to be said."""

    model_config = ConfigDict(json_schema_extra={"example": {}})


class RecordManualLabel(Payload):
    """The label that was bought by hand."""

    model_config = ConfigDict(json_schema_extra={"example": {"tracking": "CF000000017GB"}})

    tracking: Annotated[
        CarrierNumber,
        Field(pattern=NUMBER_PATTERN, description="The number by which the parcel is followed."),
    ]


class RecordLoss(Payload):
    """Why nobody expects the parcel any more."""

    model_config = ConfigDict(json_schema_extra={"example": {"reason": "carrier"}})

    reason: LossReason


class RecordClaim(Payload):
    """What was claimed at the carrier."""

    model_config = ConfigDict(json_schema_extra={"example": {"claim": "CL-000017"}})

    claim: Annotated[CarrierNumber, Field(pattern=NUMBER_PATTERN, description="The carrier's number of it.")]


class SettleLoss(Payload):
    """What the buyer gets for the parcel."""

    model_config = ConfigDict(json_schema_extra={"example": {"remedy": "replacement"}})

    remedy: Remedy


@command(
    router,
    "/orders/{order_id}/shipment/label",
    requires="shipments:label",
    refusals=(OrderUnknown, NotShipped, NothingToSend),
)
async def request_label(order_id: OrderId, body: RequestLabel, caller: Caller) -> Answer:  # noqa: ARG001 - an empty body
    """Have the carrier asked for a label: the first one, or another one after it refused."""

    def request(shipment: Shipment | None, view: DecisionView) -> list[Event]:
        order = _shipped(order_id, view)
        return shipments.request_label(
            shipment,
            order_id=order_id,
            country=order.country,
            contents=contents_of(order),
            now=caller.now,
        )

    return await caller.execute(SHIPMENT, order_id, request)


@command(
    router,
    "/orders/{order_id}/shipment/manual-label",
    requires="shipments:label",
    refusals=(OrderUnknown, NotShipped, NothingToSend, LabelNotAwaited),
)
async def record_manual_label(order_id: OrderId, body: RecordManualLabel, caller: Caller) -> Answer:
    """Record a label that was bought by hand: the parcel is under way, and may be lost, as with any other."""

    def record(shipment: Shipment | None, view: DecisionView) -> list[Event]:
        order = _shipped(order_id, view)
        return shipments.record_manual_label(
            shipment,
            order_id=order_id,
            country=order.country,
            contents=contents_of(order),
            tracking=body.tracking,
            now=caller.now,
        )

    return await caller.execute(SHIPMENT, order_id, record)


@command(
    router,
    "/orders/{order_id}/shipment/loss",
    requires="shipments:lose",
    refusals=(NotUnderWay,),
)
async def record_parcel_loss(order_id: OrderId, body: RecordLoss, caller: Caller) -> Answer:
    """Note that the parcel of an order is lost. What its buyer gets for it is decided afterwards."""
    return await caller.execute(
        SHIPMENT,
        order_id,
        lambda shipment, _: shipments.record_loss(
            shipment, order_id=order_id, reason=body.reason, now=caller.now
        ),
    )


@command(
    router,
    "/orders/{order_id}/shipment/loss/claim",
    requires="shipments:lose",
    refusals=(NotLost,),
)
async def record_loss_claim(order_id: OrderId, body: RecordClaim, caller: Caller) -> Answer:
    """Note that a lost parcel was claimed at the carrier, which is done there by hand."""
    return await caller.execute(
        SHIPMENT,
        order_id,
        lambda shipment, _: shipments.record_claim(
            shipment, order_id=order_id, claim=body.claim, now=caller.now
        ),
    )


@command(
    router,
    "/orders/{order_id}/shipment/loss/settlement",
    requires="shipments:settle",
    refusals=(NotLost, SettledOtherwise, InsufficientStock),
)
async def settle_parcel_loss(order_id: OrderId, body: SettleLoss, caller: Caller) -> Answer:
    """Give a buyer the money for a lost parcel back, or send the same pieces again: one of both, once."""
    return await caller.execute(
        SHIPMENT,
        order_id,
        lambda shipment, view: lost_parcels.settle(
            shipment, view, order_id=order_id, remedy=body.remedy, now=caller.now
        ),
    )


def _shipped(order_id: OrderId, view: DecisionView) -> Order:
    """The order, which has left."""
    order = view.current(ORDER, order_id)
    if order is None:
        raise OrderUnknown(order_id=order_id)
    if order.status is not orders.Status.SHIPPED:
        raise NotShipped(order_id=order_id, status=order.status)
    return order
