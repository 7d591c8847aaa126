"""One ordinary case of each event of a cart, in the order in which they could be recorded."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from msgspec.structs import replace

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
    MergedLine,
    Price,
    ShippingChosen,
)
from domain.event import Event
from domain.ids import (
    CartId,
    CheckoutId,
    CouponId,
    CustomerId,
    JurisdictionId,
    OrderId,
    PromotionId,
    Sku,
    TaxCategoryId,
)
from domain.money import Currency, Minor, UnitPrice
from domain.promotion_terms import Action, LineDiscount, PromotionDiscount, Rule
from domain.sale_terms import LineTax, SaleTax
from tests.customer_examples import sealed

NOW: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CART: Final = CartId("c-17850")
OTHER: Final = CartId("c-guest")
ADA: Final = CustomerId("17850")
HEART: Final = Sku("85123A")
POSTAGE: Final = Sku("POST")
CHECKOUT: Final = CheckoutId("018f3c5e-2f5b-7a10-b3c4-9e0d6b0c1a2f")
GBP: Final = Currency("GBP")
CODE: Final = CouponId("SPRING10")
SPRING: Final = PromotionId("spring")
TENTH: Final = Action(kind="percent_bp", percent_bp=1_000)


def cart_opened(**changes: Any) -> CartOpened:
    example = CartOpened(
        cart_id=CART,
        customer_id=ADA,
        guest=False,
        currency=GBP,
        channel="web",
        locale="en-GB",
        opened_at=NOW,
    )
    return replace(example, **changes)


def item_added(**changes: Any) -> ItemAdded:
    example = ItemAdded(
        cart_id=CART,
        line_id=1,
        sku=HEART,
        quantity=2,
        unit_price=UnitPrice("2.55"),
        stocked=True,
        added_at=NOW,
    )
    return replace(example, **changes)


def item_quantity_changed(**changes: Any) -> ItemQuantityChanged:
    example = ItemQuantityChanged(cart_id=CART, line_id=1, sku=HEART, previous=2, quantity=3, changed_at=NOW)
    return replace(example, **changes)


def cart_repriced(**changes: Any) -> CartRepriced:
    price = Price(line_id=1, sku=HEART, old=UnitPrice("2.55"), new=UnitPrice("2.95"))
    return replace(CartRepriced(cart_id=CART, lines=(price,), cause="consent", repriced_at=NOW), **changes)


def item_removed(**changes: Any) -> ItemRemoved:
    return replace(ItemRemoved(cart_id=CART, line_id=1, sku=HEART, quantity=3, removed_at=NOW), **changes)


def cart_assigned(**changes: Any) -> CartAssigned:
    return replace(CartAssigned(cart_id=CART, customer_id=ADA, assigned_at=NOW), **changes)


def merged_line(**changes: Any) -> MergedLine:
    example = MergedLine(line_id=1, sku=HEART, quantity=4, unit_price=UnitPrice("2.55"), stocked=True)
    return replace(example, **changes)


def carts_merged(**changes: Any) -> CartsMerged:
    example = CartsMerged(
        cart_id=CART, source_id=OTHER, strategy="sum", lines=(merged_line(),), merged_at=NOW
    )
    return replace(example, **changes)


def cart_closed(**changes: Any) -> CartClosed:
    return replace(CartClosed(cart_id=CART, merged_into=OTHER, closed_at=NOW), **changes)


def address_set(**changes: Any) -> AddressSet:
    example = AddressSet(
        cart_id=CART,
        customer_id=ADA,
        kind="delivery",
        recipient=sealed("Ada Lovelace"),
        lines=sealed("12 St James's Square"),
        email=sealed("ada@example.org"),
        country="United Kingdom",
        set_at=NOW,
    )
    return replace(example, **changes)


def shipping_chosen(**changes: Any) -> ShippingChosen:
    example = ShippingChosen(
        cart_id=CART, option_id=POSTAGE, unit_price=UnitPrice("4.95"), amount=Minor(495), chosen_at=NOW
    )
    return replace(example, **changes)


def coupon_applied(**changes: Any) -> CouponApplied:
    example = CouponApplied(
        cart_id=CART, code=CODE, promotion_id=SPRING, rule=Rule(), action=TENTH, applied_at=NOW
    )
    return replace(example, **changes)


def coupon_removed(**changes: Any) -> CouponRemoved:
    return replace(CouponRemoved(cart_id=CART, code=CODE, removed_at=NOW), **changes)


def line_off(amount: int, line_id: int = 1) -> LineDiscount:
    return LineDiscount(line_id=line_id, amount=Minor(amount))


def promotion_off(amount: int, code: CouponId | None = CODE) -> PromotionDiscount:
    return PromotionDiscount(promotion_id=SPRING, code=code, amount=Minor(amount))


def line_tax(amount: int, line_id: int = 1, *, included: bool = False) -> LineTax:
    """A fifth of what a line costs."""
    return LineTax(
        line_id=line_id,
        tax_category=TaxCategoryId("standard"),
        rate_bp=2_000,
        included=included,
        amount=Minor(amount),
    )


def sale_tax(*lines: LineTax, remainder: int = 0) -> SaleTax:
    """The tax of these lines."""
    return SaleTax(
        jurisdiction=JurisdictionId("United Kingdom"),
        amount=Minor(sum(line.amount for line in lines)),
        included=Minor(sum(line.amount for line in lines if line.included)),
        remainder=remainder,
        lines=lines,
    )


def taxed(*amounts: int) -> SaleTax:
    """The tax of lines whose prices hold it: a penny less than that of all of them."""
    lines = (line_tax(amount, line_id, included=True) for line_id, amount in enumerate(amounts, start=1))
    return sale_tax(*lines, remainder=-1)


def totals(items: int, shipping: int = 0, discount: int = 0, *, tax: int = 0, added: int = 0) -> CartTotals:
    """What an order will cost: with `tax`, of which prices do not hold `added`."""
    return CartTotals(
        items=Minor(items),
        shipping=Minor(shipping),
        discount=Minor(discount),
        tax=Minor(tax),
        tax_included=Minor(tax - added),
        grand=Minor(items + shipping - discount + added),
    )


def checkout_started(**changes: Any) -> CheckoutStarted:
    example = CheckoutStarted(
        cart_id=CART,
        checkout_id=CHECKOUT,
        order_id=OrderId(CHECKOUT),
        country="United Kingdom",
        currency=GBP,
        totals=totals(510, 495),
        discounts=(),
        promotions=(),
        started_at=NOW,
        expires_at=NOW + timedelta(minutes=15),
    )
    return replace(example, **changes)


def checkout_aborted(**changes: Any) -> CheckoutAborted:
    example = CheckoutAborted(cart_id=CART, checkout_id=CHECKOUT, reason="buyer", aborted_at=NOW)
    return replace(example, **changes)


def cart_checked_out(**changes: Any) -> CartCheckedOut:
    example = CartCheckedOut(
        cart_id=CART, checkout_id=CHECKOUT, order_id=OrderId(CHECKOUT), checked_out_at=NOW
    )
    return replace(example, **changes)


def cart_abandoned(**changes: Any) -> CartAbandoned:
    example = CartAbandoned(cart_id=CART, customer_id=ADA, idle_since=NOW, abandoned_at=NOW)
    return replace(example, **changes)


def cart_expired(**changes: Any) -> CartExpired:
    return replace(CartExpired(cart_id=CART, idle_since=NOW, expired_at=NOW), **changes)


ONE_OF_EACH: Final[tuple[Event, ...]] = (
    cart_opened(),
    item_added(),
    item_quantity_changed(),
    cart_repriced(),
    item_removed(),
    cart_assigned(),
    carts_merged(),
    address_set(),
    shipping_chosen(),
    coupon_applied(),
    coupon_removed(),
    cart_abandoned(),
    checkout_started(
        totals=totals(510, 495, 51, tax=191, added=92),
        discounts=(line_off(51),),
        promotions=(promotion_off(51),),
        tax=sale_tax(line_tax(92), line_tax(99, line_id=0, included=True)),
    ),
    checkout_aborted(),
    cart_checked_out(),
    cart_expired(),
    cart_closed(),
)
