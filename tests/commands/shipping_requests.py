"""Requests about labels and lost parcels: one of each command that is accepted after `FACTS`, one of each refusal."""

from typing import Any

from domain.event import Event
from domain.ids import Sku
from domain.shipping.events import Content
from tests.examples import confirmed, label_bought, label_requested, placed, shipped
from tests.purchase_examples import loss_settled, parcel_lost

CLAIM = {"claim": "CL-000017"}
LABEL = {"tracking": "BY-HAND-17"}


def left(order_id: str) -> tuple[Event, ...]:
    """An order that was shipped."""
    return placed(order_id=order_id), confirmed(order_id=order_id), shipped(order_id=order_id)


def sent(order_id: str, *, quantity: int = 1) -> tuple[Event, ...]:
    """An order's parcel that has its label."""
    contents = (Content(sku=Sku("85123A"), quantity=quantity),)
    return label_requested(order_id=order_id, contents=contents), label_bought(order_id=order_id)


FACTS: tuple[Event, ...] = (
    *left("unlabelled"),
    *left("sent"),
    *sent("sent"),
    *sent("gone"),
    parcel_lost(order_id="gone"),
    *sent("refunded"),
    parcel_lost(order_id="refunded"),
    loss_settled(order_id="refunded"),
    *sent("bulky", quantity=99_999),
    parcel_lost(order_id="bulky"),
)

VALID: dict[str, tuple[str, Any]] = {
    "record_manual_label": ("/v1/orders/unlabelled/shipment/manual-label", LABEL),
    "record_parcel_loss": ("/v1/orders/sent/shipment/loss", {"reason": "carrier"}),
    "record_loss_claim": ("/v1/orders/gone/shipment/loss/claim", CLAIM),
    "settle_parcel_loss": ("/v1/orders/gone/shipment/loss/settlement", {"remedy": "replacement"}),
}

REFUSED: dict[tuple[str, str], tuple[str, Any]] = {
    ("record_manual_label", "order-unknown"): ("/v1/orders/none/shipment/manual-label", LABEL),
    ("record_manual_label", "not-shipped"): ("/v1/orders/confirmed/shipment/manual-label", LABEL),
    ("record_manual_label", "nothing-to-send"): ("/v1/orders/postage/shipment/manual-label", LABEL),
    ("record_manual_label", "label-not-awaited"): ("/v1/orders/sent/shipment/manual-label", LABEL),
    ("record_parcel_loss", "not-under-way"): ("/v1/orders/shipped/shipment/loss", {"reason": "carrier"}),
    ("record_loss_claim", "not-lost"): ("/v1/orders/sent/shipment/loss/claim", CLAIM),
    ("settle_parcel_loss", "not-lost"): ("/v1/orders/sent/shipment/loss/settlement", {"remedy": "refund"}),
    ("settle_parcel_loss", "settled-otherwise"): (
        "/v1/orders/refunded/shipment/loss/settlement",
        {"remedy": "replacement"},
    ),
    ("settle_parcel_loss", "insufficient-stock"): (
        "/v1/orders/bulky/shipment/loss/settlement",
        {"remedy": "replacement"},
    ),
}
