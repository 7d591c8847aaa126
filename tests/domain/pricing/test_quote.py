"""What a cart costs: every amount is whole, totals are their sums, and the same cart costs the same again."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from counterfoil.testing.spec import state_of
from domain.ids import Sku, TaxCategoryId
from domain.money import EXPONENTS, Currency, Minor, UnitPrice
from domain.pricing.quote import Discounts, Sale, SaleLine, Shipping, quote, subtotals
from domain.pricing.rounding import Rounding, half_down, half_up, share
from domain.pricing.tax_table import TAX_TABLE, MissingTaxRate
from tests.pricing_examples import BRITAIN, GBP, NOW, SKU, STANDARD, tax_rate_set

ADDED = TaxCategoryId("added")
FREE = TaxCategoryId("free")
TABLE = state_of(
    TAX_TABLE,
    tax_rate_set(),
    tax_rate_set(tax_category=ADDED, rate_bp=825, included=False),
    tax_rate_set(tax_category=FREE, rate_bp=0),
)
MODES = ("half_even", "half_up", "half_down")
ROUNDINGS = [Rounding(mode, level) for mode in MODES for level in ("line", "unit")]

categories = st.sampled_from([STANDARD, ADDED, FREE])
prices = st.decimals("0", "9999", places=4).map(lambda price: UnitPrice(f"{price:f}"))
lines = st.builds(
    SaleLine,
    sku=st.sampled_from([Sku("A"), Sku("B")]),
    quantity=st.integers(1, 1_000),
    unit_price=prices,
    price_id=st.none(),
    tax_category=categories,
)
carts = st.builds(
    Sale,
    lines=st.lists(lines, min_size=1, max_size=5).map(tuple),
    shipping=st.none() | st.builds(Shipping, amount=st.integers(0, 9_999), tax_category=categories),
    currency=st.sampled_from(sorted(EXPONENTS)),
    jurisdiction=st.just(BRITAIN),
    at=st.just(NOW),
    rounding=st.sampled_from(ROUNDINGS),
)


def line(unit_price, *, quantity=1, tax_category=STANDARD):
    return SaleLine(
        sku=SKU,
        quantity=quantity,
        unit_price=UnitPrice(unit_price),
        price_id=None,
        tax_category=tax_category,
    )


def cart(*lines, **changes):
    priced = Sale(lines=lines, shipping=None, currency=GBP, jurisdiction=BRITAIN, at=NOW)
    return replace(priced, **changes)


def discounted(data, priced):
    """Some discounts that a cart can have."""
    whole = subtotals(priced)
    shipping = 0 if priced.shipping is None else priced.shipping.amount
    return Discounts(
        tuple(Minor(data.draw(st.integers(0, amount))) for amount in whole),
        Minor(data.draw(st.integers(0, shipping))),
    )


@given(carts, st.data())
def test_totals_add_up_to_the_minor_unit(priced, data):
    # medusa 14817 and 13734: parts that are not whole make a total that is not what is charged.
    quoted = quote(priced, discounts=discounted(data, priced), tax_table=TABLE)
    totals = quoted.totals
    parts = [*quoted.lines, *(() if quoted.shipping is None else (quoted.shipping,))]

    assert totals.items + totals.shipping - totals.discount + totals.tax - totals.tax_included == totals.grand
    assert sum(part.total for part in parts) == totals.grand
    assert sum(part.tax.amount for part in parts) == totals.tax
    assert 0 == quote(replace(priced, jurisdiction=None), tax_table=None).totals.tax
    amounts = [each for part in parts for each in (part.total, part.discount, part.tax.amount)]
    assert all(type(each) is int and each >= 0 for each in amounts)


@given(carts, st.data())
def test_tax_is_no_further_from_its_exact_amount_than_its_level_rounds(priced, data):
    # spree 10874 and 6137: tax that is rounded in several steps drifts from what the law wants.
    quoted = quote(priced, discounts=discounted(data, priced), tax_table=TABLE)

    for each in quoted.lines:
        net = each.subtotal - each.discount
        parts = 10_000 + each.tax.rate_bp if each.tax.included else 10_000
        exact = Fraction(net * each.tax.rate_bp, parts)
        roundings = 1 if priced.rounding.level == "line" else each.quantity

        assert abs(each.tax.amount - exact) <= Fraction(roundings, 2)


@given(carts, st.data())
def test_the_remainder_is_by_how_much_rounding_each_line_is_off_from_rounding_once(priced, data):
    quoted = quote(priced, discounts=discounted(data, priced), tax_table=TABLE)
    parts = [*quoted.lines, *(() if quoted.shipping is None else (quoted.shipping,))]
    exact = Fraction()
    for each in parts:
        whole = each.subtotal if each in quoted.lines else each.amount
        divisor = 10_000 + each.tax.rate_bp if each.tax.included else 10_000
        exact += Fraction((whole - each.discount) * each.tax.rate_bp, divisor)

    assert abs(quoted.totals.tax - quoted.totals.tax_remainder - exact) <= Fraction(1, 2)


def test_three_lines_of_which_each_is_rounded_up_are_taxed_more_than_their_sum():
    one = quote(cart(line("0.07", tax_category=ADDED)), tax_table=TABLE).totals
    three = quote(cart(*(line("0.07", tax_category=ADDED) for _ in range(3))), tax_table=TABLE).totals

    assert (1, 0) == (one.tax, one.tax_remainder)  # 0.5775 pence
    assert (3, 1) == (three.tax, three.tax_remainder)  # 1.7325 pence: 2 if it were rounded once


@given(carts, st.data())
def test_a_quote_is_repeated_by_what_it_says_of_itself(priced, data):
    # An order that keeps the rounding of its quote has the same totals whatever the default is by then.
    discounts = discounted(data, priced)
    first = quote(priced, discounts=discounts, tax_table=TABLE)
    repeated = Sale(
        lines=tuple(
            SaleLine(
                sku=each.sku,
                quantity=each.quantity,
                unit_price=each.unit_price,
                price_id=each.price_id,
                tax_category=each.tax_category,
            )
            for each in first.lines
        ),
        shipping=None
        if first.shipping is None
        else Shipping(amount=first.shipping.amount, tax_category=first.shipping.tax_category),
        currency=first.currency,
        jurisdiction=first.jurisdiction,
        at=first.at,
        rounding=first.rounding,
    )

    assert first == quote(repeated, discounts=discounts, tax_table=TABLE)


@given(carts)
def test_the_order_of_lines_changes_no_total(priced):
    backwards = replace(priced, lines=priced.lines[::-1])

    assert quote(priced, tax_table=TABLE).totals == quote(backwards, tax_table=TABLE).totals


@pytest.mark.parametrize(
    ("rounding", "subtotal", "tax"),
    [
        (Rounding(), 100, 8),  # 99.9 pence, and 8.25 of tax
        (Rounding(level="unit"), 99, 9),  # three pieces of 33 pence, and 3 of tax (2.7225) for each of them
    ],
)
def test_amounts_are_rounded_once_for_a_line_or_once_for_each_piece(rounding, subtotal, tax):
    [quoted] = quote(
        cart(line("0.333", quantity=3, tax_category=ADDED), rounding=rounding), tax_table=TABLE
    ).lines

    assert (subtotal, tax, subtotal + tax) == (quoted.subtotal, quoted.tax.amount, quoted.total)


@pytest.mark.parametrize(("mode", "rounded"), [("half_even", 2), ("half_up", 3), ("half_down", 2)])
def test_half_a_minor_unit_goes_where_the_mode_says(mode, rounded):
    assert rounded == subtotals(cart(line("0.025"), rounding=Rounding(mode)))[0]
    assert 4 == subtotals(cart(line("0.0351"), rounding=Rounding(mode)))[0]


@given(st.integers(0, 10**9), st.integers(1, 10**6))
def test_every_mode_rounds_to_the_nearest(number, divisor):
    exact = Fraction(number, divisor)
    for mode in MODES:
        assert abs(share(1, number, divisor, rounding=Rounding(mode)) - exact) <= Fraction(1, 2)
    assert half_down(number, divisor) <= exact + Fraction(1, 2)
    assert half_up(number, divisor) >= exact - Fraction(1, 2)


def test_a_price_that_holds_its_tax_costs_what_it_says():
    included = quote(cart(line("12.00")), tax_table=TABLE).totals
    added = quote(cart(line("10.00", tax_category=ADDED)), tax_table=TABLE).totals

    assert (1_200, 200, 200) == (included.grand, included.tax, included.tax_included)
    assert (1_082, 82, 0) == (added.grand, added.tax, added.tax_included)


def test_tax_is_whole_in_a_currency_without_minor_unit():
    yen = cart(line("999", tax_category=ADDED), currency=Currency("JPY"))

    assert (999, 82, 1_081) == (
        (totals := quote(yen, tax_table=TABLE).totals).items,
        totals.tax,
        totals.grand,
    )


def test_tax_is_of_what_is_left_after_the_discount():
    # vendure 2393: what was paid less because of a promotion is taxed, and given back, as less.
    [quoted] = quote(cart(line("12.00")), discounts=Discounts((Minor(600),)), tax_table=TABLE).lines

    assert (600, 100) == (quoted.total, quoted.tax.amount)


def test_a_cart_is_not_quoted_without_the_rate_of_each_line_and_of_shipping():
    unknown = TaxCategoryId("unknown")
    shipped = cart(line("1"), shipping=Shipping(amount=Minor(1), tax_category=unknown))

    for priced in (cart(line("1"), line("1", tax_category=unknown)), shipped):
        with pytest.raises(MissingTaxRate, match="unknown"):
            quote(priced, tax_table=TABLE)
