"""Payments over HTTP, and through a sender to a simulated provider and back."""

import asyncio

import pytest

from commands.gateways.payment.charging import PROVIDER
from commands.payments import ordered
from counterfoil.testing.spec import given_streams
from domain.event import type_name
from domain.ids import PaymentId, payments_tag
from domain.money import Minor
from domain.ordering.order import ORDER as ORDERS
from domain.payments.events import PaymentAuthorised, PaymentCaptured
from domain.payments.payment import PAYMENT as PAYMENTS
from event_store.log import reading
from runtime import database
from runtime.settings import Settings
from tests.commands.gateways.sending import sender_of
from tests.commands.gateways.test_payment import simulated
from tests.commands.processes.running import eventually
from tests.examples import (
    cancelled,
    confirmed,
    label_bought,
    label_requested,
    placed,
    rejected,
    shipped,
)
from tests.payment_examples import (
    CUSTOMER,
    HOLD,
    ORDER,
    PAYMENT,
    TILL,
    TOTAL,
    authorisation_requested,
    credit_held,
    credit_issued,
    manual_payment_recorded,
    manual_refund_recorded,
    order_credit_changed,
    payment_created,
)
from tests.purchase_examples import loss_settled, parcel_lost

pytestmark = pytest.mark.anyio

WAIT_S = 60.0
STREAM = f"payment-{PAYMENT}"
BODY = {"payment_id": PAYMENT, "order_id": ORDER, "method_ref": "pm_visa"}


async def test_a_payment_is_created_and_authorised(given):
    shop = await given(placed())

    created = await shop.post("/v1/payments", BODY)
    requested = await shop.post(f"/v1/payments/{PAYMENT}/authorisation")

    created.then_accepted(stream=STREAM, version=1)
    assert f"/v1/payments/{PAYMENT}" in created.headers["location"]
    requested.then_accepted(stream=STREAM, version=2)
    assert [payment_created(), authorisation_requested()] == shop.events(STREAM)
    assert f"order-{ORDER}" == shop.recorded(STREAM)[0].key


async def test_an_order_that_is_not_there_or_off_is_not_paid(given):
    shop = await given(placed(), rejected())

    (await shop.post("/v1/payments", {**BODY, "order_id": "none"})).then_refused(404, "order-unknown")
    (await shop.post("/v1/payments", BODY)).then_refused(409, "order-not-payable", status="rejected")


async def test_two_payments_at_once_do_not_cover_an_order_twice(given):
    """saleor PR 15956, by requests that race."""
    shop = await given(placed())

    answers = await asyncio.gather(
        *(shop.post("/v1/payments", {**BODY, "payment_id": f"pay-{number}"}) for number in range(8))
    )

    assert [201, *[409] * 7] == sorted(answer.status for answer in answers)


async def test_a_payment_by_hand_covers_what_is_due(given):
    shop = await given(placed())
    cash = {"payment_id": TILL, "order_id": ORDER, "method": "cash", "reference": "receipt 17"}

    (await shop.post("/v1/manual-payments", cash)).then_accepted(stream=f"payment-{TILL}", version=1)

    assert [manual_payment_recorded()] == shop.events(f"payment-{TILL}")
    (await shop.post("/v1/payments", BODY)).then_refused(409, "amount-exceeds-due", due=0)


