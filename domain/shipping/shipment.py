"""A shipment: the parcel of one order, for which a label is requested of a carrier, and bought or refused.

requested ─┬─▶ labelled
    ▲      └─▶ refused
    └─────────────┘

Its id is that of its order. A request without an answer is no failure: whether the carrier sold a label is not known
then, so nothing but an answer ends it. Asking again for what already holds decides nothing. Refusals:

Conflict  NotShipped, NothingToSend
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from domain.aggregate import Aggregate
from domain.event import Event
from domain.ids import OrderId
from domain.moment import in_utc
from domain.rejection import Conflict
from domain.shipping.events import Content, LabelBought, LabelRefused, LabelRequested


class Status(StrEnum):
    """Where a shipment stands."""

    REQUESTED = "requested"
    LABELLED = "labelled"
    REFUSED = "refused"


class Shipment(Struct, frozen=True, kw_only=True):
    """The newest attempt at a label, and what the carrier said to it."""

    order_id: OrderId
    status: Status
    attempt: int
    country: str
    contents: tuple[Content, ...]
    label_id: str | None = None
    tracking: str | None = None


@dataclass(kw_only=True, eq=False)
class NotShipped(Conflict):
    """Only a shipped order has a parcel."""

    title = "The order has not been shipped"
    meaning = (
        "Only a shipped order has a parcel that needs a label. `facts.status` has the status of the order."
    )
    remedy = "Ship the order first."

    order_id: OrderId
    status: str

    def __str__(self) -> str:
        return f"Order '{self.order_id}' is {self.status}; only a shipped order has a parcel."


@dataclass(kw_only=True, eq=False)
class NothingToSend(Conflict):
    """The order has services only."""

    title = "There is nothing to send"
    meaning = "The order has no stocked product, so there is no parcel."
    remedy = "No label is needed: services are not shipped."

    order_id: OrderId

    def __str__(self) -> str:
        return f"Order '{self.order_id}' has nothing in it that is sent."


def evolve(shipment: Shipment | None, event: Event) -> Shipment:
    """Return the shipment as it is after `event`."""
    if isinstance(event, LabelRequested):
        return Shipment(
            order_id=event.order_id,
            status=Status.REQUESTED,
            attempt=event.attempt,
            country=event.country,
            contents=event.contents,
        )
    assert shipment is not None, "an answer about a label that was never requested"
    match event:
        case LabelBought():
            return replace(shipment, status=Status.LABELLED, label_id=event.label_id, tracking=event.tracking)
        case LabelRefused():
            return replace(shipment, status=Status.REFUSED)
    raise AssertionError(f"{type(event).__name__} is no event of a shipment")


SHIPMENT: Final[Aggregate[Shipment]] = Aggregate(
    "shipment", evolve, (LabelRequested, LabelBought, LabelRefused), cached=False
)
"""Not cached: the process that requests labels, the sender that buys them and callers write it."""


def request_label(
    shipment: Shipment | None,
    *,
    order_id: OrderId,
    country: str,
    contents: Sequence[Content],
    now: datetime,
) -> list[Event]:
    """Have a label bought: the first one, or another one after a refusal.

    Raises:
        NothingToSend: there is no parcel.
    """
    if not contents:
        raise NothingToSend(order_id=order_id)
    if shipment is not None and shipment.status is not Status.REFUSED:
        return []
    return [
        LabelRequested(
            order_id=order_id,
            attempt=1 if shipment is None else shipment.attempt + 1,
            country=country,
            contents=tuple(contents),
            requested_at=in_utc(now),
        )
    ]


def record_label(
    shipment: Shipment | None, *, attempt: int, label_id: str, tracking: str, now: datetime
) -> list[Event]:
    """Take down the label that the carrier sold; nothing if that attempt has its answer."""
    if shipment is None or not _awaits(shipment, attempt):
        return []
    return [
        LabelBought(
            order_id=shipment.order_id,
            attempt=attempt,
            label_id=label_id,
            tracking=tracking,
            bought_at=in_utc(now),
        )
    ]


def record_refusal(shipment: Shipment | None, *, attempt: int, reason: str, now: datetime) -> list[Event]:
    """Take down that the carrier refused; nothing if that attempt has its answer."""
    if shipment is None or not _awaits(shipment, attempt):
        return []
    return [LabelRefused(order_id=shipment.order_id, attempt=attempt, reason=reason, refused_at=in_utc(now))]


def _awaits(shipment: Shipment, attempt: int) -> bool:
    return shipment.status is Status.REQUESTED and shipment.attempt == attempt
