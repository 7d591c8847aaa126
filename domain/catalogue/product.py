"""A product: what may be sold under one code, and its list price. A listing shows it as one of its variants.

Refusals of the catalogue:

Conflict      SkuTaken
Unknown       ProductUnknown
Unacceptable  PriceWithoutCurrency
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from domain.aggregate import Aggregate
from domain.catalogue.events import PriceChanged, ProductCreated
from domain.event import Event
from domain.ids import Sku
from domain.moment import in_utc
from domain.money import Currency, UnitPrice, shortest, validate_currency, validate_unit_price
from domain.rejection import Conflict, Unacceptable, Unknown


class Product(Struct, frozen=True):
    """The state that decisions about a product need. Without a list price, `unit_price` and `currency` are None."""

    sku: Sku
    title: str
    stocked: bool
    unit_price: UnitPrice | None
    currency: Currency | None


@dataclass(kw_only=True, eq=False)
class SkuTaken(Conflict):
    """The SKU belongs to a product already."""

    title = "The code belongs to a product already"
    meaning = "A product is created once, and is a variant of one listing at most."
    remedy = "Choose another SKU, or change the price of the product that has it."

    sku: Sku

    def __str__(self) -> str:
        return f"The code '{self.sku}' belongs to a product already."


@dataclass(kw_only=True, eq=False)
class ProductUnknown(Unknown):
    """The product does not exist."""

    title = "No product has this code"
    meaning = "The command addresses a product that was never created."
    remedy = "Create the product first, or check the SKU: case matters."

    sku: Sku

    def __str__(self) -> str:
        return f"No product has the code '{self.sku}'."


@dataclass(kw_only=True, eq=False)
class PriceWithoutCurrency(Unacceptable):
    """A list price and its currency are given together or not at all."""

    title = "List price and currency belong together"
    meaning = "The request has a list price without a currency, or a currency without a list price."
    remedy = "Send both or neither."

    sku: Sku

    def __str__(self) -> str:
        return f"The list price of '{self.sku}' needs both an amount and a currency, or neither."


def evolve(product: Product | None, event: Event) -> Product:
    """Return the product as it is after `event`."""
    match event:
        case ProductCreated():
            return Product(event.sku, event.title, event.stocked, event.unit_price, event.currency)
        case PriceChanged():
            assert product is not None, "a price before its product"
            return replace(product, unit_price=event.unit_price, currency=event.currency)
    raise AssertionError(f"{type(event).__name__} is no event of a product")


PRODUCT: Final[Aggregate[Product]] = Aggregate("product", evolve, (ProductCreated, PriceChanged))


def create(
    product: Product | None,
    *,
    sku: Sku,
    title: str,
    stocked: bool,
    unit_price: UnitPrice | None,
    currency: Currency | None,
    now: datetime,
) -> list[Event]:
    """Offer something under a code that is free.

    Raises:
        SkuTaken: there is a product with this code.
        PriceWithoutCurrency: only one of list price and currency is given.
        MalformedUnitPrice: the price is not decimal text.
        UnknownCurrency: the code names no currency.
    """
    if product is not None:
        raise SkuTaken(sku=sku)
    if (unit_price is None) is not (currency is None):
        raise PriceWithoutCurrency(sku=sku)
    return [
        ProductCreated(
            sku=sku,
            title=title,
            stocked=stocked,
            unit_price=None if unit_price is None else validate_unit_price(unit_price),
            currency=None if currency is None else validate_currency(currency),
            created_at=in_utc(now),
        )
    ]


def change_price(
    product: Product | None, *, sku: Sku, unit_price: UnitPrice, currency: Currency, now: datetime
) -> list[Event]:
    """Give a product another list price; the price it has already, however it is written, changes nothing.

    Raises:
        ProductUnknown: there is no such product.
        MalformedUnitPrice: the price is not decimal text.
        UnknownCurrency: the code names no currency.
    """
    if product is None:
        raise ProductUnknown(sku=sku)
    if _costs(product, unit_price=unit_price, currency=currency):
        return []
    return [
        PriceChanged(
            sku=sku,
            unit_price=validate_unit_price(unit_price),
            currency=validate_currency(currency),
            previous=product.unit_price if product.currency == currency else None,
            changed_at=in_utc(now),
        )
    ]


def _costs(product: Product, *, unit_price: UnitPrice, currency: Currency) -> bool:
    """Whether this is the product's list price: amounts are compared, not their texts."""
    price = shortest(unit_price)
    return (
        product.unit_price is not None
        and product.currency == currency
        and shortest(product.unit_price) == price
    )