async def test_a_payment_is_held_captured_and_refunded_by_a_provider(given, tmp_path):
    shop = await given(placed())
    ledger = tmp_path / "ledger"
    await shop.post("/v1/payments", {**BODY, "capture": "auto"})
    await shop.post(f"/v1/payments/{PAYMENT}/authorisation")
    with simulated(ledger) as server, sender_of(PROVIDER, shop.url, Settings(payment_url=server.url)):
        await until(shop.url, "payments.payment_captured.v1", 1)
        refund = {"refund_id": "r-1", "amount": 265, "reason": "goodwill"}
        (await shop.post(f"/v1/payments/{PAYMENT}/refunds", refund)).then_accepted(stream=STREAM, version=6)
        await until(shop.url, "payments.refund_succeeded.v1", 1)

    events = shop.events(STREAM)
    assert [
        "payments.payment_created.v1",
        "payments.authorisation_requested.v1",
        type_name(PaymentAuthorised),
        "payments.capture_requested.v1",
        type_name(PaymentCaptured),
        "payments.refund_requested.v1",
        "payments.refund_succeeded.v1",
    ] == [type_name(event) for event in events]
    assert (1265, 265) == (events[4].amount, events[6].amount)


async def test_a_payment_by_hand_is_refunded_to_store_credit_once(given):
    shop = await given(placed(), manual_payment_recorded())
    refund = {"refund_id": "r-1", "amount": 265, "reason": "goodwill", "to": "store_credit"}

    for _ in range(2):
        await shop.post(f"/v1/payments/{TILL}/refunds", refund)

    issued = credit_issued(
        credit_id=f"{TILL}~r-1", amount=265, reason="refund", payment_id=TILL, expires_at=None
    )
    assert ["manual_payment_recorded", "refund_requested", "refund_succeeded"] == [
        type_name(event).split(".")[1] for event in shop.events(f"payment-{TILL}")
    ]
    assert [issued] == shop.events(f"store_credit-{CUSTOMER}")


async def test_a_line_that_one_payment_of_an_order_gave_back_is_not_given_back_by_another(given):
    half = {"amount": Minor(633)}
    shop = await given(
        placed(),
        *(manual_payment_recorded(payment_id=each, **half) for each in ("till-1", "till-2")),
    )
    line = {"line_id": 3, "quantity": 1, "amount": 255}
    refund = {"refund_id": "r", "amount": 255, "lines": [line], "reason": "return", "to": "store_credit"}
    whole = {"refund_id": "s", "amount": 500, "shipping": 500, "reason": "return", "to": "store_credit"}

    answers = await asyncio.gather(
        *(shop.post(f"/v1/payments/{each}/refunds", refund) for each in ("till-1", "till-2"))
    )

    assert [201, 422] == sorted(answer.status for answer in answers)
    (refused,) = [answer for answer in answers if answer.status == 422]
    refused.then_refused(422, "refund-beyond-order", order_id=ORDER, parts=["line 3"])
    late = {**refund, "refund_id": "late"}
    (await shop.post("/v1/payments/till-1/refunds", late)).then_refused(422, "refund-beyond-order")
    paid_back = [shop.events(f"payment-{each}") for each in ("till-1", "till-2")]
    other = "till-2" if len(paid_back[0]) > 1 else "till-1"
    assert 201 == (await shop.post(f"/v1/payments/{other}/refunds", whole)).status


async def test_the_append_of_a_refund_of_parts_names_all_payments_of_the_order():
    first, second = PaymentId("till-1"), PaymentId("till-2")
    view = given_streams(
        (ORDERS, ORDER, placed()),
        *((PAYMENTS, each, manual_payment_recorded(payment_id=each)) for each in (first, second)),
        (PAYMENTS, second, manual_refund_recorded(payment_id=second)),
    ).view

    found = ordered(view.current(PAYMENTS, first), view)

    assert [TOTAL] == [each.amount for each in found.refunds]
    assert 2 == view.relied_on[PAYMENTS.stream(second)].version
    assert [payments_tag(ORDER)] == [tag for each in view.conditions for tag in each.tags]


async def test_store_credit_pays_for_orders_of_its_customer_alone(given):
    shop = await given(credit_issued(customer_id="17851", expires_at=None), placed(), placed(order_id="off"))
    await shop.given(rejected(order_id="off"))
    path, hold = "/v1/store-credits/17851/holds", {"hold_id": "h", "order_id": ORDER}

    (await shop.post(path, hold)).then_refused(404, "order-unknown")
    (await shop.post(path, {**hold, "order_id": "off"})).then_refused(409, "order-not-payable")


