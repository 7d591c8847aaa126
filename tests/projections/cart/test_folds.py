from counterfoil.testing.spec import folded
from domain.cart.events import Price
from domain.promotion_terms import Action, Rule
from projections.cart.views import cart_addresses, cart_details, cart_summary
from tests.cart_examples import (
    ADA,
    CART,
    CHECKOUT,
    NOW,
    OTHER,
    POSTAGE,
    address_set,
    cart_abandoned,
    cart_assigned,
    cart_checked_out,
    cart_closed,
    cart_expired,
    cart_opened,
    cart_repriced,
    carts_merged,
    checkout_aborted,
    checkout_started,
    coupon_applied,
    coupon_removed,
    item_added,
    item_quantity_changed,
    item_removed,
    line_off,
    line_tax,
    promotion_off,
    sale_tax,
    shipping_chosen,
    totals,
)
from tests.customer_examples import sealed


def details(*events):
    return folded(cart_details, cart_opened(), *events)[CART,]


def test_a_cart_begins_empty():
    assert ((), 0, 0) == (details().lines, details().units, details().items)


def test_lines_stand_in_the_order_in_which_they_came_and_add_up():
    postage = item_added(line_id=2, sku=POSTAGE, quantity=1, unit_price="5", stocked=False)
    row = details(item_added(), postage, item_added(quantity=1))

    assert [(1, 3, 765), (2, 1, 500)] == [(line.line_id, line.quantity, line.total) for line in row.lines]
    assert (4, 1265) == (row.units, row.items)


def test_a_line_has_the_newest_quantity_and_price():
    assert (3, 765) == (details(item_added(), item_quantity_changed()).units, 765)
    row = details(item_added(), item_quantity_changed(), cart_repriced())

    assert ("2.95", 885, 885) == (row.lines[0].unit_price, row.lines[0].total, row.items)
    assert () == details(item_added(), item_removed()).lines


def test_an_entry_says_whose_the_cart_is():
    row = folded(cart_summary, cart_opened(guest=True))[CART,]

    assert (ADA, True, "open") == (row.customer_id, row.guest, row.status)


def test_a_merged_cart_shows_where_its_lines_are_now():
    row = details(item_added(), carts_merged())

    assert [(4, 1020)] == [(line.quantity, line.total) for line in row.lines]
    assert ("merged", OTHER) == (details(cart_closed()).status, details(cart_closed()).merged_into)
    assert "merged" == folded(cart_summary, cart_opened(), cart_closed())[CART,].status


def test_a_cart_that_was_assigned_is_a_customers():
    opened = cart_opened(guest=True, customer_id="guest")
    for view in (cart_details, cart_summary):
        row = folded(view, opened, cart_assigned())[CART,]
        assert (ADA, False) == (row.customer_id, row.guest)


def test_a_total_has_the_shipping_at_the_newest_price():
    fell = cart_repriced(lines=(Price(line_id=0, sku=POSTAGE, old="4.95", new="4"),), cause="drop")

    chosen = details(item_added(), shipping_chosen())
    assert (510, 1005) == (chosen.items, chosen.total)
    row = details(item_added(), shipping_chosen(), fell)
    assert (910, "4", 400) == (row.total, row.shipping.unit_price, row.shipping.amount)


def test_a_total_is_without_what_the_coupon_takes_off_whatever_is_in_the_cart():
    applied = (item_added(), coupon_applied())

    assert (510, 51, 459) == amounts(details(*applied))
    assert (1020, 102, 918) == amounts(details(*applied, item_added()))
    assert (510, 51, 954) == amounts(details(*applied, shipping_chosen()))
    assert (0, 0, 0) == amounts(details(*applied, item_removed()))
    assert (510, 0, 510) == amounts(details(*applied, coupon_removed()))
    shown = details(*applied).coupon
    assert ("SPRING10", coupon_applied().action) == (shown.code, shown.action)
    assert details(*applied, coupon_removed()).coupon is None


def test_nothing_is_taken_off_a_cart_that_the_coupon_is_not_for_and_never_more_than_it_costs():
    for_many = coupon_applied(rule=Rule(min_amount=1_000))
    too_much = coupon_applied(action=Action(kind="fixed", amount=99_999))

    assert (510, 0, 510) == amounts(details(item_added(), for_many))
    assert (1020, 102, 918) == amounts(details(item_added(), for_many, item_added()))
    assert (510, 510, 495) == amounts(details(item_added(), too_much, shipping_chosen()))
    free = coupon_applied(action=Action(kind="free_shipping"))
    assert (510, 495, 510) == amounts(details(item_added(), free, shipping_chosen()))


def test_a_frozen_cart_shows_the_discount_of_its_checkout():
    started = checkout_started(
        totals=totals(510, 0, 100),
        discounts=(line_off(100),),
        promotions=(promotion_off(51), promotion_off(49, code=None)),
    )
    frozen = details(item_added(), coupon_applied(), started)

    assert (510, 100, 410) == amounts(frozen)
    assert [51, 49] == [each.amount for each in frozen.checkout.promotions]
    back = details(item_added(), coupon_applied(), started, checkout_aborted())
    assert (510, 51, 459) == amounts(back)


def test_a_frozen_cart_costs_the_tax_that_is_added_as_well():
    tax = sale_tax(line_tax(102), line_tax(82, line_id=0, included=True))
    started = checkout_started(totals=totals(510, 495, tax=184, added=102), tax=tax)

    frozen = details(item_added(), shipping_chosen(), started)

    assert (1107, tax) == (frozen.total, frozen.checkout.tax)
    assert 1005 == details(item_added(), shipping_chosen(), started, checkout_aborted()).total


def amounts(row):
    return row.items, row.discount, row.total


def test_a_checkout_is_shown_while_it_goes_on_and_once_it_is_an_order():
    started = (item_added(), shipping_chosen(), checkout_started())

    assert ("frozen", CHECKOUT) == (details(*started).status, details(*started).checkout.order_id)
    back = details(*started, checkout_aborted())
    assert ("open", None) == (back.status, back.checkout)
    done = details(*started, cart_checked_out())
    assert ("ordered", 1005) == (done.status, done.checkout.totals.grand)
    entries = {
        "frozen": (checkout_started(),),
        "open": (checkout_started(), checkout_aborted()),
        "ordered": (checkout_started(), cart_checked_out()),
        "expired": (cart_expired(),),
    }
    for status, events in entries.items():
        assert status == folded(cart_summary, cart_opened(), *events)[CART,].status
    assert "expired" == details(cart_expired()).status


def test_a_cart_is_abandoned_until_something_is_done_with_it():
    assert NOW == details(item_added(), cart_abandoned()).abandoned_at
    for back in (item_added(), address_set(), checkout_started(), cart_assigned()):
        assert details(item_added(), cart_abandoned(), back).abandoned_at is None


def test_addresses_are_sealed_one_of_each_kind_and_gone_with_the_guest():
    billing = address_set(kind="billing", country="Italy", email=None)
    found = folded(cart_addresses, cart_opened(), address_set(), billing)[CART,].addresses

    assert (sealed("Ada Lovelace"), "Italy") == (found["delivery"].recipient, found["billing"].country)
    assert {} == folded(cart_addresses, cart_opened(), address_set(), cart_assigned())
