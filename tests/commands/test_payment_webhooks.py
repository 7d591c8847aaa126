"""POST /v1/payment-webhooks: signatures, order, repetition, and what a webhook may not do."""

import base64
import hashlib
import hmac
import json
from collections import Counter

import pytest

from counterfoil.simulators.faults import Chance, Faults
from counterfoil.simulators.journal import Ledger
from counterfoil.simulators.payment_provider import PaymentEntry, PaymentOperation, PaymentProvider
from counterfoil.testing.spec import folded
from domain.event import type_name
from domain.payments.events import (
    AuthorisationDeclined,
    ChargebackLost,
    ChargebackOpened,
    ChargebackWon,
    PaymentCaptured,
    PspEventIngested,
    RefundReversed,
    RefundSucceeded,
)
from event_store.log import reading
from projections.payments.ledger import LEDGER
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
    manual_refund_recorded,
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


class Said(list):
    """What a simulated provider would say by webhooks."""

    def add(self, number, said):
        self.append({"id": f"evt_{number}", **said})

    async def deliver(self, shop):
        """The newest first, and again what came too early."""
        while self:
            self.reverse()
            self[:] = [each for each in self if (await send(shop, each))[0] != 204]


class Paid:
    """A payment with a method, of which a simulated provider is asked for what the shop requests."""

    def __init__(self, shop, provider, method, said):
        self.shop, self.provider, self.method, self.said = shop, provider, method, said
        self.stream = f"payment-{method}"
        self.of_it = {"payment_id": method, "order_id": method}

    async def come_to(self, *, refund):
        requested = authorisation_requested(**self.of_it, method_ref=self.method)
        await self.shop.given(placed(order_id=self.method), payment_created(**self.of_it), requested)
        await self.ask("authorise", method=self.method)
        reference = self.shop.events(self.stream)[-1].auth_ref
        await self.shop.post(f"/v1/payments/{self.method}/captures", {"capture_id": "c"})
        await self.ask("capture", reference=reference)
        if refund:
            back = {"refund_id": "r", "amount": TOTAL, "reason": "return"}
            await self.shop.post(f"/v1/payments/{self.method}/refunds", back)
            await self.ask("refund", reference=reference)

    async def ask(self, step, **given):
        key = f"{installation(self.shop)}:payment:{self.stream}:{step}:1"
        asked = PaymentOperation(
            key=key, step=step, payment=self.method, currency="GBP", amount=TOTAL, **given
        )
        self.provider.perform(asked, None)
        await self.said.deliver(self.shop)


MOVED = {"captured": 1, "refunded": -1, "released": 0, "authorised": 0}
BY_BANKS = {"opened": -1, "won": 1, "lost": 0, "returned": 1}
LOGGED = {PaymentCaptured: 1, RefundSucceeded: -1, RefundReversed: 1, ChargebackOpened: -1, ChargebackWon: 1}


async def test_provider_log_and_books_say_the_same_of_what_banks_do(shop, tmp_path):
    has = {
        "pm_visa": 0,
        "pm_returned": TOTAL,
        "pm_disputed": 0,
        "pm_dispute_won": TOTAL,
        "pm_dispute_lost": 0,
    }
    with Ledger(tmp_path / "ledger", PaymentEntry) as book:
        provider = PaymentProvider(book, Chance(Faults(), seed=7), token=None)
        provider._webhooks = said = Said()
        for method in has:
            await Paid(shop, provider, method, said).come_to(refund=method in {"pm_visa", "pm_returned"})
        provided, logged, booked = Counter(), Counter(), Counter()
        for entry in book.entries():
            sign = BY_BANKS[entry.did] if entry.call == "bank" else MOVED[entry.answer["status"]]
            provided[entry.answer["payment"]] += sign * entry.answer["amount"]
    for method in has:
        events = shop.events(f"payment-{method}")
        logged[method] = sum(LOGGED.get(type(event), 0) * getattr(event, "amount", 0) for event in events)
        for posting in folded(LEDGER, *(event for event in events if type(event) in LEDGER.folds)).values():
            booked[method] += posting.amount * (posting.account == "provider")

    assert [has] * 3 == [dict(provided), dict(logged), dict(booked)]


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
    ("step", "number", "parts"),
    [
        ("capture", 1, {}),
        ("authorise", 1, {}),
        ("refund", 1, {"amount": 764}),
        ("refund", 1, {"currency": "EUR"}),
        ("refund", 1, {"payment": "pay-2"}),
        ("refund", 0, {}),
        ("refund", "01", {}),
        ("refund", "²", {}),
        ("refund", "1" * 5_000, {}),
    ],
    ids=["capture", "authorisation", "amount", "currency", "payment", "by hand", "zero", "squared", "long"],
)
async def test_a_webhook_that_reverses_another_refund_than_was_asked_for_decides_nothing(
    shop, step, number, parts
):
    by_hand = manual_refund_recorded(amount=TOTAL - 765)
    refunds = (refund_requested(amount=765, shipping=0), refund_succeeded(amount=765), by_hand)
    facts = (*CAPTURED, *refunds)
    await shop.given(*facts)
    operation = about(shop, step, number, "refunded", **{"amount": 765, **parts})

    assert (204, None) == await send(shop, webhook("evt_1", "refund.reversed", operation=operation))

    assert [type_name(PspEventIngested)] == kinds(shop, facts)


async def test_a_refund_that_is_not_recorded_yet_is_reversed_when_that_is_said_again(shop):
    await shop.given(*CAPTURED)
    back = webhook("evt_1", "refund.reversed", operation=about(shop, "refund", 1, "refunded"))

    assert (409, "webhook-too-early") == await send(shop, back)


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