async def test_nothing_that_is_held_is_spent_for_an_order_that_is_off(given):
    shop = await given(placed(), credit_issued(expires_at=None), credit_held(), cancelled())
    path = f"/v1/store-credits/{CUSTOMER}/settlements"

    refused = await shop.post(path, {"hold_id": HOLD, "outcome": "spent"})
    refused.then_refused(409, "order-not-payable", status="cancelled")
    assert (await shop.post(path, {"hold_id": HOLD, "outcome": "released"})).status == 201


async def test_an_order_whose_lost_parcel_was_refunded_is_not_paid_any_more(given):
    lost = (label_requested(), label_bought(), parcel_lost())
    shop = await given(placed(), confirmed(), shipped(), *lost, credit_issued(expires_at=None))
    path = f"/v1/store-credits/{CUSTOMER}"
    credit_hold = {"hold_id": HOLD, "order_id": ORDER, "amount": 100}

    assert (await shop.post(f"{path}/holds", credit_hold)).status == 201
    await shop.given(loss_settled())

    refused = {"status": "refunded"}
    answer = await shop.post(f"{path}/holds", {**credit_hold, "hold_id": "late"})
    answer.then_refused(409, "order-not-payable", **refused)
    answer = await shop.post(f"{path}/settlements", {"hold_id": HOLD, "outcome": "spent"})
    answer.then_refused(409, "order-not-payable", **refused)
    assert (await shop.post(f"{path}/settlements", {"hold_id": HOLD, "outcome": "released"})).status == 201
    (await shop.post("/v1/payments", BODY)).then_refused(409, "order-not-payable", **refused)


async def test_what_becomes_of_store_credit_is_recorded_for_its_order_in_the_same_append(given):
    shop = await given(placed(), credit_issued(expires_at=None))
    path = f"/v1/store-credits/{CUSTOMER}"
    holds = [{"hold_id": hold_id, "order_id": ORDER, "amount": 265} for hold_id in ("h-1", "h-2")]

    for hold, outcome in zip(holds, ("spent", "released"), strict=True):
        for _ in range(2):
            await shop.post(f"{path}/holds", hold)
            await shop.post(f"{path}/settlements", {"hold_id": hold["hold_id"], "outcome": outcome})

    of_customer, of_order = map(shop.recorded, (f"store_credit-{CUSTOMER}", f"order_credit-{ORDER}"))
    assert [
        order_credit_changed(hold_id=hold_id, amount=265, status=status)
        for hold_id, status in (("h-1", "held"), ("h-1", "spent"), ("h-2", "held"), ("h-2", "released"))
    ] == shop.events(f"order_credit-{ORDER}")
    assert {f"order-{ORDER}"} == {each.key for each in of_order}
    assert [each.position + 1 for each in of_customer[1:]] == [each.position for each in of_order]


async def test_of_those_who_spend_store_credit_at_once_none_spends_what_another_has_spent(given):
    shop = await given(
        credit_issued(amount=1_000, expires_at=None), *(placed(order_id=str(number)) for number in range(8))
    )
    path = f"/v1/store-credits/{CUSTOMER}"
    holds = [{"hold_id": f"h-{n}", "order_id": str(n), "amount": 400} for n in range(8)]

    answers = await asyncio.gather(*(shop.post(f"{path}/holds", each) for each in holds))

    assert [201, 201, *[409] * 6] == sorted(answer.status for answer in answers)
    assert 800 == sum(event.amount for event in shop.events(f"store_credit-{CUSTOMER}")[1:])


async def until(url, kind, count):
    def there():
        with database.connect(url, role="counterfoil_reader", name="test") as conn:
            return [each.type for each in reading.read_stream(conn, STREAM)].count(kind) == count

    await asyncio.to_thread(eventually, there, wait_s=WAIT_S)
