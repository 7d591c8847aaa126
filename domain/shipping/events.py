"""The events of shipping: the only part of it that other packages may rely on.

They belong to the partition of their order, so that what is folded of both arrives in order.
"""

from typing import Annotated, Any, Literal

from msgspec import Struct

from domain.event import Event, event_type
from domain.ids import OrderId, Sku
from domain.moment import Moment
from domain.text import Country, PublicText

CarrierNumber = Annotated[str, PublicText("the carrier's own number of a parcel")]
Refusal = Annotated[
    str, PublicText("the carrier's words about a parcel of which it knows country and contents")
]


LossReason = Literal["carrier", "undelivered", "destroyed"]
"""The carrier says so, the parcel did not arrive for too long, or what arrived is nothing that anybody can use."""

Remedy = Literal["refund", "replacement"]
"""What a buyer gets for a lost parcel."""


class Content(Struct, frozen=True, kw_only=True, gc=False):
    """Pieces of one SKU in the parcel."""

    sku: Sku
    quantity: int


def _order(event: Any) -> str:
    return f"order-{event.order_id}"


@event_type("shipping.label_requested.v1", partition=_order)
class LabelRequested(Event, frozen=True, kw_only=True):
    """The carrier is to be asked for a label. `attempt` counts from 1; a later one follows a refusal."""

    order_id: OrderId
    attempt: int
    country: Country
    contents: tuple[Content, ...]
    requested_at: Moment


@event_type("shipping.label_bought.v1", partition=_order)
class LabelBought(Event, frozen=True, kw_only=True):
    """The carrier sold a label; `label_id` and `tracking` are the carrier's own."""

    order_id: OrderId
    attempt: int
    label_id: CarrierNumber
    tracking: CarrierNumber
    bought_at: Moment


@event_type("shipping.label_refused.v1", partition=_order)
class LabelRefused(Event, frozen=True, kw_only=True):
    """The carrier will not take this parcel as it was described; `reason` is in its words."""

    order_id: OrderId
    attempt: int
    reason: Refusal
    refused_at: Moment


@event_type("shipping.manual_label_recorded.v1", partition=_order)
class ManualLabelRecorded(Event, frozen=True, kw_only=True):
    """Somebody bought the label without the product; `attempt` counts on from the labels that were requested."""

    order_id: OrderId
    attempt: int
    country: Country
    contents: tuple[Content, ...]
    tracking: CarrierNumber
    recorded_at: Moment


@event_type("shipping.parcel_lost.v1", partition=_order)
class ParcelLost(Event, frozen=True, kw_only=True):
    """Somebody says that the parcel with the label of this attempt does not arrive any more."""

    order_id: OrderId
    attempt: int
    reason: LossReason
    lost_at: Moment


@event_type("shipping.loss_claimed.v1", partition=_order)
class LossClaimed(Event, frozen=True, kw_only=True):
    """Somebody claimed the lost parcel at the carrier; `claim` is the carrier's own number of that."""

    order_id: OrderId
    attempt: int
    claim: CarrierNumber
    claimed_at: Moment


@event_type("shipping.loss_settled.v1", partition=_order)
class LossSettled(Event, frozen=True, kw_only=True):
    """The buyer gets the money back, or other pieces in another parcel.

    The label of that parcel is requested in the same append, unless that of the lost one was bought by hand.
    """

    order_id: OrderId
    attempt: int
    remedy: Remedy
    settled_at: Moment
