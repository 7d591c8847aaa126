"""The events of carts: the only part of them that other packages may rely on.

`quantity` is pieces, amounts are in minor units of the cart's currency. A cart is of a customer, of a guest, who is a
customer without an account, or of nobody where callers have no identities.
"""

from typing import Annotated, Final, Literal

from msgspec import Struct

from domain.event import Event, event_type
from domain.ids import CartId, CheckoutId, CouponId, CustomerId, OrderId, PromotionId, Sku, customer_tag
from domain.moment import Moment
from domain.money import Currency, Minor, UnitPrice
from domain.promotion_terms import Action, LineDiscount, PromotionDiscount, Rule
from domain.sale_terms import LinePrice, SaleTax
from domain.sealed import Sealed
from domain.text import Channel, Country, Personal, PublicText

Locale = Annotated[str, PublicText("a language tag")]

_UNTIL_ERASED: Final = "until the customer is erased"

RECIPIENT: Final = Personal("name", purpose="who takes the parcel of a cart", kept=_UNTIL_ERASED)
LINES: Final = Personal("address", purpose="where the parcel or the bill of a cart goes", kept=_UNTIL_ERASED)
EMAIL: Final = Personal("email", purpose="to remind the buyer of a cart", kept=_UNTIL_ERASED)

AddressKind = Literal["delivery", "billing"]

AbortReason = Literal["buyer", "expired"]
"""Its buyer went on choosing, or did not complete it in time."""

MergeStrategy = Literal["sum", "max", "keep_guest", "keep_customer"]
"""How many pieces an SKU has that both have: all, the more, those of the cart that ends, or of the one that stays."""

RepriceCause = Literal["consent", "drop"]
"""Its buyer agreed to prices that rose, or all of them fell."""


class Price(Struct, frozen=True, kw_only=True, gc=False):
    """A line whose price is another: it was `old` in the cart, and is `new` by now."""

    line_id: int
    sku: Sku
    old: UnitPrice
    new: UnitPrice


class MergedLine(Struct, frozen=True, kw_only=True, gc=False):
    """A line as it is after two carts became one."""

    line_id: int
    sku: Sku
    quantity: int
    unit_price: UnitPrice
    stocked: bool


@event_type("cart.cart_opened.v1")
class CartOpened(Event, frozen=True, kw_only=True):
    """Somebody begins to choose. All prices of the cart are in its currency."""

    cart_id: CartId
    customer_id: CustomerId | None
    guest: bool
    currency: Currency
    channel: Channel
    locale: Locale | None
    opened_at: Moment


@event_type("cart.item_added.v1")
class ItemAdded(Event, frozen=True, kw_only=True):
    """So many more pieces. The line is a new one, or that of the SKU, which costs `unit_price` from now on."""

    cart_id: CartId
    line_id: int
    sku: Sku
    quantity: int
    unit_price: UnitPrice
    stocked: bool
    added_at: Moment


@event_type("cart.item_quantity_changed.v1")
class ItemQuantityChanged(Event, frozen=True, kw_only=True):
    """The line has `quantity` pieces from now on, and had `previous`."""

    cart_id: CartId
    line_id: int
    sku: Sku
    previous: int
    quantity: int
    changed_at: Moment


@event_type("cart.item_removed.v1")
class ItemRemoved(Event, frozen=True, kw_only=True):
    """The line is gone. Its number is never used again."""

    cart_id: CartId
    line_id: int
    sku: Sku
    quantity: int
    removed_at: Moment


@event_type("cart.cart_repriced.v1")
class CartRepriced(Event, frozen=True, kw_only=True):
    """These lines cost what price lists and the catalogue say now."""

    cart_id: CartId
    lines: tuple[Price, ...]
    cause: RepriceCause
    repriced_at: Moment


@event_type("cart.address_set.v1", tags=lambda event: (customer_tag(event.customer_id),))
class AddressSet(Event, frozen=True, kw_only=True):
    """Where the parcel or the bill goes, sealed under the key of the buyer, whose tag it has."""

    cart_id: CartId
    customer_id: CustomerId
    kind: AddressKind
    recipient: Annotated[Sealed, RECIPIENT]
    lines: Annotated[Sealed, LINES]
    email: Annotated[Sealed | None, EMAIL]
    country: Country
    set_at: Moment


