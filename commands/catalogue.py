"""Commands of the catalogue: products and their list prices."""

from pydantic import ConfigDict, Field

from commands.documentation import Caller
from commands.payloads import Currency, Id, Payload, Title, UnitPrice
from commands.recording import Answer
from commands.routing import command, command_router
from domain.catalogue import product as products
from domain.catalogue.product import PRODUCT, PriceWithoutCurrency, ProductUnknown, SkuTaken
from domain.ids import Sku

router = command_router("catalogue")


class CreateProduct(Payload):
    """A code that can be sold from now on."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "sku": "85123A",
                "title": "White hanging heart T-light holder",
                "stocked": True,
                "unit_price": "2.55",
                "currency": "GBP",
            }
        }
    )

    sku: Id | None = Field(default=None, description="The shop's own code; a UUID is made up when absent.")
    title: Title
    stocked: bool = Field(description="Whether pieces of it are counted, reserved and shipped.")
    unit_price: UnitPrice | None = Field(default=None, description="List price, with its currency.")
    currency: Currency | None = None


class ChangePrice(Payload):
    """Another list price."""

    model_config = ConfigDict(json_schema_extra={"example": {"unit_price": "2.95", "currency": "GBP"}})

    unit_price: UnitPrice
    currency: Currency


@command(router, "/products", requires="catalogue:write", refusals=(SkuTaken, PriceWithoutCurrency))
async def create_product(body: CreateProduct, caller: Caller) -> Answer:
    """Offer something under a code that is free."""
    sku = Sku(body.sku or caller.new_id())
    return await caller.execute(
        PRODUCT,
        sku,
        lambda product, _: products.create(
            product,
            sku=sku,
            title=body.title,
            stocked=body.stocked,
            unit_price=body.unit_price,
            currency=body.currency,
            now=caller.now,
        ),
        creates=True,
    )


@command(router, "/products/{sku}/price", requires="catalogue:write", refusals=(ProductUnknown,))
async def change_price(sku: Sku, body: ChangePrice, caller: Caller) -> Answer:
    """Give a product another list price; orders placed before keep theirs."""
    return await caller.execute(
        PRODUCT,
        sku,
        lambda product, _: products.change_price(
            product, sku=sku, unit_price=body.unit_price, currency=body.currency, now=caller.now
        ),
    )
