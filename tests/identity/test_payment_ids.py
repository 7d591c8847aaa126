"""Ids of payments: a buyer who chose one would learn which are taken, and take those of orders to come."""

import pytest

from tests.identity.shop import PRODUCT

pytestmark = pytest.mark.anyio

ORDER = {"country": "Italy", "currency": "GBP", "lines": [{"sku": "1", "quantity": 1}]}


@pytest.mark.parametrize("role", ["customer", "guest"])
async def test_a_buyer_chooses_no_id_of_a_payment(shop, role):
    owner, token = await shop.token_as("owner"), await shop.token_as(role)
    await shop.post("/v1/products", PRODUCT, owner)
    placed = (await shop.post("/v1/orders", ORDER, token)).json()["id"]
    body = {"order_id": placed, "method_ref": "pm_visa"}

    refused = await shop.post("/v1/payments", {**body, "payment_id": "536366"}, token)

    assert (403, "forbidden") == (refused.status_code, refused.json()["code"])
    assert ["/payment_id"] == [fault["pointer"] for fault in refused.json()["errors"]]
    assert [] == shop.events("payment-536366")
    assert 201 == (await shop.post("/v1/payments", body, token)).status_code


async def test_who_pays_for_others_chooses_ids(shop):
    owner = await shop.token_as("owner")
    await shop.post("/v1/products", PRODUCT, owner)
    placed = (await shop.post("/v1/orders", ORDER, owner)).json()["id"]

    body = {"payment_id": "pay-1", "order_id": placed, "method_ref": "pm_visa"}
    assert 201 == (await shop.post("/v1/payments", body, owner)).status_code
