"""Sentences for tests of the shop's commands over HTTP, in which events go to the streams that they belong to.

shop = await given(product_created(), stock_received())
answer = await shop.post("/v1/stock/85123A/adjustments", {"delta": -99, "reason": "loss"})
answer.then_refused(409, "insufficient-stock", requested=99, available=10)
"""

from collections.abc import Mapping
from typing import Any, Final

from counterfoil.testing.http import CommandApi
from domain.aggregate import Aggregate
from domain.cart.cart import CART
from domain.catalogue.events import PriceChanged, ProductCreated
from domain.catalogue.product import PRODUCT
from domain.customers.customer import CUSTOMER
from domain.event import Event
from domain.identity.account import ACCOUNT, GRANTS
from domain.identity.events import AccountRegistered, RoleGranted
from domain.inventory.stock_item import STOCK
from domain.operations.events import PauseRequested
from domain.operations.pauses import PAUSES
from domain.ordering.credit_note import CREDIT_NOTE
from domain.ordering.events import CreditNoteIssued
from domain.ordering.order import ORDER
from domain.payments.payment import PAYMENT
from domain.shipping.events import LabelBought, LabelRefused, LabelRequested
from domain.shipping.shipment import SHIPMENT
from tests import pricing_examples

OF_ONE_KIND: Final[Mapping[str, tuple[Aggregate[Any], str]]] = {
    "domain.cart.events": (CART, "cart_id"),
    "domain.customers.events": (CUSTOMER, "customer_id"),
    "domain.inventory.events": (STOCK, "sku"),
    "domain.payments.events": (PAYMENT, "payment_id"),
}
"""Modules whose events are all of one kind of stream, with the field that is its id."""


class Shop(CommandApi):
    """One command API of the shop on a log of its own."""

    async def given(self, *events: Event) -> "Shop":
        """These events are in the log already."""
        await self.record(*((*stream_of(event), event) for event in events))
        return self


def stream_of(event: Event) -> tuple[Aggregate[Any], str]:
    """The aggregate that an event belongs to, and its id."""
    match event:
        case ProductCreated() | PriceChanged():
            return PRODUCT, event.sku
        case PauseRequested():
            return PAUSES, event.consumer
        case CreditNoteIssued():
            return CREDIT_NOTE, event.credit_note_id
        case LabelRequested() | LabelBought() | LabelRefused():
            return SHIPMENT, event.order_id
        case AccountRegistered():
            return ACCOUNT, event.account_id
        case RoleGranted():
            return GRANTS, event.account_id
        case _ if type(event).__module__ == "domain.pricing.events":
            return pricing_examples.stream_of(event)
        case _ if (of_one := OF_ONE_KIND.get(type(event).__module__)) is not None:
            aggregate, field = of_one
            return aggregate, getattr(event, field)
        case _:
            return ORDER, event.order_id  # type: ignore[attr-defined]
