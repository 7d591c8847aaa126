import pytest

from counterfoil.testing.spec import given, state_of
from domain.cart import cart as carts
from domain.cart.cart import CART as CARTS
from domain.cart.cart_refusals import (
    LINE_QUANTITY_MAX,
    LINES_MAX,
    CartIdTaken,
    CartUnknown,
    LineUnknown,
    NotOffered,
    PriceChanged,
    TooManyLines,
)
from domain.cart.events import Price
from domain.cart.offers import Offer
from domain.ids import Sku
from domain.quantity import QuantityOutOfRange
from tests.cart_examples import (
    ADA,
    CART,
    GBP,
    HEART,
    NOW,
    POSTAGE,
    cart_opened,
    cart_repriced,
    item_added,
    item_quantity_changed,
    item_removed,
)

IT = {"cart_id": CART, "now": NOW}
ADD = {**IT, "sku": HEART, "quantity": 2}
OPEN = {**IT, "customer_id": ADA, "guest": False, "currency": GBP, "channel": "web", "locale": "en-GB"}

opened = given(cart_opened())
filled = given(cart_opened(), item_added())


def costing(price, sku=HEART):
    return {sku: Offer(unit_price=price, stocked=True)}


def rise(old="2.55", new="2.95"):
    return (Price(line_id=1, sku=HEART, old=old, new=new),)


LIST = costing("2.55")


def test_a_cart_is_opened_once():
    given().when(carts.open_cart, **OPEN).then(cart_opened())
    opened.when(carts.open_cart, **OPEN).then_refused(CartIdTaken, cart_id=CART)


@pytest.mark.parametrize(
    ("change", "more"),
    [
        (carts.add_item, {"sku": HEART, "quantity": 1, "offers": {}}),
        (carts.change_quantity, {"line_id": 1, "quantity": 1}),
        (carts.remove_item, {"line_id": 1}),
        (carts.reprice, {"offers": {}, "agreed": {}}),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_a_cart_that_was_never_opened_is_not_changed(change, more):
    given().when(change, **IT, **more).then_refused(CartUnknown, cart_id=CART)


def test_an_item_costs_its_list_price():
    opened.when(carts.add_item, offers=LIST, **ADD).then(item_added())
    opened.when(carts.add_item, offers={}, **ADD).then_refused(NotOffered, sku=HEART, currency=GBP)


def test_a_sku_has_one_line_which_grows():
    filled.when(carts.add_item, offers=LIST, **ADD).then(item_added())
    state = state_of(CARTS, cart_opened(), item_added(), item_added(quantity=5))

    assert [7] == [line.quantity for line in state.lines]


def test_another_sku_has_a_line_of_its_own_and_a_number_is_never_used_again():
    offers = costing("5", POSTAGE)
    add = {**ADD, "sku": POSTAGE, "offers": offers}
    wanted = item_added(line_id=2, sku=POSTAGE, unit_price="5")

    filled.when(carts.add_item, **add).then(wanted)
    given(cart_opened(), item_added(), item_removed()).when(carts.add_item, **add).then(wanted)


def test_an_item_that_became_cheaper_is_cheaper_when_more_is_added():
    filled.when(carts.add_item, offers=costing("2.45"), **ADD).then(item_added(unit_price="2.45"))
    state = state_of(CARTS, cart_opened(), item_added(), item_added(unit_price="2.45"))

    assert ["2.45"] == [line.unit_price for line in state.lines]


def test_an_item_that_became_dearer_is_not_added_to_before_its_buyer_agrees():
    filled.when(carts.add_item, offers=costing("2.95"), **ADD).then_refused(
        PriceChanged, cart_id=CART, prices=rise()
    )


def test_a_price_that_is_written_otherwise_is_the_same_price():
    filled.when(carts.add_item, offers=costing("2.550"), **ADD).then(item_added(unit_price="2.550"))
    filled.when(carts.reprice, offers=costing("2.550"), agreed={}, **IT).then()


@pytest.mark.parametrize("quantity", [0, -1, LINE_QUANTITY_MAX + 1])
def test_a_line_has_at_least_one_piece_and_no_more_than_there_may_be(quantity):
    facts = {"quantity": quantity, "limit": LINE_QUANTITY_MAX}
    opened.when(carts.add_item, offers=LIST, **{**ADD, "quantity": quantity}).then_refused(
        QuantityOutOfRange, **facts
    )
    filled.when(carts.change_quantity, line_id=1, quantity=quantity, **IT).then_refused(
        QuantityOutOfRange, **facts
    )


def test_what_is_added_counts_with_what_is_there():
    add = {**ADD, "quantity": LINE_QUANTITY_MAX - 1}
    filled.when(carts.add_item, offers=LIST, **add).then_refused(
        QuantityOutOfRange, quantity=LINE_QUANTITY_MAX + 1
    )
    filled.when(carts.add_item, offers=LIST, **{**ADD, "quantity": -1}).then_refused(QuantityOutOfRange)


def test_a_cart_has_no_more_lines_than_there_may_be():
    lines = [item_added(line_id=n, sku=Sku(f"s-{n}")) for n in range(1, LINES_MAX + 1)]
    full = given(cart_opened(), *lines)

    full.when(carts.add_item, offers=LIST, **ADD).then_refused(TooManyLines, limit=LINES_MAX)
    one_of_them = {**ADD, "sku": Sku("s-7"), "offers": costing("2.55", Sku("s-7"))}
    full.when(carts.add_item, **one_of_them).then(item_added(line_id=7, sku=Sku("s-7")))


def test_a_quantity_is_changed_to_what_it_is_not():
    filled.when(carts.change_quantity, line_id=1, quantity=3, **IT).then(item_quantity_changed())
    filled.when(carts.change_quantity, line_id=1, quantity=2, **IT).then()
    filled.when(carts.change_quantity, line_id=2, quantity=2, **IT).then_refused(LineUnknown, line_id=2)


def test_a_line_is_removed_once():
    changed = given(cart_opened(), item_added(), item_quantity_changed())

    changed.when(carts.remove_item, line_id=1, **IT).then(item_removed())
    changed.when(carts.remove_item, line_id=2, **IT).then()


def test_prices_that_fell_pass_on():
    fell = cart_repriced(lines=rise(new="2.45"), cause="drop")

    filled.when(carts.reprice, offers=costing("2.45"), agreed={}, **IT).then(fell)
    filled.when(carts.reprice, offers=LIST, agreed={}, **IT).then()


def test_a_price_that_rose_needs_consent_to_that_much():
    dearer = costing("2.95")
    for agreed in ({}, {HEART: "2.94"}, {POSTAGE: "2.95"}):
        filled.when(carts.reprice, offers=dearer, agreed=agreed, **IT).then_refused(
            PriceChanged, cart_id=CART, prices=rise()
        )
    for agreed in ("2.95", "2.950", "3"):
        filled.when(carts.reprice, offers=dearer, agreed={HEART: agreed}, **IT).then(cart_repriced())


def test_a_cart_with_an_item_that_is_not_offered_any_more_is_not_priced():
    filled.when(carts.reprice, offers={}, agreed={}, **IT).then_refused(NotOffered, sku=HEART)
