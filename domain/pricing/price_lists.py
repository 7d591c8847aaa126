"""The price lists of a channel: those that its carts take their prices from, in order, some for a group alone.

The first list that has a price for a SKU counts; where none has, the list price of the catalogue does.

Asking again for what already holds decides nothing.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from domain.aggregate import Aggregate
from domain.event import Event
from domain.ids import ChannelId, CustomerGroupId, PriceId, PriceListId
from domain.moment import in_utc
from domain.money import Currency, UnitPrice
from domain.pricing.events import ChosenList, PriceListsChosen
from domain.pricing.price import Prices

LISTS_MAX: Final = 20
"""Price lists of one channel."""


class PriceLists(Struct, frozen=True):
    """The price lists of a channel, the first that has a price counts."""

    channel: ChannelId
    lists: tuple[ChosenList, ...]

    def holding_for(self, group: CustomerGroupId | None) -> tuple[PriceListId, ...]:
        """Those that hold for a customer of a group; None: of none."""
        return tuple(each.list_id for each in self.lists if each.group in {None, group})

    @property
    def are_for_groups(self) -> bool:
        """Whether one of them is for a group alone."""
        return any(each.group is not None for each in self.lists)


class FoundPrice(Struct, frozen=True, kw_only=True):
    """What a piece costs. Without a list it is the list price of the catalogue."""

    unit_price: UnitPrice
    list_id: PriceListId | None = None
    price_id: PriceId | None = None


def evolve(_lists: PriceLists | None, event: Event) -> PriceLists:
    """Return the lists as they are after `event`."""
    match event:
        case PriceListsChosen():
            return PriceLists(event.channel, event.lists)
    raise AssertionError(f"{type(event).__name__} is no event of the price lists of a channel")


PRICE_LISTS: Final[Aggregate[PriceLists]] = Aggregate("price_lists", evolve, (PriceListsChosen,))


def choose(
    known: PriceLists | None, *, channel: ChannelId, lists: Sequence[ChosenList], now: datetime
) -> list[Event]:
    """Have carts of a channel take their prices from these lists; nothing if they do. One named twice counts once."""
    assert len(lists) <= LISTS_MAX, "a border let it in"
    chosen = tuple(dict.fromkeys(lists))
    if chosen == (() if known is None else known.lists):
        return []
    return [PriceListsChosen(channel=channel, lists=chosen, chosen_at=in_utc(now))]


def found_price(
    prices: Prices | None,
    lists: Sequence[PriceListId],
    *,
    listed: UnitPrice | None,
    currency: Currency,
    quantity: int,
    at: datetime,
) -> FoundPrice | None:
    """What each of so many pieces costs at a moment: by the first list that says so, else as `listed` in the catalogue.

    None: there is no price in this currency.
    """
    for list_id in lists:
        price = (
            None if prices is None else prices.applying(list_id, currency=currency, quantity=quantity, at=at)
        )
        if price is not None:
            return FoundPrice(unit_price=price.unit_price, list_id=list_id, price_id=price.price_id)
    return None if listed is None else FoundPrice(unit_price=listed)
