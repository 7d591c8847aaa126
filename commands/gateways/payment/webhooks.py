"""POST /v1/payment-webhooks: what a payment provider says without being asked, signed as Standard Webhooks has it.

A webhook is trusted by its signature alone: the header `webhook-signature` has HMAC-SHA-256 over id, time and body
under one of the secrets, of which there are several while they are rotated, and the time is at most five minutes from
now. Each id is taken in once, whatever is sent under it later.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, Protocol

import msgspec
from fastapi import APIRouter
from msgspec import Struct
from starlette.responses import Response

from commands.calls import Call, key_digest
from commands.decision import DecisionView
from commands.documentation import problem_responses
from commands.execution import Caller
from commands.payment_outcomes import Contradiction, ProviderAnswer, ProviderRequest, Step, outcome_of, record
from commands.receiving import Receiver, Receiving
from commands.request_parts import read_body
from domain.event import Event
from domain.ids import DisputeId, KeyedHash, PaymentId, PspEventId, is_id
from domain.money import Minor
from domain.payments import disputes, refunding
from domain.payments.card_numbers import has_card_number
from domain.payments.events import DisputeReason
from domain.payments.payment import PAYMENT, Payment
from domain.payments.refusals import PaymentUnknown, WebhookTooEarly
from runtime.actors import actor
from runtime.decoders import json_decoder
from runtime.http import api_version
from runtime.http.exchange import Exchange
from runtime.http.principal import Public
from runtime.http.routes import ExchangeRoute
from runtime.problems import ProblemError
from runtime.settings import Settings

NAME: Final = "payments"
BODY_BYTES_MAX: Final = 64 * 1024
TOLERANCE_S: Final = 300.0
"""How far the time of a webhook may be from ours, either way."""

SIGNATURES_MAX: Final = 8
_STEPS: Final[dict[str, Step]] = {
    "authorise": "authorise",
    "capture": "capture",
    "void": "void",
    "refund": "refund",
}

_is_number: Final = re.compile("[1-9][0-9]{0,8}").fullmatch
"""How a key ends: as this application writes it, in ASCII."""

WebhookType = Literal[
    "operation.decided", "refund.reversed", "chargeback.opened", "chargeback.won", "chargeback.lost"
]


class DisputedAmount(Struct, frozen=True, kw_only=True):
    """A chargeback, as the provider names it."""

    id: str
    amount: int = 0
    reason: DisputeReason = "other"


class EndedInquiry(DisputedAmount, frozen=True, kw_only=True):
    """A question of a bank that took no money and has ended. Where it opened nothing, its end is nothing, too."""


class Webhook(Struct, frozen=True, kw_only=True):
    """One webhook: about an operation, by its key, or about a dispute. docs/contracts/payment.md has its members."""

    id: str
    type: WebhookType
    payment: str
    operation: ProviderAnswer | None = None
    dispute: DisputedAmount | None = None


class WebhookSigning(Protocol):
    """How a provider signs what it says, and says it."""

    async def read(self, headers: Mapping[bytes, bytes], body: bytes, *, now: datetime) -> Webhook | None:
        """What a webhook says; None: nothing that payments are about.

        Raises:
            ProblemError: `unauthenticated`: it has no signature of now; `validation-failed`: it is malformed.
        """
        ...


class StandardWebhooks(Struct, frozen=True):
    """The signature of Standard Webhooks, by one of several secrets."""

    secrets: Sequence[bytes]

    async def read(self, headers: Mapping[bytes, bytes], body: bytes, *, now: datetime) -> Webhook:
        """See `WebhookSigning`."""
        return _webhook(body, self._signed(headers, body, now=now))

    def _signed(self, headers: Mapping[bytes, bytes], body: bytes, *, now: datetime) -> str:
        parts = [
            headers.get(name, b"") for name in (b"webhook-id", b"webhook-timestamp", b"webhook-signature")
        ]
        identifier, sent_at, signatures = parts
        is_recent = (
            sent_at.isdigit() and len(sent_at) < 13 and abs(now.timestamp() - int(sent_at)) <= TOLERANCE_S
        )
        expected = [
            base64.b64encode(hmac.digest(secret, b".".join((identifier, sent_at, body)), hashlib.sha256))
            for secret in self.secrets
        ]
        given = [each[3:] for each in signatures.split(b" ")[:SIGNATURES_MAX] if each.startswith(b"v1,")]
        signed = any(hmac.compare_digest(ours, theirs) for ours in expected for theirs in given)
        if not (identifier and is_recent and signed):
            raise unsigned()
        return identifier.decode("latin-1")


def unsigned() -> ProblemError:
    """The problem of a webhook that the provider did not sign."""
    return ProblemError("unauthenticated", "The webhook has no valid signature of now.")


class PaymentWebhooks(Struct, frozen=True):
    """Takes webhooks in."""

    signing: WebhookSigning
    receiving: Receiving

    async def take(self, headers: Mapping[bytes, bytes], body: bytes, *, correlation_id: str) -> None:
        """Take a webhook in, once.

        Raises:
            ProblemError: it is not signed, malformed, about nothing that there is, came too early, or the log cannot be
                reached.
        """
        now = self.receiving.clock()
        webhook = await self.signing.read(headers, body, now=now)
        if webhook is not None:
            await self._record(webhook, body, correlation_id=correlation_id, now=now)

    async def _record(self, webhook: Webhook, body: bytes, *, correlation_id: str, now: datetime) -> None:
        fingerprints, installation = self.receiving.fingerprints, self.receiving.installation
        payment_id = PaymentId(webhook.payment)
        digest = KeyedHash(fingerprints.of("webhook", body).hex())

        def decide(payment: Payment | None, _view: DecisionView) -> list[Event]:
            ingested = disputes.ingest(
                payment,
                payment_id=payment_id,
                psp_event_id=PspEventId(webhook.id),
                kind=webhook.type,
                digest=digest,
                now=now,
            )
            if not ingested:
                return []
            return [*ingested, *_said(payment, webhook, installation=installation, now=now)]

        acting = actor("system", "payments")
        call = Call(
            command="ingest_psp_event",
            key=key_digest(acting, webhook.id),
            fingerprint=fingerprints.of("webhook", webhook.id.encode()),
            correlation_id=correlation_id,
            actor=actor("system", "payments"),
        )
        execution = self.receiving.execution
        [slot] = execution.reserve(1)
        try:
            await Caller(execution, call=call, slot=slot, now=now).execute(PAYMENT, payment_id, decide)
        finally:
            slot.free()


def _said(payment: Payment | None, webhook: Webhook, *, installation: str, now: datetime) -> Sequence[Event]:
    """What a webhook comes to. One that contradicts what was asked comes to nothing: the sender asks for itself."""
    payment_id = PaymentId(webhook.payment)
    if webhook.dispute is not None:
        return _disputed(payment, payment_id, webhook.type, webhook.dispute, now)
    assert webhook.operation is not None, "it was read as one of both"
    beginning = f"{installation}:payment:{PAYMENT.stream(payment_id)}:"
    step, _, digits = webhook.operation.key.removeprefix(beginning).partition(":")
    if not webhook.operation.key.startswith(beginning) or step not in _STEPS or not _is_number(digits):
        return []
    number = int(digits)
    if webhook.type == "refund.reversed":
        return _reversed(payment, webhook.operation, _STEPS[step], number, now)
    assert payment is not None, "it was ingested"
    return _decided(payment, webhook.operation, _STEPS[step], number, now)


def _reversed(
    payment: Payment | None, answer: ProviderAnswer, step: Step, number: int, now: datetime
) -> Sequence[Event]:
    """Nothing for another step or amount than a refund's; one that is not recorded yet is too early."""
    assert payment is not None, "it was ingested"
    asked = _asked_amount(payment, "refund", number)
    is_of_refund = step == "refund" and (answer.payment, answer.currency) == (
        payment.payment_id,
        payment.currency,
    )
    if not is_of_refund or asked not in (None, answer.amount):
        return []
    return refunding.record_reversed(payment, payment_id=payment.payment_id, number=number, now=now)


