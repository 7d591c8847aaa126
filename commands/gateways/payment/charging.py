"""Payments at the provider: what is asked for an intent, and what is recorded about the answer.

An authorisation without an answer is uncertain, and one that the buyer has to confirm is open: both are asked about
again, under the key of the authorisation, until the provider decides. Nobody is ever charged under another key.
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from commands.gateways.gateway import Effect, Gateway, NoAnswer
from commands.gateways.payment.operations import Operation, Psp
from commands.payment_outcomes import ActionNeeded, MoneyMoved, Outcome, Pending, Step
from commands.payment_outcomes import record as record_outcome
from domain.event import Event
from domain.payments.events import (
    AuthorisationRequested,
    AuthorisationUncertain,
    CaptureRequested,
    CustomerActionRequired,
    RefundRequested,
    VoidRequested,
)
from domain.payments.payment import PAYMENT, Payment
from runtime.settings import Settings

NAME: Final = "payment"
ASK_AGAIN_S: Final = 5.0
"""Pause before an open authorisation is asked about again; it grows from there like every other."""

ACTION_S: Final = 3_600.0
"""How long a buyer may take to confirm; then the authorisation is cancelled, or found to be confirmed."""

Intent = (
    AuthorisationRequested
    | AuthorisationUncertain
    | CustomerActionRequired
    | CaptureRequested
    | VoidRequested
    | RefundRequested
)


class Charging:
    """The provider, asked in the terms of payments."""

    def __init__(self, provider: Psp) -> None:
        self._provider = provider

    async def find(self, key: str, intent: Intent) -> Outcome | None:
        """See `Port`."""
        if isinstance(intent, RefundRequested) and intent.to == "store_credit":
            return MoneyMoved("store credit")  # it was credited in the append of the request
        found = await self._provider.find(_operation(key, intent))
        match intent:
            case AuthorisationUncertain():
                return _decided(found)
            case CustomerActionRequired():
                return self._acted(found, intent)
            case CaptureRequested() | VoidRequested() | RefundRequested() if isinstance(found, Pending):
                raise NoAnswer("the payment provider has not decided", wait_s=ASK_AGAIN_S)
        return found

    async def ask(self, key: str, intent: Intent) -> Outcome:
        """See `Port`."""
        operation = _operation(key, intent)
        match intent:
            case AuthorisationRequested():
                try:
                    return await self._provider.perform(operation)
                except NoAnswer:
                    return Pending()  # it may have arrived: that it is uncertain is what is known
            case CustomerActionRequired():
                outcome: Outcome | None = await self._provider.cancel(operation)
            case _:
                outcome = await self._provider.perform(operation)
        decided = _decided(outcome)
        assert decided is not None, "an answer was decided to be none"
        return decided

    @staticmethod
    def _acted(found: Outcome | None, intent: CustomerActionRequired) -> Outcome | None:
        """What the buyer's confirmation came to; None once it is to be cancelled."""
        if found is None:
            raise NoAnswer("the payment provider does not know an authorisation that it answered")
        if not isinstance(found, ActionNeeded | Pending):
            return found
        if datetime.now(UTC) < intent.required_at + timedelta(seconds=ACTION_S):
            raise NoAnswer("the buyer has not confirmed", wait_s=ASK_AGAIN_S)
        return None


def _decided(outcome: Outcome | None) -> Outcome | None:
    if isinstance(outcome, Pending):
        raise NoAnswer("the payment provider has not decided", wait_s=ASK_AGAIN_S)
    return outcome


def _operation(key: str, intent: Intent) -> Operation:
    match intent:
        case AuthorisationRequested() | AuthorisationUncertain() | CustomerActionRequired():
            return Operation(
                key=_of_authorisation(key),
                step="authorise",
                payment=intent.payment_id,
                currency=intent.currency,
                amount=intent.amount,
                method="" if isinstance(intent, CustomerActionRequired) else intent.method_ref,
            )
    return Operation(
        key=key,
        step=_STEPS[type(intent)],
        payment=intent.payment_id,
        currency=intent.currency,
        amount=intent.amount,
        reference=intent.auth_ref,
    )


def _of_authorisation(key: str) -> str:
    """The key of the authorisation that an intent is about: no part of a key has a colon."""
    beginning, _, attempt = key.rsplit(":", 2)
    return f"{beginning}:authorise:{attempt}"


_STEPS: Final[dict[type[Event], Step]] = {
    CaptureRequested: "capture",
    VoidRequested: "void",
    RefundRequested: "refund",
}


def _recording(step: Step, number: str) -> Any:
    def record(payment: Payment | None, intent: Any, outcome: Outcome, now: datetime) -> Sequence[Event]:
        """The events for the provider's answer."""
        return record_outcome(
            payment,
            step=step,
            number=getattr(intent, number),
            amount=intent.amount,
            outcome=outcome,
            now=now,
        )

    return record


def _effect(name: str, intent: type[Event], *, step: Step, number: str) -> Effect:
    return Effect(
        step=name,
        aggregate=PAYMENT,
        intent=intent,
        concerns=lambda requested: (requested.payment_id, getattr(requested, number)),
        record=_recording(step, number),
    )


def _opened(settings: Settings) -> contextlib.AbstractAsyncContextManager[Charging] | None:
    token = None if settings.payment_token is None else settings.payment_token.get_secret_value()
    if settings.payment_provider == "stripe":
        return None if token is None else _at_stripe(settings.payment_url, token)
    return None if settings.payment_url is None else _over_http(settings.payment_url, token)


@contextlib.asynccontextmanager
async def _over_http(url: str, token: str | None) -> AsyncIterator[Charging]:
    from commands.gateways.payment.http_provider import HttpProvider

    async with HttpProvider.open(url, token=token) as provider:
        yield Charging(provider)


@contextlib.asynccontextmanager
async def _at_stripe(url: str | None, token: str) -> AsyncIterator[Charging]:
    from commands.gateways.payment.stripe_provider import StripeProvider  # a second of imports

    async with StripeProvider.open(url, token=token) as provider:
        yield Charging(provider)


PROVIDER: Final = Gateway(
    name=NAME,
    effects=(
        _effect("authorise", AuthorisationRequested, step="authorise", number="attempt"),
        _effect("settle", AuthorisationUncertain, step="authorise", number="attempt"),
        _effect("action", CustomerActionRequired, step="authorise", number="attempt"),
        _effect("capture", CaptureRequested, step="capture", number="number"),
        _effect("void", VoidRequested, step="void", number="number"),
        _effect("refund", RefundRequested, step="refund", number="number"),
    ),
    opened=_opened,
)
