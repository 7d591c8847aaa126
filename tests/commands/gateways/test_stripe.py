"""Stripe, in the shapes that it documents: what is asked of it, what its answers mean, and its webhooks."""

import contextlib
import json
import time
from datetime import UTC, datetime

import pytest
import stripe as library
from pydantic import SecretStr

from commands.gateways.gateway import NoAnswer, Unaskable
from commands.gateways.payment.charging import PROVIDER, Charging
from commands.gateways.payment.stripe_provider import StripeProvider
from commands.gateways.payment.stripe_webhooks import StripeSigning
from commands.gateways.payment.webhooks import Webhook
from commands.payment_outcomes import ActionNeeded, AmountHeld, MoneyMoved, NotMoved, Pending
from domain.money import Minor
from runtime.problems import ProblemError
from runtime.settings import Settings
from tests.commands.gateways.stripe_stub import CAPTURE_BEFORE, event, stubbed
from tests.payment_examples import (
    TOTAL,
    authorisation_requested,
    authorisation_uncertain,
    capture_requested,
    customer_action_required,
    refund_requested,
    void_requested,
)

pytestmark = pytest.mark.anyio

KEY = "0b54b3c4:payment:payment-pay-1"
HOLD = f"{KEY}:authorise:1"
UNTIL = datetime.fromtimestamp(CAPTURE_BEFORE, UTC)
SECRETS = ("whsec_new", "whsec_old")


@pytest.fixture(scope="module")
def shared():
    with stubbed() as stripe:
        yield stripe


@pytest.fixture
def stripe(shared):
    """Stripe without anything in it."""
    for kept in (shared.intents, shared.refunds, shared.by_key, shared.asked):
        kept.clear()
    shared.loses = shared.fails = 0
    shared.indexed = True
    return shared


@pytest.fixture
async def port(stripe):
    async with StripeProvider.open(stripe.url, token="sk_test") as provider:
        yield Charging(provider)


def paid_by(method):
    return authorisation_requested(method_ref=method)


async def held(port, method="pm_card_visa"):
    outcome = await port.ask(HOLD, paid_by(method))
    assert isinstance(outcome, AmountHeld)
    return outcome.reference


async def test_stripe_holds_takes_and_gives_back_once_for_each_key(stripe, port):
    assert await port.find(HOLD, paid_by("pm_card_visa")) is None
    reference = await held(port)
    assert AmountHeld(reference, UNTIL) == await port.find(HOLD, paid_by("pm_card_visa"))
    steps = (
        ("capture:1", capture_requested(auth_ref=reference, amount=Minor(765))),
        ("capture:2", capture_requested(auth_ref=reference, amount=Minor(265))),
        ("refund:1", refund_requested(auth_ref=reference, amount=Minor(30))),
        ("void:1", void_requested(auth_ref=reference, amount=Minor(235))),
    )
    for step, intent in steps:
        key = f"{KEY}:{step}"
        assert await port.find(key, intent) is None
        done = await port.ask(key, intent)
        assert isinstance(done, MoneyMoved)
        assert done == await port.ask(key, intent) == await port.find(key, intent)

    [payment] = stripe.intents.values()
    assert (1030, 0, "canceled") == (
        payment["amount_received"],
        payment["amount_capturable"],
        payment["status"],
    )
    assert [30] == [refund["amount"] for refund in stripe.refunds.values()]
    keys = {key for method, _, _, key in stripe.asked if method == "POST"}
    assert {HOLD, *(f"{KEY}:{step}" for step, _ in steps)} == keys


async def test_a_card_that_is_not_captured_in_parts_releases_the_rest_with_the_first_part(stripe, port):
    reference = await held(port, "pm_card_single")
    first, second = (capture_requested(auth_ref=reference, amount=Minor(amount)) for amount in (765, 265))

    assert isinstance(await port.ask(f"{KEY}:capture:1", first), MoneyMoved)
    assert NotMoved("payment_intent_unexpected_state") == await port.ask(f"{KEY}:capture:2", second)
    void = void_requested(auth_ref=reference, amount=Minor(500))
    assert isinstance(await port.find(f"{KEY}:void:1", void), MoneyMoved)


async def test_more_than_there_is_fails_with_the_code_of_stripe(port):
    reference = await held(port)

    whole = capture_requested(auth_ref=reference, amount=Minor(TOTAL + 1))
    assert NotMoved("amount_too_large") == await port.ask(f"{KEY}:capture:1", whole)
    refund = refund_requested(auth_ref=reference, amount=Minor(1))
    assert NotMoved("charge_already_refunded") == await port.ask(f"{KEY}:refund:1", refund)


@pytest.mark.parametrize(
    ("method", "outcome"),
    [
        ("pm_card_chargeDeclined_insufficient_funds", NotMoved("insufficient_funds", retryable=True)),
        ("pm_card_chargeDeclined_stolen_card", NotMoved("stolen_card", retryable=False)),
        ("pm_missing", NotMoved("resource_missing", retryable=False)),
        ("pm_card_3ds", ActionNeeded("3d-secure")),
    ],
)
async def test_what_a_card_comes_to_at_stripe(port, method, outcome):
    assert outcome == await port.ask(HOLD, paid_by(method))
    if method != "pm_missing":
        assert outcome == await port.find(HOLD, paid_by(method))