def _disputed(
    payment: Payment | None, payment_id: PaymentId, kind: WebhookType, dispute: DisputedAmount, now: datetime
) -> Sequence[Event]:
    dispute_id = DisputeId(dispute.id)
    if kind == "chargeback.opened":
        return disputes.record_opened(
            payment,
            payment_id=payment_id,
            dispute_id=dispute_id,
            amount=Minor(dispute.amount),
            reason=dispute.reason,
            now=now,
        )
    assert payment is not None, "it was ingested"
    if isinstance(dispute, EndedInquiry) and dispute_id not in payment.disputes:
        return []
    won = kind == "chargeback.won"
    return disputes.record_closed(payment, payment_id=payment_id, dispute_id=dispute_id, won=won, now=now)


def _decided(
    payment: Payment, answer: ProviderAnswer, step: Step, number: int, now: datetime
) -> Sequence[Event]:
    amount = _asked_amount(payment, step, number)
    if amount is None:
        return []
    asked = ProviderRequest(
        key=answer.key, step=step, payment=payment.payment_id, currency=payment.currency, amount=amount
    )
    try:
        outcome = outcome_of(answer, asked)
    except Contradiction:
        return []
    return record(payment, step=step, number=number, amount=amount, outcome=outcome, now=now)


def _asked_amount(payment: Payment, step: Step, number: int) -> int | None:
    """How much the provider was asked to move by a step; None if it was not."""
    if step == "authorise":
        return payment.amount - payment.captured if payment.attempt == number else None
    if step == "void":
        return payment.capturable if payment.voids == number else None
    movements: dict[Any, Any] = payment.captures if step == "capture" else payment.refunds
    return next((each.amount for each in movements.values() if each.number == number), None)


