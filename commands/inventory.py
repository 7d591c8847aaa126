"""Commands of inventory: deliveries and corrections of stock, its locations, and how much may be on backorder."""

from typing import Annotated, Final

from pydantic import AfterValidator, ConfigDict, Field

from commands import stock_losses
from commands.decision import Decision, DecisionView
from commands.documentation import Caller
from commands.payloads import Delta, Id, Note, Payload, Quantity, Reference
from commands.recording import Answer
from commands.routing import command, command_router
from domain.catalogue.product import PRODUCT, ProductUnknown
from domain.event import Event
from domain.ids import AnyId, LocationId, OrderId, Sku
from domain.inventory import locations as locating
from domain.inventory import stock_item
from domain.inventory.events import AdjustmentReason
from domain.inventory.locations import (
    ALL,
    LOCATIONS,
    MAIN,
    PRIORITY_MAX,
    LocationClosed,
    LocationUnknown,
    TooManyLocations,
    open_locations,
    require_known,
    require_open,
)
from domain.inventory.stock_item import BACKORDER_LIMIT_MAX, STOCK, StockItem
from domain.inventory.stock_refusals import InsufficientStock, NotStocked
from domain.ordering.holding import NothingReserved
from domain.ordering.order import NotConfirmed, OrderUnknown

router = command_router("inventory")

ORDERS_MAX: Final = 50
"""Orders that one loss holds."""

_REFUSALS = (ProductUnknown, NotStocked)
_LOCATED = (*_REFUSALS, LocationUnknown)


class ReceiveStock(Payload):
    """A delivery."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"quantity": 120, "reference": "delivery note 7741"}}
    )

    quantity: Quantity
    reference: Reference = Field(default="", description="The sender's own name for the delivery.")
    location_id: Id = Field(default=AnyId(MAIN), description="Where it came in.")


class AdjustStock(Payload):
    """A correction of the books."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"delta": -2, "reason": "damage", "note": "broken in transit"}}
    )

    delta: Delta = Field(description="Pieces, up or down.")
    reason: AdjustmentReason
    note: Note = ""
    location_id: Id = Field(default=AnyId(MAIN), description="Where that is.")


class SetLocation(Payload):
    """When orders are planned over a location, and whether they are at all."""

    model_config = ConfigDict(json_schema_extra={"example": {"priority": 10, "is_open": True}})

    priority: Annotated[int, Field(ge=0, le=PRIORITY_MAX)] = Field(
        description="The lowest comes first; that of `main` is 0 until it is set."
    )
    is_open: bool = Field(
        description="Nothing comes in at a closed location, and no order is planned over it."
    )


class SetBackorderPolicy(Payload):
    """How much may be promised that is not there."""

    model_config = ConfigDict(json_schema_extra={"example": {"limit": 20}})

    limit: Annotated[int, Field(ge=0, le=BACKORDER_LIMIT_MAX)] = Field(
        description="Pieces that orders may wait for, all together; 0: an order that is short is rejected."
    )


def _different(order_ids: list[str]) -> list[str]:
    if len(set(order_ids)) < len(order_ids):
        raise ValueError("An order is named once")
    return order_ids


class RecordStockLoss(Payload):
    """What is gone, and for whom it was reserved."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"quantity": 2, "reason": "damage", "note": "water", "order_ids": ["536365"]}
        }
    )

    quantity: Quantity = Field(description="Pieces that are gone.")
    reason: AdjustmentReason
    note: Note = ""
    order_ids: Annotated[list[Id], Field(min_length=1, max_length=ORDERS_MAX), AfterValidator(_different)] = (
        Field(description="Confirmed orders that give back all that is reserved of the SKU for them.")
    )
    location_id: Id = Field(default=AnyId(MAIN), description="Where they lay.")


@command(router, "/stock/{sku}/receipts", requires="inventory:receive", refusals=(*_LOCATED, LocationClosed))
async def receive_stock(sku: Sku, body: ReceiveStock, caller: Caller) -> Answer:
    """Take a delivery in."""

    def receive(item: StockItem | None, view: DecisionView) -> list[Event]:
        _require_stocked(sku, view)
        locations = view.current(LOCATIONS, ALL)
        require_open(locations, LocationId(body.location_id))
        return stock_item.receive(
            item,
            sku=sku,
            quantity=body.quantity,
            reference=body.reference,
            at=LocationId(body.location_id),
            locations=open_locations(locations),
            now=caller.now,
        )

    return await caller.execute(STOCK, sku, receive)


@command(
    router, "/stock/{sku}/adjustments", requires="inventory:adjust", refusals=(*_LOCATED, InsufficientStock)
)
async def adjust_stock(sku: Sku, body: AdjustStock, caller: Caller) -> Answer:
    """Correct the books, by what was counted, broken or lost."""

    def adjust(item: StockItem | None, view: DecisionView) -> list[Event]:
        _require_stocked(sku, view)
        locations = view.current(LOCATIONS, ALL)
        require_known(locations, LocationId(body.location_id))
        return stock_item.adjust(
            item,
            sku=sku,
            delta=body.delta,
            reason=body.reason,
            note=body.note,
            at=LocationId(body.location_id),
            locations=open_locations(locations),
            now=caller.now,
        )

    return await caller.execute(STOCK, sku, adjust)


@command(
    router,
    "/stock/{sku}/losses",
    requires="inventory:adjust",
    refusals=(*_LOCATED, InsufficientStock, OrderUnknown, NotConfirmed, NothingReserved),
)
async def record_stock_loss(sku: Sku, body: RecordStockLoss, caller: Caller) -> Answer:
    """Take pieces off the books that are reserved: for these orders, which are held until there are others for them."""
    loss = stock_losses.Loss(
        quantity=body.quantity,
        reason=body.reason,
        note=body.note,
        at=LocationId(body.location_id),
        order_ids=[OrderId(each) for each in body.order_ids],
    )

    def write_off(item: StockItem | None, view: DecisionView) -> Decision:
        _require_stocked(sku, view)
        return stock_losses.write_off(item, view, sku=sku, loss=loss, now=caller.now)

    return await caller.execute(STOCK, sku, write_off)


@command(router, "/stock/{sku}/backorder-policy", requires="inventory:adjust", refusals=_REFUSALS)
async def set_backorder_policy(sku: Sku, body: SetBackorderPolicy, caller: Caller) -> Answer:
    """Let orders wait for pieces that are not there, up to a limit. Those that wait already go on waiting."""

    def set_limit(item: StockItem | None, view: DecisionView) -> list[Event]:
        _require_stocked(sku, view)
        return stock_item.set_backorder_limit(item, sku=sku, limit=body.limit, now=caller.now)

    return await caller.execute(STOCK, sku, set_limit)


@command(router, "/locations/{location_id}", requires="inventory:adjust", refusals=(TooManyLocations,))
async def set_location(location_id: LocationId, body: SetLocation, caller: Caller) -> Answer:
    """Set a location that stock lies in, a new one or one that there is. `main` is there from the beginning."""
    return await caller.execute(
        LOCATIONS,
        ALL,
        lambda locations, _: locating.set_location(
            locations,
            location_id=location_id,
            priority=body.priority,
            is_open=body.is_open,
            now=caller.now,
        ),
    )


def _require_stocked(sku: Sku, view: DecisionView) -> None:
    view.prefetch(LOCATIONS, (ALL,))  # in the same round trip
    product = view.known(PRODUCT, sku)
    if product is None:
        raise ProductUnknown(sku=sku)
    if not product.stocked:
        raise NotStocked(sku=sku)
