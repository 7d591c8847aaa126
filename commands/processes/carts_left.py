"""Carts that are left: a checkout that took too long is aborted, an idle cart is abandoned, an old one expires.

Whatever a buyer does with a cart begins its time anew.
"""

from datetime import datetime, timedelta
from typing import Final

from commands.decision import DecisionView
from commands.processes.process import Process
from commands.processes.timer import Timer
from domain.cart import checkout as checkouts
from domain.cart.cart import CART, Cart, Status
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
    CheckoutAborted,
    CheckoutStarted,
    CouponApplied,
    CouponRemoved,
    ItemAdded,
    ItemQuantityChanged,
    ItemRemoved,
    ShippingChosen,
)
from domain.customers.customer import CUSTOMER
from domain.customers.customer import Status as CustomerStatus
from domain.event import Event
from event_store.consumers.starting import HEAD

CARTS_LEFT: Final = Process("carts-left", writes=(CART,), start=HEAD)

CLOCKS_DIFFER_BY: Final = timedelta(minutes=1)
"""A checkout ends by the clock of an API, and is aborted by that of the database."""

_CHANGES: Final = (
    AddressSet,
    CartAssigned,
    CartRepriced,
    CartsMerged,
    CheckoutAborted,
    CouponApplied,
    CouponRemoved,
    ItemAdded,
    ItemQuantityChanged,
    ItemRemoved,
    ShippingChosen,
)


def from_then_on(_event: Event, recorded_at: datetime) -> datetime:
    """The settings say how long a cart may be left alone."""
    return recorded_at


IDLE: Final = Timer(CARTS_LEFT, "idle", of=CART, after="cart_idle_s")
OLD: Final = Timer(CARTS_LEFT, "old", of=CART, after="cart_expires_s")
CHECKOUT: Final = Timer(CARTS_LEFT, "checkout", of=CART)

for _change in _CHANGES:
    IDLE.set_by(_change)(from_then_on)
for _begun in (*_CHANGES, CartOpened, CheckoutStarted):
    OLD.set_by(_begun)(from_then_on)

IDLE.cleared_by(CheckoutStarted, CartCheckedOut, CartClosed, CartAbandoned, CartExpired)
OLD.cleared_by(CartCheckedOut, CartClosed, CartExpired)
CHECKOUT.cleared_by(CheckoutAborted, CartCheckedOut, CartExpired)


@CHECKOUT.set_by(CheckoutStarted)
def as_long_as_it_may_take(event: CheckoutStarted, recorded_at: datetime) -> datetime:
    """So long from when it was recorded, whatever the clock of the API said."""
    return recorded_at + (event.expires_at - event.started_at)


@IDLE.fires
def abandon(cart: Cart | None, view: DecisionView, now: datetime) -> list[Event]:
    """Note that a buyer left the cart, if they agree to be written to about it."""
    assert cart is not None, "a cart that was changed has no state"
    if cart.customer_id is None:
        return []
    customer = view.current(CUSTOMER, cart.customer_id)
    agrees = customer is not None and customer.status is CustomerStatus.ACTIVE
    return checkouts.abandon(
        cart, agrees=agrees and customer is not None and "marketing" in customer.consents, now=now
    )


@OLD.fires
def expire(cart: Cart | None, _view: DecisionView, now: datetime) -> list[Event]:
    """End the cart, unless it has ended."""
    assert cart is not None, "a cart that was opened has no state"
    return checkouts.expire(cart, now=now)


@CHECKOUT.fires
def give_up(cart: Cart | None, _view: DecisionView, now: datetime) -> list[Event]:
    """Abort the checkout that took too long, unless another one goes on by now."""
    assert cart is not None, "a cart that is checked out has no state"
    if cart.status is not Status.FROZEN or cart.checkout is None:
        return []
    if now < cart.checkout.expires_at - CLOCKS_DIFFER_BY:
        return []
    return checkouts.abort_checkout(cart, cart_id=cart.cart_id, reason="expired", now=now)
