"""Commands of inventory: deliveries and corrections of stock."""

from pydantic import ConfigDict, Field

from commands.decision import DecisionView
from commands.documentation import Caller
from commands.payloads import Delta, Note, Payload, Quantity, Reference
from commands.recording import Answer
from commands.routing import command, command_router
from domain.catalogue.product import PRODUCT, ProductUnknown
from domain.event import Event
from domain.ids import Sku
from domain.inventory import stock_item
from domain.inventory.events import AdjustmentReason
from domain.inventory.stock_item import STOCK, InsufficientStock, NotStocked, StockItem

router = command_router("inventory")

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


def _require_stocked(sku: Sku, view: DecisionView) -> None:
    product = view.known(PRODUCT, sku)
    if product is None:
        raise ProductUnknown(sku=sku)
    if not product.stocked:
        raise NotStocked(sku=sku)
