"""Commands of inventory: deliveries and corrections of stock, and how much of it may be on backorder."""

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
from domain.ids import OrderId, Sku
from domain.inventory import stock_item
from domain.inventory.events import AdjustmentReason
from domain.inventory.stock_item import (
    BACKORDER_LIMIT_MAX,
    STOCK,
    InsufficientStock,
    NotStocked,
    StockItem,
)
from domain.ordering.holding import NothingReserved
from domain.ordering.order import NotConfirmed, OrderUnknown

router = command_router("inventory")

ORDERS_MAX: Final = 50
"""Orders that one loss holds."""

_REFUSALS = (ProductUnknown, NotStocked)


class ReceiveStock(Payload):
    """A delivery."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"quantity": 120, "reference": "delivery note 7741"}}
    )

    quantity: Quantity
    reference: Reference = Field(default="", description="The sender's own name for the delivery.")


class AdjustStock(Payload):
    """A correction of the books."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"delta": -2, "reason": "damage", "note": "broken in transit"}}
    )

    delta: Delta = Field(description="Pieces, up or down.")
    reason: AdjustmentReason
    note: Note = ""


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


@command(router, "/stock/{sku}/receipts", requires="inventory:receive", refusals=_REFUSALS)
async def receive_stock(sku: Sku, body: ReceiveStock, caller: Caller) -> Answer:
    """Take a delivery in."""

    def receive(item: StockItem | None, view: DecisionView) -> list[Event]:
        _require_stocked(sku, view)
        return stock_item.receive(
            item, sku=sku, quantity=body.quantity, reference=body.reference, now=caller.now
        )

    return await caller.execute(STOCK, sku, receive)


@command(
    router, "/stock/{sku}/adjustments", requires="inventory:adjust", refusals=(*_REFUSALS, InsufficientStock)
)
async def adjust_stock(sku: Sku, body: AdjustStock, caller: Caller) -> Answer:
    """Correct the books, by what was counted, broken or lost."""

    def adjust(item: StockItem | None, view: DecisionView) -> list[Event]:
        _require_stocked(sku, view)
        return stock_item.adjust(
            item, sku=sku, delta=body.delta, reason=body.reason, note=body.note, now=caller.now
        )

    return await caller.execute(STOCK, sku, adjust)


@command(
    router,
    "/stock/{sku}/losses",
    requires="inventory:adjust",
    refusals=(*_REFUSALS, InsufficientStock, OrderUnknown, NotConfirmed, NothingReserved),
)
async def record_stock_loss(sku: Sku, body: RecordStockLoss, caller: Caller) -> Answer:
    """Take pieces off the books that are reserved: for these orders, which are held until there are others for them."""
    loss = stock_losses.Loss(
        quantity=body.quantity,
        reason=body.reason,
        note=body.note,
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


def _require_stocked(sku: Sku, view: DecisionView) -> None:
    product = view.known(PRODUCT, sku)
    if product is None:
        raise ProductUnknown(sku=sku)
    if not product.stocked:
        raise NotStocked(sku=sku)
