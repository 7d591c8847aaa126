"""Commands of pricing: prices and tax rates are set. Quotes are computed from the same streams, and record nothing."""

from datetime import datetime
from typing import Annotated, Final

from pydantic import ConfigDict, Field

from commands.asking import Asked, question
from commands.decision import DecisionView
from commands.documentation import Caller
from commands.payloads import Currency, Id, Moment, Payload, Quantity, UnitPrice
from commands.recording import Answer
from commands.routing import command, command_router
from domain import money
from domain.catalogue.product import PRODUCT, Product, ProductUnknown
from domain.event import Event
from domain.ids import AnyId, JurisdictionId, PriceId, PriceListId, Sku, TaxCategoryId
from domain.moment import in_utc
from domain.ordering.lines import LINES_MAX, UnknownSku
from domain.pricing import price as prices
from domain.pricing import tax_table as tax_tables
from domain.pricing.price import (
    PRICES,
    ListedPrice,
    OverlappingPrice,
    PriceIdTaken,
    Prices,
    PriceUnknown,
    TooManyPrices,
)
from domain.pricing.quote import PriceMissing, Quote, Sale, SaleLine, Shipping, quote
from domain.pricing.rounding import Level, Mode, Rounding
from domain.pricing.tax_table import RATE_BP_MAX, TAX_TABLE, MissingTaxRate, TooManyRates
from domain.pricing.window import EmptyWindow, window

router = command_router("pricing")

STANDARD: Final = AnyId("standard")
"""The tax category of lines that name none."""


class SetPrice(Payload):
    """A price in a list: from a number of pieces on, while a window lasts."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "price_id": "summer-85123A",
                "list_id": "retail",
                "unit_price": "1.95",
                "currency": "GBP",
                "min_quantity": 1,
                "valid_from": "2026-06-01T00:00:00Z",
                "valid_until": "2026-09-01T00:00:00Z",
            }
        }
    )

    price_id: Id | None = Field(default=None, description="A UUID is made up when absent.")
    list_id: Id
    unit_price: UnitPrice
    currency: Currency
    min_quantity: Quantity = Field(default=1, description="It is the price of orders of so many pieces.")
    valid_from: Moment | None = Field(default=None, description="Now when absent.")
    valid_until: Moment | None = Field(default=None, description="No part of the window; open when absent.")


class RetirePrice(Payload):
    """The price whose window ends now."""

    model_config = ConfigDict(json_schema_extra={"example": {"price_id": "spring-85123A"}})

    price_id: Id


class SetTaxRate(Payload):
    """How a category of goods is taxed."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "tax_category": "standard",
                "rate_bp": 2_000,
                "included": True,
                "valid_from": "2011-01-04T00:00:00Z",
            }
        }
    )

    tax_category: Id
    rate_bp: Annotated[int, Field(ge=0, le=RATE_BP_MAX)] = Field(
        description="Basis points: 2000 is a fifth of the price without tax."
    )
    included: bool = Field(description="Prices hold the tax already; else it is added.")
    valid_from: Moment | None = Field(default=None, description="Now when absent.")


class RequestedLine(Payload):
    """A line that is to be priced."""

    sku: Id
    quantity: Quantity
    tax_category: Id = Field(default=STANDARD, description="How it is taxed.")


class RequestedShipping(Payload):
    """What sending costs, in minor units."""

    amount: Annotated[int, Field(ge=0, le=money.AMOUNT_MAX)]
    tax_category: Id = Field(default=STANDARD, description="How it is taxed.")


class RequestedRounding(Payload):
    """How amounts finer than the minor unit become whole, and which: of lines, or of each of their pieces."""

    mode: Mode = "half_even"
    level: Level = "line"


