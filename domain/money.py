"""Money: totals are integers in the currency's minor unit, unit prices are decimal text as quoted.

A unit price may be finer than the minor unit (0.0275 a piece); only a line total is rounded, once, half-even.
"""

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Final, NewType

from domain.rejection import Unacceptable

Currency = NewType("Currency", str)
"""ISO 4217 alphabetic code."""
Minor = NewType("Minor", int)
"""Money in the minor unit of its currency (pence, cents, yen, fils)."""
UnitPrice = NewType("UnitPrice", str)
"""Price of one piece: decimal text, not negative, without sign or exponent."""

UNIT_PRICE_PATTERN: Final = r"^(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,8})?$"
"""Below a thousand million units of the currency, with at most eight decimals."""

AMOUNT_MAX: Final = Minor(1_000_000_000_000)
"""Minor units in one total. Sums over nine million such totals still fit the 64-bit columns of the views."""

_WITHOUT_MINOR_UNIT = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_IN_HUNDREDTHS = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF "
    "CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG "
    "HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU "
    "MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR "
    "SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED "
    "VES WST XCD XCG YER ZAR ZMW ZWG"
)
_IN_THOUSANDTHS = "BHD IQD JOD KWD LYD OMR TND"

EXPONENTS: Mapping[Currency, int] = MappingProxyType(
    {
        Currency(code): exponent
        for exponent, codes in ((0, _WITHOUT_MINOR_UNIT), (2, _IN_HUNDREDTHS), (3, _IN_THOUSANDTHS))
        for code in codes.split()
    }
)
"""Decimal places of the minor unit, for every currency in circulation (ISO 4217)."""

_is_unit_price = re.compile(UNIT_PRICE_PATTERN[1:-1]).fullmatch


@dataclass(kw_only=True, eq=False)
class UnknownCurrency(Unacceptable):
    """The code names no currency in circulation."""

    title = "There is no such currency"
    meaning = "A currency is an ISO 4217 code in circulation."
    remedy = 'Send a code such as "GBP".'

    currency: str

    def __str__(self) -> str:
        return f"'{self.currency}' is not an ISO 4217 currency code."


@dataclass(kw_only=True, eq=False)
class MalformedUnitPrice(Unacceptable):
    """The text is not a price."""

    title = "The unit price is not a price"
    meaning = "A unit price is decimal text without sign or exponent, with at most eight decimals."
    remedy = 'Send text such as "2.55".'

    unit_price: str

    def __str__(self) -> str:
        return "A unit price is decimal text such as '2.55': not negative, below 10^9, at most 8 decimals."


@dataclass(kw_only=True, eq=False)
class AmountTooLarge(Unacceptable):
    """A total passes what one document may carry."""

    title = "The total is too large"
    meaning = "The total exceeds the limit of one document: `facts.limit` minor units."
    remedy = "Split the document."

    currency: Currency
    amount: Minor
    limit: Minor = AMOUNT_MAX

    def __str__(self) -> str:
        return f"A total of {self.amount} minor units of {self.currency} passes the limit of {self.limit}."


def validate_currency(code: str) -> Currency:
    """Return `code` when it is a currency.

    Raises:
        UnknownCurrency: it is not.
    """
    currency = Currency(code)
    if currency not in EXPONENTS:
        raise UnknownCurrency(currency=code)
    return currency


def validate_unit_price(text: str) -> UnitPrice:
    """Return `text` unchanged when it is a unit price.

    Raises:
        MalformedUnitPrice: it is not.
    """
    if _is_unit_price(text) is None:
        raise MalformedUnitPrice(unit_price=text)
    return UnitPrice(text)


def shortest(unit_price: UnitPrice) -> str:
    """The one spelling that equal prices share (`10.00` and `10.0` are `10`): for comparing, never for storing.

    Raises:
        MalformedUnitPrice: the price is not decimal text.
    """
    text = validate_unit_price(unit_price)
    return text.rstrip("0").rstrip(".") if "." in text else text


def is_dearer(price: UnitPrice, *, than: UnitPrice) -> bool:
    """Whether a price is higher than another in the same currency: amounts are compared, not their texts.

    Raises:
        MalformedUnitPrice: one of them is not decimal text.
    """
    return Decimal(validate_unit_price(price)) > Decimal(validate_unit_price(than))


def half_even(number: int, divisor: int) -> int:
    """The integer nearest to number / divisor; of two, the even one. Neither is negative."""
    quotient, rest = divmod(number, divisor)
    if 2 * rest > divisor or (2 * rest == divisor and quotient % 2):
        return quotient + 1
    return quotient


def line_total(
    quantity: int,
    *,
    unit_price: UnitPrice,
    currency: Currency,
    rounded: Callable[[int, int], int] = half_even,
) -> Minor:
    """Multiply exactly, then round to the minor unit: half-even, unless `rounded` is another way.

    Raises:
        MalformedUnitPrice: the price is not decimal text.
        UnknownCurrency: the currency has no known minor unit.
    """
    exponent = EXPONENTS.get(currency)
    if exponent is None:
        raise UnknownCurrency(currency=currency)
    digits, decimals = _in_integers(unit_price)
    exact = quantity * digits
    if decimals <= exponent:
        return Minor(exact * 10 ** (exponent - decimals))
    return Minor(rounded(exact, 10 ** (decimals - exponent)))


@functools.lru_cache(maxsize=65_536)
def _in_integers(price: UnitPrice) -> tuple[int, int]:
    """A price as an integer and the number of its digits that are decimals: 2.55 is (255, 2)."""
    whole, _, fraction = validate_unit_price(price).partition(".")
    return int(whole + fraction), len(fraction)


def decimal(amount: int, *, currency: Currency) -> str:
    """An amount in minor units as decimal text in units of the currency: 1530 pence are `15.30`.

    Raises:
        UnknownCurrency: the currency has no known minor unit.
    """
    exponent = EXPONENTS.get(currency)
    if exponent is None:
        raise UnknownCurrency(currency=currency)
    return str(Decimal(amount).scaleb(-exponent))


def within_limit(amount: int, *, currency: Currency) -> Minor:
    """Return `amount` when a document may carry it as its total.

    Raises:
        AmountTooLarge: it passes `AMOUNT_MAX`.
    """
    if amount > AMOUNT_MAX:
        raise AmountTooLarge(currency=currency, amount=Minor(amount))
    return Minor(amount)
