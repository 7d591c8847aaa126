"""From a cart to an order: frozen prices, one order however often it is asked for, and ends that nobody asks for."""

from datetime import timedelta

import pytest

from domain.cart import cart_coupon
from domain.cart import checkout as checkouts
from domain.cart.cart import CART as CARTS
from domain.cart.cart import (
    SHIPPING_LINE,
    add_item,
    change_quantity,
    priced_lines,
    remove_item,
    reprice,
)
from domain.cart.cart_refusals import (
    CartEmpty,
    CartFrozen,
    CartIsClosed,
    CartUnknown,
    CheckoutOver,
    CountryMissing,
    NotOffered,
    NotTheBuyer,
    PriceChanged,
    ShippingNotOffered,
)
from domain.cart.events import Price
from domain.cart.offers import Offer
from domain.ids import CheckoutId, CustomerId
from domain.money import Minor, line_total
from domain.promotion_terms import Discount, Rule
from domain.sale_terms import LinePrice
from tests.cart_examples import (
    ADA,
    CART,
    CHECKOUT,
    CODE,
    HEART,
    NOW,
    POSTAGE,
    SPRING,
    TENTH,
    address_set,
    cart_abandoned,
    cart_assigned,
    cart_checked_out,
    cart_closed,
    cart_expired,
    cart_opened,
    cart_repriced,
    checkout_aborted,
    checkout_started,
    coupon_applied,
    item_added,
    line_off,
    line_tax,
    promotion_off,
    sale_tax,
    shipping_chosen,
    totals,
)
from tests.customer_examples import sealed


def charge_of(found, _country, *, discount=Discount(), tax=None):  # noqa: B008 - it is frozen
    """The sums of a cart at its prices, as pricing has them."""
    costs = {
        line.line_id: line_total(line.quantity, unit_price=line.unit_price, currency=found.currency)
        for line in priced_lines(found)
    }
    shipping = costs.pop(SHIPPING_LINE, 0)
    of_tax = {} if tax is None else {"tax": tax.amount, "added": tax.amount - tax.included}
    sums = totals(sum(costs.values()), shipping, discount.amount, **of_tax)
    return checkouts.CartCharge(totals=sums, discount=discount, tax=tax)


IT = {"cart_id": CART, "now": NOW}
OFFERS = {HEART: Offer(unit_price="2.55", stocked=True), POSTAGE: Offer(unit_price="4.95", stocked=False)}
START = {
    **IT,
    "checkout_id": CHECKOUT,
    "country": "Italy",
    "offers": OFFERS,
    "charge_of": charge_of,
    "lasts": timedelta(minutes=15),
}
TERMS = cart_coupon.CouponTerms(promotion_id=SPRING, rule=Rule(), action=TENTH)
DONE = {**IT, "checkout_id": CHECKOUT}
ADDRESS = {
    **IT,
    "customer_id": ADA,
    "kind": "delivery",
    "address": checkouts.SealedAddress(
        recipient=sealed("Ada Lovelace"),
        lines=sealed("12 St James's Square"),
        email=sealed("ada@example.org"),
        country="United Kingdom",
    ),
}


def cart(*events, **opened):
    state = CARTS.evolve(None, cart_opened(**opened))
    for event in events:
        state = CARTS.evolve(state, event)
    return state


READY = (item_added(), address_set(), shipping_chosen())
frozen = cart(*READY, checkout_started())
ordered = cart(*READY, checkout_started(), cart_checked_out())


def offering(price, sku=HEART):
    return {**OFFERS, sku: Offer(unit_price=price, stocked=sku == HEART)}


def test_an_address_is_that_of_the_buyer():
    assert [address_set()] == checkouts.set_address(cart(), **ADDRESS)
    for of in ({"customer_id": CustomerId("17851")}, {"customer_id": None}):
        with pytest.raises(NotTheBuyer):
            checkouts.set_address(cart(**of), **ADDRESS)


