from counterfoil.testing.spec import folded
from domain.cart.events import Price
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
    item_added,
    item_quantity_changed,
    item_removed,
    shipping_chosen,
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
