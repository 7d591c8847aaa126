"""How a parcel comes by its label."""

from datetime import datetime
from typing import Final

from msgspec.structs import replace

from domain.shipping.events import LabelBought, LabelRefused, LabelRequested, LossSettled, ManualLabelRecorded
from projections.shipping.views import ShipmentDetails, Status, shipment_details


@shipment_details.on(LabelRequested)
def requested(_shipment: ShipmentDetails | None, event: LabelRequested) -> ShipmentDetails:
    """A new attempt begins anew: what was said to the one before stands in the stream."""
    return _begun(event, "requested", event.requested_at)


@shipment_details.on(LabelBought)
def bought(shipment: ShipmentDetails, event: LabelBought) -> ShipmentDetails:
    """The parcel can be followed from now on."""
    return replace(
        shipment,
        status="labelled",
        label_id=event.label_id,
        tracking=event.tracking,
        answered_at=event.bought_at,
    )


@shipment_details.on(LabelRefused)
def refused(shipment: ShipmentDetails, event: LabelRefused) -> ShipmentDetails:
    """Somebody has to see what is wrong with it, and to ask again."""
    return replace(shipment, status="refused", refusal=event.reason, answered_at=event.refused_at)


@shipment_details.on(ManualLabelRecorded)
def bought_by_hand(_shipment: ShipmentDetails | None, event: ManualLabelRecorded) -> ShipmentDetails:
    """The parcel can be followed, and no carrier was asked."""
    begun = _begun(event, "labelled", event.recorded_at)
    return replace(begun, tracking=event.tracking, answered_at=event.recorded_at)


@shipment_details.on(LossSettled)
def settled(shipment: ShipmentDetails, event: LossSettled) -> ShipmentDetails:
    """Another parcel waits for its label, unless the carrier is asked for one, which the next event says."""
    if event.remedy == "refund":
        return shipment
    return replace(shipment, status="unlabelled", label_id=None, tracking=None)


def _begun(event: LabelRequested | ManualLabelRecorded, status: Status, at: datetime) -> ShipmentDetails:
    """A new attempt at a label for what is in the parcel."""
    return ShipmentDetails(
        order_id=event.order_id,
        status=status,
        attempt=event.attempt,
        country=event.country,
        units=sum(content.quantity for content in event.contents),
        requested_at=at,
    )


VIEWS: Final = (shipment_details,)
"""Views of shipments."""
