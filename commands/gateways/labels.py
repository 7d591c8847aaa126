"""Labels are bought at the carrier: what is asked for an intent, and what is recorded about the answer."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from commands.gateways.gateway import Effect, Gateway, Refused
from commands.gateways.parcels import Label, Parcel
from domain.event import Event
from domain.shipping import shipment as shipments
from domain.shipping.events import LabelRequested
from domain.shipping.shipment import SHIPMENT, Shipment
from runtime.settings import Settings

if TYPE_CHECKING:
    from commands.gateways.carrier import HttpCarrier


class Labels:
    """The carrier, asked in the terms of shipping."""

    def __init__(self, carrier: "HttpCarrier") -> None:
        self._carrier = carrier

    async def find(self, key: str, intent: LabelRequested) -> Label | Refused | None:
        """See `Port`."""
        return await self._carrier.find(key, _parcel(intent))

    async def ask(self, key: str, intent: LabelRequested) -> Label | Refused:
        """See `Port`."""
        return await self._carrier.buy(key, _parcel(intent))


def record(
    shipment: Shipment | None, intent: LabelRequested, answer: Label | Refused, now: datetime
) -> Sequence[Event]:
    """The outcome for the carrier's answer."""
    if isinstance(answer, Refused):
        return shipments.record_refusal(shipment, attempt=intent.attempt, reason=answer.reason, now=now)
    return shipments.record_label(
        shipment, attempt=intent.attempt, label_id=answer.label, tracking=answer.tracking, now=now
    )


def _parcel(intent: LabelRequested) -> Parcel:
    return Parcel(shipment=intent.order_id, country=intent.country, contents=intent.contents)


def _opened(settings: Settings) -> contextlib.AbstractAsyncContextManager[Labels] | None:
    if settings.carrier_url is None:
        return None
    token = settings.carrier_token
    return _labels(settings.carrier_url, None if token is None else token.get_secret_value())


@contextlib.asynccontextmanager
async def _labels(url: str, token: str | None) -> AsyncIterator[Labels]:
    from commands.gateways.carrier import HttpCarrier

    async with HttpCarrier.open(url, token=token) as carrier:
        yield Labels(carrier)


CARRIER: Final = Gateway(
    name="carrier",
    effects=(
        Effect(
            step="label",
            aggregate=SHIPMENT,
            intent=LabelRequested,
            concerns=lambda intent: (intent.order_id, intent.attempt),
            record=record,
        ),
    ),
    opened=_opened,
)
