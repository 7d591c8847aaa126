"""How the events of carts change their rows."""

from datetime import datetime
from typing import Final

from msgspec.structs import replace

from domain.cart.cart import SHIPPING_LINE
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
from domain.ids import Sku
from domain.money import Currency, Minor, UnitPrice, line_total
from domain.pricing.basket import basket, takes_off
from domain.pricing.quote import Shipping
from domain.pricing.tax_table import STANDARD
from projections.cart.views import (
    CartAddress,
    CartAddresses,
    CartCheckout,
    CartCoupon,
    CartDetails,
    CartLine,
    CartShipping,
    CartSummary,
    cart_addresses,
    cart_details,
    cart_summary,
)


@cart_details.on(CartOpened)
def opened(_cart: None, event: CartOpened) -> CartDetails:
    """A cart begins empty."""
    return CartDetails(
        cart_id=event.cart_id,
        status="open",
        customer_id=event.customer_id,
        guest=event.guest,
        currency=event.currency,
        channel=event.channel,
        locale=event.locale,
        lines=(),
        units=0,
        items=Minor(0),
        discount=Minor(0),
        total=Minor(0),
        opened_at=event.opened_at,
        changed_at=event.opened_at,
    )


@cart_details.on(ItemAdded)
def added(cart: CartDetails, event: ItemAdded) -> CartDetails:
    """A new line stands last; one that grows stays where it is."""
    before = next((line for line in cart.lines if line.line_id == event.line_id), None)
    line = _line(
        event.line_id,
        event.sku,
        quantity=event.quantity + (0 if before is None else before.quantity),
        unit_price=event.unit_price,
        stocked=event.stocked,
        currency=cart.currency,
    )
    if before is None:
        return _with_lines(cart, (*cart.lines, line), event.added_at)
    return _with_lines(cart, tuple(line if each is before else each for each in cart.lines), event.added_at)


@cart_details.on(ItemQuantityChanged)
def quantity_changed(cart: CartDetails, event: ItemQuantityChanged) -> CartDetails:
    """One line has more or fewer pieces."""
    lines = tuple(
        _with(line, cart, quantity=event.quantity) if line.line_id == event.line_id else line
        for line in cart.lines
    )
    return _with_lines(cart, lines, event.changed_at)


@cart_details.on(ItemRemoved)
def removed(cart: CartDetails, event: ItemRemoved) -> CartDetails:
    """The others keep their numbers."""
    lines = tuple(line for line in cart.lines if line.line_id != event.line_id)
    return _with_lines(cart, lines, event.removed_at)


@cart_details.on(CartRepriced)
def repriced(cart: CartDetails, event: CartRepriced) -> CartDetails:
    """The lines cost what they cost now."""
    new = {price.line_id: price.new for price in event.lines}
    lines = tuple(
        _with(line, cart, unit_price=new[line.line_id]) if line.line_id in new else line
        for line in cart.lines
    )
    shipping = cart.shipping
    if shipping is not None and SHIPPING_LINE in new:
        price = new[SHIPPING_LINE]
        amount = line_total(1, unit_price=price, currency=cart.currency)
        shipping = replace(shipping, unit_price=price, amount=amount)
    return _with_lines(replace(cart, shipping=shipping), lines, event.repriced_at)


@cart_details.on(CartAssigned)
def assigned(cart: CartDetails, event: CartAssigned) -> CartDetails:
    """It is a customer's now."""
    return replace(
        cart,
        customer_id=event.customer_id,
        guest=False,
        changed_at=event.assigned_at,
        abandoned_at=None,
    )


@cart_details.on(CartsMerged)
def merged(cart: CartDetails, event: CartsMerged) -> CartDetails:
    """The event has all lines."""
    lines = tuple(
        _line(
            line.line_id,
            line.sku,
            quantity=line.quantity,
            unit_price=line.unit_price,
            stocked=line.stocked,
            currency=cart.currency,
        )
        for line in event.lines
    )
    return _with_lines(cart, lines, event.merged_at)


@cart_details.on(CartClosed)
def closed(cart: CartDetails, event: CartClosed) -> CartDetails:
    """It shows what it had, and where that is now."""
    return replace(cart, status="merged", merged_into=event.merged_into, changed_at=event.closed_at)


@cart_details.on(ShippingChosen)
def shipped_by(cart: CartDetails, event: ShippingChosen) -> CartDetails:
    """The newest choice counts."""
    shipping = CartShipping(option_id=event.option_id, unit_price=event.unit_price, amount=event.amount)
    return _with_lines(replace(cart, shipping=shipping), cart.lines, event.chosen_at)


@cart_details.on(CouponApplied)
def cheaper(cart: CartDetails, event: CouponApplied) -> CartDetails:
    """Its terms count for whatever is in the cart from now on."""
    coupon = CartCoupon(
        code=event.code, promotion_id=event.promotion_id, rule=event.rule, action=event.action
    )
    return _with_lines(replace(cart, coupon=coupon), cart.lines, event.applied_at)


@cart_details.on(CouponRemoved)
def dearer(cart: CartDetails, event: CouponRemoved) -> CartDetails:
    """Nothing is taken off."""
    return _with_lines(replace(cart, coupon=None), cart.lines, event.removed_at)


@cart_details.on(AddressSet)
def addressed(cart: CartDetails, event: AddressSet) -> CartDetails:
    """Addresses are shown apart."""
    return replace(cart, changed_at=event.set_at, abandoned_at=None)