class Ingest:
    """Takes a webhook of the payment provider in."""

    requires: Final = Public("the signature of the webhook is the credential")

    async def __call__(self) -> Response:
        """Only declares that it can be called; requests come to `answer`."""
        raise AssertionError("the pipeline calls `answer`")

    async def answer(self, exchange: Exchange) -> Response:
        """Answer 204 once it is recorded, or was before."""
        webhooks = exchange.pipeline.app.state.receivers.get(NAME)
        if not isinstance(webhooks, PaymentWebhooks):
            raise ProblemError("not-found", "This installation takes no webhooks of a payment provider.")
        body = await read_body(exchange, declared=0, limit=BODY_BYTES_MAX)
        await webhooks.take(dict(exchange.headers), body, correlation_id=exchange.correlation_id)
        return Response(status_code=204)


def _webhook(body: bytes, identifier: str) -> Webhook:
    try:
        webhook = json_decoder(Webhook).decode(body)
    except (msgspec.MsgspecError, binascii.Error) as error:
        raise ProblemError("validation-failed", "The webhook is none of the contract.") from error
    texts = [webhook.id, webhook.payment, *([] if webhook.dispute is None else [webhook.dispute.id])]
    is_whole = (webhook.dispute is None) is webhook.type.startswith(("operation", "refund")) and (
        (webhook.operation is None) is webhook.type.startswith("chargeback")
    )
    if (
        webhook.id != identifier
        or not is_whole
        or not all(map(is_id, texts))
        or any(map(has_card_number, texts))
    ):
        raise ProblemError("validation-failed", "The webhook is none of the contract.")
    return webhook


ROUTES: Final = APIRouter(tags=["payments"], route_class=ExchangeRoute)
ROUTES.add_api_route(
    f"{api_version.PREFIX}/payment-webhooks",
    Ingest(),
    methods=["POST"],
    route_class_override=ExchangeRoute,
    include_in_schema=False,
    name="ingest_psp_event",
    responses=problem_responses(
        ("unauthenticated", "validation-failed", "not-found"), (PaymentUnknown, WebhookTooEarly)
    ),
)


def _opened(receiving: Receiving) -> PaymentWebhooks | None:
    """What takes webhooks in; None where no setting has a secret."""
    settings = receiving.settings
    if settings.payment_webhook_secrets is None:
        return None
    given = settings.payment_webhook_secrets.get_secret_value().split(",")
    secrets = [each.strip() for each in given if each.strip()]
    return PaymentWebhooks(_signing(settings, secrets), receiving)


def _signing(settings: Settings, secrets: Sequence[str]) -> WebhookSigning:
    if settings.payment_provider != "stripe":
        return StandardWebhooks([each.encode() for each in secrets])
    from commands.gateways.payment.stripe_provider import StripeProvider
    from commands.gateways.payment.stripe_webhooks import StripeSigning

    token = "" if settings.payment_token is None else settings.payment_token.get_secret_value()
    return StripeSigning(secrets, lambda: StripeProvider.open(settings.payment_url, token=token))


RECEIVER: Final = Receiver(name=NAME, routes=ROUTES, opened=_opened)