@event_type("cart.shipping_chosen.v1")
class ShippingChosen(Event, frozen=True, kw_only=True):
    """How it is sent: a product that is not stocked, at its price."""

    cart_id: CartId
    option_id: Sku
    unit_price: UnitPrice
    amount: Minor
    chosen_at: Moment


@event_type("cart.coupon_applied.v1")
class CouponApplied(Event, frozen=True, kw_only=True):
    """The buyer names a coupon; `rule` and `action` are those of its promotion, which do not change."""

    cart_id: CartId
    code: CouponId
    promotion_id: PromotionId
    rule: Rule
    action: Action
    applied_at: Moment


@event_type("cart.coupon_removed.v1")
class CouponRemoved(Event, frozen=True, kw_only=True):
    """The buyer does without the coupon."""

    cart_id: CartId
    code: CouponId
    removed_at: Moment


class CartTotals(Struct, frozen=True, kw_only=True, gc=False):
    """What an order will cost: `grand` = `items` + `shipping` - `discount` + `tax` - `tax_included`.

    `tax_included` is the part of the `tax` that prices hold already.
    """

    items: Minor
    shipping: Minor
    discount: Minor
    tax: Minor = Minor(0)
    tax_included: Minor = Minor(0)
    grand: Minor


@event_type("cart.checkout_started.v1")
class CheckoutStarted(Event, frozen=True, kw_only=True):
    """The cart is frozen, and its prices stand, until `expires_at`. The order will have this id.

    `discounts` are taken off lines, 0 being the shipping, by `promotions`: both are the discount of the totals. By the
    same numbers `prices` say of which lists prices are, and `tax` how lines are taxed; it is null where nobody taxes
    the order.
    """

    cart_id: CartId
    checkout_id: CheckoutId
    order_id: OrderId
    country: Country
    currency: Currency
    totals: CartTotals
    discounts: tuple[LineDiscount, ...]
    promotions: tuple[PromotionDiscount, ...]
    prices: tuple[LinePrice, ...] = ()
    tax: SaleTax | None = None
    started_at: Moment
    expires_at: Moment


@event_type("cart.checkout_aborted.v1")
class CheckoutAborted(Event, frozen=True, kw_only=True):
    """The cart may change again."""

    cart_id: CartId
    checkout_id: CheckoutId
    reason: AbortReason
    aborted_at: Moment


@event_type("cart.cart_checked_out.v1")
class CartCheckedOut(Event, frozen=True, kw_only=True):
    """It is an order, which was placed in the same append."""

    cart_id: CartId
    checkout_id: CheckoutId
    order_id: OrderId
    checked_out_at: Moment


@event_type("cart.cart_abandoned.v1")
class CartAbandoned(Event, frozen=True, kw_only=True):
    """Its buyer did nothing with it since `idle_since`; they can be written to and agree to that."""

    cart_id: CartId
    customer_id: CustomerId
    idle_since: Moment
    abandoned_at: Moment


@event_type("cart.cart_expired.v1")
class CartExpired(Event, frozen=True, kw_only=True):
    """Nobody did anything with it for so long that it does not change any more."""

    cart_id: CartId
    idle_since: Moment
    expired_at: Moment


@event_type("cart.cart_assigned.v1")
class CartAssigned(Event, frozen=True, kw_only=True):
    """The cart of a guest is a customer's from now on."""

    cart_id: CartId
    customer_id: CustomerId
    assigned_at: Moment


@event_type("cart.carts_merged.v1")
class CartsMerged(Event, frozen=True, kw_only=True):
    """The cart has the lines of another one as well: `lines` are all that it has from now on."""

    cart_id: CartId
    source_id: CartId
    strategy: MergeStrategy
    lines: tuple[MergedLine, ...]
    merged_at: Moment


@event_type("cart.cart_closed.v1")
class CartClosed(Event, frozen=True, kw_only=True):
    """All of it is in another cart, and this one does not change any more."""

    cart_id: CartId
    merged_into: CartId
    closed_at: Moment
