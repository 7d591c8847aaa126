"""POST /v1/orders/{order_id}/shipment/label, and what is posted about a lost parcel."""

import pytest

from counterfoil.testing.spec import folded
from projections.inventory.views import stock_reservations
from tests.examples import (
    LINES,
    ORDER,
    SKU,
    confirmed,
    label_bought,
    label_refused,
    label_requested,
    placed,
    shipped,
    stock_received,
    stock_reserved,
    stock_shipped,
)
from tests.payment_examples import (
    CUSTOMER,
    credit_held,
    credit_issued,
    credit_returned,
    credit_spent,
    order_credit_changed,
)
from tests.purchase_examples import loss_settled, manual_label_recorded, parcel_lost

pytestmark = pytest.mark.anyio

PATH = f"/v1/orders/{ORDER}/shipment/label"
LOSS = f"/v1/orders/{ORDER}/shipment/loss"
SHIPPED = (placed(), confirmed(), shipped())


async def test_a_label_is_requested_for_a_shipped_order(given):
    shop = await given(*SHIPPED)

    answer = await shop.post(PATH)

    answer.then_accepted(stream=f"shipment-{ORDER}", version=1)
    assert f"/v1/shipments/{ORDER}" in answer.headers["location"]
    assert [label_requested()] == shop.events(f"shipment-{ORDER}")
    assert f"order-{ORDER}" == shop.recorded(f"shipment-{ORDER}")[0].key


async def test_a_label_is_requested_again_after_a_refusal(given):
    shop = await given(*SHIPPED, label_requested(), label_refused())

    answer = await shop.post(PATH)

    answer.then_accepted(stream=f"shipment-{ORDER}", version=3)
    assert label_requested(attempt=2) == shop.events(f"shipment-{ORDER}")[-1]


@pytest.mark.parametrize("facts", [(), (label_bought(),)], ids=["requested", "labelled"])
async def test_what_was_requested_or_bought_is_left_as_it_is(given, facts):
    shop = await given(*SHIPPED, label_requested(), *facts)

    (await shop.post(PATH)).then_accepted(stream=f"shipment-{ORDER}", version=1 + len(facts))


async def test_an_order_that_has_not_left_has_no_parcel(given):
    shop = await given(placed(), confirmed())

    (await shop.post(PATH)).then_refused(409, "not-shipped", order_id=ORDER, status="confirmed")


async def test_services_are_not_sent(given):
    shop = await given(placed(lines=(LINES[1],)), confirmed(), shipped(skus=()))

    (await shop.post(PATH)).then_refused(409, "nothing-to-send", order_id=ORDER)


async def test_the_pieces_of_a_lost_parcel_leave_the_stock_again_with_another_label(given):
    shop = await given(*SHIPPED, stock_received(), label_requested(), label_bought())

    (await shop.post(LOSS, {"reason": "undelivered"})).then_accepted(stream=f"shipment-{ORDER}", version=3)
    (await shop.post(f"{LOSS}/claim", {"claim": "CL-000017"})).then_accepted(
        stream=f"shipment-{ORDER}", version=4
    )
    again = {"remedy": "replacement"}
    (await shop.post(f"{LOSS}/settlement", again)).then_accepted(stream=f"shipment-{ORDER}", version=6)

    assert label_requested(attempt=2) == shop.events(f"shipment-{ORDER}")[-1]
    assert [stock_reserved(), stock_shipped()] == shop.events(f"stock-{SKU}")[1:]
    refused = await shop.post(f"{LOSS}/settlement", {"remedy": "refund"})
    refused.then_refused(409, "settled-otherwise", order_id=ORDER, settled_by="replacement")


async def test_store_credit_that_paid_for_a_lost_parcel_is_its_customers_again(given):
    spent = (credit_issued(expires_at=None), credit_held(), credit_spent())
    shop = await given(*SHIPPED, *spent, label_requested(), label_bought(), parcel_lost())

    settled = await shop.post(f"{LOSS}/settlement", {"remedy": "refund"})

    settled.then_accepted(stream=f"shipment-{ORDER}", version=4)
    assert [credit_returned()] == shop.events(f"store_credit-{CUSTOMER}")[3:]
    await shop.post(f"{LOSS}/settlement", {"remedy": "refund"})
    assert [credit_returned()] == shop.events(f"store_credit-{CUSTOMER}")[3:]
    assert [order_credit_changed(status="returned")] == shop.events(f"order_credit-{ORDER}")


async def test_a_lost_parcel_that_is_sent_again_is_paid_as_it_was(given):
    spent = (credit_issued(expires_at=None), credit_held(), credit_spent())
    lost = (label_requested(), label_bought(), parcel_lost())
    shop = await given(*SHIPPED, stock_received(), *spent, *lost)

    await shop.post(f"{LOSS}/settlement", {"remedy": "replacement"})

    assert [] == shop.events(f"store_credit-{CUSTOMER}")[3:]


async def test_pieces_that_are_sent_again_before_the_first_have_left_leave_those_reserved(given):
    reserved = stock_received(), stock_reserved()
    shop = await given(*SHIPPED, *reserved, label_requested(), label_bought(), parcel_lost())

    settled = await shop.post(f"{LOSS}/settlement", {"remedy": "replacement"})

    settled.then_accepted(stream=f"shipment-{ORDER}", version=5)
    events = shop.events(f"stock-{SKU}")
    assert [stock_reserved(), stock_shipped()] == events[2:]
    assert folded(stock_reservations, *reserved) == folded(stock_reservations, *events)


async def test_a_parcel_whose_label_was_bought_by_hand_is_lost_and_sent_again_without_a_carrier(given):
    shop = await given(*SHIPPED, stock_received())
    label = f"{PATH.removesuffix('label')}manual-label"
    of_shipment = {"stream": f"shipment-{ORDER}"}

    (await shop.post(label, {"tracking": "BY-HAND-17"})).then_accepted(version=1, **of_shipment)
    (await shop.post(label, {"tracking": "BY-HAND-17"})).then_accepted(version=1, **of_shipment)
    refused = await shop.post(label, {"tracking": "BY-HAND-18"})
    refused.then_refused(409, "label-not-awaited", order_id=ORDER, status="labelled")
    (await shop.post(LOSS, {"reason": "undelivered"})).then_accepted(version=2, **of_shipment)
    settled = await shop.post(f"{LOSS}/settlement", {"remedy": "replacement"})
    settled.then_accepted(version=3, **of_shipment)
    (await shop.post(label, {"tracking": "BY-HAND-18"})).then_accepted(version=4, **of_shipment)

    assert [
        manual_label_recorded(),
        parcel_lost(reason="undelivered"),
        loss_settled(remedy="replacement"),
        manual_label_recorded(attempt=2, tracking="BY-HAND-18"),
    ] == shop.events(f"shipment-{ORDER}")
    assert [stock_reserved(), stock_shipped()] == shop.events(f"stock-{SKU}")[1:]
    assert f"order-{ORDER}" == shop.recorded(f"shipment-{ORDER}")[0].key
