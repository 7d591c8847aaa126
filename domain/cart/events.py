"""The events of carts: the only part of them that other packages may rely on.

`quantity` is pieces, amounts are in minor units of the cart's currency. A cart is of a customer, of a guest, who is a
customer without an account, or of nobody where callers have no identities.
"""

from typing import Annotated, Literal

from msgspec import Struct

from domain.event import Event, event_type
from domain.ids import CartId, CustomerId, Sku
from domain.moment import Moment
from domain.money import Currency, UnitPrice
from domain.text import PublicText

Channel = Annotated[str, PublicText("the shop's own name of a way to sell")]
Locale = Annotated[str, PublicText("a language tag")]

MergeStrategy = Literal["sum", "max", "keep_guest", "keep_customer"]
"""How many pieces an SKU has that both have: all, the more, those of the cart that ends, or of the one that stays."""

RepriceCause = Literal["consent", "drop"]
"""Its buyer agreed to prices that rose, or all of them fell."""


class Price(Struct, frozen=True, kw_only=True, gc=False):
    """A line whose price is another: it was `old` in the cart, the list price is `new`."""

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
    """These lines cost what the catalogue says now."""

    cart_id: CartId
    lines: tuple[Price, ...]
    cause: RepriceCause
    repriced_at: Moment


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
