"""The books of payments, as they are asked about over HTTP."""

from datetime import timedelta

import pytest

from counterfoil.contexts import SHOP_CONTEXTS
from counterfoil.testing import queries
from domain.ids import CaptureId, OrderId, PaymentId
from domain.money import Minor
from domain.ordering.order import ORDER as ORDERS
from domain.payments.order_credit import ORDER_CREDIT
from domain.payments.payment import PAYMENT as PAYMENTS
from domain.shipping.shipment import SHIPMENT
from tests.examples import confirmed, placed, shipped
from tests.payment_examples import (
    NOW,
    ORDER,
    PAYMENT,
    TILL,
    TOTAL,
    authorisation_requested,
    authorisation_uncertain,
    capture_requested,
    manual_payment_recorded,
    manual_refund_recorded,
    order_credit_changed,
    payment_authorised,
    payment_captured,
    payment_created,
)
from tests.purchase_examples import loss_settled, manual_label_recorded, parcel_lost

pytestmark = pytest.mark.anyio

FIRST, SECOND = CaptureId("z"), CaptureId("a")
BOOKED = [f"{PAYMENT}~capture:{each}~{side}" for each in (FIRST, SECOND) for side in ("buyer", "provider")]


async def test_postings_of_an_order_are_listed_oldest_first_and_by_their_ids(database_url):
    held = (payment_created(), authorisation_requested(), payment_authorised())
    captured = [
        capture
        for day, of_it in enumerate(({"capture_id": FIRST}, {"capture_id": SECOND}))
        for capture in (
            capture_requested(**of_it, number=day + 1, amount=Minor(600)),
            payment_captured(**of_it, amount=Minor(600), captured_at=NOW + timedelta(days=day)),
        )
    ]
    of_another = {"order_id": OrderId("another"), "payment_id": TILL}
    async with queries.opened(database_url, *SHOP_CONTEXTS) as shop:
        await shop.record((PAYMENTS, TILL, manual_payment_recorded(**of_another)))
        await shop.record(*((PAYMENTS, PAYMENT, each) for each in (*held, *captured)))
        await shop.carried()

        async def listed(**asked):
            answer = await shop.get("/v1/payment-ledger", params=asked)
            return [each["posting_id"] for each in answer.body["items"]]

        assert BOOKED == await listed(order_id=ORDER)
        assert BOOKED[::-1] == await listed(order_id=ORDER, sort="-posted_at")
        assert BOOKED[2:] == await listed(order_id=ORDER, **{"from": f"{NOW + timedelta(days=1):%Y-%m-%d}"})
        assert BOOKED[1:3] == await listed(ids=",".join(BOOKED[1:3]))


async def test_payments_that_wait_for_one_thing_are_listed_oldest_first(database_url):
    async with queries.opened(database_url, *SHOP_CONTEXTS) as shop:
        for day, payment_id in enumerate(("z", "m", "a")):
            of_it = {"payment_id": PaymentId(payment_id), "order_id": OrderId(f"o-{payment_id}")}
            created = payment_created(**of_it, created_at=NOW + timedelta(days=day))
            uncertain = (authorisation_requested(**of_it), authorisation_uncertain(**of_it))
            await shop.record(*((PAYMENTS, payment_id, each) for each in (created, *uncertain)))
        await shop.carried()

        async def listed(**asked):
            answer = await shop.get("/v1/payments", params={"waits_for": "uncertain", **asked})
            return [each["payment_id"] for each in answer.body["items"]]

        assert ["z", "m", "a"] == await listed()
        assert ["z", "m", "a"] == await listed(waiting="true")
        assert ["m", "a"] == await listed(**{"from": f"{NOW + timedelta(days=1):%Y-%m-%d}"})


async def test_an_order_whose_lost_parcel_was_paid_by_hand_is_listed_until_its_money_went_back(database_url):
    paid = manual_payment_recorded(order_id=ORDER)
    async with queries.opened(database_url, *SHOP_CONTEXTS) as shop:

        async def due():
            await shop.carried()
            answer = await shop.get("/v1/order-history?payment=captured&fulfilment=none")
            return [each["order_id"] for each in answer.body["items"]]

        of_it = {"order_id": ORDER}
        await shop.record(
            *((ORDERS, ORDER, each) for each in (placed(**of_it), confirmed(**of_it), shipped(**of_it))),
            (PAYMENTS, TILL, paid),
            *((SHIPMENT, ORDER, each) for each in (manual_label_recorded(**of_it), parcel_lost(**of_it))),
        )
        before = await due()
        await shop.record((SHIPMENT, ORDER, loss_settled(**of_it, remedy="refund")))
        settled = await due()
        await shop.record(
            (PAYMENTS, TILL, manual_refund_recorded(**of_it, payment_id=TILL, amount=paid.amount))
        )

        assert ([], [ORDER], []) == (before, settled, await due())


async def test_the_history_of_an_order_says_what_store_credit_paid_for_and_what_was_returned(database_url):
    async with queries.opened(database_url, *SHOP_CONTEXTS) as shop:
        of_it = {"order_id": ORDER}
        changes = [order_credit_changed(**of_it, status=each) for each in ("held", "spent", "returned")]
        await shop.record(
            (ORDERS, ORDER, placed(**of_it)), *((ORDER_CREDIT, ORDER, each) for each in changes)
        )
        await shop.carried()
        history = (await shop.get(f"/v1/orders/{ORDER}/history")).body
        listed = (await shop.get("/v1/order-history?payment=refunded")).body["items"]

    assert [ORDER] == [each["order_id"] for each in listed]
    assert (0, TOTAL, TOTAL) == tuple(history[f"credit_{each}"] for each in ("held", "spent", "returned"))
    assert ["credit_held", "credit_spent", "credit_returned"] == [
        each["step"] for each in history["timeline"][1:]
    ]
