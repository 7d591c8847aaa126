"""A cart: what somebody is about to buy, at the prices that they were shown.

An SKU has one line. Prices come from price lists and the catalogue: what is cheaper by now is cheaper in the cart as
well, and what is dearer costs what it did until its buyer agrees. Asking again for what already holds decides nothing.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from domain.aggregate import Aggregate
from domain.cart.cart_refusals import (
    LINE_QUANTITY_MAX,
    LINES_MAX,
    CartFrozen,
    CartIdTaken,
    CartIsClosed,
    CartUnknown,
    LineUnknown,
    NotOffered,
    PriceChanged,
    TooManyLines,
)
from domain.cart.events import (
    AddressSet,
    CartAbandoned,
    CartAssigned,
    CartCheckedOut,
    CartClosed,
    CartExpired,
    CartOpened,
    CartRepriced,
    CartsMerged,
    CartTotals,
    CheckoutAborted,
    CheckoutStarted,
    CouponApplied,
    CouponRemoved,
    ItemAdded,
    ItemQuantityChanged,
    ItemRemoved,
    Price,
    ShippingChosen,
)
from domain.cart.offers import Offers
from domain.event import Event
from domain.ids import CartId, CheckoutId, CouponId, CustomerId, OrderId, Sku
from domain.moment import in_utc
from domain.money import Currency, UnitPrice, is_dearer, shortest, validate_currency, validate_unit_price
from domain.promotion_terms import Discount
from domain.quantity import QuantityOutOfRange
from domain.sale_terms import LinePrice, SaleTax
from domain.text import Channel

SHIPPING_LINE: Final = 0
"""The number of the line that is the shipping, where lines are named by their numbers."""

_MOMENTS: Final = frozenset(
    (
        *("added_at", "changed_at", "removed_at", "repriced_at", "assigned_at", "merged_at", "closed_at"),
        *("set_at", "chosen_at", "applied_at", "started_at", "aborted_at", "checked_out_at"),
    )
)


class Status(StrEnum):
    """Where a cart stands."""

    OPEN = "open"
    FROZEN = "frozen"
    ORDERED = "ordered"
    MERGED = "merged"
    EXPIRED = "expired"


class Item(Struct, frozen=True, kw_only=True):
    """So many pieces of a SKU, at the price that its buyer was shown."""

    line_id: int
    sku: Sku
    quantity: int
    unit_price: UnitPrice
    stocked: bool


class Checkout(Struct, frozen=True, kw_only=True):
    """A checkout that goes on, or that was completed."""

    checkout_id: CheckoutId
    order_id: OrderId
    country: str
    totals: CartTotals
    discount: Discount
    prices: tuple[LinePrice, ...]
    tax: SaleTax | None
    started_at: datetime
    expires_at: datetime


class Cart(Struct, frozen=True, kw_only=True):
    """What decisions need. `numbered` is the number of the newest line there ever was, `shipping` has the number 0.

    `changed_at` is when its buyer last did something with it, `reachable` whether they can be written to about it.
    """

    cart_id: CartId
    customer_id: CustomerId | None
    guest: bool
    currency: Currency
    channel: Channel
    status: Status = Status.OPEN
    lines: tuple[Item, ...] = ()
    numbered: int = 0
    merged_into: CartId | None = None
    shipping: Item | None = None
    coupon: CouponId | None = None
    country: str | None = None
    reachable: bool = False
    checkout: Checkout | None = None
    changed_at: datetime
    abandoned: bool = False

    def line(self, line_id: int) -> Item | None:
        """The line of this number."""
        return next((line for line in self.lines if line.line_id == line_id), None)

    def line_of(self, sku: Sku) -> Item | None:
        """The line of this SKU."""
        return next((line for line in self.lines if line.sku == sku), None)


NOTHING_AGREED: Final[Mapping[Sku, UnitPrice]] = MappingProxyType({})


def evolve(cart: Cart | None, event: Event) -> Cart:
    """Return the cart as it is after `event`."""
    if isinstance(event, CartOpened):
        return Cart(
            cart_id=event.cart_id,
            customer_id=event.customer_id,
            guest=event.guest,
            currency=event.currency,
            channel=event.channel,
            changed_at=event.opened_at,
        )
    assert cart is not None, "a change of a cart that was never opened"
    match event:
        case CartAbandoned():
            return replace(cart, abandoned=True)
        case CartExpired():
            return replace(cart, status=Status.EXPIRED)
    return replace(_evolve_lines(cart, event), changed_at=moment_of(event), abandoned=False)


def moment_of(event: Event) -> datetime:
    """When something was done with a cart: the one time of each of its events that says so."""
    moments = (getattr(event, name) for name in event.__struct_fields__ if name in _MOMENTS)
    moment: datetime = next(moments)
    return moment


def _evolve_lines(cart: Cart, event: Event) -> Cart:
    match event:
        case ItemAdded():
            return _with_added(cart, event)
        case ItemQuantityChanged():
            changed = (
                replace(line, quantity=event.quantity) if line.line_id == event.line_id else line
                for line in cart.lines
            )
            return replace(cart, lines=tuple(changed))
        case ItemRemoved():
            return replace(cart, lines=tuple(line for line in cart.lines if line.line_id != event.line_id))
        case CartRepriced():
            return with_prices(cart, event.lines)
        case ShippingChosen():
            chosen = Item(
                line_id=SHIPPING_LINE,
                sku=event.option_id,
                quantity=1,
                unit_price=event.unit_price,
                stocked=False,
            )
            return replace(cart, shipping=chosen)
        case CouponApplied():
            return replace(cart, coupon=event.code)
        case CouponRemoved():
            return replace(cart, coupon=None)
        case _:
            return _evolve_whole(cart, event)


def _evolve_whole(cart: Cart, event: Event) -> Cart:
    """The same for what happens to the cart as a whole."""
    match event:
        case CartAssigned():
            # What was sealed under the key of the guest is not the customer's to show.
            return replace(cart, customer_id=event.customer_id, guest=False, country=None, reachable=False)
        case CartsMerged():
            lines = tuple(
                Item(
                    line_id=line.line_id,
                    sku=line.sku,
                    quantity=line.quantity,
                    unit_price=line.unit_price,
                    stocked=line.stocked,
                )
                for line in event.lines
            )
            return replace(cart, lines=lines, numbered=max((cart.numbered, *(e.line_id for e in lines))))
        case CartClosed():
            return replace(cart, status=Status.MERGED, merged_into=event.merged_into)
        case AddressSet():
            if event.kind == "billing":
                return cart
            return replace(cart, country=event.country, reachable=event.email is not None)
        case CheckoutStarted():
            return replace(cart, status=Status.FROZEN, checkout=_checkout(event))
        case CheckoutAborted():
            return replace(cart, status=Status.OPEN, checkout=None)
        case CartCheckedOut():
            return replace(cart, status=Status.ORDERED)
    raise AssertionError(f"{type(event).__name__} is no event of a cart")


def _checkout(event: CheckoutStarted) -> Checkout:
    return Checkout(
        checkout_id=event.checkout_id,
        order_id=event.order_id,
        country=event.country,
        totals=event.totals,
        discount=Discount(lines=event.discounts, promotions=event.promotions),
        prices=event.prices,
        tax=event.tax,
        started_at=event.started_at,
        expires_at=event.expires_at,
    )


def _with_added(cart: Cart, event: ItemAdded) -> Cart:
    before = cart.line(event.line_id)
    line = Item(
        line_id=event.line_id,
        sku=event.sku,
        quantity=event.quantity + (0 if before is None else before.quantity),
        unit_price=event.unit_price,
        stocked=event.stocked,
    )
    if before is None:
        return replace(cart, lines=(*cart.lines, line), numbered=event.line_id)
    return replace(cart, lines=tuple(line if each is before else each for each in cart.lines))


def with_prices(cart: Cart, prices: tuple[Price, ...]) -> Cart:
    """The cart after some of its prices changed."""
    new = {price.line_id: price.new for price in prices}
    lines = tuple(replace(line, unit_price=new.get(line.line_id, line.unit_price)) for line in cart.lines)
    shipping = cart.shipping
    if shipping is not None and SHIPPING_LINE in new:
        shipping = replace(shipping, unit_price=new[SHIPPING_LINE])
    return replace(cart, lines=lines, shipping=shipping)


CART: Final[Aggregate[Cart]] = Aggregate(
    "cart",
    evolve,
    (
        CartOpened,
        ItemAdded,
        ItemQuantityChanged,
        ItemRemoved,
        CartRepriced,
        CartAssigned,
        CartsMerged,
        CartClosed,
        AddressSet,
        ShippingChosen,
        CouponApplied,
        CouponRemoved,
        CheckoutStarted,
        CheckoutAborted,
        CartCheckedOut,
        CartAbandoned,
        CartExpired,
    ),
)


def require_open(cart: Cart | None, *, cart_id: CartId) -> Cart:
    """The cart, which may change.

    Raises:
        CartUnknown, CartIsClosed, CartFrozen: it may not.
    """
    if cart is None:
        raise CartUnknown(cart_id=cart_id)
    if cart.status is Status.FROZEN:
        assert cart.checkout is not None, "frozen by a checkout"
        raise CartFrozen(
            cart_id=cart_id, checkout_id=cart.checkout.checkout_id, expires_at=cart.checkout.expires_at
        )
    if cart.status is not Status.OPEN:
        raise CartIsClosed(cart_id=cart_id, status=cart.status, merged_into=cart.merged_into)
    return cart


def open_cart(
    cart: Cart | None,
    *,
    cart_id: CartId,
    customer_id: CustomerId | None,
    guest: bool,
    currency: Currency,
    channel: str,
    locale: str | None,
    now: datetime,
) -> list[Event]:
    """Begin a cart.

    Raises:
        CartIdTaken: there is one of this id.
        UnknownCurrency: the code names no currency.
    """
    if cart is not None:
        raise CartIdTaken(cart_id=cart_id)
    return [
        CartOpened(
            cart_id=cart_id,
            customer_id=customer_id,
            guest=guest,
            currency=validate_currency(currency),
            channel=channel,
            locale=locale,
            opened_at=in_utc(now),
        )
    ]


def add_item(
    cart: Cart | None, *, cart_id: CartId, sku: Sku, quantity: int, offers: Offers, now: datetime
) -> list[Event]:
    """Put pieces into the cart, at the price that is offered for as many as it has then.

    Raises:
        CartUnknown, CartIsClosed, CartFrozen, TooManyLines: nothing can be added.
        NotOffered, QuantityOutOfRange: this cannot.
        PriceChanged: the cart has pieces of it at a lower price.
    """
    cart = require_open(cart, cart_id=cart_id)
    offer = offers.get(sku)
    if offer is None:
        raise NotOffered(sku=sku, currency=cart.currency)
    line = cart.line_of(sku)
    if line is None and len(cart.lines) >= LINES_MAX:
        raise TooManyLines(cart_id=cart_id)
    require_quantity(quantity if line is None else line.quantity + quantity, added=quantity)
    if line is not None:
        require_no_rise(cart_id, changed_prices((line,), offers, currency=cart.currency))
    return [
        ItemAdded(
            cart_id=cart_id,
            line_id=cart.numbered + 1 if line is None else line.line_id,
            sku=sku,
            quantity=quantity,
            unit_price=validate_unit_price(offer.unit_price),
            stocked=offer.stocked,
            added_at=in_utc(now),
        )
    ]


def change_quantity(
    cart: Cart | None, *, cart_id: CartId, line_id: int, quantity: int, now: datetime
) -> list[Event]:
    """Have so many pieces in a line; nothing if it has them.

    Raises:
        CartUnknown, CartIsClosed, CartFrozen, LineUnknown: there is no such line to be changed.
        QuantityOutOfRange: there are none or too many pieces.
    """
    cart = require_open(cart, cart_id=cart_id)
    line = cart.line(line_id)
    if line is None:
        raise LineUnknown(cart_id=cart_id, line_id=line_id)
    require_quantity(quantity)
    if line.quantity == quantity:
        return []
    return [
        ItemQuantityChanged(
            cart_id=cart_id,
            line_id=line_id,
            sku=line.sku,
            previous=line.quantity,
            quantity=quantity,
            changed_at=in_utc(now),
        )
    ]


def remove_item(cart: Cart | None, *, cart_id: CartId, line_id: int, now: datetime) -> list[Event]:
    """Take a line out of the cart; nothing if it is not there.

    Raises:
        CartUnknown, CartIsClosed, CartFrozen: the cart does not change.
    """
    cart = require_open(cart, cart_id=cart_id)
    line = cart.line(line_id)
    if line is None:
        return []
    return [
        ItemRemoved(
            cart_id=cart_id, line_id=line_id, sku=line.sku, quantity=line.quantity, removed_at=in_utc(now)
        )
    ]


def reprice(
    cart: Cart | None, *, cart_id: CartId, offers: Offers, agreed: Mapping[Sku, UnitPrice], now: datetime
) -> list[Event]:
    """Have the lines cost what is offered now; nothing if they do. `agreed`: what their buyer agrees to.

    Raises:
        CartUnknown, CartIsClosed, CartFrozen: the cart does not change.
        PriceChanged: a price is higher than what stands in the cart, and than what was agreed to.
        NotOffered: a line is not offered any more.
    """
    cart = require_open(cart, cart_id=cart_id)
    changed = changed_prices(priced_lines(cart), offers, currency=cart.currency)
    require_no_rise(cart_id, changed, agreed=agreed)
    if not changed:
        return []
    rose = any(is_dearer(price.new, than=price.old) for price in changed)
    return [
        CartRepriced(
            cart_id=cart_id,
            lines=changed,
            cause="consent" if rose else "drop",
            repriced_at=in_utc(now),
        )
    ]


def priced_lines(cart: Cart) -> tuple[Item, ...]:
    """All that has a price: the lines, and the shipping."""
    return cart.lines if cart.shipping is None else (*cart.lines, cart.shipping)


def require_quantity(quantity: int, *, added: int = 1) -> None:
    """Refuse a line with none or too many pieces.

    Raises:
        QuantityOutOfRange: it has.
    """
    if not 1 <= quantity <= LINE_QUANTITY_MAX or added < 1:
        raise QuantityOutOfRange(quantity=quantity, limit=LINE_QUANTITY_MAX)


def changed_prices(lines: tuple[Item, ...], offers: Offers, *, currency: Currency) -> tuple[Price, ...]:
    """The lines whose price is another by now.

    Raises:
        NotOffered: a line is not offered any more.
    """
    changed = []
    for line in lines:
        offer = offers.get(line.sku)
        if offer is None:
            raise NotOffered(sku=line.sku, currency=currency)
        if shortest(offer.unit_price) != shortest(line.unit_price):
            changed.append(
                Price(line_id=line.line_id, sku=line.sku, old=line.unit_price, new=offer.unit_price)
            )
    return tuple(changed)


def require_no_rise(
    cart_id: CartId, changed: tuple[Price, ...], *, agreed: Mapping[Sku, UnitPrice] = NOTHING_AGREED
) -> None:
    """Refuse prices that rose, unless their buyer agreed to that much.

    Raises:
        PriceChanged: one of them is dearer than in the cart, and than what was agreed to.
    """
    rises = tuple(
        price
        for price in changed
        if is_dearer(price.new, than=price.old)
        and (price.sku not in agreed or is_dearer(price.new, than=agreed[price.sku]))
    )
    if rises:
        raise PriceChanged(cart_id=cart_id, prices=rises)
