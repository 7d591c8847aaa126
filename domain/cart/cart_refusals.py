"""What is refused about carts.

Unknown       CartUnknown, LineUnknown
Conflict      CartIdTaken, CartIsClosed, CartFrozen, TooManyLines, PriceChanged, CartHasCustomer, CartsInTwoCurrencies,
              NotTheBuyer, CheckoutOver, CartHasCoupon
Unacceptable  NotOffered, SameCart, ShippingNotOffered, CartEmpty, CountryMissing; QuantityOutOfRange
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from domain.cart.events import Price
from domain.ids import CartId, CheckoutId, CouponId, CustomerId, Sku
from domain.money import Currency
from domain.rejection import Conflict, Unacceptable, Unknown

LINES_MAX: Final = 200
"""Lines of one cart."""

LINE_QUANTITY_MAX: Final = 10_000
"""Pieces in one line of a cart."""


@dataclass(kw_only=True, eq=False)
class CartUnknown(Unknown):
    """No cart of the caller has this id."""

    title = "There is no such cart"
    meaning = "No cart with this id was opened, or it belongs to somebody else."
    remedy = "Open a cart, or check the id: case matters."

    cart_id: CartId

    def __str__(self) -> str:
        return f"There is no cart '{self.cart_id}'."


@dataclass(kw_only=True, eq=False)
class LineUnknown(Unknown):
    """The cart has no such line."""

    title = "The cart has no such line"
    meaning = "The cart never had a line of this number, or it was removed."
    remedy = "Read the cart again: another device may have removed the line."

    cart_id: CartId
    line_id: int

    def __str__(self) -> str:
        return f"Cart '{self.cart_id}' has no line {self.line_id}."


@dataclass(kw_only=True, eq=False)
class CartIdTaken(Conflict):
    """The id belongs to a cart already."""

    title = "The id belongs to a cart already"
    meaning = "A cart is opened once."
    remedy = "Choose another id. To repeat a request whose answer was lost, send it with its first key."

    cart_id: CartId

    def __str__(self) -> str:
        return f"There is a cart '{self.cart_id}' already."


@dataclass(kw_only=True, eq=False)
class CartIsClosed(Conflict):
    """The cart does not change any more."""

    title = "The cart is closed"
    meaning = "The cart does not change any more: `facts.status` says why."
    remedy = "Open another cart, or continue with the cart in `facts.merged_into`."

    cart_id: CartId
    status: str
    merged_into: CartId | None = None

    def __str__(self) -> str:
        return f"Cart '{self.cart_id}' does not change any more: it is {self.status}."


@dataclass(kw_only=True, eq=False)
class TooManyLines(Conflict):
    """The cart would have more lines than there may be."""

    title = "The cart has too many lines"
    meaning = "A cart has as many lines as `facts.limit` says, and not more."
    remedy = "Remove a line, or order in two parts."

    cart_id: CartId
    limit: int = LINES_MAX

    def __str__(self) -> str:
        return f"Cart '{self.cart_id}' has {self.limit} lines at most."


@dataclass(kw_only=True, eq=False)
class PriceChanged(Conflict):
    """List prices rose, and nobody has agreed to that."""

    title = "A price in the cart rose"
    meaning = "The prices in `facts.prices` rose since the cart has these lines: each has `old` and `new`."
    remedy = "Show the buyer both, and send the command `reprice_cart` with the prices that they agree to."

    cart_id: CartId
    prices: tuple[Price, ...]

    def __str__(self) -> str:
        skus = ", ".join(f"'{price.sku}'" for price in self.prices)
        return f"The price rose since cart '{self.cart_id}' has these: {skus}."


@dataclass(kw_only=True, eq=False)
class NotOffered(Unacceptable):
    """The SKU cannot be bought in the currency of the cart."""

    title = "The SKU is not offered"
    meaning = "No product has the SKU, or it has no price in the currency of the cart."
    remedy = "Check the SKU: case matters. A line that is no longer offered can be removed."

    sku: Sku
    currency: Currency

    def __str__(self) -> str:
        return f"'{self.sku}' is not offered in {self.currency}."


@dataclass(kw_only=True, eq=False)
class CartHasCustomer(Conflict):
    """The cart has a customer."""

    title = "The cart is a customer's"
    meaning = "Only the cart of a guest becomes a customer's. This one has a customer."
    remedy = "Open a cart for the other customer."

    cart_id: CartId

    def __str__(self) -> str:
        return f"Cart '{self.cart_id}' has a customer."


@dataclass(kw_only=True, eq=False)
class CartHasCoupon(Conflict):
    """The cart has another coupon."""

    title = "The cart has a coupon"
    meaning = "A cart has one coupon at most, and this one has that in `facts.coupon`."
    remedy = "Send `remove_coupon` with that code first, if the other one takes more off."

    cart_id: CartId
    coupon: CouponId

    def __str__(self) -> str:
        return f"Cart '{self.cart_id}' has the coupon '{self.coupon}'."


@dataclass(kw_only=True, eq=False)
class CartsInTwoCurrencies(Conflict):
    """Carts with different currencies stay apart."""

    title = "The carts are in two currencies"
    meaning = "All prices of a cart are in one currency, and the other cart has another: `facts.currency`."
    remedy = "Keep both carts, or add the items of one to the other at its own prices."

    cart_id: CartId
    source_id: CartId
    currency: Currency

    def __str__(self) -> str:
        return f"Cart '{self.source_id}' is in {self.currency}, and cart '{self.cart_id}' is not."


@dataclass(kw_only=True, eq=False)
class SameCart(Unacceptable):
    """A cart is not merged with itself."""

    title = "A cart is not merged with itself"
    meaning = "Both ids name the same cart."
    remedy = "Name two carts."

    cart_id: CartId

    def __str__(self) -> str:
        return f"Cart '{self.cart_id}' cannot be merged with itself."


@dataclass(kw_only=True, eq=False)
class CartFrozen(Conflict):
    """A checkout goes on."""

    title = "The cart is being checked out"
    meaning = (
        "A checkout was started, and the cart does not change while it goes on: until `facts.expires_at`."
    )
    remedy = "Complete the checkout, or abort it to go on choosing."

    cart_id: CartId
    checkout_id: CheckoutId
    expires_at: datetime

    def __str__(self) -> str:
        return f"Cart '{self.cart_id}' is being checked out."


@dataclass(kw_only=True, eq=False)
class CheckoutOver(Conflict):
    """The checkout does not go on."""

    title = "There is no such checkout any more"
    meaning = "The checkout was aborted, took too long, or never began."
    remedy = "Start a checkout again, at the prices of now."

    cart_id: CartId
    checkout_id: CheckoutId

    def __str__(self) -> str:
        return f"The checkout '{self.checkout_id}' of cart '{self.cart_id}' does not go on."


@dataclass(kw_only=True, eq=False)
class NotTheBuyer(Conflict):
    """The cart is not of the customer whose address it would be."""

    title = "The cart is not this customer's"
    meaning = (
        "An address is sealed under the key of the buyer, and this customer is not the buyer of the cart."
    )
    remedy = "Name the customer whose cart it is. A cart of nobody has no address."

    cart_id: CartId
    customer_id: CustomerId

    def __str__(self) -> str:
        return f"Cart '{self.cart_id}' is not of customer '{self.customer_id}'."


@dataclass(kw_only=True, eq=False)
class ShippingNotOffered(Unacceptable):
    """The shop does not ship so."""

    title = "There is no such way of shipping"
    meaning = "The option is not among those of the shop, or it is a product that is kept in stock."
    remedy = "Choose one of `facts.options`."

    option_id: Sku
    options: tuple[Sku, ...]

    def __str__(self) -> str:
        return f"'{self.option_id}' is no way of shipping."


@dataclass(kw_only=True, eq=False)
class CartEmpty(Unacceptable):
    """Nothing is in the cart."""

    title = "The cart is empty"
    meaning = "There is nothing to be ordered."
    remedy = "Add an item first."

    cart_id: CartId

    def __str__(self) -> str:
        return f"Cart '{self.cart_id}' is empty."


@dataclass(kw_only=True, eq=False)
class CountryMissing(Unacceptable):
    """Nobody knows where the order goes."""

    title = "The country is missing"
    meaning = "The cart has no delivery address, and the request names no country."
    remedy = "Set the address, or name the country."

    cart_id: CartId

    def __str__(self) -> str:
        return f"Nothing says to which country cart '{self.cart_id}' goes."
