"""Stripe, by its own library: payment intents that are captured by hand, and refunds. docs/contracts/stripe.md.

An authorisation is a payment intent of its own, which has our key in its metadata and is found by that. A capture is a
change of that intent, so its key is written into the intent's metadata by the call that captures. The index of
metadata is a minute behind; until then the idempotency key of the call, which is the same key, keeps it from being done
twice.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import msgspec
import stripe
from msgspec import Struct

from commands.gateways import outside
from commands.gateways.gateway import NoAnswer, Unaskable
from commands.gateways.payment.operations import Operation
from commands.gateways.payment.stripe_currency import to_stripe
from commands.payment_outcomes import (
    ActionNeeded,
    AmountHeld,
    MoneyMoved,
    NotMoved,
    Outcome,
    Pending,
)
from runtime.decoders import json_decoder

KEY: Final = "counterfoil_key"
PAYMENT: Final = "counterfoil_payment"
"""Metadata of a payment intent and of a refund."""

HOLD_S: Final = 410_400.0
"""How long an amount is held at least, four days and 18 hours, where Stripe does not say until when."""

REFUNDS_MAX: Final = 100
"""Refunds of one payment intent that are looked through."""

HARD_DECLINES: Final = frozenset(
    {
        "currency_not_supported",
        "expired_card",
        "fraudulent",
        "incorrect_number",
        "invalid_account",
        "lost_card",
        "merchant_blacklist",
        "not_permitted",
        "pickup_card",
        "resource_missing",
        "restricted_card",
        "revocation_of_all_authorizations",
        "revocation_of_authorization",
        "security_violation",
        "stolen_card",
        "stop_payment_order",
        "transaction_not_allowed",
    }
)
"""Codes of declines after which the same method need not be tried again."""

T = TypeVar("T")


class Multicapture(Struct, frozen=True):
    """Whether parts can be captured one after another."""

    status: str = "unavailable"


class CardDetails(Struct, frozen=True):
    """What the card's bank allows."""

    capture_before: int | None = None
    multicapture: Multicapture | None = None


class MethodDetails(Struct, frozen=True):
    """What the method allows."""

    card: CardDetails | None = None


class Charge(Struct, frozen=True):
    """The charge of a payment intent."""

    id: str
    payment_method_details: MethodDetails | None = None


class PaymentError(Struct, frozen=True):
    """Why a method was declined."""

    code: str | None = None
    decline_code: str | None = None
    advice_code: str | None = None


class NextAction(Struct, frozen=True):
    """What the buyer has to do."""

    type: str


class PaymentIntent(Struct, frozen=True, kw_only=True):
    """The members of Stripe's payment intent that matter here."""

    id: str
    status: str
    amount: int
    currency: str
    created: int
    metadata: dict[str, str] = {}
    amount_capturable: int = 0
    latest_charge: Charge | str | None = None
    last_payment_error: PaymentError | None = None
    next_action: NextAction | None = None
    cancellation_reason: str | None = None

    @property
    def card(self) -> CardDetails:
        """What the bank allows, where the charge is part of the answer."""
        details = (
            self.latest_charge.payment_method_details if isinstance(self.latest_charge, Charge) else None
        )
        return (details.card if details is not None else None) or CardDetails()


class Refund(Struct, frozen=True, kw_only=True):
    """The members of Stripe's refund that matter here."""

    id: str
    status: str
    amount: int
    currency: str
    metadata: dict[str, str] = {}
    failure_reason: str | None = None


class StripeList(Struct, frozen=True):
    """A list of Stripe's."""

    data: list[msgspec.Raw]


