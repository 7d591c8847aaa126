"""Parcels that are lost: claimed, and refunded or sent again."""

from tests.upgrade.history import buying
from tests.upgrade.installation import Installation, Sent


def fill(on: Installation) -> None:
    """Everything that happens to parcels after they have left."""
    for remedy in ("refund", "replacement"):
        order_id = buying.buy(on, f"lost-{remedy}")
        buying.ship(on, order_id)
        on.wait_for_event("payments.payment_captured.v1", f"payment-{order_id}")
        path = f"/v1/orders/{order_id}/shipment/loss"
        on.send(Sent(f"lose-{remedy}", path, {"reason": "carrier"}))
        on.send(Sent(f"claim-{remedy}", f"{path}/claim", {"claim": f"CL-{remedy}"}))
        on.settle(Sent(f"settle-loss-{remedy}", f"{path}/settlement", {"remedy": remedy}))
        if remedy == "refund":
            on.wait_for_event("payments.refund_succeeded.v1", f"payment-{order_id}")
        else:
            on.wait_for_event("shipping.label_requested.v1", f"shipment-{order_id}", count=2)
            on.wait_for(
                f"/v1/shipments/{order_id}", lambda found: found.get("status") in {"labelled", "refused"}
            )
    on.shows("/v1/order-history?limit=100", "/v1/order-history?fulfilment=lost")
