"""What can be asked about carts: row types and their keys."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from domain.cart.cart import CART
from domain.cart.events import Channel, Locale
from domain.ids import CartId, CustomerId, Sku
from domain.money import Currency, Minor, UnitPrice
from projections.view import KEYED, Row, View

Status = Literal["open", "merged"]


class CartLine(Struct, frozen=True, kw_only=True):
    """So many pieces of a SKU, at the price that the buyer was shown. `total` is in minor units."""

    line_id: int
    sku: Sku
    quantity: int
    unit_price: UnitPrice
    total: Minor
    stocked: bool


class CartDetails(Row, frozen=True, kw_only=True):
    """One cart, priced. `items` is the sum of its lines, `units` counts pieces; a `merged` one is part of another."""

    cart_id: CartId
    status: Status
    customer_id: CustomerId | None
    guest: bool
    currency: Currency
    channel: Channel
    locale: Locale | None
    lines: tuple[CartLine, ...]
    units: int
    items: Minor
    opened_at: datetime
    changed_at: datetime
    merged_into: CartId | None = None


class CartSummary(Row, frozen=True, kw_only=True):
    """One entry in a list of carts."""

    cart_id: CartId
    status: Status
    customer_id: CustomerId | None
    guest: bool
    currency: Currency
    opened_at: datetime


cart_details = View(
    name="cart_details",
    row=CartDetails,
    key=("cart_id",),
    shape=1,
    kind=KEYED,
    document="cart:view",
    category=CART.category,
)
cart_summary = View(
    name="cart_summary",
    row=CartSummary,
    key=("cart_id",),
    shape=1,
    kind=KEYED,
    category=CART.category,
)