class StripeProvider:
    """See `Psp`."""

    def __init__(self, client: stripe.StripeClient) -> None:
        self._intents, self._refunds = client.v1.payment_intents, client.v1.refunds

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url: str | None, *, token: str) -> AsyncIterator["StripeProvider"]:
        """A client with the secret key `token`; `url` is another address than Stripe's own."""
        http = stripe.HTTPXClient(timeout=outside.ANSWER_TIMEOUT_S)
        addresses: Any = {} if url is None else {"api": str(url).rstrip("/")}
        try:
            yield cls(
                stripe.StripeClient(token, base_addresses=addresses, max_network_retries=0, http_client=http)
            )
        finally:
            await http.close_async()

    async def find(self, operation: Operation) -> Outcome | None:
        """See `Psp`."""
        if operation.step == "authorise":
            intent = await self._intent_of(operation)
            return None if intent is None else authorised(intent)
        if operation.step == "refund":
            return await self._found_refund(operation)
        intent = await self.retrieve(operation.reference)
        if operation.step == "capture":
            return _captured(intent) if intent.metadata.get(_capture(operation)) == operation.key else None
        return _released(intent)

    async def perform(self, operation: Operation) -> Outcome:
        """See `Psp`."""
        do = {
            "authorise": self._authorise,
            "capture": self._take,
            "void": self._release,
            "refund": self._refund,
        }
        return await do[operation.step](operation)

    async def cancel(self, operation: Operation) -> Outcome:
        """See `Psp`."""
        intent = await self._intent_of(operation)
        if intent is None:
            raise NoAnswer("Stripe does not find the payment intent yet")
        with contextlib.suppress(stripe.InvalidRequestError):  # it is decided
            await self._called(self._intents.cancel_async(intent.id), PaymentIntent)
        return authorised(await self.retrieve(intent.id))

    async def retrieve(self, reference: str) -> PaymentIntent:
        """A payment intent as it is now.

        Raises:
            GatewayError: Stripe does not say.
        """
        params: Any = {"expand": ["latest_charge"]}
        try:
            intent: PaymentIntent = await self._called(
                self._intents.retrieve_async(reference, params), PaymentIntent
            )
        except stripe.InvalidRequestError as error:
            raise Unaskable(f"Stripe refused: {error.code or _words(error)}") from error
        return intent

    async def _intent_of(self, operation: Operation) -> PaymentIntent | None:
        params: Any = {"query": f"metadata['{KEY}']:'{operation.key}'", "expand": ["data.latest_charge"]}
        found = await self._called(self._intents.search_async(params), StripeList)
        intents = [_decoded(each, PaymentIntent) for each in found.data]
        intents = [each for each in intents if each.metadata.get(KEY) == operation.key]
        if len(intents) > 1:
            raise Unaskable(f"{len(intents)} payment intents have the key")
        for intent in intents:
            _require_same(intent, operation)
        return intents[0] if intents else None

    async def _found_refund(self, operation: Operation) -> Outcome | None:
        params: Any = {"payment_intent": operation.reference, "limit": REFUNDS_MAX}
        found = await self._called(self._refunds.list_async(params), StripeList)
        for each in found.data:
            refund = _decoded(each, Refund)
            if refund.metadata.get(KEY) == operation.key:
                _require_same(refund, operation)
                return refunded(refund)
        return None

    async def _authorise(self, operation: Operation) -> Outcome:
        params: Any = {
            "amount": _amount(operation),
            "currency": operation.currency.lower(),
            "payment_method": operation.method,
            "payment_method_types": ["card"],
            "payment_method_options": {"card": {"request_multicapture": "if_available"}},
            "capture_method": "manual",
            "confirm": True,
            "metadata": _metadata(operation),
            "expand": ["latest_charge"],
        }
        try:
            intent = await self._called(
                self._intents.create_async(params, {"idempotency_key": operation.key}), PaymentIntent
            )
        except stripe.CardError as error:
            found: Any = error.json_body
            reason = msgspec.convert(found.get("error", {}), PaymentError)
            return _declined(reason)
        except stripe.InvalidRequestError as error:
            if error.param == "payment_method" or error.code in {"amount_too_small", "amount_too_large"}:
                return NotMoved(error.code or "payment_method", retryable=False)
            raise Unaskable(f"Stripe refused: {error.code or _words(error)}") from error
        _require_same(intent, operation)
        return authorised(intent)

    async def _take(self, operation: Operation) -> Outcome:
        amount = _amount(operation)
        intent = await self.retrieve(operation.reference)
        if intent.metadata.get(_capture(operation)) == operation.key:
            return _captured(
                intent
            )  # what is asked below follows from what is left, so it is not the same again
        rest = intent.amount_capturable - amount
        params: Any = {
            "amount_to_capture": amount,
            "metadata": {_capture(operation): operation.key},
            "expand": ["latest_charge"],
        }
        if rest > 0 and intent.card.multicapture == Multicapture("available"):
            params["final_capture"] = False
        return await self._moved(
            self._intents.capture_async(operation.reference, params, {"idempotency_key": operation.key}),
            PaymentIntent,
            _captured,
        )

    async def _release(self, operation: Operation) -> Outcome:
        options: Any = {"idempotency_key": operation.key}
        call = self._intents.cancel_async(operation.reference, None, options)
        return await self._moved(call, PaymentIntent, lambda intent: MoneyMoved(intent.id))

    async def _refund(self, operation: Operation) -> Outcome:
        params: Any = {
            "payment_intent": operation.reference,
            "amount": _amount(operation),
            "metadata": _metadata(operation),
        }
        options: Any = {"idempotency_key": operation.key}
        return await self._moved(self._refunds.create_async(params, options), Refund, refunded)

    async def _moved(self, call: Awaitable[Any], kind: type[T], outcome: Callable[[T], Outcome]) -> Outcome:
        """What a capture, a release or a refund came to: Stripe's refusal of it is one."""
        try:
            return outcome(await self._called(call, kind))
        except (stripe.CardError, stripe.InvalidRequestError) as error:
            if error.code is None:
                raise Unaskable(f"Stripe refused: {_words(error)}") from error
            return NotMoved(error.code)

    async def _called(self, call: Awaitable[Any], kind: type[T]) -> T:
        """An answer of Stripe.

        Raises:
            NoAnswer: there is none in time, or it is not about what was asked.
            Unaskable: the key was used for something else.
            stripe.CardError, stripe.InvalidRequestError: Stripe refuses what is asked.
        """
        try:
            async with asyncio.timeout(outside.ANSWER_TIMEOUT_S):
                answer = await call
        except TimeoutError as error:
            raise NoAnswer(f"Stripe did not answer within {outside.ANSWER_TIMEOUT_S:g} s") from error
        except (stripe.CardError, stripe.InvalidRequestError) as error:
            if error.http_status == 409:
                raise NoAnswer("Stripe is busy with a request of the same key") from error
            raise
        except stripe.IdempotencyError as error:
            if error.http_status == 409:
                raise NoAnswer("Stripe is busy with a request of the same key") from error
            raise Unaskable("the key was used for something else at Stripe") from error
        except stripe.StripeError as error:
            raise NoAnswer(f"Stripe: {_words(error)}") from error
        return _decoded(answer.last_response.body, kind)


