"""Prices as decisions of several contexts read them: of the lists of a channel, else of the catalogue.

Both are read as the log has them when a decision is recorded: a price that changes at the same moment is not missed.
"""

from collections.abc import Sequence
from datetime import datetime

from commands.decision import DecisionView
from domain.catalogue.product import Product
from domain.ids import ChannelId, CustomerId, PriceListId
from domain.money import Currency
from domain.pricing.customer_group import CUSTOMER_GROUP
from domain.pricing.price import PRICES
from domain.pricing.price_lists import PRICE_LISTS, FoundPrice, found_price


def lists_in(
    view: DecisionView, channel: ChannelId, *, customer_id: CustomerId | None
) -> tuple[PriceListId, ...]:
    """The price lists of a channel that hold for a customer, in order; none if none were chosen."""
    chosen = view.current(PRICE_LISTS, channel)
    if chosen is None:
        return ()
    grouped = (
        view.current(CUSTOMER_GROUP, customer_id)
        if chosen.are_for_groups and customer_id is not None
        else None
    )
    return chosen.holding_for(None if grouped is None else grouped.group)


def price_in(
    view: DecisionView,
    product: Product,
    *,
    lists: Sequence[PriceListId],
    currency: Currency,
    quantity: int,
    at: datetime,
) -> FoundPrice | None:
    """What each of so many pieces of a product costs at a moment; None if it has no price in this currency."""
    return found_price(
        view.current(PRICES, product.sku) if lists else None,
        lists,
        listed=product.unit_price if product.currency == currency else None,
        currency=currency,
        quantity=quantity,
        at=at,
    )
