"""The parcel of an order, for the command and the process manager that request its label."""

from domain.ordering.order import Order
from domain.shipping.events import Content


def contents_of(order: Order) -> list[Content]:
    """What is in the parcel of an order: services are not."""
    return [Content(sku=total.sku, quantity=total.units) for total in order.skus if total.stocked]
