"""What is refused about carts.

Unknown       CartUnknown, LineUnknown
Conflict      CartIdTaken, CartIsClosed, TooManyLines, PriceChanged, CartHasCustomer, CartsInTwoCurrencies
Unacceptable  NotOffered, SameCart; QuantityOutOfRange (`domain.quantity`)
"""

from dataclasses import dataclass
from typing import Final

from domain.cart.events import Price
from domain.ids import CartId, Sku
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
    meaning = (
        "The list prices in `facts.prices` rose since the cart has these lines: each has `old` and `new`."
    )
    remedy = "Show the buyer both, and send the command `reprice_cart` with the prices that they agree to."

    cart_id: CartId
    prices: tuple[Price, ...]

    def __str__(self) -> str:
        skus = ", ".join(f"'{price.sku}'" for price in self.prices)
        return f"The list price rose since cart '{self.cart_id}' has these: {skus}."


@dataclass(kw_only=True, eq=False)
class NotOffered(Unacceptable):
    """The SKU cannot be bought in the currency of the cart."""

    title = "The SKU is not offered"
    meaning = "No product has the SKU, or it has no list price in the currency of the cart."
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
