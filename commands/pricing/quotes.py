"""Quotes: what a cart costs by prices, promotions, coupons and tax rates. They record nothing."""

from datetime import datetime
from typing import Annotated, Final

from pydantic import ConfigDict, Field

from commands.asking import Asked, question
from commands.coupons import UNENDED, discounts_in
from commands.decision import DecisionView
from commands.payloads import Currency, Id, Moment, Payload, Quantity
from commands.pricing.prices import router
from commands.pricing.promotions import Amount
from commands.taxes import tax_categories_in
from domain import money
from domain.catalogue.product import PRODUCT, Product
from domain.ids import AnyId, CustomerId, JurisdictionId, PriceListId, Sku, TaxCategoryId
from domain.moment import in_utc
from domain.ordering.lines import LINES_MAX, UnknownSku
from domain.pricing import tax_table as tax_tables
from domain.pricing.coupon import (
    CouponExhausted,
    CouponNotApplicable,
    CouponUnknown,
    code_of,
)
from domain.pricing.events import PROMOTIONS_TAG
from domain.pricing.price import PRICES, Prices
from domain.pricing.quote import PriceMissing, Quote, Sale, SaleLine, Shipping, quote
from domain.pricing.rounding import Level, Mode, Rounding
from domain.pricing.tax_table import TAX_TABLE, MissingTaxRate

STANDARD: Final = AnyId(tax_tables.STANDARD)
"""The tax category of shipping for which none is named."""


class RequestedLine(Payload):
    """A line that is to be priced."""

    sku: Id
    quantity: Quantity
    tax_category: Id | None = Field(
        default=None, description="How it is taxed; as its listing says when absent, else `standard`."
    )


class RequestedShipping(Payload):
    """What sending costs, in minor units."""

    amount: Amount
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
    coupon: Id | None = Field(default=None, description="The code of a coupon, however it is written.")
    customer_id: Id | None = Field(default=None, description="Whose the coupon would be.")


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
    "promotions": [],
    "totals": {
        "items": 1_170,
        "shipping": 495,
        "discount": 0,
        "tax": 277,
        "tax_included": 277,
        "tax_remainder": -1,
        "grand": 1_665,
    },
}


@question(
    router,
    "/quotes",
    requires="pricing:quote",
    shape=Quote,
    example=_EXAMPLE,
    refusals=(
        UnknownSku,
        PriceMissing,
        MissingTaxRate,
        money.AmountTooLarge,
        CouponUnknown,
        CouponExhausted,
        CouponNotApplicable,
    ),
    problems=("too-many-tagged",),
)
async def quote_cart(body: QuoteCart, asking: Asked) -> Quote:
    """Say what a cart costs, to the minor unit, by the prices, promotions and tax rates that the log has now.

    A coupon that takes nothing off is refused, with the reason.

    Nothing is recorded: a quote reserves nothing, and the same cart later may cost something else.
    """
    at = body.at or asking.now
    jurisdiction = JurisdictionId(body.jurisdiction)

    def answer(view: DecisionView) -> Quote:
        view.prefetch(TAX_TABLE, (jurisdiction,))
        view.prefetch_tagged(UNENDED, PROMOTIONS_TAG)
        cart = Sale(
            lines=_priced(body, view, at=at),
            shipping=None if body.shipping is None else _shipping(body.shipping),
            currency=body.currency,
            jurisdiction=jurisdiction,
            at=in_utc(at),
            rounding=Rounding(body.rounding.mode, body.rounding.level),
        )
        discounts, _ = discounts_in(
            view,
            cart,
            code=None if body.coupon is None else code_of(body.coupon),
            customer_id=None if body.customer_id is None else CustomerId(body.customer_id),
        )
        return quote(cart, discounts=discounts, tax_table=view.current(TAX_TABLE, jurisdiction))

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
    categories = tax_categories_in(view, (line.sku for line in body.lines if line.tax_category is None))
    products = [view.current(PRODUCT, sku) for sku in skus]
    unknown = {index: Sku(skus[index]) for index, product in enumerate(products) if product is None}
    if unknown:
        raise UnknownSku(skus=unknown)
    return tuple(
        _line(
            index,
            line,
            body=body,
            product=product,
            prices=view.current(PRICES, line.sku),
            tax_category=line.tax_category or categories[line.sku],
            at=at,
        )
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
    tax_category: str,
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
        tax_category=TaxCategoryId(tax_category),
    )
