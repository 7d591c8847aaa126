"""Sentences for tests of the shop's commands over HTTP, in which events go to the streams that they belong to.

shop = await given(product_created(), stock_received())
answer = await shop.post("/v1/stock/85123A/adjustments", {"delta": -99, "reason": "loss"})
answer.then_refused(409, "insufficient-stock", requested=99, available=10)
"""

from typing import Any, Final

from counterfoil.contexts import CONTEXTS
from counterfoil.testing.http import CommandApi
from domain.aggregate import Aggregate
from domain.event import Event, current
from domain.inventory.locations import ALL, LOCATIONS

IDS: Final = {
    "channel": "channel",
    "customer_group": "customer_id",
    "coupon": "code",
    "grants": "account_id",
    "order_credit": "order_id",
    "pauses": "consumer",
    "price": "sku",
    "price_lists": "channel",
    "product": "sku",
    "purchase": "order_id",
    "shipment": "order_id",
    "stock": "sku",
    "store_credit": "customer_id",
    "tax_table": "jurisdiction",
}
"""The field of events that has the id of their stream, by category, where it is not called after that."""


class Shop(CommandApi):
    """One command API of the shop on a log of its own."""

    async def given(self, *events: Event) -> "Shop":
        """These events are in the log already."""
        await self.record(*((*stream_of(event), event) for event in events))
        return self


def stream_of(event: Event) -> tuple[Aggregate[Any], str]:
    """The aggregate that an event belongs to, and its id."""
    aggregate = next(each for each in CONTEXTS.aggregates if type(current(event)) in each.events)
    if aggregate is LOCATIONS:
        return LOCATIONS, ALL
    return aggregate, getattr(event, IDS.get(aggregate.category, f"{aggregate.category}_id"))
