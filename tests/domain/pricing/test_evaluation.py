"""Promotions as a pure function of the cart before promotions."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.ids import PromotionGroupId, PromotionId, Sku, TaxCategoryId
from domain.money import Minor, UnitPrice
from domain.pricing.evaluation import evaluate
from domain.pricing.promotion import Promotion, defined
from domain.pricing.quote import Sale, SaleLine, Shipping, quote, subtotals
from domain.pricing.rounding import Rounding
from domain.pricing.window import Window
from domain.promotion_terms import Action, Rule
from tests.domain.pricing.test_quote import ROUNDINGS, TABLE
from tests.pricing_examples import BRITAIN, GBP, LONG_AGO, NOW, STANDARD, promotion_defined

A, B = Sku("A"), Sku("B")
TENTH_OFF = defined(promotion_defined())
HALF = Action(kind="percent_bp", percent_bp=5_000)
FIVE_POUNDS = Action(kind="fixed", amount=Minor(500))
SHIPPED = Shipping(amount=Minor(495), tax_category=STANDARD)

lines = st.builds(
    SaleLine,
    sku=st.sampled_from([A, B]),
    quantity=st.integers(1, 7),
    unit_price=st.sampled_from(["0", "0.05", "1.99", "2.555", "10"]).map(UnitPrice),
    price_id=st.none(),
    tax_category=st.sampled_from([STANDARD, TaxCategoryId("added")]),
)
carts = st.builds(
    Sale,
    lines=st.lists(lines, min_size=1, max_size=5).map(tuple),
    shipping=st.none() | st.just(SHIPPED),
    currency=st.just(GBP),
    jurisdiction=st.just(BRITAIN),
    at=st.just(NOW),
    rounding=st.sampled_from(ROUNDINGS),
)
actions = st.one_of(
    st.builds(Action, kind=st.just("percent_bp"), percent_bp=st.integers(1, 10_000)),
    st.builds(Action, kind=st.just("fixed"), amount=st.integers(1, 3_000).map(Minor)),
    st.just(Action(kind="free_shipping")),
    st.builds(Action, kind=st.just("bxgy"), buy=st.integers(1, 3), get=st.integers(1, 2)),
)
stackings = st.one_of(
    st.just(("combine", None)),
    st.just(("exclusive", None)),
    st.sampled_from(["g", "h"]).map(lambda group: ("best_in_group", PromotionGroupId(group))),
)


@st.composite
def promotion_lists(draw):
    """Some promotions, in any order, each of another id."""
    found = []
    for number in range(draw(st.integers(0, 6))):
        stacking, group = draw(stackings)
        found.append(
            replace(
                TENTH_OFF,
                promotion_id=PromotionId(f"p-{number}"),
                action=draw(actions),
                stacking=stacking,
                group=group,
                priority=draw(st.integers(0, 2)),
                rule=Rule(
                    skus=draw(st.sampled_from([(), (A,), (B,)])),
                    min_amount=Minor(draw(st.integers(0, 3_000))),
                    min_quantity=draw(st.integers(1, 4)),
                ),
            )
        )
    return draw(st.permutations(found))


def line(unit_price, *, sku=A, quantity=1):
    return SaleLine(
        sku=sku, quantity=quantity, unit_price=UnitPrice(unit_price), price_id=None, tax_category=STANDARD
    )


def cart(*given_lines, shipping=None):
    return Sale(lines=given_lines, shipping=shipping, currency=GBP, jurisdiction=BRITAIN, at=NOW)


def promotion(promotion_id, **changes) -> Promotion:
    return replace(TENTH_OFF, promotion_id=PromotionId(promotion_id), **changes)


def applied(evaluation):
    return {each.promotion_id: each.amount for each in evaluation.discounts.applied}


@given(carts, promotion_lists())
def test_nothing_costs_less_than_nothing(sale, promotions):
    discounts = evaluate(sale, promotions).discounts
    shipping = 0 if sale.shipping is None else sale.shipping.amount

    assert all(0 <= off <= whole for off, whole in zip(discounts.lines, subtotals(sale), strict=True))
    assert 0 <= discounts.shipping <= shipping
    assert sum(each.amount for each in discounts.applied) == sum(discounts.lines) + discounts.shipping
    assert quote(sale, discounts=discounts, tax_table=TABLE).totals.grand >= 0


@given(carts, promotion_lists(), st.randoms(use_true_random=False))
def test_neither_the_order_of_lines_nor_of_promotions_matters(sale, promotions, chance):
    other = replace(sale, lines=tuple(chance.sample(sale.lines, len(sale.lines))))
    shuffled = chance.sample(promotions, len(promotions))
    one, two = evaluate(sale, promotions), evaluate(other, shuffled)

    assert (applied(one), one.refused) == (applied(two), two.refused)
    assert (
        quote(sale, discounts=one.discounts, tax_table=TABLE).totals
        == quote(other, discounts=two.discounts, tax_table=TABLE).totals
    )


@given(carts, promotion_lists())
def test_a_promotion_never_toggles(sale, promotions):
    # vendure 1012: a discount brought the cart below its own threshold, so the promotion came and went.
    found = evaluate(sale, promotions)
    eligible = {
        each.promotion_id
        for each in promotions
        if evaluate(sale, [replace(each, stacking="combine", group=None)]).discounts.applied
    }
    mismatched = {name for name, reason in found.refused.items() if reason == "cart_mismatch"}

    assert found == evaluate(sale, promotions)
    assert applied(found).keys() <= eligible
    assert found.refused.keys().isdisjoint(applied(found))
    assert {each.promotion_id for each in promotions} == found.refused.keys() | applied(found).keys()
    if all(each.action.kind == "percent_bp" and each.stacking == "combine" for each in promotions):
        off = [each.action.percent_bp for each in promotions if each.promotion_id in eligible]
        assert sum(off) >= 10_000 or not (mismatched & eligible), "what others take off is no reason"


def test_a_discount_does_not_bring_a_cart_below_the_threshold_of_another_promotion():
    first = promotion("first", action=HALF, priority=1)
    second = promotion("second", rule=Rule(min_amount=Minor(1_000)))

    assert {"first": 500, "second": 100} == applied(evaluate(cart(line("10")), [second, first]))


def test_a_fixed_amount_is_spread_over_lines_by_what_they_cost():
    discounts = evaluate(cart(line("20"), line("10", sku=B)), [promotion("p", action=FIVE_POUNDS)]).discounts

    assert (333, 167) == discounts.lines


def test_a_fixed_amount_takes_off_no_more_than_there_is():
    assert {"p": 199} == applied(evaluate(cart(line("1.99")), [promotion("p", action=FIVE_POUNDS)]))


def test_the_cheapest_pieces_are_free():
    three_for_two = promotion("p", action=Action(kind="bxgy", buy=2, get=1))
    found = evaluate(cart(line("10", quantity=4), line("2", sku=B, quantity=3)), [three_for_two])

    assert (0, 400) == found.discounts.lines


def test_shipping_is_free_and_lines_are_not():
    free = promotion("p", action=Action(kind="free_shipping"))

    assert (0, 495) == (
        (found := evaluate(cart(line("10"), shipping=SHIPPED), [free]).discounts).lines[0],
        found.shipping,
    )
    assert {"p": "cart_mismatch"} == evaluate(cart(line("10")), [free]).refused


def test_an_exclusive_promotion_stands_alone():
    alone = promotion("alone", stacking="exclusive", priority=1)
    late = promotion("late", stacking="exclusive", priority=-1)

    first = evaluate(cart(line("10")), [TENTH_OFF, alone])
    assert ({"alone": 100}, {"spring": "stopped"}) == (applied(first), first.refused)
    behind = evaluate(cart(line("10")), [TENTH_OFF, late])
    assert ({"spring": 100}, {"late": "stopped"}) == (applied(behind), behind.refused)


def test_the_best_of_a_group_applies_whatever_its_priority():
    of_group = {"stacking": "best_in_group", "group": PromotionGroupId("g")}
    less = promotion("less", priority=9, **of_group)
    more = promotion("more", action=HALF, **of_group)
    found = evaluate(cart(line("10")), [less, more, promotion("other")])

    assert ({"more": 500, "other": 100}, {"less": "beaten"}) == (applied(found), found.refused)


def test_a_promotion_is_for_its_window_its_currency_and_who_has_its_coupon():
    over = promotion("over", window=Window(LONG_AGO, NOW))
    dollars = promotion("dollars", currency="USD")
    ended = promotion("ended", is_ended=True)
    secret = promotion("secret", needs_coupon=True, budget=Minor(99))
    sale, known = cart(line("10")), frozenset((PromotionId("secret"),))

    assert {"over": "outside_validity", "dollars": "cart_mismatch", "ended": "inactive"} == evaluate(
        sale, [over, dollars, ended, secret]
    ).refused
    assert {"secret": "cap_reached"} == evaluate(sale, [secret], coupons=known).refused
    assert {"secret": 100} == applied(
        evaluate(sale, [replace(secret, budget=Minor(150))], coupons=known, spent={"secret": 50})
    )


def test_an_order_is_credited_what_its_lines_cost_after_promotions():
    # vendure 2393: promotions were ignored when money was given back. A line carries its discount and its total.
    sale = cart(line("10"), line("20", sku=B))
    found = quote(sale, discounts=evaluate(sale, [TENTH_OFF]).discounts, tax_table=TABLE)

    assert [(100, 900), (200, 1_800)] == [(each.discount, each.total) for each in found.lines]
    assert Rounding() == found.rounding