@cart_details.on(CheckoutStarted)
def frozen(cart: CartDetails, event: CheckoutStarted) -> CartDetails:
    """Its prices stand, and what promotions take off."""
    checkout = CartCheckout(
        checkout_id=event.checkout_id,
        order_id=event.order_id,
        country=event.country,
        totals=event.totals,
        promotions=event.promotions,
        tax=event.tax,
        expires_at=event.expires_at,
    )
    return replace(
        cart,
        status="frozen",
        checkout=checkout,
        discount=event.totals.discount,
        total=event.totals.grand,
        changed_at=event.started_at,
        abandoned_at=None,
    )


@cart_details.on(CheckoutAborted)
def thawed(cart: CartDetails, event: CheckoutAborted) -> CartDetails:
    """It may change again, and only its coupon counts."""
    return _with_lines(replace(cart, status="open", checkout=None), cart.lines, event.aborted_at)


@cart_details.on(CartCheckedOut)
def ordered(cart: CartDetails, event: CartCheckedOut) -> CartDetails:
    """Its checkout names the order."""
    return replace(cart, status="ordered", changed_at=event.checked_out_at)


@cart_details.on(CartAbandoned)
def abandoned(cart: CartDetails, event: CartAbandoned) -> CartDetails:
    """It may change all the same, and is not abandoned then."""
    return replace(cart, abandoned_at=event.abandoned_at)


@cart_details.on(CartExpired)
def expired(cart: CartDetails, _event: CartExpired) -> CartDetails:
    """It shows what it had."""
    return replace(cart, status="expired")


@cart_addresses.on(AddressSet)
def address_set(row: CartAddresses | None, event: AddressSet) -> CartAddresses:
    """One of each kind."""
    address = CartAddress(
        recipient=event.recipient, lines=event.lines, email=event.email, country=event.country
    )
    before = {} if row is None else row.addresses
    return CartAddresses(
        cart_id=event.cart_id, customer_id=event.customer_id, addresses={**before, event.kind: address}
    )


@cart_addresses.on(CartAssigned)
def addresses_left(_row: CartAddresses | None, _event: CartAssigned) -> CartAddresses | None:
    """What was sealed under the key of the guest is not the customer's to show."""
    return None


@cart_summary.on(CartOpened)
def listed(_cart: None, event: CartOpened) -> CartSummary:
    """A cart begins an entry."""
    return CartSummary(
        cart_id=event.cart_id,
        status="open",
        customer_id=event.customer_id,
        guest=event.guest,
        currency=event.currency,
        opened_at=event.opened_at,
    )


@cart_summary.on(CartAssigned)
def listed_as_assigned(cart: CartSummary, event: CartAssigned) -> CartSummary:
    """The customer finds it among their own."""
    return replace(cart, customer_id=event.customer_id, guest=False)


@cart_summary.on(CheckoutStarted)
def listed_as_frozen(cart: CartSummary, _event: CheckoutStarted) -> CartSummary:
    """Lists are narrowed by it."""
    return replace(cart, status="frozen")


@cart_summary.on(CheckoutAborted)
def listed_as_open(cart: CartSummary, _event: CheckoutAborted) -> CartSummary:
    """As above."""
    return replace(cart, status="open")


@cart_summary.on(CartCheckedOut)
def listed_as_ordered(cart: CartSummary, _event: CartCheckedOut) -> CartSummary:
    """As above."""
    return replace(cart, status="ordered")


@cart_summary.on(CartExpired)
def listed_as_expired(cart: CartSummary, _event: CartExpired) -> CartSummary:
    """As above."""
    return replace(cart, status="expired")


@cart_summary.on(CartClosed)
def listed_as_merged(cart: CartSummary, _event: CartClosed) -> CartSummary:
    """The entry stays."""
    return replace(cart, status="merged")


def _line(
    line_id: int, sku: Sku, *, quantity: int, unit_price: UnitPrice, stocked: bool, currency: Currency
) -> CartLine:
    return CartLine(
        line_id=line_id,
        sku=sku,
        quantity=quantity,
        unit_price=unit_price,
        total=line_total(quantity, unit_price=unit_price, currency=currency),
        stocked=stocked,
    )


def _with(
    line: CartLine, cart: CartDetails, *, quantity: int | None = None, unit_price: UnitPrice | None = None
) -> CartLine:
    """The line with another quantity or price, and the total that follows."""
    return _line(
        line.line_id,
        line.sku,
        quantity=line.quantity if quantity is None else quantity,
        unit_price=unit_price or line.unit_price,
        stocked=line.stocked,
        currency=cart.currency,
    )


def _with_lines(cart: CartDetails, lines: tuple[CartLine, ...], changed_at: datetime) -> CartDetails:
    items = Minor(sum(line.total for line in lines))
    shipping = Minor(0) if cart.shipping is None else cart.shipping.amount
    discount = Minor(0)
    if cart.coupon is not None:
        post = None if cart.shipping is None else Shipping(amount=shipping, tax_category=STANDARD)
        sale = basket(lines, shipping=post, currency=cart.currency, at=changed_at)
        discount = takes_off(cart.coupon.rule, cart.coupon.action, sale)
    return replace(
        cart,
        lines=lines,
        units=sum(line.quantity for line in lines),
        items=items,
        discount=discount,
        total=Minor(items + shipping - discount),
        changed_at=changed_at,
        abandoned_at=None,
    )


VIEWS: Final = (cart_details, cart_summary, cart_addresses)
"""What can be asked about carts."""
