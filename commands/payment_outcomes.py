"""What a payment provider answers, and what that comes to: the same for a sender's call and for a webhook."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from domain.event import Event
from domain.money import Minor
from domain.payments import authorising, capturing, refunding
from domain.payments.card_numbers import has_card_number
from domain.payments.events import ActionKind
from domain.payments.payment import Payment

CODE_CHARACTERS_MAX: Final = 100
NO_CODE: Final = "unspecified"

Step = Literal["authorise", "capture", "void", "refund"]
"""What the provider was asked for; part of every key, so for ever."""

ProviderStatus = Literal[
    "authorised", "action-required", "pending", "declined", "captured", "released", "refunded", "failed"
]

Reference = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")]
"""A number of the provider's own."""

_DONE: Final[dict[Step, ProviderStatus]] = {"capture": "captured", "void": "released", "refund": "refunded"}

_control = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class Contradiction(ValueError):
    """An answer that cannot be one to what was asked."""


class ProviderAnswer(Struct, frozen=True, kw_only=True):
    """The one shape of what a provider says about a key: docs/contracts/payment.md."""

    key: str
    payment: str
    status: ProviderStatus
    currency: str
    amount: int
    reference: Reference | None = None
    expires_at: datetime | None = None
    action: ActionKind | None = None
    code: str | None = None
    retryable: bool = False


class ProviderRequest(Struct, frozen=True, kw_only=True):
    """What a key stands for: what was asked, for which payment, and how much."""

    key: str
    step: Step
    payment: str
    currency: str
    amount: int


class AmountHeld(Struct, frozen=True):
    """An amount is held."""

    reference: str
    expires_at: datetime


class ActionNeeded(Struct, frozen=True):
    """The buyer has to act."""

    kind: ActionKind


class Pending(Struct, frozen=True):
    """Nobody knows yet."""


class NotMoved(Struct, frozen=True):
    """Nothing was done, and nothing will be under this key."""

    code: str
    retryable: bool = False


class MoneyMoved(Struct, frozen=True):
    """It was captured, released or refunded."""

    reference: str


Outcome = AmountHeld | ActionNeeded | Pending | NotMoved | MoneyMoved


def outcome_of(answer: ProviderAnswer, asked: ProviderRequest) -> Outcome:
    """What an answer says about what was asked.

    Raises:
        Contradiction: it is about something else, or says nothing that could come of it.
    """
    if (answer.key, answer.payment) != (asked.key, asked.payment):
        raise Contradiction("it is about another key or payment")
    if (answer.currency, answer.amount) != (asked.currency, asked.amount):
        raise Contradiction(f"{answer.amount} {answer.currency} instead of {asked.amount} {asked.currency}")
    if answer.reference is not None and has_card_number(answer.reference):
        raise Contradiction("its reference looks like a card number")
    if answer.status == "pending":
        return Pending()
    if answer.status == ("declined" if asked.step == "authorise" else "failed"):
        code = _control.sub(" ", answer.code or "").strip()[:CODE_CHARACTERS_MAX]
        return NotMoved(code or NO_CODE, answer.retryable)
    if asked.step == "authorise":
        return _authorised(answer)
    if answer.status == _DONE[asked.step] and answer.reference is not None:
        return MoneyMoved(answer.reference)
    raise Contradiction(f"{answer.status} is no outcome of {asked.step}")


def _authorised(answer: ProviderAnswer) -> Outcome:
    if answer.status == "action-required" and answer.action is not None:
        return ActionNeeded(answer.action)
    if answer.status == "authorised" and answer.reference is not None and answer.expires_at is not None:
        if answer.expires_at.tzinfo is None:
            raise Contradiction("expires_at has no offset")
        return AmountHeld(answer.reference, answer.expires_at)
    raise Contradiction(f"{answer.status} is no outcome of an authorisation, or lacks a part")


def record(
    payment: Payment | None, *, step: Step, number: int, amount: int, outcome: Outcome, now: datetime
) -> Sequence[Event]:
    """The events for an outcome; none if it is known. `number` is of the attempt, capture, void or refund."""
    if step == "authorise":
        return _record_authorisation(payment, attempt=number, amount=amount, outcome=outcome, now=now)
    if isinstance(outcome, MoneyMoved):
        return _DONE_BY[step](payment, number, outcome.reference, now)
    if isinstance(outcome, NotMoved):
        return _NOT_DONE_BY[step](payment, number=number, code=outcome.code, now=now)
    return []


def _record_authorisation(
    payment: Payment | None, *, attempt: int, amount: int, outcome: Outcome, now: datetime
) -> Sequence[Event]:
    match outcome:
        case AmountHeld(reference, expires_at):
            return authorising.record_authorised(
                payment,
                attempt=attempt,
                amount=Minor(amount),
                auth_ref=reference,
                expires_at=expires_at,
                now=now,
            )
        case ActionNeeded(kind):
            return authorising.record_action_required(payment, attempt=attempt, kind=kind, now=now)
        case NotMoved(code, retryable):
            return authorising.record_declined(
                payment, attempt=attempt, code=code, retryable=retryable, now=now
            )
        case Pending():
            return authorising.record_uncertain(payment, attempt=attempt, now=now)
    return []


_DONE_BY: Final[dict[Step, Callable[[Payment | None, int, str, datetime], Sequence[Event]]]] = {
    "capture": lambda payment, number, reference, now: capturing.record_captured(
        payment, number=number, capture_ref=reference, now=now
    ),
    "void": lambda payment, number, _reference, now: authorising.record_voided(
        payment, number=number, now=now
    ),
    "refund": lambda payment, number, reference, now: refunding.record_refunded(
        payment, number=number, refund_ref=reference, now=now
    ),
}
_NOT_DONE_BY: Final[dict[Step, Callable[..., Sequence[Event]]]] = {
    "capture": capturing.record_capture_failed,
    "void": authorising.record_void_failed,
    "refund": refunding.record_refund_failed,
}
