"""Quotes: what a cart costs by prices, promotions, coupons and tax rates. They record nothing."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Final

from pydantic import ConfigDict, Field

from commands.asking import Asked, question
from commands.coupons import UNENDED, discounts_in
from commands.decision import DecisionView
from commands.payloads import Currency, Id, Moment, Payload, Quantity, ShopChannel
from commands.prices_found import lists_in, price_in
from commands.pricing.prices import router
from commands.pricing.promotions import Amount
from commands.taxes import tax_categories_in
from domain import money
from domain.catalogue.product import PRODUCT, Product
from domain.ids import AnyId, ChannelId, CustomerId, JurisdictionId, PriceListId, Sku, TaxCategoryId
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
from domain.pricing.price import PRICES
from domain.pricing.price_lists import FoundPrice
from domain.pricing.quote import PriceMissing, Quote, Sale, SaleLine, Shipping, quote
from domain.pricing.rounding import Level, Mode, Rounding
from domain.pricing.tax_table import TAX_TABLE, MissingTaxRate

STANDARD: Final = AnyId(tax_tables.STANDARD)
"""The tax category where none is named."""


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
    jurisdiction: Id | None = Field(
        default=None, description="Whose tax table counts; nothing is taxed when absent."
    )
    list_id: Id | None = Field(default=None, description="The price list; those of the channel when absent.")
    channel: ShopChannel | None = Field(
        default=None, description="Where it is sold; without channel and list, list prices count."
    )
    at: Moment | None = Field(default=None, description="As of when; now when absent.")
    rounding: RequestedRounding = RequestedRounding()
    lines: Annotated[list[RequestedLine], Field(min_length=1, max_length=LINES_MAX)]
    shipping: RequestedShipping | None = None
    coupon: Id | None = Field(default=None, description="The code of a coupon, however it is written.")
    customer_id: Id | None = Field(
        default=None, description="Who buys: whose the coupon and the group would be."
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
    jurisdiction = None if body.jurisdiction is None else JurisdictionId(body.jurisdiction)

    def answer(view: DecisionView) -> Quote:
        if jurisdiction is not None:
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
            customer_id=_customer(body),
        )
        tax_table = None if jurisdiction is None else view.current(TAX_TABLE, jurisdiction)
        return quote(cart, discounts=discounts, tax_table=tax_table)

    return await asking.ask(answer)


def _shipping(given: RequestedShipping) -> Shipping:
    return Shipping(amount=money.Minor(given.amount), tax_category=TaxCategoryId(given.tax_category))


def _priced(body: QuoteCart, view: DecisionView, *, at: datetime) -> tuple[SaleLine, ...]:
    """The lines with their prices: those of the lists, else list prices of the catalogue.

    Raises:
        UnknownSku, PriceMissing: a line cannot be priced.
    """
    skus = [Sku(line.sku) for line in body.lines]
    view.prefetch(PRODUCT, skus)
    lists = _lists(body, view)
    if lists:
        view.prefetch(PRICES, skus)
    categories = _tax_categories(body, view)
    products = [view.current(PRODUCT, sku) for sku in skus]
    unknown = {index: Sku(skus[index]) for index, product in enumerate(products) if product is None}
    if unknown:
        raise UnknownSku(skus=unknown)
    prices = [
        _price(index, line, product, body=body, lists=lists, view=view, at=at)
        for index, (line, product) in enumerate(zip(body.lines, products, strict=True))
        if product is not None
    ]
    return tuple(
        SaleLine(
            sku=sku,
            quantity=line.quantity,
            unit_price=price.unit_price,
            price_id=price.price_id,
            tax_category=_tax_category(line, categories.get(sku)),
        )
        for sku, line, price in zip(skus, body.lines, prices, strict=True)
    )


def _tax_categories(body: QuoteCart, view: DecisionView) -> Mapping[Sku, TaxCategoryId]:
    """Those of the lines that name none; they are read only if the cart is taxed."""
    if body.jurisdiction is None:
        return {}
    return tax_categories_in(view, (Sku(line.sku) for line in body.lines if line.tax_category is None))


def _tax_category(line: RequestedLine, listed: TaxCategoryId | None) -> TaxCategoryId:
    """The one that the line names, or else its listing, or else the usual one."""
    if line.tax_category is not None:
        return TaxCategoryId(line.tax_category)
    return tax_tables.STANDARD if listed is None else listed


def _customer(body: QuoteCart) -> CustomerId | None:
    return None if body.customer_id is None else CustomerId(body.customer_id)


def _lists(body: QuoteCart, view: DecisionView) -> tuple[PriceListId, ...]:
    """The lists that count: the one that is named, or else those of the channel."""
    if body.list_id is not None:
        return (PriceListId(body.list_id),)
    return (
        () if body.channel is None else lists_in(view, ChannelId(body.channel), customer_id=_customer(body))
    )


def _price(
    index: int,
    line: RequestedLine,
    product: Product,
    *,
    body: QuoteCart,
    lists: Sequence[PriceListId],
    view: DecisionView,
    at: datetime,
) -> FoundPrice:
    price = price_in(view, product, lists=lists, currency=body.currency, quantity=line.quantity, at=at)
    if price is None:
        list_id = None if body.list_id is None else PriceListId(body.list_id)
        raise PriceMissing(line=index, sku=product.sku, list_id=list_id, currency=body.currency)
    return price