class QuoteCart(Payload):
    """What is to be priced, where and when it is sold."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "currency": "GBP",
                "jurisdiction": "GB",
                "list_id": "retail",
                "lines": [{"sku": "85123A", "quantity": 6}],
                "shipping": {"amount": 495},
            }
        }
    )

    currency: Currency
    jurisdiction: Id = Field(description="Whose tax table counts.")
    list_id: Id | None = Field(default=None, description="The price list; without one, list prices count.")
    at: Moment | None = Field(default=None, description="As of when; now when absent.")
    rounding: RequestedRounding = RequestedRounding()
    lines: Annotated[list[RequestedLine], Field(min_length=1, max_length=LINES_MAX)]
    shipping: RequestedShipping | None = None


@command(
    router,
    "/products/{sku}/prices",
    requires="pricing:write",
    refusals=(ProductUnknown, PriceIdTaken, OverlappingPrice, TooManyPrices, EmptyWindow),
)
async def set_price(sku: Sku, body: SetPrice, caller: Caller) -> Answer:
    """Give a product a price in a list, where windows of prices from the same number of pieces on do not overlap."""
    price_id = PriceId(body.price_id or caller.new_id())

    def decide(known: Prices | None, view: DecisionView) -> list[Event]:
        if view.known(PRODUCT, sku) is None:
            raise ProductUnknown(sku=sku)
        price = ListedPrice(
            price_id,
            PriceListId(body.list_id),
            body.min_quantity,
            body.unit_price,
            body.currency,
            window(valid_from=body.valid_from or caller.now, valid_until=body.valid_until),
        )
        return prices.set_price(known, sku=sku, price=price, now=caller.now)

    return await caller.execute(PRICES, sku, decide)


@command(router, "/products/{sku}/price-retirements", requires="pricing:write", refusals=(PriceUnknown,))
async def retire_price(sku: Sku, body: RetirePrice, caller: Caller) -> Answer:
    """End the window of a price now; one that has not begun never begins."""
    return await caller.execute(
        PRICES,
        sku,
        lambda known, _: prices.retire_price(known, sku=sku, price_id=PriceId(body.price_id), now=caller.now),
    )


@command(router, "/tax-tables/{jurisdiction}/rates", requires="tax:write", refusals=(TooManyRates,))
async def set_tax_rate(jurisdiction: JurisdictionId, body: SetTaxRate, caller: Caller) -> Answer:
    """Say how a jurisdiction taxes a category from a moment on. The same moment again corrects the rate."""
    return await caller.execute(
        TAX_TABLE,
        jurisdiction,
        lambda table, _: tax_tables.set_tax_rate(
            table,
            jurisdiction=jurisdiction,
            tax_category=TaxCategoryId(body.tax_category),
            rate_bp=body.rate_bp,
            included=body.included,
            valid_from=body.valid_from or caller.now,
            now=caller.now,
        ),
    )


_EXAMPLE: Final = {
    "at": "2026-06-21T12:00:00Z",
    "currency": "GBP",
    "jurisdiction": "GB",
    "rounding": {"mode": "half_even", "level": "line"},
    "lines": [
        {
            "line_id": 1,
            "sku": "85123A",
            "quantity": 6,
            "unit_price": "1.95",
            "price_id": "summer-85123A",
            "tax_category": "standard",
            "subtotal": 1_170,
            "discount": 0,
            "tax": {"rate_bp": 2_000, "included": True, "amount": 195},
            "total": 1_170,
        }
    ],
    "shipping": {
        "amount": 495,
        "discount": 0,
        "tax_category": "standard",
        "tax": {"rate_bp": 2_000, "included": True, "amount": 82},
        "total": 495,
    },
    "totals": {
        "items": 1_170,
        "shipping": 495,
        "discount": 0,
        "tax": 277,
        "tax_included": 277,
        "grand": 1_665,
    },
}


@question(
    router,
    "/quotes",
    requires="pricing:quote",
    shape=Quote,
    example=_EXAMPLE,
    refusals=(UnknownSku, PriceMissing, MissingTaxRate, money.AmountTooLarge),
)
async def quote_cart(body: QuoteCart, asking: Asked) -> Quote:
    """Say what a cart costs, to the minor unit, by the prices and tax rates that the log has now.

    Nothing is recorded: a quote reserves nothing, and the same cart later may cost something else.
    """
    at = body.at or asking.now
    jurisdiction = JurisdictionId(body.jurisdiction)

    def answer(view: DecisionView) -> Quote:
        view.prefetch(TAX_TABLE, (jurisdiction,))
        cart = Sale(
            lines=_priced(body, view, at=at),
            shipping=None if body.shipping is None else _shipping(body.shipping),
            currency=body.currency,
            jurisdiction=jurisdiction,
            at=in_utc(at),
            rounding=Rounding(body.rounding.mode, body.rounding.level),
        )
        return quote(cart, tax_table=view.current(TAX_TABLE, jurisdiction))

    return await asking.ask(answer)


def _shipping(given: RequestedShipping) -> Shipping:
    return Shipping(amount=money.Minor(given.amount), tax_category=TaxCategoryId(given.tax_category))


def _priced(body: QuoteCart, view: DecisionView, *, at: datetime) -> tuple[SaleLine, ...]:
    """The lines with their prices: those of the list, else list prices of the catalogue.

    Raises:
        UnknownSku, PriceMissing: a line cannot be priced.
    """
    skus = [line.sku for line in body.lines]
    view.prefetch(PRODUCT, skus)
    view.prefetch(PRICES, skus)
    products = [view.current(PRODUCT, sku) for sku in skus]
    unknown = {index: Sku(skus[index]) for index, product in enumerate(products) if product is None}
    if unknown:
        raise UnknownSku(skus=unknown)
    return tuple(
        _line(index, line, body=body, product=product, prices=view.current(PRICES, line.sku), at=at)
        for index, (line, product) in enumerate(zip(body.lines, products, strict=True))
        if product is not None
    )


def _line(
    index: int,
    line: RequestedLine,
    *,
    body: QuoteCart,
    product: Product,
    prices: Prices | None,
    at: datetime,
) -> SaleLine:
    price = None
    if prices is not None and body.list_id is not None:
        price = prices.applying(
            PriceListId(body.list_id), currency=body.currency, quantity=line.quantity, at=at
        )
    listed = product.unit_price if product.currency == body.currency else None
    unit_price = listed if price is None else price.unit_price
    if unit_price is None:
        list_id = None if body.list_id is None else PriceListId(body.list_id)
        raise PriceMissing(line=index, sku=product.sku, list_id=list_id, currency=body.currency)
    return SaleLine(
        sku=product.sku,
        quantity=line.quantity,
        unit_price=unit_price,
        price_id=None if price is None else price.price_id,
        tax_category=TaxCategoryId(line.tax_category),
    )
