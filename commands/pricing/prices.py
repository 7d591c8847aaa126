"""Commands of prices and tax rates."""

from typing import Annotated

from pydantic import ConfigDict, Field

from commands.decision import DecisionView
from commands.documentation import Caller
from commands.payloads import Currency, Id, Moment, Payload, Quantity, UnitPrice
from commands.recording import Answer
from commands.routing import command, command_router
from domain.catalogue.product import PRODUCT, ProductUnknown
from domain.event import Event
from domain.ids import (
    ChannelId,
    CustomerGroupId,
    CustomerId,
    JurisdictionId,
    PriceId,
    PriceListId,
    Sku,
    TaxCategoryId,
)
from domain.pricing import customer_group as customer_groups
from domain.pricing import price as prices
from domain.pricing import price_lists
from domain.pricing import tax_table as tax_tables
from domain.pricing.customer_group import CUSTOMER_GROUP
from domain.pricing.events import ChosenList
from domain.pricing.price import (
    PRICES,
    ListedPrice,
    OverlappingPrice,
    PriceIdTaken,
    Prices,
    PriceUnknown,
    TooManyPrices,
)
from domain.pricing.price_lists import LISTS_MAX, PRICE_LISTS
from domain.pricing.tax_table import RATE_BP_MAX, TAX_TABLE, TooManyRates
from domain.pricing.window import EmptyWindow, window

router = command_router("pricing")
"""That of all modules of this package; who imports the quotes imports all of them."""


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


class ChannelList(Payload):
    """A price list of a channel."""

    list_id: Id
    group: Id | None = Field(default=None, description="Customers whom it is for; everybody when absent.")


class ChoosePriceLists(Payload):
    """The lists that carts of a channel take their prices from."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"lists": [{"list_id": "trade", "group": "resellers"}, {"list_id": "retail"}]}
        }
    )

    lists: Annotated[list[ChannelList], Field(max_length=LISTS_MAX)] = Field(
        description="The first that has a price counts; none: list prices of the catalogue count."
    )


class SetCustomerGroup(Payload):
    """The group that a customer is in."""

    model_config = ConfigDict(json_schema_extra={"example": {"group": "resellers"}})

    group: Id | None = Field(description="null: none any more.")


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


@command(router, "/channels/{channel}/price-lists", requires="pricing:write")
async def choose_price_lists(channel: ChannelId, body: ChoosePriceLists, caller: Caller) -> Answer:
    """Have carts of a channel take their prices from these lists, in place of those before.

    Carts keep the prices that their buyers were shown: what is cheaper now passes on, what is dearer needs consent.
    """
    return await caller.execute(
        PRICE_LISTS,
        channel,
        lambda known, _: price_lists.choose(
            known,
            channel=channel,
            lists=[
                ChosenList(
                    list_id=PriceListId(each.list_id),
                    group=None if each.group is None else CustomerGroupId(each.group),
                )
                for each in body.lists
            ],
            now=caller.now,
        ),
    )


@command(router, "/customers/{customer_id}/group", requires="pricing:write")
async def set_customer_group(customer_id: CustomerId, body: SetCustomerGroup, caller: Caller) -> Answer:
    """Have the price lists of a group hold for a customer, whether registered or not, in place of another group's."""
    return await caller.execute(
        CUSTOMER_GROUP,
        customer_id,
        lambda known, _: customer_groups.group(
            known,
            customer_id=customer_id,
            group=None if body.group is None else CustomerGroupId(body.group),
            now=caller.now,
        ),
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