async def test_a_buyer_who_never_confirms_at_stripe_is_cancelled(stripe, port):
    await port.ask(HOLD, paid_by("pm_card_3ds"))
    over = customer_action_required()

    assert await port.find(f"{KEY}:action:1", over) is None
    assert NotMoved("canceled", retryable=True) == await port.ask(f"{KEY}:action:1", over)
    [payment] = stripe.intents.values()
    assert "canceled" == payment["status"]


@pytest.mark.parametrize("fault", ["loses", "fails"])
async def test_what_stripe_did_not_answer_is_uncertain_and_done_once(stripe, port, fault):
    """The index of metadata is behind: then the idempotency key alone keeps a second intent from being made."""
    setattr(stripe, fault, 1)
    stripe.indexed = False

    assert Pending() == await port.ask(HOLD, paid_by("pm_card_visa"))
    uncertain = authorisation_uncertain(method_ref="pm_card_visa")
    assert await port.find(f"{KEY}:settle:1", uncertain) is None
    outcome = await port.ask(f"{KEY}:settle:1", uncertain)

    assert AmountHeld("pi_1", UNTIL) == outcome
    assert ["pi_1"] == list(stripe.intents)


async def test_a_capture_without_an_answer_is_found_in_the_intent(stripe, port):
    capture = capture_requested(auth_ref=await held(port), amount=Minor(765))
    key = f"{KEY}:capture:1"
    assert await port.find(key, capture) is None
    stripe.loses = 0
    with losing_posts(stripe), pytest.raises(NoAnswer):
        await port.ask(key, capture)

    assert isinstance(await port.find(key, capture), MoneyMoved)
    assert 765 == stripe.intents["pi_1"]["amount_received"]


@pytest.mark.parametrize(("currency", "at_stripe"), [("ISK", 100_000), ("MGA", 10), ("GBP", 1_000)])
async def test_stripe_is_asked_in_its_own_minor_units_and_understood_in_them(
    stripe, port, currency, at_stripe
):
    """1,000 of our minor units are 1,000 crowns and 10 ariary; a dispute is about all of it."""
    money = {"currency": currency, "amount": Minor(1_000)}
    asked = authorisation_requested(**money, method_ref="pm_card_visa")
    held = await port.ask(HOLD, asked)
    assert held == await port.find(HOLD, asked)
    capture, refund = (of(auth_ref="pi_1", **money) for of in (capture_requested, refund_requested))
    await port.ask(f"{KEY}:capture:1", capture)
    refunded = await port.ask(f"{KEY}:refund:1", refund)
    assert refunded == await port.find(f"{KEY}:refund:1", refund)

    [intent], [back] = stripe.intents.values(), stripe.refunds.values()
    assert [at_stripe] * 3 == [intent["amount"], intent["amount_received"], back["amount"]]
    dispute = {
        "id": "dp_1",
        "amount": at_stripe,
        "currency": currency.lower(),
        "status": "needs_response",
        "payment_intent": "pi_1",
    }
    opened = await delivered(stripe, event("charge.dispute.created", dispute))
    decided = [
        await delivered(stripe, event(kind, of))
        for kind, of in (("payment_intent.succeeded", intent), ("refund.updated", back))
    ]
    amounts = [(each.operation.amount, each.operation.currency) for each in decided]
    assert (1_000, [(1_000, currency)] * 2) == (opened.dispute.amount, amounts)


async def test_an_amount_that_stripe_does_not_take_is_parked_before_it_is_asked_for(stripe, port):
    dinars = {"currency": "KWD", "amount": Minor(5_124)}

    for step, intent in (
        ("authorise:1", authorisation_requested(**dinars)),
        ("capture:1", capture_requested(**dinars)),
        ("refund:1", refund_requested(**dinars)),
    ):
        with pytest.raises(Unaskable, match="Stripe takes no amount in KWD"):
            await port.ask(f"{KEY}:{step}", intent)
    assert [] == stripe.asked


@contextlib.contextmanager
def losing_posts(stripe):
    carry_out = stripe.carry_out

    def lost(method, path, form, key):
        stripe.loses = int(method == "POST")
        return carry_out(method, path, form, key)

    stripe.carry_out = lost
    try:
        yield
    finally:
        del stripe.carry_out


async def test_a_key_that_was_used_for_something_else_at_stripe_is_parked(stripe, port):
    await held(port)
    stripe.indexed = False

    with pytest.raises(Unaskable):
        await port.ask(f"{KEY}:settle:1", authorisation_uncertain(amount=Minor(1)))
    stripe.indexed = True
    with pytest.raises(NoAnswer):
        await port.find(HOLD, authorisation_requested(amount=Minor(1)))


