"""A shipment: the parcel of one order, for which a label is requested of a carrier, and bought or refused.

requested ─┬─▶ labelled ─▶ lost ─▶ settled by a refund
    ▲ ▲    └─▶ refused      │
    │ └───────────┘         │
    └───────────────────────┘ settled by a replacement

Its id is that of its order. A request without an answer is no failure: whether the carrier sold a label is not known
then, so nothing but an answer ends it. Where no label is requested, one that was bought by hand can be recorded: at
first, after a refusal, and for what replaces a parcel whose label was bought so. Asking again for what already holds
decides nothing. Refusals:

Conflict  NotShipped, NothingToSend, LabelNotAwaited, NotUnderWay, NotLost, SettledOtherwise
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
from domain.shipping.events import (
    Content,
    LabelBought,
    LabelRefused,
    LabelRequested,
    LossClaimed,
    LossReason,
    LossSettled,
    ManualLabelRecorded,
    ParcelLost,
    Remedy,
)


class Status(StrEnum):
    """Where a shipment stands."""

    REQUESTED = "requested"
    LABELLED = "labelled"
    REFUSED = "refused"
    LOST = "lost"


class LostParcel(Struct, frozen=True, kw_only=True):
    """The newest parcel that was lost: whether it was claimed, and what its buyer got for it."""

    attempt: int
    claim: str | None = None
    remedy: Remedy | None = None


class Shipment(Struct, frozen=True, kw_only=True):
    """The newest attempt at a label, and what the carrier said to it; and the newest parcel that was `lost`.

    A `manual` label was bought by hand, and so will be those of what replaces its parcel.
    """

    order_id: OrderId
    status: Status
    attempt: int
    country: str
    contents: tuple[Content, ...]
    label_id: str | None = None
    tracking: str | None = None
    manual: bool = False
    lost: LostParcel | None = None

    @property
    def is_refunded(self) -> bool:
        """Whether the buyer got the money back for a lost parcel: no other one is sent then."""
        return self.lost is not None and self.lost.remedy == "refund"


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


@dataclass(kw_only=True, eq=False)
class LabelNotAwaited(Conflict):
    """There is a label, the carrier is asked for one, or nothing is sent."""

    title = "No label of the order is waited for"
    meaning = (
        "A label that was bought by hand is recorded where the parcel has none and none is requested: a carrier "
        "that is asked may sell one, too. `facts.status` says where the newest parcel of the order stands."
    )
    remedy = (
        "Wait for the carrier where the label is requested: `GET /v1/shipments/{order_id}` shows its answer. "
        "Settle the loss with a replacement where the parcel is lost."
    )

    order_id: OrderId
    status: str

    def __str__(self) -> str:
        return f"The parcel of order '{self.order_id}' is {self.status}; no label is waited for."


@dataclass(kw_only=True, eq=False)
class NotUnderWay(Conflict):
    """No parcel has a label."""

    title = "No parcel of the order is under way"
    meaning = "Only a parcel that has a label can be lost."
    remedy = (
        "`GET /v1/shipments/{order_id}` shows whether a label was requested, and bought. "
        "`POST /v1/orders/{order_id}/shipment/manual-label` records one that was bought by hand."
    )

    order_id: OrderId

    def __str__(self) -> str:
        return f"No parcel of order '{self.order_id}' has a label."


@dataclass(kw_only=True, eq=False)
class NotLost(Conflict):
    """Nothing says that it is."""

    title = "No parcel of the order was lost"
    meaning = "Only a lost parcel is claimed at the carrier, refunded or replaced."
    remedy = "Record the loss first."

    order_id: OrderId

    def __str__(self) -> str:
        return f"No parcel of order '{self.order_id}' was lost."


@dataclass(kw_only=True, eq=False)
class SettledOtherwise(Conflict):
    """The buyer has the one, and does not get the other too."""

    title = "The loss was settled otherwise"
    meaning = (
        "A lost parcel is refunded or replaced, not both. `facts.settled_by` says what the buyer got for it."
    )
    remedy = "Nothing is left to be done. Goodwill is a refund of the payment, by hand."

    order_id: OrderId
    settled_by: Remedy

    def __str__(self) -> str:
        return f"The lost parcel of order '{self.order_id}' was settled by a {self.settled_by}."


def evolve(shipment: Shipment | None, event: Event) -> Shipment:
    """Return the shipment as it is after `event`."""
    match event:
        case LabelRequested():
            return _begun(shipment, event, Status.REQUESTED)
        case ManualLabelRecorded():
            labelled = _begun(shipment, event, Status.LABELLED)
            return replace(labelled, tracking=event.tracking, manual=True)
    assert shipment is not None, "an answer about a label that was never requested"
    match event:
        case LabelBought():
            return replace(shipment, status=Status.LABELLED, label_id=event.label_id, tracking=event.tracking)
        case LabelRefused():
            return replace(shipment, status=Status.REFUSED)
        case ParcelLost():
            return replace(shipment, status=Status.LOST, lost=LostParcel(attempt=event.attempt))
    return replace(shipment, lost=_lost(shipment.lost, event))


def _begun(
    shipment: Shipment | None, event: LabelRequested | ManualLabelRecorded, status: Status
) -> Shipment:
    """The parcel with a new attempt at a label; what is known of the newest that was lost stays."""
    return Shipment(
        order_id=event.order_id,
        status=status,
        attempt=event.attempt,
        country=event.country,
        contents=event.contents,
        lost=None if shipment is None else shipment.lost,
    )


def _lost(lost: LostParcel | None, event: Event) -> LostParcel:
    """What is known of a lost parcel after an event about it."""
    assert lost is not None, "an event about the loss of a parcel that was never lost"
    match event:
        case LossClaimed():
            return replace(lost, claim=event.claim)
        case LossSettled():
            return replace(lost, remedy=event.remedy)
    raise AssertionError(f"{type(event).__name__} is no event of a shipment")


SHIPMENT: Final[Aggregate[Shipment]] = Aggregate(
    "shipment",
    evolve,
    (
        LabelRequested,
        LabelBought,
        LabelRefused,
        ManualLabelRecorded,
        ParcelLost,
        LossClaimed,
        LossSettled,
    ),
    cached=False,
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
    """Have a label bought: the first one, another one after a refusal, or one for what replaces a lost parcel.

    Raises:
        NothingToSend: there is no parcel.
    """
    if not contents:
        raise NothingToSend(order_id=order_id)
    if not _needs_label(shipment):
        return []
    return [
        LabelRequested(
            order_id=order_id,
            attempt=_next_attempt(shipment),
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


def record_manual_label(
    shipment: Shipment | None,
    *,
    order_id: OrderId,
    country: str,
    contents: Sequence[Content],
    tracking: str,
    now: datetime,
) -> list[Event]:
    """Take down a label that was bought by hand; nothing if this one is the newest already.

    Raises:
        NothingToSend: there is no parcel.
        LabelNotAwaited: there is another label, or the carrier may sell one, or the parcel is lost.
    """
    if not contents:
        raise NothingToSend(order_id=order_id)
    if shipment is not None and not _needs_label(shipment):
        if shipment.manual and shipment.status is Status.LABELLED and shipment.tracking == tracking:
            return []
        raise LabelNotAwaited(order_id=order_id, status=shipment.status)
    return [
        ManualLabelRecorded(
            order_id=order_id,
            attempt=_next_attempt(shipment),
            country=country,
            contents=tuple(contents),
            tracking=tracking,
            recorded_at=in_utc(now),
        )
    ]


def record_loss(
    shipment: Shipment | None, *, order_id: OrderId, reason: LossReason, now: datetime
) -> list[Event]:
    """Note that the parcel is lost; nothing if it is already.

    Raises:
        NotUnderWay: it has no label.
    """
    if shipment is None or _needs_label(shipment) or shipment.status is Status.REQUESTED:
        raise NotUnderWay(order_id=order_id)
    if shipment.status is Status.LOST:
        return []
    return [ParcelLost(order_id=order_id, attempt=shipment.attempt, reason=reason, lost_at=in_utc(now))]


def record_claim(shipment: Shipment | None, *, order_id: OrderId, claim: str, now: datetime) -> list[Event]:
    """Note that the loss was claimed at the carrier; nothing if it was under this number.

    Raises:
        NotLost: no parcel was lost.
    """
    lost = _known(shipment, order_id=order_id)
    if lost.claim == claim:
        return []
    return [LossClaimed(order_id=order_id, attempt=lost.attempt, claim=claim, claimed_at=in_utc(now))]


def settle_loss(
    shipment: Shipment | None, *, order_id: OrderId, remedy: Remedy, now: datetime
) -> list[Event]:
    """Settle the loss, once; with a replacement a label is requested for the same contents.

    None is requested where that of the lost parcel was bought by hand. Nothing if it is settled so.

    Raises:
        NotLost: no parcel was lost.
        SettledOtherwise: the buyer has something else for it.
    """
    lost = _known(shipment, order_id=order_id)
    if lost.remedy == remedy:
        return []
    if lost.remedy is not None:
        raise SettledOtherwise(order_id=order_id, settled_by=lost.remedy)
    settled = LossSettled(order_id=order_id, attempt=lost.attempt, remedy=remedy, settled_at=in_utc(now))
    if remedy == "refund" or shipment is None or shipment.manual:
        return [settled]
    return [
        settled,
        LabelRequested(
            order_id=order_id,
            attempt=shipment.attempt + 1,
            country=shipment.country,
            contents=shipment.contents,
            requested_at=in_utc(now),
        ),
    ]


def _needs_label(shipment: Shipment | None) -> bool:
    """Whether no parcel has a label, or may have one, of those that are to be sent."""
    if shipment is None or shipment.status is Status.REFUSED:
        return True
    lost = shipment.lost
    return shipment.status is Status.LOST and lost is not None and lost.remedy == "replacement"


def _next_attempt(shipment: Shipment | None) -> int:
    return 1 if shipment is None else shipment.attempt + 1


def _known(shipment: Shipment | None, *, order_id: OrderId) -> LostParcel:
    if shipment is None or shipment.lost is None:
        raise NotLost(order_id=order_id)
    return shipment.lost


def _awaits(shipment: Shipment, attempt: int) -> bool:
    return shipment.status is Status.REQUESTED and shipment.attempt == attempt
