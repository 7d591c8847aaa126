"""Rounding to the minor unit: how, and at which level. A quote says both, so that an order can repeat it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Literal

from msgspec import Struct

from domain.money import Currency, Minor, UnitPrice, half_even, line_total

Mode = Literal["half_even", "half_up", "half_down"]
"""Where exactly half a minor unit goes: to the even one, up, or down."""

Level = Literal["line", "unit"]
"""The amount that is rounded: that of a line, or that of each of its pieces."""


class Rounding(Struct, frozen=True):
    """How amounts finer than the minor unit become whole."""

    mode: Mode = "half_even"
    level: Level = "line"


def half_up(number: int, divisor: int) -> int:
    """The integer nearest to number / divisor; of two, the higher one."""
    return (2 * number + divisor) // (2 * divisor)


def half_down(number: int, divisor: int) -> int:
    """The integer nearest to number / divisor; of two, the lower one."""
    return -((divisor - 2 * number) // (2 * divisor))


_MODES: Final[Mapping[Mode, Callable[[int, int], int]]] = MappingProxyType(
    {"half_even": half_even, "half_up": half_up, "half_down": half_down}
)


def share(amount: int, numerator: int, divisor: int, *, rounding: Rounding) -> Minor:
    """So many parts of an amount, rounded."""
    return Minor(_MODES[rounding.mode](amount * numerator, divisor))


def share_of_pieces(amount: int, numerator: int, divisor: int, *, pieces: int, rounding: Rounding) -> Minor:
    """So many parts of the amount of several pieces, rounded at the level that is wanted.

    At the level of units, the amount is spread over the pieces so that they differ by one minor unit at most.
    """
    if rounding.level == "line":
        return share(amount, numerator, divisor, rounding=rounding)
    each, dearer = divmod(amount, pieces)
    of_dearer = share(each + 1, numerator, divisor, rounding=rounding)
    of_others = share(each, numerator, divisor, rounding=rounding)
    return Minor(dearer * of_dearer + (pieces - dearer) * of_others)


def amount_of(quantity: int, *, unit_price: UnitPrice, currency: Currency, rounding: Rounding) -> Minor:
    """The price of so many pieces in minor units.

    Raises:
        MalformedUnitPrice: the price is not decimal text.
        UnknownCurrency: the currency has no known minor unit.
    """
    rounded = _MODES[rounding.mode]
    if rounding.level == "line":
        return line_total(quantity, unit_price=unit_price, currency=currency, rounded=rounded)
    return Minor(quantity * line_total(1, unit_price=unit_price, currency=currency, rounded=rounded))
