"""POST /v1/payment-webhooks: signatures, order, repetition, and what a webhook may not do."""

import base64
import hashlib
import hmac
import json

import pytest

from domain.event import type_name
from domain.payments.events import (
    AuthorisationDeclined,
    ChargebackLost,
    ChargebackOpened,
    ChargebackWon,
    PspEventIngested,
    RefundReversed,
)
from event_store.log import reading
from runtime import database
from tests.commands.conftest import opened
from tests.examples import placed
from tests.payment_examples import (
    EXPIRES,
    NOW,
    PAYMENT,
    TOTAL,
    authorisation_declined,
    authorisation_requested,
    capture_requested,
    payment_authorised,
    payment_captured,
    payment_created,
    refund_requested,
    refund_succeeded,
)

pytestmark = pytest.mark.anyio

PATH = "/v1/payment-webhooks"
OLD, NEW = "a secret of thirty-two characters", "another of thirty-two characters"
STREAM = f"payment-{PAYMENT}"
REQUESTED = (placed(), payment_created(), authorisation_requested())
CAPTURED = (*REQUESTED, payment_authorised(), capture_requested(), payment_captured())
NOW_S = int(NOW.timestamp())


@pytest.fixture
async def shop(database_url):
    async with opened(database_url, payment_webhook_secrets=f"{OLD},{NEW}") as shop:
        yield shop


def installation(shop):
    with database.connect(shop.url, role="counterfoil_reader", name="test") as conn:
        return reading.history(conn).installation


def about(shop, step, number, status, **parts):
    return {
        "key": f"{installation(shop)}:payment:{STREAM}:{step}:{number}",
        "payment": PAYMENT,
        "status": status,
        "currency": "GBP",
        "amount": TOTAL,
        **parts,
    }


def held(shop, **parts):
    held = {"reference": "A-000001", "expires_at": EXPIRES.isoformat(), **parts}
    return webhook("evt_1", "operation.decided", operation=about(shop, "authorise", 1, "authorised", **held))


def webhook(identifier, kind, **members):
    return {"id": identifier, "type": kind, "payment": PAYMENT, **members}


def dispute(identifier, kind, **members):
    return webhook(identifier, kind, dispute={"id": "dp_1", **members})


async def send(shop, sent, *, secret=NEW, at=NOW_S, signed=None, headers=None):
    body = json.dumps(sent).encode()
    message = b".".join((str(sent.get("id", "")).encode(), str(at).encode(), signed or body))
    signature = base64.b64encode(hmac.digest(secret.encode(), message, hashlib.sha256)).decode()
    given = {
        "webhook-id": str(sent.get("id", "")),
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{signature}",
    }
    answer = await shop.client.post(PATH, content=body, headers=given if headers is None else headers)
    return answer.status_code, answer.json()["code"] if answer.content else None


def kinds(shop, facts):
    return [type_name(event) for event in shop.events(STREAM)[len(facts) - 1 :]]


async def test_a_webhook_brings_an_outcome_once_however_often_it_is_delivered(shop):
    await shop.given(*REQUESTED)

    assert (204, None) == await send(shop, held(shop))
    assert (204, None) == await send(shop, held(shop))

    assert ["payments.psp_event_ingested.v1", "payments.payment_authorised.v1"] == kinds(shop, REQUESTED)


async def test_two_webhooks_of_one_outcome_record_it_once(shop):
    await shop.given(*REQUESTED)

    await send(shop, held(shop))
    await send(shop, {**held(shop), "id": "evt_2"})

    assert 1 == kinds(shop, REQUESTED).count("payments.payment_authorised.v1")
    assert 2 == kinds(shop, REQUESTED).count(type_name(PspEventIngested))


@pytest.mark.parametrize(
    "forged",
    [
        {"secret": "a third one that nobody ever had"},
        {"at": NOW_S - 301},
        {"at": NOW_S + 301},
        {"signed": b"{}"},
        {"headers": {}},
    ],
    ids=["wrong", "old", "of the future", "of another body", "missing"],
)
async def test_a_webhook_without_a_valid_signature_of_now_records_nothing(shop, forged):
    await shop.given(*REQUESTED)

    assert (401, "unauthenticated") == await send(shop, held(shop), **forged)
    assert [] == kinds(shop, REQUESTED)


async def test_both_secrets_are_valid_while_they_are_rotated(shop):
    await shop.given(*REQUESTED)

    assert (204, None) == await send(shop, held(shop), secret=OLD)


async def test_without_a_secret_no_webhook_is_taken(database_url):
    async with opened(database_url) as shop:
        await shop.given(*REQUESTED)

        assert (404, "not-found") == await send(shop, held(shop))


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": TOTAL - 1},
        {"currency": "EUR"},
        {"reference": "4111111111111111"},
        {"key": f"another:payment:{STREAM}:authorise:1"},
    ],
)
async def test_a_webhook_that_contradicts_what_was_asked_decides_nothing(shop, wrong):
    await shop.given(*REQUESTED)

    assert (204, None) == await send(shop, held(shop, **wrong))
    assert [type_name(PspEventIngested)] == kinds(shop, REQUESTED)


async def test_a_late_webhook_changes_no_outcome(shop):
    facts = (*REQUESTED, authorisation_declined())
    await shop.given(*facts)

    assert (204, None) == await send(shop, held(shop))
    assert [type_name(PspEventIngested)] == kinds(shop, facts)
    assert type_name(AuthorisationDeclined) == type_name(shop.events(STREAM)[-2])


async def test_a_webhook_that_came_too_early_is_taken_when_it_is_delivered_again(shop):
    """stripe-cli 418: the webhook of a chargeback comes before that of its capture."""
    await shop.given(*CAPTURED)

    closed = dispute("evt_2", "chargeback.won")
    assert (409, "webhook-too-early") == await send(shop, closed)
    assert [] == kinds(shop, CAPTURED)
    assert (204, None) == await send(shop, dispute("evt_1", "chargeback.opened", amount=TOTAL))
    assert (204, None) == await send(shop, closed)

    recorded = kinds(shop, CAPTURED)
    assert [type_name(ChargebackOpened), type_name(ChargebackWon)] == recorded[1::2]


async def test_a_lost_dispute_and_a_reversed_refund_are_recorded(shop):
    facts = (*CAPTURED, refund_requested(), refund_succeeded())
    await shop.given(*facts)
    back = webhook("evt_1", "refund.reversed", operation=about(shop, "refund", 1, "refunded"))

    assert (204, None) == await send(shop, back)
    assert (204, None) == await send(shop, dispute("evt_2", "chargeback.opened", amount=TOTAL))
    assert (204, None) == await send(shop, dispute("evt_3", "chargeback.lost"))

    assert [type_name(RefundReversed), type_name(ChargebackOpened), type_name(ChargebackLost)] == kinds(
        shop, facts
    )[1::2]


@pytest.mark.parametrize(
    "malformed",
    [
        {"id": "evt_1"},
        webhook("evt_1", "operation.decided"),
        webhook("evt_1", "unknown.kind"),
        dispute("evt_1", "operation.decided"),
        dispute("4111111111111111", "chargeback.won"),
        dispute("evt 1~", "chargeback.won"),
    ],
)
async def test_a_signed_webhook_that_is_none_of_the_contract_is_refused(shop, malformed):
    await shop.given(*REQUESTED)

    assert (422, "validation-failed") == await send(shop, malformed)


async def test_a_webhook_about_nothing_is_refused(shop):
    assert (404, "payment-unknown") == await send(shop, dispute("evt_1", "chargeback.won"))
