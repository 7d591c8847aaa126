from counterfoil.testing.spec import folded
from projections.cart.views import cart_details, cart_summary
from tests.cart_examples import (
    ADA,
    CART,
    OTHER,
    POSTAGE,
    cart_assigned,
    cart_closed,
    cart_opened,
    cart_repriced,
    carts_merged,
    item_added,
    item_quantity_changed,
    item_removed,
)


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
