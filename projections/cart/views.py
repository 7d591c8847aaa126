"""What can be asked about carts: row types and their keys."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Struct

from domain.cart.cart import CART
from domain.cart.events import EMAIL, LINES, RECIPIENT, AddressKind, CartTotals, Locale
from domain.ids import CartId, CheckoutId, CouponId, CustomerId, OrderId, PromotionId, Sku
from domain.money import Currency, Minor, UnitPrice
from domain.promotion_terms import Action, PromotionDiscount, Rule
from domain.sale_terms import SaleTax
from domain.sealed import Sealed
from domain.text import Channel, Country
from projections.view import DEFERRED, KEYED, CachedDocument, Row, View

Status = Literal["open", "frozen", "ordered", "merged", "expired"]


class CartLine(Struct, frozen=True, kw_only=True):
    """So many pieces of a SKU, at the price that the buyer was shown. `total` is in minor units."""

    line_id: int
    sku: Sku
    quantity: int
    unit_price: UnitPrice
    total: Minor
    stocked: bool


class CartShipping(Struct, frozen=True, kw_only=True):
    """How it is sent; `amount` is in minor units."""

    option_id: Sku
    unit_price: UnitPrice
    amount: Minor


class CartCoupon(Struct, frozen=True, kw_only=True):
    """The coupon of a cart: the carts that its promotion is for, and what it takes off."""

    code: CouponId
    promotion_id: PromotionId
    rule: Rule
    action: Action


class CartCheckout(Struct, frozen=True, kw_only=True):
    """A checkout: until it expires its prices stand. The order has `order_id`, whenever it is placed.

    `promotions` say what is taken off by which, with the code of the coupon that one needs; `tax` is that of each line,
    0 being the shipping.
    """

    checkout_id: CheckoutId
    order_id: OrderId
    country: Country
    totals: CartTotals
    promotions: tuple[PromotionDiscount, ...]
    tax: SaleTax | None = None
    expires_at: datetime


class CartAddress(Struct, frozen=True, kw_only=True):
    """Where the parcel or the bill goes."""

    recipient: Annotated[Sealed, RECIPIENT]
    lines: Annotated[Sealed, LINES]
    email: Annotated[Sealed | None, EMAIL]
    country: Country


class CartDetails(Row, frozen=True, kw_only=True):
    """One cart, priced. `items` is the sum of its lines, `units` counts pieces.

    `total` has the shipping as well, without the `discount`: that of the checkout, else what the terms of the coupon
    take off. From the start of its checkout on, tax that is added to prices is in it. A `merged` cart is part of
    `merged_into`; an `ordered` one is the order that its checkout names.
    """

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
    shipping: CartShipping | None = None
    coupon: CartCoupon | None = None
    discount: Minor
    total: Minor
    checkout: CartCheckout | None = None
    abandoned_at: datetime | None = None


class CartSummary(Row, frozen=True, kw_only=True):
    """One entry in a list of carts."""

    cart_id: CartId
    status: Status
    customer_id: CustomerId | None
    guest: bool
    currency: Currency
    opened_at: datetime


class CartAddresses(Row, frozen=True, kw_only=True):
    """Where the parcel and the bill of one cart go. A cart without an address is in no row."""

    cart_id: CartId
    customer_id: CustomerId
    addresses: dict[AddressKind, CartAddress]


cart_details = View(
    name="cart_details",
    row=CartDetails,
    key=("cart_id",),
    shape=1,
    kind=KEYED,
    document=CachedDocument("cart:view", ttl_s=30 * 86_400),  # as long as a cart is left before it expires
    category=CART.category,
)
cart_summary = View(
    name="cart_summary",
    row=CartSummary,
    key=("cart_id",),
    shape=1,
    kind=DEFERRED,
    category=CART.category,
)
cart_addresses = View(
    name="cart_addresses",
    row=CartAddresses,
    key=("cart_id",),
    shape=1,
    kind=KEYED,
    category=CART.category,
)
"""Apart from `cart_details`, whose bytes go through as they are and are revalidated and cached."""
