"""The events of inventory: the only part of it that other packages may rely on.

Quantities are whole pieces, at least 1; `delta` alone has a sign.
"""

from typing import Literal

from domain.event import Event, event_type
from domain.ids import CreditNoteId, OrderId, Sku
from domain.moment import Moment
from domain.text import Note, Reference

AdjustmentReason = Literal["count", "damage", "loss", "import", "other"]
ReleaseReason = Literal["cancelled"]
Disposition = Literal["sellable"]


@event_type("inventory.stock_received.v1")
class StockReceived(Event, frozen=True, kw_only=True):
    """Pieces came in. `reference` is the sender's own (a delivery note, say) and may be empty."""

    sku: Sku
    quantity: int
    reference: Reference
    received_at: Moment


@event_type("inventory.stock_adjusted.v1")
class StockAdjusted(Event, frozen=True, kw_only=True):
    """The figure on the books was corrected by `delta` pieces, up or down, never by 0."""

    sku: Sku
    delta: int
    reason: AdjustmentReason
    note: Note
    adjusted_at: Moment


@event_type("inventory.stock_reserved.v1")
class StockReserved(Event, frozen=True, kw_only=True):
    """Pieces on hand are promised to one order: its whole demand for this code, over all lines."""

    sku: Sku
    order_id: OrderId
    quantity: int
    reserved_at: Moment


@event_type("inventory.stock_released.v1")
class StockReleased(Event, frozen=True, kw_only=True):
    """A promise was taken back; the pieces are available again."""

    sku: Sku
    order_id: OrderId
    quantity: int
    reason: ReleaseReason
    released_at: Moment


@event_type("inventory.reservation_lost.v1")
class ReservationLost(Event, frozen=True, kw_only=True):
    """A promise was taken back because there are fewer pieces than were thought; the correction follows."""

    sku: Sku
    order_id: OrderId
    quantity: int
    lost_at: Moment


@event_type("inventory.stock_shipped.v1")
class StockShipped(Event, frozen=True, kw_only=True):
    """Promised pieces left the house."""

    sku: Sku
    order_id: OrderId
    quantity: int
    shipped_at: Moment


@event_type("inventory.stock_returned.v1")
class StockReturned(Event, frozen=True, kw_only=True):
    """Credited pieces are on the shelf again."""

    sku: Sku
    credit_note_id: CreditNoteId
    quantity: int
    disposition: Disposition
    returned_at: Moment
