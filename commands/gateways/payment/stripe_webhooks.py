"""Webhooks of Stripe, by its library's own signature check, in the form of those of docs/contracts/payment.md."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Final

import msgspec
import stripe
from msgspec import Struct

from commands.gateways.gateway import GatewayError
from commands.gateways.payment.stripe_currency import from_stripe
from commands.gateways.payment.stripe_provider import (
    KEY,
    PAYMENT,
    PaymentIntent,
    Refund,
    StripeProvider,
    authorised,
    refunded,
)
from commands.gateways.payment.webhooks import TOLERANCE_S, DisputedAmount, EndedInquiry, Webhook, unsigned
from commands.payment_outcomes import (
    ActionNeeded,
    AmountHeld,
    MoneyMoved,
    NotMoved,
    Outcome,
    ProviderAnswer,
)
from domain.payments.events import DisputeReason
from runtime.decoders import json_decoder
from runtime.problems import ProblemError

_REASONS: Final[dict[str, DisputeReason]] = {
    "fraudulent": "fraud",
    "unrecognized": "fraud",
    "product_not_received": "not_received",
    "product_unacceptable": "not_as_described",
    "duplicate": "duplicate",
}

_DECIDING: Final = frozenset(
    {"amount_capturable_updated", "canceled", "payment_failed", "processing", "requires_action", "succeeded"}
)
"""Events of a payment intent after which it is known what came of it, as far as it is; `created` is not one."""


_DISPUTED: Final = frozenset({"needs_response", "under_review"})
"""Statuses of a dispute for which money is taken; one in a status `warning_…` is an inquiry, for which none is."""


class Subject(Struct, frozen=True):
    """What an event is about."""

    object: msgspec.Raw


class StripeEvent(Struct, frozen=True):
    """The members of an event of Stripe that matter here."""

    id: str
    type: str
    data: Subject


class Dispute(Struct, frozen=True, kw_only=True):
    """The members of a dispute that matter here."""

    id: str
    amount: int
    status: str
    reason: str = ""
    payment_intent: str | None = None


class StripeSigning(Struct, frozen=True):
    """See `WebhookSigning`. `opened` opens a client, by which is asked for what a webhook leaves out.

    A dispute does not say of which payment it is, nor an authorisation until when the amount is held.
    """

    secrets: Sequence[str]
    opened: Callable[[], AbstractAsyncContextManager[StripeProvider]]

    async def read(self, headers: Mapping[bytes, bytes], body: bytes, *, now: datetime) -> Webhook | None:
        """See `WebhookSigning`; None also for payments that others made with the same account."""
        self.require_signed(headers.get(b"stripe-signature", b"").decode("latin-1"), body, now=now)
        try:
            event = json_decoder(StripeEvent).decode(body)
            return await self._webhook(event)
        except msgspec.MsgspecError as error:
            raise ProblemError("validation-failed", "The webhook is none of Stripe.") from error

    def require_signed(self, header: str, body: bytes, *, now: datetime) -> None:
        """Check the signature under each secret, of which there are several while they are rotated.

        Raises:
            ProblemError: `unauthenticated`: none of them made it, or not within five minutes.
        """
        for secret in self.secrets:
            try:
                # The library knows the time by itself and lets the future pass: `now` is compared below.
                stripe.WebhookSignature.verify_header(body, header, secret)
            except (stripe.SignatureVerificationError, UnicodeDecodeError):
                continue
            sent_at, _ = stripe.WebhookSignature._get_timestamp_and_signatures(header, "v1")  # noqa: SLF001
            if abs(now.timestamp() - sent_at) <= TOLERANCE_S:
                return
        raise unsigned()

    async def _webhook(self, event: StripeEvent) -> Webhook | None:
        kind, _, about = event.type.rpartition(".")
        if kind == "payment_intent" and about in _DECIDING:
            intent = json_decoder(PaymentIntent).decode(event.data.object)
            if intent.metadata.keys() >= {KEY, PAYMENT} and isinstance(authorised(intent), AmountHeld):
                # The charge is an id here, so until when the amount is held is not said.
                intent = await self._retrieved(intent.id)
            return _decided(event, intent, authorised(intent))
        if kind in {"refund", "charge.refund"}:
            refund = json_decoder(Refund).decode(event.data.object)
            webhook = _decided(event, refund, refunded(refund))
            if webhook is None or refund.status != "failed":
                return webhook
            return msgspec.structs.replace(webhook, type="refund.reversed")
        if kind == "charge.dispute":
            return await self._disputed(event, about, json_decoder(Dispute).decode(event.data.object))
        return None

    async def _disputed(self, event: StripeEvent, about: str, dispute: Dispute) -> Webhook | None:
        kind: Any = _of_dispute(about, dispute.status)
        if dispute.payment_intent is None or kind is None:
            return None
        intent = await self._retrieved(dispute.payment_intent)
        if (payment := intent.metadata.get(PAYMENT)) is None:
            return None
        said: DisputedAmount
        if kind == "chargeback.opened":
            amount = _in_minor_units(dispute.amount, intent.currency)
            said = DisputedAmount(id=dispute.id, amount=amount, reason=_REASONS.get(dispute.reason, "other"))
        else:
            ended = EndedInquiry if dispute.status == "warning_closed" else DisputedAmount
            said = ended(id=dispute.id)
        return Webhook(id=event.id, type=kind, payment=payment, dispute=said)

    async def _retrieved(self, reference: str) -> PaymentIntent:
        """A payment intent as it is now, with its charge."""
        try:
            async with self.opened() as provider:
                return await provider.retrieve(reference)
        except GatewayError as error:
            # Stripe delivers it again.
            raise ProblemError("store-unavailable", "The payment provider does not answer now.") from error


def _of_dispute(about: str, status: str) -> str | None:
    """The type of the webhook that an event of a dispute is; None: nothing begins or ends with it.

    An inquiry that is escalated is the same dispute in another status. The first event that says so opens it,
    whichever that is: another one about the same dispute changes nothing.
    """
    if about == "closed":
        ended = "won" if status == "warning_closed" else status
        return f"chargeback.{ended}" if ended in {"won", "lost"} else None
    opens = (
        about == "funds_withdrawn"
        or (about == "updated" and status in _DISPUTED)
        or (about == "created" and not status.startswith("warning_"))
    )
    return "chargeback.opened" if opens else None


def _decided(event: StripeEvent, about: PaymentIntent | Refund, outcome: Outcome) -> Webhook | None:
    key, payment = about.metadata.get(KEY), about.metadata.get(PAYMENT)
    if key is None or payment is None:
        return None
    said: dict[str, Any] = {"status": "pending"}
    match outcome:
        case AmountHeld(reference, expires_at):
            said = {"status": "authorised", "reference": reference, "expires_at": expires_at}
        case ActionNeeded(action):
            said = {"status": "action-required", "action": action}
        case NotMoved(code, retryable):
            status = "declined" if isinstance(about, PaymentIntent) else "failed"
            said = {"status": status, "code": code, "retryable": retryable}
        case MoneyMoved(reference):
            said = {"status": "refunded", "reference": reference}
    operation = ProviderAnswer(
        key=key,
        payment=payment,
        currency=about.currency.upper(),
        amount=_in_minor_units(about.amount, about.currency),
        **said,
    )
    return Webhook(id=event.id, type="operation.decided", payment=payment, operation=operation)


def _in_minor_units(amount: int, currency: str) -> int:
    converted = from_stripe(amount, currency.upper())
    if converted is None:
        raise ProblemError("validation-failed", f"{amount} of Stripe is no amount in {currency.upper()}.")
    return converted
