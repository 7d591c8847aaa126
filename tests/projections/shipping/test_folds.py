from counterfoil.testing.spec import folded
from projections.shipping.views import ShipmentDetails, shipment_details
from tests.examples import COUNTRY, NOW, ORDER, label_bought, label_refused, label_requested
from tests.purchase_examples import loss_settled, manual_label_recorded, parcel_lost

REQUESTED = ShipmentDetails(
    order_id=ORDER, status="requested", attempt=1, country=COUNTRY, units=3, requested_at=NOW
)


def test_a_requested_label_shows_what_is_in_the_parcel():
    assert {(ORDER,): REQUESTED} == folded(shipment_details, label_requested())


def test_a_bought_label_can_be_followed():
    row = folded(shipment_details, label_requested(), label_bought())[ORDER,]

    assert ("labelled", "L-000017", "CF000000017GB") == (row.status, row.label_id, row.tracking)
    assert NOW == row.answered_at


def test_a_refusal_stands_until_the_next_attempt():
    refused = (label_requested(), label_refused())
    row = folded(shipment_details, *refused)[ORDER,]
    again = folded(shipment_details, *refused, label_requested(attempt=2))[ORDER,]

    assert ("refused", "no service to there") == (row.status, row.refusal)
    assert ("requested", 2, None) == (again.status, again.attempt, again.refusal)


def test_a_label_that_was_bought_by_hand_can_be_followed_and_is_no_carrier_s():
    row = folded(shipment_details, label_requested(), label_refused(), manual_label_recorded(attempt=2))[
        ORDER,
    ]

    assert ("labelled", 2, None, "BY-HAND-17") == (row.status, row.attempt, row.label_id, row.tracking)
    assert (NOW, NOW, 3, None) == (row.requested_at, row.answered_at, row.units, row.refusal)


def test_a_replacement_waits_for_its_label_unless_the_carrier_is_asked_for_one():
    replaced = loss_settled(remedy="replacement")
    lost = (manual_label_recorded(), parcel_lost())
    by_hand = folded(shipment_details, *lost, replaced)[ORDER,]
    again = folded(shipment_details, *lost, replaced, manual_label_recorded(attempt=2))[ORDER,]
    asked = folded(shipment_details, *lost, replaced, label_requested(attempt=2))[ORDER,]
    refunded = folded(shipment_details, *lost, loss_settled())[ORDER,]

    assert ("unlabelled", None) == (by_hand.status, by_hand.tracking)
    assert [("labelled", 2), ("requested", 2)] == [(each.status, each.attempt) for each in (again, asked)]
    assert "labelled" == refunded.status


def test_the_row_of_an_order_lies_in_the_order_s_partition():
    assert f"order-{ORDER}" == shipment_details.partition_key_of((ORDER,))
