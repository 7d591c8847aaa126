"""Merging: a guest who logs in keeps what they chose. No line is lost, and no cart is anybody's who cannot show it is.

Whose a cart is, is asked before: this module gets carts that their caller may use.
"""

from datetime import datetime
from typing import Final

from domain.cart.cart import Cart, Item, require_open, require_quantity
from domain.cart.cart_refusals import (
    LINES_MAX,
    CartHasCustomer,
    CartsInTwoCurrencies,
    CartUnknown,
    SameCart,
    TooManyLines,
)
from domain.cart.events import CartAssigned, CartClosed, CartsMerged, MergedLine, MergeStrategy
from domain.event import Event
from domain.ids import CartId, CustomerId
from domain.moment import in_utc
from domain.money import is_dearer

Merged = tuple[list[Event], list[Event]]
"""Events of the cart that stays, and of the one that ends."""

_NOTHING: Final[Merged] = ([], [])


def assign(cart: Cart | None, *, cart_id: CartId, customer_id: CustomerId, now: datetime) -> list[Event]:
    """Make the cart of a guest, or of nobody, a customer's; nothing if it is theirs.

    Raises:
        CartUnknown, CartIsClosed: it does not change.
        CartHasCustomer: it is another customer's.
    """
    cart = require_open(cart, cart_id=cart_id)
    if cart.customer_id == customer_id:
        return []
    if not cart.guest and cart.customer_id is not None:
        raise CartHasCustomer(cart_id=cart_id)
    return [CartAssigned(cart_id=cart_id, customer_id=customer_id, assigned_at=in_utc(now))]


def merge(
    cart: Cart | None,
    source: Cart | None,
    *,
    cart_id: CartId,
    source_id: CartId,
    strategy: MergeStrategy,
    now: datetime,
) -> Merged:
    """Put all lines of `source` into a cart; nothing if they are there.

    Raises:
        SameCart, CartsInTwoCurrencies: they cannot be merged.
        CartUnknown, CartIsClosed: one of them does not change any more.
        TooManyLines, QuantityOutOfRange: that is more than one cart has.
    """
    if cart_id == source_id:
        raise SameCart(cart_id=cart_id)
    cart = require_open(cart, cart_id=cart_id)
    if source is None:
        raise CartUnknown(cart_id=source_id)
    if source.merged_into == cart_id:
        return _NOTHING
    source = require_open(source, cart_id=source_id)
    if source.currency != cart.currency:
        raise CartsInTwoCurrencies(cart_id=cart_id, source_id=source_id, currency=source.currency)
    merged = CartsMerged(
        cart_id=cart_id,
        source_id=source_id,
        strategy=strategy,
        lines=_lines(cart, source, strategy=strategy),
        merged_at=in_utc(now),
    )
    return [merged], [CartClosed(cart_id=source_id, merged_into=cart_id, closed_at=in_utc(now))]


def _lines(cart: Cart, source: Cart, *, strategy: MergeStrategy) -> tuple[MergedLine, ...]:
    """The lines of both: those of the cart keep their numbers, the others follow in their order."""
    lines = [_of_both(line, source.line_of(line.sku), strategy=strategy) for line in cart.lines]
    added = [line for line in source.lines if cart.line_of(line.sku) is None]
    lines += [_line(line, line_id=cart.numbered + n) for n, line in enumerate(added, start=1)]
    if len(lines) > LINES_MAX:
        raise TooManyLines(cart_id=cart.cart_id)
    for each in lines:
        require_quantity(each.quantity)
    return tuple(lines)


def _of_both(line: Item, other: Item | None, *, strategy: MergeStrategy) -> MergedLine:
    """A line of an SKU that both may have, at the lower of the two prices that its buyer was shown."""
    if other is None:
        return _line(line, line_id=line.line_id)
    quantities = {
        "sum": line.quantity + other.quantity,
        "max": max(line.quantity, other.quantity),
        "keep_guest": other.quantity,
        "keep_customer": line.quantity,
    }
    cheaper = other if is_dearer(line.unit_price, than=other.unit_price) else line
    return MergedLine(
        line_id=line.line_id,
        sku=line.sku,
        quantity=quantities[strategy],
        unit_price=cheaper.unit_price,
        stocked=line.stocked,
    )


def _line(line: Item, *, line_id: int) -> MergedLine:
    return MergedLine(
        line_id=line_id,
        sku=line.sku,
        quantity=line.quantity,
        unit_price=line.unit_price,
        stocked=line.stocked,
    )
