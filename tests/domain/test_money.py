import decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import money
from domain.money import (
    AMOUNT_MAX,
    EXPONENTS,
    AmountTooLarge,
    Currency,
    MalformedUnitPrice,
    Minor,
    UnitPrice,
    UnknownCurrency,
    line_total,
    shortest,
    validate_currency,
    validate_unit_price,
    within_limit,
)
from domain.quantity import QUANTITY_MAX

GBP = Currency("GBP")


def unit_prices() -> st.SearchStrategy[str]:
    whole = st.integers(0, 999_999_999).map(str)
    decimals = st.text("0123456789", min_size=1, max_size=8)
    return whole | st.tuples(whole, decimals).map(".".join)


@given(st.integers(1, QUANTITY_MAX), unit_prices(), st.sampled_from(sorted(EXPONENTS)))
def test_a_line_total_is_the_exact_product_rounded_half_even(quantity, unit_price, currency):
    exact = quantity * Fraction(unit_price) * 10 ** EXPONENTS[currency]

    assert round(exact) == line_total(quantity, unit_price=unit_price, currency=currency)


@pytest.mark.parametrize(
    ("pence", "unit_price"), [(0, "0.005"), (2, "0.015"), (2, "0.025"), (1, "0.0050001"), (0, "0")]
)
def test_a_tie_goes_to_the_even_penny(pence, unit_price):
    assert pence == line_total(1, unit_price=UnitPrice(unit_price), currency=GBP)


@pytest.mark.parametrize(("currency", "total"), [("JPY", 3), ("GBP", 255), ("KWD", 2550)])
def test_totals_are_in_the_minor_unit_of_their_currency(currency, total):
    assert total == line_total(1, unit_price=UnitPrice("2.55"), currency=Currency(currency))


def test_only_the_total_is_rounded_never_the_unit_price():
    assert line_total(1000, unit_price=UnitPrice("0.0275"), currency=GBP) == 2750


def test_the_decimal_context_of_the_thread_has_no_say():
    with decimal.localcontext(decimal.Context(prec=3, rounding=decimal.ROUND_UP)):
        assert line_total(7, unit_price=UnitPrice("1234.565"), currency=GBP) == 864_196


@pytest.mark.parametrize(
    "text",
    ["", "-1", "+1", "1e3", "1.", ".5", "1,50", " 1", "01", "NaN", "Infinity", "1_0", "1\n", "1" * 10, "٣"],
)
def test_a_unit_price_is_plain_decimal_text(text):
    with pytest.raises(MalformedUnitPrice):
        validate_unit_price(text)
    with pytest.raises(MalformedUnitPrice):
        line_total(1, unit_price=UnitPrice(text), currency=GBP)


@given(unit_prices())
def test_a_unit_price_is_kept_as_quoted(text):
    assert text == validate_unit_price(text)


few_prices = st.sampled_from(
    ["0", "0.0", "0.10", "0.1", "1", "1.0", "1.00000000", "10", "10.0", "10.01", "100"]
)


@given(unit_prices() | few_prices, unit_prices() | few_prices)
def test_two_prices_have_the_same_shortest_text_exactly_when_they_are_equal(one, other):
    assert (Fraction(one) == Fraction(other)) is (shortest(UnitPrice(one)) == shortest(UnitPrice(other)))


@pytest.mark.parametrize(
    ("price", "text"), [("10.00", "10"), ("10", "10"), ("0.50", "0.5"), ("0.00", "0"), ("100", "100")]
)
def test_the_shortest_text_of_a_price_has_no_zeros_to_spare(price, text):
    assert text == shortest(UnitPrice(price))


def test_a_currency_that_does_not_exist_is_refused():
    for refused in ("XXX", "gbp", ""):
        with pytest.raises(UnknownCurrency):
            validate_currency(refused)
        with pytest.raises(UnknownCurrency):
            line_total(1, unit_price=UnitPrice("1"), currency=Currency(refused))


def test_every_currency_has_a_known_minor_unit():
    assert {0, 2, 3} == set(EXPONENTS.values())
    assert {0, 2, 3} == {EXPONENTS[Currency(code)] for code in ("JPY", "EUR", "KWD")}


def test_a_document_beyond_the_limit_is_refused():
    assert within_limit(AMOUNT_MAX, currency=GBP) == AMOUNT_MAX
    with pytest.raises(AmountTooLarge) as refusal:
        within_limit(AMOUNT_MAX + 1, currency=GBP)

    facts = {"currency": "GBP", "amount": Minor(AMOUNT_MAX + 1), "limit": AMOUNT_MAX}
    assert facts == refusal.value.facts()


@given(st.integers(0, AMOUNT_MAX), st.sampled_from(sorted(EXPONENTS)))
def test_an_amount_is_written_with_all_decimal_places_of_its_currency_and_no_others(amount, currency):
    text = money.decimal(amount, currency=currency)

    assert Fraction(amount, 10 ** EXPONENTS[currency]) == Fraction(text)
    assert EXPONENTS[currency] == len(text.partition(".")[2])
    assert text.replace(".", "").isdecimal()
