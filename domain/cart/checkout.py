"""Checking out: address and shipping, the checkout that freezes a cart, and its end.

A checkout fixes prices, totals and the id of the order: completed twice, it is one order. The order itself is placed by
the decision of its own context, in the same append as `CartCheckedOut`.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from domain.cart.cart import (
    Cart,
    Checkout,
    Status,
    changed_prices,
    priced_lines,
    require_no_rise,
    require_open,
    with_prices,
)
from domain.cart.cart_refusals import (
    CartEmpty,
    CartIsClosed,
    CartUnknown,
    CheckoutOver,
    CountryMissing,
    NotOffered,
    NotTheBuyer,
    ShippingNotOffered,
)
from domain.cart.events import (
    AbortReason,
    AddressKind,
    AddressSet,
    CartAbandoned,
    CartCheckedOut,
    CartExpired,
    CartRepriced,
    CartTotals,
    CheckoutAborted,
    CheckoutStarted,
    ShippingChosen,
)
from domain.cart.offers import Offers
from domain.event import Event
from domain.ids import CartId, CheckoutId, CustomerId, OrderId, Sku
from domain.moment import in_utc
from domain.money import line_total, shortest
from domain.promotion_terms import Discount
from domain.sale_terms import LinePrice, SaleTax
from domain.sealed import Sealed


class SealedAddress(Struct, frozen=True, kw_only=True):
    """Where something goes, and who is written to; sealed but for the country."""

    recipient: Sealed
    lines: Sealed
    email: Sealed | None
    country: str


class CartCharge(Struct, frozen=True, kw_only=True):
    """What an order of a cart costs: what is taken off, the tax if somebody taxes it, and the sums."""

    totals: CartTotals
    discount: Discount = Discount()
    tax: SaleTax | None = None


def set_address(
    cart: Cart | None,
    *,
    cart_id: CartId,
    customer_id: CustomerId,
    kind: AddressKind,
    address: SealedAddress,
    now: datetime,
) -> list[Event]:
    """Note where the parcel or the bill goes, sealed under the key of `customer_id`.

    Raises:
        CartUnknown, CartIsClosed, CartFrozen: the cart does not change.
        NotTheBuyer: it is not of this customer.
    """
    cart = require_open(cart, cart_id=cart_id)
    if cart.customer_id != customer_id:
        raise NotTheBuyer(cart_id=cart_id, customer_id=customer_id)
    return [
        AddressSet(
            cart_id=cart_id,
            customer_id=customer_id,
            kind=kind,
            recipient=address.recipient,
            lines=address.lines,
            email=address.email,
            country=address.country,
            set_at=in_utc(now),
        )
    ]


def choose_shipping(
    cart: Cart | None,
    *,
    cart_id: CartId,
    option_id: Sku,
    options: Sequence[Sku],
    offers: Offers,
    now: datetime,
) -> list[Event]:
    """Choose one of the shop's ways of shipping; nothing if it is chosen at that price.

    Raises:
        CartUnknown, CartIsClosed, CartFrozen: the cart does not change.
        ShippingNotOffered, NotOffered: there is no such option, or it has no price in the currency of the cart.
    """
    cart = require_open(cart, cart_id=cart_id)
    offer = offers.get(option_id)
    if option_id not in options or (offer is not None and offer.stocked):
        raise ShippingNotOffered(option_id=option_id, options=tuple(options))
    if offer is None:
        raise NotOffered(sku=option_id, currency=cart.currency)
    chosen = None if cart.shipping is None or cart.shipping.sku != option_id else cart.shipping
    if chosen is not None and shortest(chosen.unit_price) == shortest(offer.unit_price):
        return []
    return [
        ShippingChosen(
            cart_id=cart_id,
            option_id=option_id,
            unit_price=offer.unit_price,
            amount=line_total(1, unit_price=offer.unit_price, currency=cart.currency),
            chosen_at=in_utc(now),
        )
    ]


def start_checkout(
    cart: Cart | None,
    *,
    cart_id: CartId,
    checkout_id: CheckoutId,
    country: str | None,
    offers: Offers,
    charge_of: Callable[[Cart, str], CartCharge],
    lasts: timedelta,
    now: datetime,
) -> list[Event]:
    """Freeze the cart at the prices of now: what fell passes on. `country` is where it goes without an address.

    `charge_of` says what the cart costs at these prices in a country; it may refuse.

    Raises:
        CartUnknown, CartIsClosed, CartFrozen: the cart does not change.
        CartEmpty, CountryMissing: it cannot be ordered as it is.
        PriceChanged, NotOffered: a price rose, or a line is not offered any more.
    """
    cart = require_open(cart, cart_id=cart_id)
    if not cart.lines:
        raise CartEmpty(cart_id=cart_id)
    country = cart.country or country
    if country is None:
        raise CountryMissing(cart_id=cart_id)
    changed = changed_prices(priced_lines(cart), offers, currency=cart.currency)
    require_no_rise(cart_id, changed)
    moment = in_utc(now)
    repriced = (
        [CartRepriced(cart_id=cart_id, lines=changed, cause="drop", repriced_at=moment)] if changed else []
    )
    cart = with_prices(cart, changed)
    charge = charge_of(cart, country)
    started = CheckoutStarted(
        cart_id=cart_id,
        checkout_id=checkout_id,
        order_id=OrderId(checkout_id),
        country=country,
        currency=cart.currency,
        totals=charge.totals,
        discounts=charge.discount.lines,
        promotions=charge.discount.promotions,
        prices=_prices(cart, offers),
        tax=charge.tax,
        started_at=moment,
        expires_at=moment + lasts,
    )
    return [*repriced, started]


def _prices(cart: Cart, offers: Offers) -> tuple[LinePrice, ...]:
    """The lists that prices are from, by line."""
    found = []
    for line in priced_lines(cart):
        offer = offers[line.sku]
        if offer.list_id is not None and offer.price_id is not None:
            found.append(LinePrice(line_id=line.line_id, list_id=offer.list_id, price_id=offer.price_id))
    return tuple(found)


def abort_checkout(cart: Cart | None, *, cart_id: CartId, reason: AbortReason, now: datetime) -> list[Event]:
    """Go on choosing; nothing if no checkout goes on.

    Raises:
        CartUnknown, CartIsClosed: there is nothing to go on with.
    """
    if cart is None:
        raise CartUnknown(cart_id=cart_id)
    if cart.status is Status.OPEN:
        return []
    if cart.status is not Status.FROZEN or cart.checkout is None:
        raise CartIsClosed(cart_id=cart_id, status=cart.status, merged_into=cart.merged_into)
    return [
        CheckoutAborted(
            cart_id=cart_id,
            checkout_id=cart.checkout.checkout_id,
            reason=reason,
            aborted_at=in_utc(now),
        )
    ]


def check_out(
    cart: Cart | None, *, cart_id: CartId, checkout_id: CheckoutId, now: datetime
) -> tuple[Checkout, list[Event]]:
    """Complete a checkout: what it fixed, and no event if it was completed.

    Raises:
        CartUnknown, CartIsClosed: the cart became no order of this checkout.
        CheckoutOver: the checkout does not go on.
    """
    if cart is None:
        raise CartUnknown(cart_id=cart_id)
    checkout = cart.checkout
    is_it = checkout is not None and checkout.checkout_id == checkout_id
    if cart.status is Status.ORDERED and checkout is not None and is_it:
        return checkout, []
    if cart.status not in {Status.OPEN, Status.FROZEN}:
        raise CartIsClosed(cart_id=cart_id, status=cart.status, merged_into=cart.merged_into)
    if checkout is None or not is_it or now >= checkout.expires_at:
        raise CheckoutOver(cart_id=cart_id, checkout_id=checkout_id)
    done = CartCheckedOut(
        cart_id=cart_id,
        checkout_id=checkout_id,
        order_id=checkout.order_id,
        checked_out_at=in_utc(now),
    )
    return checkout, [done]


def abandon(cart: Cart, *, agrees: bool, now: datetime) -> list[Event]:
    """Note that a buyer left a cart, who can be written to and `agrees` to that; nothing in every other case."""
    if cart.status is not Status.OPEN or cart.abandoned or not cart.lines or cart.customer_id is None:
        return []
    if not agrees or not cart.reachable:
        return []
    return [
        CartAbandoned(
            cart_id=cart.cart_id,
            customer_id=cart.customer_id,
            idle_since=cart.changed_at,
            abandoned_at=in_utc(now),
        )
    ]


def expire(cart: Cart, *, now: datetime) -> list[Event]:
    """End a cart that nobody did anything with for long; nothing if it has ended."""
    if cart.status not in {Status.OPEN, Status.FROZEN}:
        return []
    return [CartExpired(cart_id=cart.cart_id, idle_since=cart.changed_at, expired_at=in_utc(now))]
