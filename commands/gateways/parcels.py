"""Values of requests to a carrier and of its answers."""

from typing import Annotated

from msgspec import Meta, Struct

from domain.ids import OrderId
from domain.shipping.events import Content

Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]
"""A name of the carrier's own."""


class Parcel(Struct, frozen=True, kw_only=True):
    """The request to a carrier about a shipment."""

    shipment: OrderId
    country: str
    contents: tuple[Content, ...]


class Label(Struct, frozen=True, kw_only=True):
    """A label that was sold; both names are the carrier's own."""

    label: Name
    tracking: Name
