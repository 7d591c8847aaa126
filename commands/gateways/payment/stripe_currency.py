"""Amounts at Stripe, which has minor units of its own for some currencies: https://docs.stripe.com/currencies."""

from typing import Final

from commands.gateways.gateway import Unaskable
from domain.money import EXPONENTS, Currency

_WITHOUT_MINOR_UNIT: Final = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
_WHOLE_IN_HUNDREDTHS: Final = "ISK UGX"
"""They have no minor unit any more; Stripe takes them in hundredths still, of which the last two digits are 0."""

_IN_THOUSANDTHS: Final = "BHD JOD KWD OMR TND"
"""The last digit is 0: the networks of cards know hundredths only."""

_AT_STRIPE: Final[dict[str, tuple[int, int]]] = {
    code: unit
    for unit, codes in (
        ((0, 1), _WITHOUT_MINOR_UNIT),
        ((2, 100), _WHOLE_IN_HUNDREDTHS),
        ((3, 10), _IN_THOUSANDTHS),
    )
    for code in codes.split()
}
"""Decimal places, and the number that amounts are multiples of. Other currencies are as in ISO 4217."""


def to_stripe(amount: int, currency: str) -> int:
    """An amount in our minor units, in those of Stripe.

    Raises:
        Unaskable: Stripe takes no such amount in this currency.
    """
    ours = EXPONENTS[Currency(currency)]
    theirs, multiple = _AT_STRIPE.get(currency, (ours, 1))
    converted = _shifted(amount, theirs - ours)
    if converted is None or converted % multiple:
        raise Unaskable(f"Stripe takes no amount in {currency} that is as fine as {amount} minor units")
    return converted


def from_stripe(amount: int, currency: str) -> int | None:
    """An amount in minor units of Stripe, in ours; None if we have none that is as fine, or no such currency."""
    ours = EXPONENTS.get(Currency(currency))
    if ours is None:
        return None
    theirs, _ = _AT_STRIPE.get(currency, (ours, 1))
    return _shifted(amount, ours - theirs)


def _shifted(amount: int, places: int) -> int | None:
    power: int = 10 ** abs(places)
    if places >= 0:
        return amount * power
    shifted, rest = divmod(amount, power)
    return None if rest else shifted
