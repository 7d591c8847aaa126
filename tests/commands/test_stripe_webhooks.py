"""POST /v1/payment-webhooks with Stripe: what its disputes and inquiries come to, in whatever order they arrive."""

import json

import pytest
import stripe as library
from pydantic import SecretStr

from domain.event import type_name
from domain.payments.events import ChargebackLost, ChargebackOpened, ChargebackWon, PspEventIngested
from tests.commands.conftest import opened
from tests.commands.gateways.stripe_stub import CREATED, event, stubbed
from tests.examples import placed
from tests.payment_examples import (
    NOW,
    PAYMENT,
    TOTAL,
    authorisation_requested,
    capture_requested,
    chargeback_opened,
    payment_authorised,
    payment_captured,
    payment_created,
)

pytestmark = pytest.mark.anyio

SECRET = "whsec_of_the_tests"
STREAM = f"payment-{PAYMENT}"
CAPTURED = (
    placed(),
    payment_created(),
    authorisation_requested(),
    payment_authorised(),
    capture_requested(),
    payment_captured(),
)


@pytest.fixture
async def shop(database_url):
    with stubbed() as stripe:
        stripe.intents["pi_1"] = {
            "id": "pi_1",
            "status": "succeeded",
            "amount": TOTAL,
            "currency": "gbp",
            "created": CREATED,
            "metadata": {"counterfoil_payment": PAYMENT},
        }
        settings = {
            "payment_provider": "stripe",
            "payment_url": stripe.url,
            "payment_token": SecretStr("sk_test"),
            "payment_webhook_secrets": SECRET,
        }
        async with opened(database_url, **settings) as shop:
            yield shop


async def send(shop, about, status):
    """The status of the answer to an event about a dispute."""
    of = {"id": "dp_1", "amount": TOTAL, "status": status, "payment_intent": "pi_1"}
    body = json.dumps(event(f"charge.dispute.{about}", of, identifier=f"evt_{about}"))
    header = library.WebhookSignature.generate_signature_header(body, SECRET, int(NOW.timestamp()))
    headers = {"stripe-signature": header}
    return (
        await shop.client.post("/v1/payment-webhooks", content=body.encode(), headers=headers)
    ).status_code


def said(shop, facts=CAPTURED):
    """Which events were recorded, without those that a webhook was taken in."""
    events = [type_name(each) for each in shop.events(STREAM)[len(facts) - 1 :]]
    return [each for each in events if each != type_name(PspEventIngested)]


async def test_an_inquiry_at_stripe_takes_no_money_and_ends_as_nothing(shop):
    await shop.given(*CAPTURED)

    for about, status in (
        ("created", "warning_needs_response"),
        ("updated", "warning_under_review"),
        ("closed", "warning_closed"),
    ):
        assert 204 == await send(shop, about, status)

    assert [] == said(shop)


ESCALATED = {
    "created": "warning_needs_response",
    "updated": "needs_response",
    "funds_withdrawn": "needs_response",
    "closed": "lost",
}


@pytest.mark.parametrize(
    "order",
    [
        "created updated funds_withdrawn closed",
        "funds_withdrawn created closed updated",
        "closed funds_withdrawn updated created",
        "closed updated created funds_withdrawn",
    ],
)
async def test_an_inquiry_that_is_escalated_is_one_chargeback_in_whatever_order_that_is_said(shop, order):
    await shop.given(*CAPTURED)

    waiting = order.split()
    while waiting:
        answers = {about: await send(shop, about, ESCALATED[about]) for about in waiting}
        assert set(answers.values()) <= {204, 409}
        waiting = [about for about, answer in answers.items() if answer == 409]

    assert [type_name(ChargebackOpened), type_name(ChargebackLost)] == said(shop)


async def test_an_inquiry_that_was_recorded_as_a_chargeback_is_won_when_it_ends(shop):
    """Earlier versions opened one; its end is taken when Stripe sends it again."""
    facts = (*CAPTURED, chargeback_opened(dispute_id="dp_1"))
    await shop.given(*facts)

    assert 204 == await send(shop, "closed", "warning_closed")

    assert [type_name(ChargebackWon)] == said(shop, facts)


async def test_an_end_that_comes_before_its_dispute_is_taken_when_it_is_sent_again(shop):
    await shop.given(*CAPTURED)

    assert 409 == await send(shop, "closed", "won")
    assert 204 == await send(shop, "created", "needs_response")
    assert 204 == await send(shop, "closed", "won")

    assert [type_name(ChargebackOpened), type_name(ChargebackWon)] == said(shop)
