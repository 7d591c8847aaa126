"""The prices of a SKU: in lists, from a number of pieces on, each for a window of time.

In one list, windows of prices from the same number of pieces on do not overlap, so at most one price applies.

Conflict      PriceIdTaken, OverlappingPrice, TooManyPrices
Unknown       PriceUnknown
Unacceptable  QuantityOutOfRange
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from domain.aggregate import Aggregate
from domain.event import Event
from domain.ids import PriceId, PriceListId, Sku
from domain.moment import in_utc
from domain.money import Currency, UnitPrice, validate_currency, validate_unit_price
from domain.pricing.events import PriceRetired, PriceSet
from domain.pricing.window import Window
from domain.quantity import validate_quantity
from domain.rejection import Conflict, Unknown

PRICES_MAX: Final = 500
"""Prices of one SKU that are valid or will be."""


class ListedPrice(Struct, frozen=True):
    """One price, for orders of at least `min_quantity` pieces."""

    price_id: PriceId
    list_id: PriceListId
    min_quantity: int
    unit_price: UnitPrice
    currency: Currency
    window: Window


class Prices(Struct, frozen=True):
    """All prices that a SKU has and had, by id."""

    sku: Sku
    by_id: Mapping[PriceId, ListedPrice]

    def applying(
        self, list_id: PriceListId, *, currency: Currency, quantity: int, at: datetime
    ) -> ListedPrice | None:
        """The price in a list of so many pieces at a moment: of the highest tier that they reach."""
        return max(
            (
                price
                for price in self.by_id.values()
                if price.list_id == list_id
                and price.currency == currency
                and price.min_quantity <= quantity
                and price.window.holds(at)
            ),
            key=lambda price: price.min_quantity,
            default=None,
        )


@dataclass(kw_only=True, eq=False)
class PriceIdTaken(Conflict):
    """The id belongs to a price of this SKU already."""

    title = "The id belongs to a price already"
    meaning = "A price is set once, and does not change: it is retired, and another one set."
    remedy = "Choose another id. To repeat a request whose answer was lost, send it with its first key."

    sku: Sku
    price_id: PriceId

    def __str__(self) -> str:
        return f"'{self.sku}' has a price '{self.price_id}' already."


@dataclass(kw_only=True, eq=False)
class PriceUnknown(Unknown):
    """The SKU has no such price."""

    title = "There is no such price"
    meaning = "The command addresses a price that this SKU never had."
    remedy = "Check the id: case matters, and each SKU has prices of its own."

    sku: Sku
    price_id: PriceId

    def __str__(self) -> str:
        return f"'{self.sku}' has no price '{self.price_id}'."


@dataclass(kw_only=True, eq=False)
class OverlappingPrice(Conflict):
    """Two prices would apply to the same order."""

    title = "The window overlaps that of another price"
    meaning = (
        "In one list a SKU has one price from a number of pieces on at a time: `facts.overlaps` is the price whose "
        "window overlaps."
    )
    remedy = "Retire that price first, or set the window before or behind its own."

    sku: Sku
    list_id: PriceListId
    min_quantity: int
    overlaps: PriceId

    def __str__(self) -> str:
        return f"Price '{self.overlaps}' of '{self.sku}' in the list '{self.list_id}' is valid at a part of that time."


@dataclass(kw_only=True, eq=False)
class TooManyPrices(Conflict):
    """The SKU has as many prices as one may have."""

    title = "The SKU has too many prices"
    meaning = "A SKU has at most `facts.limit` prices that are valid or will be."
    remedy = "Retire prices that are not needed."

    sku: Sku
    limit: int = PRICES_MAX

    def __str__(self) -> str:
        return f"'{self.sku}' has {self.limit} prices that are valid or will be."


def evolve(prices: Prices | None, event: Event) -> Prices:
    """Return the prices as they are after `event`."""
    match event:
        case PriceSet():
            price = ListedPrice(
                event.price_id,
                event.list_id,
                event.min_quantity,
                event.unit_price,
                event.currency,
                Window(event.valid_from, event.valid_until),
            )
            return Prices(event.sku, {**(prices.by_id if prices else {}), event.price_id: price})
        case PriceRetired():
            assert prices is not None, "a price is retired that was never set"
            price = prices.by_id[event.price_id]
            retired = replace(price, window=price.window.ended(event.retired_at))
            return replace(prices, by_id={**prices.by_id, event.price_id: retired})
    raise AssertionError(f"{type(event).__name__} is no event of prices")


PRICES: Final[Aggregate[Prices]] = Aggregate("price", evolve, (PriceSet, PriceRetired))


def set_price(prices: Prices | None, *, sku: Sku, price: ListedPrice, now: datetime) -> list[Event]:
    """Give a SKU a price in a list, for orders of at least so many pieces, while its window lasts.

    Raises:
        PriceIdTaken, TooManyPrices: it is one too many.
        OverlappingPrice: another one applies at a part of that time.
        QuantityOutOfRange, MalformedUnitPrice, UnknownCurrency: it is no price.
    """
    known = {} if prices is None else prices.by_id
    if price.price_id in known:
        raise PriceIdTaken(sku=sku, price_id=price.price_id)
    if sum(not each.window.is_over(now) for each in known.values()) >= PRICES_MAX:
        raise TooManyPrices(sku=sku)
    for each in known.values():
        same = (each.list_id, each.min_quantity) == (price.list_id, price.min_quantity)
        if same and each.window.overlaps(price.window):
            raise OverlappingPrice(
                sku=sku, list_id=price.list_id, min_quantity=price.min_quantity, overlaps=each.price_id
            )
    return [
        PriceSet(
            sku=sku,
            price_id=price.price_id,
            list_id=price.list_id,
            min_quantity=validate_quantity(price.min_quantity),
            unit_price=validate_unit_price(price.unit_price),
            currency=validate_currency(price.currency),
            valid_from=price.window.begins,
            valid_until=price.window.ends,
            set_at=in_utc(now),
        )
    ]


def retire_price(prices: Prices | None, *, sku: Sku, price_id: PriceId, now: datetime) -> list[Event]:
    """End the window of a price; nothing if it is over.

    Raises:
        PriceUnknown: the SKU has no such price.
    """
    price = None if prices is None else prices.by_id.get(price_id)
    if price is None:
        raise PriceUnknown(sku=sku, price_id=price_id)
    if price.window.is_over(now):
        return []
    return [
        PriceRetired(
            sku=sku,
            price_id=price_id,
            list_id=price.list_id,
            min_quantity=price.min_quantity,
            retired_at=in_utc(now),
        )
    ]
