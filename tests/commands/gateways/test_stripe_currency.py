"""Amounts at Stripe, whose minor unit is not ours for some currencies."""

import pytest

from commands.gateways.gateway import Unaskable
from commands.gateways.payment.stripe_currency import from_stripe, to_stripe
from domain.money import EXPONENTS, line_total


@pytest.mark.parametrize(
    ("currency", "price", "at_stripe"),
    [
        ("GBP", "12.65", 1265),
        ("JPY", "500", 500),
        ("ISK", "5", 500),
        ("UGX", "1000", 100_000),
        ("MGA", "10.00", 10),
        ("KWD", "5.120", 5120),
    ],
)
def test_an_amount_is_the_same_money_at_stripe_and_back(currency, price, at_stripe):
    amount = line_total(1, unit_price=price, currency=currency)

    assert at_stripe == to_stripe(amount, currency)
    assert amount == from_stripe(at_stripe, currency)


@pytest.mark.parametrize(("currency", "amount"), [("MGA", 1050), ("KWD", 5124), ("TND", 1)])
def test_an_amount_that_is_too_fine_for_stripe_cannot_be_asked_for(currency, amount):
    with pytest.raises(Unaskable, match=f"no amount in {currency}"):
        to_stripe(amount, currency)


def test_an_amount_of_stripe_that_is_too_fine_for_us_is_none():
    assert from_stripe(150, "ISK") is None
    assert from_stripe(150, "XXX") is None


@pytest.mark.parametrize("currency", EXPONENTS)
def test_whole_units_of_every_currency_can_be_asked_for(currency):
    amount = 7 * 10 ** EXPONENTS[currency]

    assert amount == from_stripe(to_stripe(amount, currency), currency)
