"""One ordinary case of each event of purchases, holds, lost stock, backorders and lost parcels."""

from typing import Any, Final

from msgspec.structs import replace

from domain.event import Event
from domain.ids import LocationId, OrderId, PaymentId, Sku
from domain.inventory.events import (
    BackorderAllocated,
    BackorderPolicySet,
    BackorderRecorded,
    BackorderReleased,
    LocationSet,
    ReservationLost,
    StockLocated,
)
from domain.money import Currency, Minor
from domain.ordering.events import (
    BackorderFilled,
    DispatchOverdue,
    HoldLifted,
    OrderBackordered,
    OrderHeld,
    OrderStockLost,
    OrderStockReplaced,
    PaymentAdded,
    PaymentExpiryScheduled,
    PaymentNeeded,
    PurchaseBegun,
    PurchaseUnwound,
    ReleasedSku,
)
from domain.shipping.events import Content, LossClaimed, LossSettled, ManualLabelRecorded, ParcelLost
from tests.payment_examples import EXPIRES, NOW, ORDER, TILL, TOTAL

_OF: Final = {"order_id": OrderId(ORDER), "payment_id": PaymentId(ORDER)}


def purchase_begun(**changes: Any) -> PurchaseBegun:
    begun = PurchaseBegun(**_OF, currency=Currency("GBP"), amount=Minor(TOTAL), begun_at=NOW)
    return replace(begun, **changes)


def payment_needed(**changes: Any) -> PaymentNeeded:
    return replace(PaymentNeeded(**_OF, reason="declined", attempt=1, needed_at=NOW), **changes)


def payment_added(**changes: Any) -> PaymentAdded:
    return replace(PaymentAdded(order_id=OrderId(ORDER), payment_id=TILL, added_at=NOW), **changes)


def payment_expiry_scheduled(**changes: Any) -> PaymentExpiryScheduled:
    of_it = {"order_id": OrderId(ORDER), "expires_at": EXPIRES, "scheduled_at": NOW}
    return replace(PaymentExpiryScheduled(**of_it), **changes)


def purchase_unwound(**changes: Any) -> PurchaseUnwound:
    released = (ReleasedSku(sku=Sku("85123A"), quantity=3),)
    return replace(PurchaseUnwound(**_OF, released=released, unwound_at=NOW), **changes)


def order_held(**changes: Any) -> OrderHeld:
    return replace(OrderHeld(order_id=OrderId(ORDER), reason="payment", held_at=NOW), **changes)


def hold_lifted(**changes: Any) -> HoldLifted:
    return replace(HoldLifted(order_id=OrderId(ORDER), reason="payment", lifted_at=NOW), **changes)


_PIECES: Final[dict[str, Any]] = {"order_id": OrderId(ORDER), "sku": Sku("85123A"), "quantity": 3}


def reservation_lost(**changes: Any) -> ReservationLost:
    return replace(ReservationLost(**_PIECES, lost_at=NOW), **changes)


def order_stock_lost(**changes: Any) -> OrderStockLost:
    return replace(OrderStockLost(**_PIECES, lost_at=NOW), **changes)


def order_stock_replaced(**changes: Any) -> OrderStockReplaced:
    return replace(OrderStockReplaced(**_PIECES, replaced_at=NOW), **changes)


def backorder_policy_set(**changes: Any) -> BackorderPolicySet:
    return replace(BackorderPolicySet(sku=Sku("85123A"), limit=20, set_at=NOW), **changes)


def backorder_recorded(**changes: Any) -> BackorderRecorded:
    return replace(BackorderRecorded(**_PIECES, recorded_at=NOW), **changes)


def backorder_allocated(**changes: Any) -> BackorderAllocated:
    return replace(BackorderAllocated(**_PIECES, allocated_at=NOW), **changes)


def backorder_released(**changes: Any) -> BackorderReleased:
    return replace(BackorderReleased(**_PIECES, reason="cancelled", released_at=NOW), **changes)


def order_backordered(**changes: Any) -> OrderBackordered:
    return replace(OrderBackordered(**_PIECES, backordered_at=NOW), **changes)


def backorder_filled(**changes: Any) -> BackorderFilled:
    return replace(BackorderFilled(**_PIECES, filled_at=NOW), **changes)


def dispatch_overdue(**changes: Any) -> DispatchOverdue:
    of_order: dict[str, Any] = {"order_id": OrderId(ORDER), "reminder": 1}
    return replace(DispatchOverdue(**of_order, waiting_since=NOW, noted_at=NOW), **changes)


_PARCEL: Final[dict[str, Any]] = {"order_id": OrderId(ORDER), "attempt": 1}


def stock_located(**changes: Any) -> StockLocated:
    located = StockLocated(
        sku=Sku("85123A"),
        location_id=LocationId("north"),
        order_id=None,
        on_hand=3,
        reserved=0,
        located_at=NOW,
    )
    return replace(located, **changes)


def location_set(**changes: Any) -> LocationSet:
    return replace(
        LocationSet(location_id=LocationId("north"), priority=10, is_open=True, set_at=NOW), **changes
    )


def manual_label_recorded(**changes: Any) -> ManualLabelRecorded:
    example = ManualLabelRecorded(
        **_PARCEL,
        country="United Kingdom",
        contents=(Content(sku=Sku("85123A"), quantity=3),),
        tracking="BY-HAND-17",
        recorded_at=NOW,
    )
    return replace(example, **changes)


def parcel_lost(**changes: Any) -> ParcelLost:
    return replace(ParcelLost(**_PARCEL, reason="carrier", lost_at=NOW), **changes)


def loss_claimed(**changes: Any) -> LossClaimed:
    return replace(LossClaimed(**_PARCEL, claim="CL-000017", claimed_at=NOW), **changes)


def loss_settled(**changes: Any) -> LossSettled:
    return replace(LossSettled(**_PARCEL, remedy="refund", settled_at=NOW), **changes)


ONE_OF_EACH: Final[tuple[Event, ...]] = (
    order_held(),
    hold_lifted(),
    reservation_lost(),
    order_stock_lost(),
    order_stock_replaced(),
    backorder_policy_set(),
    backorder_recorded(),
    backorder_allocated(),
    backorder_released(),
    order_backordered(),
    backorder_filled(),
    dispatch_overdue(),
    stock_located(),
    location_set(),
    purchase_begun(),
    payment_needed(),
    payment_added(),
    payment_expiry_scheduled(),
    purchase_unwound(),
    manual_label_recorded(),
    parcel_lost(),
    loss_claimed(),
    loss_settled(),
)