def authorised(intent: PaymentIntent) -> Outcome:
    """What a payment intent came to as an authorisation."""
    match intent.status:
        case "requires_capture" | "succeeded":
            until = intent.card.capture_before
            expires_at = (
                datetime.fromtimestamp(intent.created, UTC) + timedelta(seconds=HOLD_S)
                if until is None
                else datetime.fromtimestamp(until, UTC)
            )
            return AmountHeld(intent.id, expires_at)
        case "requires_action":
            redirects = intent.next_action is not None and intent.next_action.type == "redirect_to_url"
            return ActionNeeded("redirect" if redirects else "3d-secure")
        case "requires_payment_method" if intent.last_payment_error is not None:
            return _declined(intent.last_payment_error)
        case "canceled":
            return NotMoved(intent.cancellation_reason or "canceled", retryable=True)
    return Pending()


def refunded(refund: Refund) -> Outcome:
    """What a refund came to."""
    match refund.status:
        case "succeeded":
            return MoneyMoved(refund.id)
        case "failed" | "canceled":
            return NotMoved(refund.failure_reason or refund.status)
    return Pending()


def _captured(intent: PaymentIntent) -> Outcome:
    charge = intent.latest_charge
    return MoneyMoved(intent.id if charge is None else charge.id if isinstance(charge, Charge) else charge)


def _released(intent: PaymentIntent) -> Outcome | None:
    """A capture that was the last one has released the rest."""
    is_over = intent.status == "canceled" or (intent.status == "succeeded" and not intent.amount_capturable)
    return MoneyMoved(intent.id) if is_over else None


def _declined(error: PaymentError) -> NotMoved:
    code = error.decline_code or error.code or "declined"
    is_final = error.advice_code == "do_not_try_again" or code in HARD_DECLINES
    return NotMoved(code, retryable=not is_final)


def _require_same(found: PaymentIntent | Refund, operation: Operation) -> None:
    """Raise NoAnswer: it is about another amount than was asked for."""
    if (found.amount, found.currency.upper()) != (_amount(operation), operation.currency):
        raise NoAnswer(f"Stripe says {found.amount} {found.currency} under the key")


def _amount(operation: Operation) -> int:
    return to_stripe(operation.amount, operation.currency)


def _metadata(operation: Operation) -> dict[str, str]:
    return {KEY: operation.key, PAYMENT: operation.payment}


def _capture(operation: Operation) -> str:
    """The metadata of a capture, in the payment intent."""
    return f"counterfoil_capture_{operation.key.rpartition(':')[2]}"


def _decoded(body: Any, kind: type[T]) -> T:
    try:
        return json_decoder(kind).decode(body)
    except msgspec.MsgspecError as error:
        raise NoAnswer("Stripe answered something else") from error


def _words(error: stripe.StripeError) -> str:
    return outside.one_line(str(error.user_message or error))[:200]