def test_a_cart_that_is_assigned_leaves_the_address_of_the_guest():
    assert ("United Kingdom", True) == (cart(address_set()).country, cart(address_set()).reachable)
    after = cart(address_set(), cart_assigned(), guest=True)

    assert (None, False) == (after.country, after.reachable)
    assert None is cart(address_set(kind="billing")).country


def test_shipping_is_one_of_the_options_of_the_shop_at_its_list_price():
    choose = {**IT, "option_id": POSTAGE, "options": (POSTAGE, HEART), "offers": OFFERS}

    assert [shipping_chosen()] == checkouts.choose_shipping(cart(), **choose)
    assert [] == checkouts.choose_shipping(cart(shipping_chosen()), **choose)
    dearer = {**choose, "offers": offering("5.95", POSTAGE)}
    again = checkouts.choose_shipping(cart(shipping_chosen()), **dearer)
    assert [shipping_chosen(unit_price="5.95", amount=595)] == again
    for said in ({"options": ()}, {"option_id": HEART}):
        with pytest.raises(ShippingNotOffered):
            checkouts.choose_shipping(cart(), **{**choose, **said})
    with pytest.raises(NotOffered):
        checkouts.choose_shipping(cart(), **{**choose, "offers": {}})


def test_a_checkout_fixes_prices_totals_and_the_id_of_the_order():
    assert [checkout_started()] == checkouts.start_checkout(cart(*READY), **START)
    without = cart(item_added())
    [started] = checkouts.start_checkout(without, **START)
    assert ("Italy", totals(510)) == (started.country, started.totals)


@pytest.mark.parametrize(
    ("state", "said", "refusal"),
    [
        (None, {}, CartUnknown),
        (cart(), {}, CartEmpty),
        (cart(item_added()), {"country": None}, CountryMissing),
        (cart(item_added()), {"offers": {}}, NotOffered),
        (cart(item_added()), {"offers": offering("2.56")}, PriceChanged),
        (cart(*READY), {"offers": offering("5.95", POSTAGE)}, PriceChanged),
        (frozen, {}, CartFrozen),
        (ordered, {}, CartIsClosed),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)  # fmt: skip
def test_a_checkout_is_not_started_where(state, said, refusal):
    with pytest.raises(refusal):
        checkouts.start_checkout(state, **{**START, **said})


def test_a_checkout_says_which_lists_its_prices_are_from():
    of_list = Offer(unit_price="2", stocked=True, list_id="retail", price_id="p-1")

    *_, started = checkouts.start_checkout(cart(*READY), **{**START, "offers": {**OFFERS, HEART: of_list}})

    assert (LinePrice(line_id=1, list_id="retail", price_id="p-1"),) == started.prices
    assert started.prices == cart(*READY, started).checkout.prices


def test_a_price_that_fell_passes_on_when_a_checkout_starts():
    """medusa 11222: a sale began after the item was added."""
    repriced, started = checkouts.start_checkout(cart(*READY), **{**START, "offers": offering("2")})

    price = Price(line_id=1, sku=HEART, old="2.55", new="2")
    assert cart_repriced(lines=(price,), cause="drop") == repriced
    assert totals(400, 495) == started.totals


def test_a_checkout_fixes_what_is_taken_off_the_prices_of_now_and_their_tax():
    asked = []
    off = Discount(lines=(line_off(40), line_off(95, line_id=0)), promotions=(promotion_off(135),))
    tax = sale_tax(line_tax(72), line_tax(80, line_id=0))

    def charged(found, country):
        asked.append((country, [line.unit_price for line in (*found.lines, found.shipping)]))
        return charge_of(found, country, discount=off, tax=tax)

    *_, started = checkouts.start_checkout(
        cart(*READY, coupon_applied()), **{**START, "offers": offering("2"), "charge_of": charged}
    )

    assert [("United Kingdom", ["2", "4.95"])] == asked
    assert (totals(400, 495, 135, tax=152, added=152), off.lines, off.promotions, tax) == (
        started.totals,
        started.discounts,
        started.promotions,
        started.tax,
    )
    fixed = cart(*READY, coupon_applied(), started).checkout
    assert (off, Minor(135), tax, NOW) == (fixed.discount, fixed.discount.amount, fixed.tax, fixed.started_at)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: add_item(state, **IT, sku=HEART, quantity=1, offers=OFFERS),
        lambda state: change_quantity(state, **IT, line_id=1, quantity=1),
        lambda state: remove_item(state, **IT, line_id=1),
        lambda state: reprice(state, **IT, offers=OFFERS, agreed={}),
        lambda state: checkouts.set_address(state, **ADDRESS),
        lambda state: checkouts.choose_shipping(
            state, **IT, option_id=POSTAGE, options=(POSTAGE,), offers=OFFERS
        ),
        lambda state: cart_coupon.apply_coupon(state, **IT, code=CODE, terms_of=lambda _: TERMS),
        lambda state: cart_coupon.remove_coupon(state, **IT, code=CODE),
    ],
)
def test_a_cart_is_frozen_while_it_is_checked_out_and_closed_once_it_is_an_order(change):
    """spree 11286: what is added during a checkout is refused, never lost and never in an order unpaid."""
    with pytest.raises(CartFrozen) as refused:
        change(frozen)
    assert (CHECKOUT, checkout_started().expires_at) == (refused.value.checkout_id, refused.value.expires_at)
    with pytest.raises(CartIsClosed):
        change(ordered)
    change(cart(*READY, checkout_started(), checkout_aborted()))


