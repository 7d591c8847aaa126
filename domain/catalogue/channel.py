"""A channel: where a shop shows what it sells, in one currency.

Conflict  ChannelIdTaken
Unknown   ChannelUnknown
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec import Struct

from domain.aggregate import Aggregate
from domain.catalogue.events import ChannelOpened
from domain.event import Event
from domain.ids import ChannelId
from domain.moment import in_utc
from domain.money import Currency, validate_currency
from domain.rejection import Conflict, Unknown


class Channel(Struct, frozen=True):
    """What decisions need of a channel."""

    channel: ChannelId
    currency: Currency


@dataclass(kw_only=True, eq=False)
class ChannelIdTaken(Conflict):
    """The id belongs to a channel already."""

    title = "The id belongs to a channel already"
    meaning = "A channel is opened once, and its currency does not change: what is published in it has prices in that."
    remedy = "Choose another id."

    channel: ChannelId

    def __str__(self) -> str:
        return f"There is a channel '{self.channel}' already."


@dataclass(kw_only=True, eq=False)
class ChannelUnknown(Unknown):
    """No channel has this id."""

    title = "There is no such channel"
    meaning = "No channel with this id was opened."
    remedy = "Open the channel first, or check the id: case matters."

    channel: ChannelId

    def __str__(self) -> str:
        return f"There is no channel '{self.channel}'."


def evolve(channel: Channel | None, event: Event) -> Channel:
    """Return the channel as it is after `event`."""
    assert isinstance(event, ChannelOpened), f"{type(event).__name__} is no event of a channel"
    assert channel is None, "a channel is opened once"
    return Channel(event.channel, event.currency)


CHANNEL: Final[Aggregate[Channel]] = Aggregate("channel", evolve, (ChannelOpened,))


def open_channel(
    current: Channel | None, *, channel: ChannelId, title: str, currency: Currency, now: datetime
) -> list[Event]:
    """Open a channel in which listings can be published.

    Raises:
        ChannelIdTaken: there is one of this id.
        UnknownCurrency: the code names no currency.
    """
    if current is not None:
        raise ChannelIdTaken(channel=channel)
    return [
        ChannelOpened(
            channel=channel, title=title, currency=validate_currency(currency), opened_at=in_utc(now)
        )
    ]
