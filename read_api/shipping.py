"""What can be asked about shipments."""

from typing import Final

from projections.shipping.views import ShipmentDetails, shipment_details
from read_api.including import member
from read_api.reading.resource import Resource, only_row
from read_api.routing import ById, Documented, Include, Queries

SHIPMENT: Final = Resource(noun="shipment", view=shipment_details, render=only_row)

_EXAMPLE: Final = {
    "order_id": "536365",
    "status": "labelled",
    "attempt": 1,
    "country": "United Kingdom",
    "units": 12,
    "requested_at": "2026-01-31T08:26:00Z",
    "label_id": "L-000017",
    "tracking": "CF000000017GB",
    "refusal": None,
    "answered_at": "2026-01-31T08:26:01Z",
}


SHIPMENTS: Final = ById(
    "/shipments/{order_id}",
    "shipments:read",
    SHIPMENT,
    Documented("get_shipment", "Shipment of an order", ShipmentDetails, _EXAMPLE, "536365"),
)

QUERIES: Final = Queries(
    by_id=(SHIPMENTS,),
    includes=(Include(name="shipment", into="/orders/{order_id}", shown=SHIPMENTS, ids=member("order_id")),),
)