def test_a_checkout_is_aborted_once():
    abort = {**IT, "reason": "buyer"}

    assert [checkout_aborted()] == checkouts.abort_checkout(frozen, **abort)
    assert [] == checkouts.abort_checkout(cart(), **abort)
    with pytest.raises(CartIsClosed):
        checkouts.abort_checkout(ordered, **abort)
    with pytest.raises(CartUnknown):
        checkouts.abort_checkout(None, **abort)


def test_a_checkout_that_is_completed_twice_is_one_order():
    checkout, done = checkouts.check_out(frozen, **DONE)

    assert ([cart_checked_out()], CHECKOUT) == (done, checkout.order_id)
    again, nothing = checkouts.check_out(ordered, **DONE)
    assert ([], checkout) == (nothing, again)


@pytest.mark.parametrize(
    ("state", "said", "refusal"),
    [
        (None, {}, CartUnknown),
        (cart(*READY), {}, CheckoutOver),
        (frozen, {"checkout_id": CheckoutId("other")}, CheckoutOver),
        (frozen, {"now": checkout_started().expires_at}, CheckoutOver),
        (cart(*READY, checkout_started(), checkout_aborted()), {}, CheckoutOver),
        (ordered, {"checkout_id": CheckoutId("other")}, CartIsClosed),
        (cart(cart_closed()), {}, CartIsClosed),
        (cart(cart_expired()), {}, CartIsClosed),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_a_checkout_is_not_completed_where(state, said, refusal):
    with pytest.raises(refusal):
        checkouts.check_out(state, **{**DONE, **said})


def test_a_cart_is_abandoned_only_if_its_buyer_can_be_written_to_and_agrees():
    left = cart(item_added(), address_set())

    assert [cart_abandoned()] == checkouts.abandon(left, agrees=True, now=NOW)
    assert [] == checkouts.abandon(left, agrees=False, now=NOW)
    for state in (
        cart(item_added()),
        cart(item_added(), address_set(email=None)),
        cart(address_set()),
        cart(item_added(), address_set(), cart_abandoned()),
        cart(item_added(), address_set(), cart_assigned(), guest=True),
        frozen,
        ordered,
    ):
        assert [] == checkouts.abandon(state, agrees=True, now=NOW)
    back = cart(item_added(), address_set(), cart_abandoned(), item_added())
    assert [cart_abandoned()] == checkouts.abandon(back, agrees=True, now=NOW)


def test_a_cart_expires_unless_it_has_ended():
    for state in (cart(item_added()), frozen):
        assert [cart_expired()] == checkouts.expire(state, now=NOW)
    for state in (ordered, cart(cart_closed()), cart(cart_expired())):
        assert [] == checkouts.expire(state, now=NOW)
