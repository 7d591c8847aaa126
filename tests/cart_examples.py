"""One ordinary case of each event of a cart, in the order in which they could be recorded."""

from datetime import UTC, datetime
from typing import Any, Final

from msgspec.structs import replace

from domain.cart.events import (
    CartAssigned,
    CartClosed,
    CartOpened,
    CartRepriced,
    CartsMerged,
    ItemAdded,
    ItemQuantityChanged,
    ItemRemoved,
    MergedLine,
    Price,
)
from domain.event import Event
from domain.ids import CartId, CustomerId, Sku
from domain.money import Currency, UnitPrice

NOW: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CART: Final = CartId("c-17850")
OTHER: Final = CartId("c-guest")
ADA: Final = CustomerId("17850")
HEART: Final = Sku("85123A")
POSTAGE: Final = Sku("POST")
GBP: Final = Currency("GBP")


def cart_opened(**changes: Any) -> CartOpened:
    example = CartOpened(
        cart_id=CART,
        customer_id=ADA,
        guest=False,
        currency=GBP,
        channel="web",
        locale="en-GB",
        opened_at=NOW,
    )
    return replace(example, **changes)


def item_added(**changes: Any) -> ItemAdded:
    example = ItemAdded(
        cart_id=CART,
        line_id=1,
        sku=HEART,
        quantity=2,
        unit_price=UnitPrice("2.55"),
        stocked=True,
        added_at=NOW,
    )
    return replace(example, **changes)


def item_quantity_changed(**changes: Any) -> ItemQuantityChanged:
    example = ItemQuantityChanged(cart_id=CART, line_id=1, sku=HEART, previous=2, quantity=3, changed_at=NOW)
    return replace(example, **changes)


def cart_repriced(**changes: Any) -> CartRepriced:
    price = Price(line_id=1, sku=HEART, old=UnitPrice("2.55"), new=UnitPrice("2.95"))
    return replace(CartRepriced(cart_id=CART, lines=(price,), cause="consent", repriced_at=NOW), **changes)


def item_removed(**changes: Any) -> ItemRemoved:
    return replace(ItemRemoved(cart_id=CART, line_id=1, sku=HEART, quantity=3, removed_at=NOW), **changes)


def cart_assigned(**changes: Any) -> CartAssigned:
    return replace(CartAssigned(cart_id=CART, customer_id=ADA, assigned_at=NOW), **changes)


def merged_line(**changes: Any) -> MergedLine:
    example = MergedLine(line_id=1, sku=HEART, quantity=4, unit_price=UnitPrice("2.55"), stocked=True)
    return replace(example, **changes)


def carts_merged(**changes: Any) -> CartsMerged:
    example = CartsMerged(
        cart_id=CART, source_id=OTHER, strategy="sum", lines=(merged_line(),), merged_at=NOW
    )
    return replace(example, **changes)


def cart_closed(**changes: Any) -> CartClosed:
    return replace(CartClosed(cart_id=CART, merged_into=OTHER, closed_at=NOW), **changes)


ONE_OF_EACH: Final[tuple[Event, ...]] = (
    cart_opened(),
    item_added(),
    item_quantity_changed(),
    cart_repriced(),
    item_removed(),
    cart_assigned(),
    carts_merged(),
    cart_closed(),
)
