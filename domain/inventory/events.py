"""The events of inventory: the only part of it that other packages may rely on.

Quantities are whole pieces, at least 1; `delta` alone has a sign.
"""

from typing import Literal

from domain.event import Event, event_type
from domain.ids import CreditNoteId, LocationId, OrderId, Sku
from domain.moment import Moment
from domain.text import Note, Reference

AdjustmentReason = Literal["count", "damage", "loss", "import", "other"]
ReleaseReason = Literal["cancelled"]
BackorderReleaseReason = Literal["cancelled", "lost"]
"""The order is off, or pieces that were reserved for it are gone: then all that it wants is reserved at once, later."""

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
    """Pieces on hand are promised to one order: its demand for this code, over all lines, or what is there of it."""

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


@event_type("inventory.backorder_policy_set.v1")
class BackorderPolicySet(Event, frozen=True, kw_only=True):
    """So many pieces may be promised from now on that are not there; 0: none. What was promised before stays so."""

    sku: Sku
    limit: int
    set_at: Moment


@event_type("inventory.backorder_recorded.v1")
class BackorderRecorded(Event, frozen=True, kw_only=True):
    """An order waits for pieces that are not there. Orders get theirs in the order in which they began to wait."""

    sku: Sku
    order_id: OrderId
    quantity: int
    recorded_at: Moment


@event_type("inventory.backorder_allocated.v1")
class BackorderAllocated(Event, frozen=True, kw_only=True):
    """Pieces that an order waited for are there, and reserved for it: all of them, or as many as there are."""

    sku: Sku
    order_id: OrderId
    quantity: int
    allocated_at: Moment


@event_type("inventory.backorder_released.v1")
class BackorderReleased(Event, frozen=True, kw_only=True):
    """An order waits no more for pieces that it did not get."""

    sku: Sku
    order_id: OrderId
    quantity: int
    reason: BackorderReleaseReason
    released_at: Moment


@event_type("inventory.stock_located.v1")
class StockLocated(Event, frozen=True, kw_only=True):
    """Where the movement before it, in the same append, took place, if not at the main location.

    So many pieces more, or fewer, are on hand there, and reserved; `order_id` is whom they are reserved for.
    """

    sku: Sku
    location_id: LocationId
    order_id: OrderId | None
    on_hand: int
    reserved: int
    located_at: Moment


@event_type("inventory.location_set.v1")
class LocationSet(Event, frozen=True, kw_only=True):
    """Orders are planned over the open locations, those with the lowest `priority` first."""

    location_id: LocationId
    priority: int
    is_open: bool
    set_at: Moment
