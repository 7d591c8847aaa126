"""Row types and keys of shipments."""

from datetime import datetime
from typing import Literal

from domain.ids import OrderId
from domain.ordering.order import ORDER
from domain.shipping.events import CarrierNumber, Refusal
from domain.shipping.shipment import SHIPMENT
from domain.text import Country
from projections.view import KEYED, Row, View

Status = Literal["requested", "labelled", "refused", "unlabelled"]


class ShipmentDetails(Row, frozen=True):
    """The parcel of an order: its newest attempt at a label, and what the carrier said to it.

    `status` is requested, labelled or refused. While it is requested, whether the carrier sold a label is not known.
    A label that was bought by hand has no `label_id`, and was recorded at both times. Where another parcel replaces one
    that had such a label, and waits for its own, the status is unlabelled.
    """

    order_id: OrderId
    status: Status
    attempt: int
    country: Country
    units: int
    requested_at: datetime
    label_id: CarrierNumber | None = None
    tracking: CarrierNumber | None = None
    refusal: Refusal | None = None
    answered_at: datetime | None = None


shipment_details = View(
    name="shipment_details",
    row=ShipmentDetails,
    key=("order_id",),
    shape=1,
    kind=KEYED,
    document="shipping:shipment",
    category=SHIPMENT.category,
    partition_category=ORDER.category,
)
