"""POST /v1/orders/{order_id}/shipment/label."""

import pytest

from tests.examples import (
    LINES,
    ORDER,
    confirmed,
    label_bought,
    label_refused,
    label_requested,
    placed,
    shipped,
)

pytestmark = pytest.mark.anyio

PATH = f"/v1/orders/{ORDER}/shipment/label"
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
