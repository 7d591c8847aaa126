"""Two carts become one: no line is lost, whatever both had."""

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st

from domain.cart.cart import CART as CARTS
from domain.cart.cart import Status
from domain.cart.cart_merging import assign, merge
from domain.cart.cart_refusals import (
    CartHasCustomer,
    CartIsClosed,
    CartsInTwoCurrencies,
    CartUnknown,
    SameCart,
    TooManyLines,
)
from domain.ids import CustomerId, Sku
from domain.quantity import QuantityOutOfRange
from tests.cart_examples import (
    ADA,
    CART,
    HEART,
    NOW,
    OTHER,
    POSTAGE,
    cart_assigned,
    cart_closed,
    cart_opened,
    carts_merged,
    item_added,
    merged_line,
)

BOTH = {"cart_id": CART, "source_id": OTHER, "now": NOW}
STRATEGIES = ("sum", "max", "keep_guest", "keep_customer")


def cart(*events, **opened):
    state = CARTS.evolve(None, cart_opened(**opened))
    for event in events:
        state = CARTS.evolve(state, event)
    return state


def holding(quantities, **opened):
    """A cart with these pieces by SKU."""
    lines = enumerate(quantities.items(), start=1)
    return cart(
        *(item_added(line_id=n, sku=Sku(sku), quantity=quantity) for n, (sku, quantity) in lines), **opened
    )


def guests(quantities, **opened):
    return holding(quantities, cart_id=OTHER, guest=True, **opened)


@pytest.mark.parametrize(("strategy", "quantity"), list(zip(STRATEGIES, (5, 3, 3, 2), strict=True)))
def test_a_line_that_both_have_has_the_pieces_that_the_strategy_says(strategy, quantity):
    merged, closed = merge(holding({HEART: 2}), guests({HEART: 3}), strategy=strategy, **BOTH)

    assert [carts_merged(strategy=strategy, lines=(merged_line(quantity=quantity),))] == merged
    assert [cart_closed(cart_id=OTHER, merged_into=CART)] == closed


CARTS_OF_ANY = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 5_000), max_size=8)


@given_any(mine=CARTS_OF_ANY, others=CARTS_OF_ANY, strategy=st.sampled_from(STRATEGIES))
def test_a_merge_drops_no_line_and_numbers_none_twice(mine, others, strategy):
    """vendure 3153: lines that both carts had were deleted."""
    before = holding(mine)
    [merged], _ = merge(before, guests(others), strategy=strategy, **BOTH)
    after = CARTS.evolve(before, merged)

    assert {*mine, *others} == {line.sku for line in after.lines}
    assert len(after.lines) == len({line.line_id for line in after.lines})
    assert [line.line_id for line in before.lines] == [line.line_id for line in after.lines][: len(mine)]
    for line in after.lines:
        assert line.quantity in {
            mine.get(line.sku, 0) + others.get(line.sku, 0),
            mine.get(line.sku),
            others.get(line.sku),
        }


def test_a_line_that_both_have_costs_the_lower_price_that_was_shown():
    mine = cart(item_added(unit_price="2.95"))
    theirs = cart(item_added(cart_id=OTHER, unit_price="2.55"), cart_id=OTHER)

    for one, other in ((mine, theirs), (theirs, mine)):
        [merged], _ = merge(one, other, strategy="max", **BOTH)
        assert ["2.55"] == [line.unit_price for line in merged.lines]


def test_a_cart_that_was_merged_changes_no_more_and_is_merged_once():
    mine, theirs = holding({HEART: 2}), guests({POSTAGE: 1})
    [merged], [closed] = merge(mine, theirs, strategy="sum", **BOTH)
    mine, theirs = CARTS.evolve(mine, merged), CARTS.evolve(theirs, closed)

    assert ([], []) == merge(mine, theirs, strategy="sum", **BOTH)
    assert (Status.MERGED, CART) == (theirs.status, theirs.merged_into)
    with pytest.raises(CartIsClosed) as refused:
        merge(cart(), theirs, **{**BOTH, "cart_id": "another"}, strategy="sum")
    assert ("merged", CART) == (refused.value.status, refused.value.merged_into)


@pytest.mark.parametrize(
    ("mine", "theirs", "refusal"),
    [
        (None, guests({}), CartUnknown),
        (cart(), None, CartUnknown),
        (cart(), guests({}, currency="EUR"), CartsInTwoCurrencies),
        (cart(cart_closed()), guests({}), CartIsClosed),
        (holding({f"a-{n}": 1 for n in range(150)}), guests({f"b-{n}": 1 for n in range(51)}), TooManyLines),
        (holding({HEART: 6_000}), guests({HEART: 6_000}), QuantityOutOfRange),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_carts_are_not_merged_where(mine, theirs, refusal):
    with pytest.raises(refusal):
        merge(mine, theirs, strategy="sum", **BOTH)


def test_a_cart_is_not_merged_with_itself():
    with pytest.raises(SameCart):
        merge(cart(), cart(), strategy="sum", **{**BOTH, "source_id": CART})


def test_the_cart_of_a_guest_becomes_a_customers_and_keeps_all_items():
    """vendure 2283: items were lost when a guest signed up."""
    of_a_guest = cart(item_added(), guest=True, customer_id="guest")
    it = {"cart_id": CART, "customer_id": ADA, "now": NOW}

    assert [cart_assigned()] == assign(of_a_guest, **it)
    after = CARTS.evolve(of_a_guest, cart_assigned())
    assert (of_a_guest.lines, ADA, False) == (after.lines, after.customer_id, after.guest)
    assert [] == assign(after, **it)
    with pytest.raises(CartHasCustomer):
        assign(after, **{**it, "customer_id": CustomerId("17851")})
    with pytest.raises(CartUnknown):
        assign(None, **it)