def test_stripe_is_there_where_the_settings_say_so():
    assert not PROVIDER.is_configured(Settings(payment_provider="stripe"))
    assert PROVIDER.is_configured(Settings(payment_provider="stripe", payment_token=SecretStr("sk_test")))


def signing(stripe):
    return StripeSigning(SECRETS, lambda: StripeProvider.open(stripe.url, token="sk_test"))


async def delivered(stripe, sent, *, secret=SECRETS[0], at=None, header=None):
    body = json.dumps(sent)
    if header is None:
        header = library.WebhookSignature.generate_signature_header(body, secret, at)
    headers = {b"stripe-signature": header.encode()}
    return await signing(stripe).read(headers, body.encode(), now=datetime.now(UTC))


@pytest.mark.parametrize(
    "forged",
    [
        {"secret": "whsec_never"},
        {"at": int(time.time()) - 1_000},
        {"at": int(time.time()) + 1_000},
        {"header": ""},
        {"header": "t=1,v1=00"},
        {"header": "t=x"},
    ],
    ids=["wrong", "old", "of the future", "missing", "of another body", "malformed"],
)
async def test_a_webhook_that_stripe_did_not_sign_now_is_refused(stripe, forged):
    with pytest.raises(ProblemError) as refused:
        await delivered(stripe, event("payment_intent.succeeded", {}), **forged)

    assert "unauthenticated" == refused.value.type.slug


@pytest.mark.parametrize("secret", SECRETS)
async def test_a_webhook_of_stripe_tells_what_came_of_an_authorisation(stripe, port, secret):
    await held(port)

    webhook = await delivered(
        stripe, event("payment_intent.amount_capturable_updated", in_event(stripe)), secret=secret
    )

    operation = webhook.operation
    assert ("evt_1", "operation.decided", "pay-1") == (webhook.id, webhook.type, webhook.payment)
    assert (HOLD, "authorised", TOTAL, "GBP") == (
        operation.key,
        operation.status,
        operation.amount,
        operation.currency,
    )


def in_event(stripe):
    """The payment intent as events have it: their charge is an id."""
    intent = stripe.intents["pi_1"]
    return {**intent, "latest_charge": intent["latest_charge"]["id"]}


async def test_a_webhook_of_stripe_says_until_when_as_an_answer_does(stripe, port):
    outcome = await port.ask(HOLD, paid_by("pm_card_visa"))

    webhook = await delivered(stripe, event("payment_intent.amount_capturable_updated", in_event(stripe)))

    assert UNTIL == outcome.expires_at == webhook.operation.expires_at


async def test_what_was_released_since_a_webhook_was_sent_is_not_held(stripe, port):
    await held(port)
    sent = event("payment_intent.amount_capturable_updated", in_event(stripe))
    stripe.intents["pi_1"]["status"] = "canceled"

    webhook = await delivered(stripe, sent)

    assert "declined" == webhook.operation.status


async def test_a_webhook_about_what_is_held_waits_until_stripe_answers(stripe, port):
    await held(port)
    stripe.fails = 1

    with pytest.raises(ProblemError) as refused:
        await delivered(stripe, event("payment_intent.succeeded", in_event(stripe)))

    assert "store-unavailable" == refused.value.type.slug


async def test_a_refund_that_came_back_and_disputes_are_in_webhooks_of_stripe(stripe, port):
    reference = await held(port)
    await port.ask(f"{KEY}:capture:1", capture_requested(auth_ref=reference))
    await port.ask(f"{KEY}:refund:1", refund_requested(auth_ref=reference, amount=Minor(1)))
    back = {**stripe.refunds["re_1"], "status": "failed", "failure_reason": "lost_or_stolen_card"}
    dispute = {
        "id": "dp_1",
        "amount": 5,
        "status": "needs_response",
        "reason": "fraudulent",
        "payment_intent": "pi_1",
    }

    reversed_ = await delivered(stripe, event("refund.failed", back))
    opened = await delivered(stripe, event("charge.dispute.created", dispute))
    lost = await delivered(stripe, event("charge.dispute.closed", {**dispute, "status": "lost"}))

    assert ("refund.reversed", f"{KEY}:refund:1") == (reversed_.type, reversed_.operation.key)
    assert ("chargeback.opened", "pay-1", 5, "fraud") == (
        opened.type,
        opened.payment,
        opened.dispute.amount,
        opened.dispute.reason,
    )
    assert "chargeback.lost" == lost.type


@pytest.mark.parametrize(
    "sent",
    [
        event("customer.created", {}),
        event("payment_intent.created", {}),
        event(
            "payment_intent.succeeded",
            {
                "id": "pi_9",
                "status": "succeeded",
                "amount": 1,
                "currency": "gbp",
                "created": 1,
                "metadata": {},
            },
        ),
    ],
    ids=["another kind", "no outcome", "of another shop"],
)
async def test_what_is_not_about_payments_of_this_shop_is_taken_for_nothing(stripe, sent):
    webhook: Webhook | None = await delivered(stripe, sent)

    assert webhook is None
