"""Facets: what a search is narrowed by, as one text each: `category:hearts`, `option:colour=white`, `stock:in`.

A comma, a percent sign and control characters are written as in addresses, so that facets can be joined by commas.
"""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Final
from urllib.parse import quote

from domain.money import UnitPrice
from projections.catalogue.views import PRICE_SCALE

_SAFE: Final = " !\"#$&'()*+-./:;<>?@[\\]^_`{|}~"


def facet(kind: str, value: str, *, name: str | None = None) -> str:
    """One facet."""
    said = _escaped(value) if name is None else f"{_escaped(name).replace('=', '%3D')}={_escaped(value)}"
    return f"{kind}:{said}"


def named(kind: str, values: Mapping[str, str]) -> Iterator[str]:
    """A facet for each name."""
    return (facet(kind, value, name=name) for name, value in values.items())


def joined(facets: Iterable[str]) -> str:
    """As a row holds them: sorted, each once, one a line."""
    return "\n".join(sorted(set(facets)))


def scaled(unit_price: UnitPrice) -> int:
    """A price as an integer."""
    return int(Decimal(unit_price) * PRICE_SCALE)


def band(price: int, currency: str) -> str:
    """The facet of a price: between two neighbours of 0, 1, 2, 5, 10, 20, 50 and so on, without the upper one."""
    low, high, step = 0, 1, 0
    while price >= high * PRICE_SCALE:
        low, high = high, (2, 5, 10)[step % 3] * 10 ** (step // 3)
        step += 1
    return facet("price", f"{currency} {low}-{high}")


def _escaped(text: str) -> str:
    return "".join(each if each.isprintable() and each not in "%," else quote(each) for each in text)
