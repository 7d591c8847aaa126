"""A payment provider in memory with books of its own: it does one thing for each key, refuses, or says nothing.

What it decided it also says by webhooks, which somebody else delivers: late, twice, out of order or never.
"""

from datetime import timedelta
from typing import Literal

from msgspec import Struct

from commands.gateways.gateway import NoAnswer
from commands.gateways.payment.webhooks import DisputedAmount, Webhook
from commands.payment_outcomes import ActionNeeded, AmountHeld, MoneyMoved, NotMoved, Pending, ProviderAnswer

HELD_FOR = timedelta(days=7)

Mood = Literal["obliging", "deaf", "mute", "declines", "refuses", "asks", "ponders"]
"""It answers; it hears nothing; it does it and says nothing; it declines for now, or for good; its buyer has to
confirm; it decides later."""
MOODS: tuple[Mood, ...] = ("obliging", "obliging", "deaf", "mute", "declines", "refuses", "asks", "ponders")

_SAID = {"authorise": "authorised", "capture": "captured", "void": "released", "refund": "refunded"}


class Authorisation(Struct):
    """An amount that is held for a payment, and where every part of it is."""

    payment: str
    currency: str
    held: int
    expires_at: object
    captured: int = 0
    refunded: int = 0
    disputed: int = 0
    lost: int = 0

    @property
    def left(self):
        """What was taken and is still there."""
        return self.captured - self.refunded - self.disputed - self.lost


class Provider:
    """See `Psp`. What it is to do next with what it is asked is its `mood`."""

    def __init__(self, clock):
        self._clock = clock
        self.mood: Mood = "obliging"
        self.operations = {}
        """What was asked under each key."""
        self.outcomes = {}
        """What came of it so far."""
        self.authorisations = {}
        """By reference."""
        self.disputes = {}
        """By id: the reference of what is disputed, and how much; those that are open."""
        self.reversible = {}
        """Refunds that were done, by key, with the reference of what they were of."""
        self.webhooks = []
        """What it has to say."""
        self.problems = []
        self._numbered = 0

    async def find(self, operation):
        """See `Psp`."""
        self._require_answer()
        self._require_same(operation)
        return self.outcomes.get(operation.key)

    async def perform(self, operation):
        """See `Psp`."""
        self._require_answer()
        self._require_same(operation)
        if operation.key not in self.operations:
            self.operations[operation.key] = operation
            self._decide(operation.key, self.mood)
        if self.mood == "mute":
            raise NoAnswer("the answer is lost")
        return self.outcomes[operation.key]

    async def cancel(self, operation):
        """See `Psp`."""
        self._require_answer()
        if self.is_open(operation.key):
            self._came_to(operation.key, NotMoved("cancelled", retryable=True))
        return self.outcomes[operation.key]

    def is_open(self, key):
        """Whether an operation is not decided."""
        return isinstance(self.outcomes.get(key), Pending | ActionNeeded)

    def decide(self, key, mood):
        """Decide what was open, as when its buyer confirms."""
        if self.is_open(key):
            self._decide(key, mood)

    def dispute(self, reference, amount):
        """A bank takes an amount back until it has decided."""
        of = self.authorisations[reference]
        if not 0 < amount <= of.left:
            return
        of.disputed += amount
        dispute_id = f"dp_{self._number()}"
        self.disputes[dispute_id] = (reference, amount)
        self._say("chargeback.opened", of.payment, dispute=DisputedAmount(id=dispute_id, amount=amount))

    def end_dispute(self, dispute_id, *, won):
        """The bank has decided."""
        reference, amount = self.disputes.pop(dispute_id)
        of = self.authorisations[reference]
        of.disputed -= amount
        of.lost += 0 if won else amount
        kind = "chargeback.won" if won else "chargeback.lost"
        self._say(kind, of.payment, dispute=DisputedAmount(id=dispute_id))

    def reverse(self, key):
        """A refund comes back: the account that it went to is closed, say."""
        operation = self.operations[key]
        self.authorisations[self.reversible.pop(key)].refunded -= operation.amount
        self._say("refund.reversed", operation.payment, operation=self._answer(key))

    def of_payment(self, payment):
        """The sums of a payment: held, captured, refunded, disputed and lost."""
        self.expire()
        parts = [each for each in self.authorisations.values() if each.payment == payment]
        names = ("held", "captured", "refunded", "disputed", "lost")
        return {name: sum(getattr(each, name) for each in parts) for name in names}

    def expire(self):
        """What was held for too long is not held any more."""
        for each in self.authorisations.values():
            if self._clock.now >= each.expires_at:
                each.held = 0

    def _require_answer(self):
        if self.mood == "deaf":
            raise NoAnswer("it does not answer")

    def _require_same(self, operation):
        earlier = self.operations.get(operation.key)
        if earlier is not None and _asked(earlier) != _asked(operation):
            self.problems.append(
                f"{operation.key} was asked for as {_asked(earlier)} and {_asked(operation)}"
            )

    def _decide(self, key, mood):
        operation = self.operations[key]
        match mood:
            case "declines" | "refuses":
                self._came_to(key, NotMoved("no", retryable=mood == "declines"))
            case "ponders":
                self.outcomes[key] = Pending()
            case "asks" if operation.step == "authorise":
                self.outcomes[key] = ActionNeeded("3d-secure")
            case _:
                self._came_to(key, getattr(self, f"_{operation.step}")(operation))

    def _came_to(self, key, outcome):
        self.outcomes[key] = outcome
        operation = self.operations[key]
        self._say("operation.decided", operation.payment, operation=self._answer(key))
        if operation.step == "refund" and isinstance(outcome, MoneyMoved):
            self.reversible[key] = operation.reference

    def _authorise(self, operation):
        reference = f"A{self._number()}"
        expires_at = self._clock.now + HELD_FOR
        self.authorisations[reference] = Authorisation(
            payment=operation.payment,
            currency=operation.currency,
            held=operation.amount,
            expires_at=expires_at,
        )
        return AmountHeld(reference, expires_at)

    def _capture(self, operation):
        self.expire()
        of = self.authorisations[operation.reference]
        if operation.amount > of.held:
            return NotMoved("not_held")
        of.held -= operation.amount
        of.captured += operation.amount
        return MoneyMoved(f"C{self._number()}")

    def _void(self, operation):
        self.authorisations[operation.reference].held = 0
        return MoneyMoved(f"V{self._number()}")

    def _refund(self, operation):
        of = self.authorisations[operation.reference]
        if operation.amount > of.left:
            return NotMoved("not_there")
        of.refunded += operation.amount
        return MoneyMoved(f"R{self._number()}")

    def _number(self):
        self._numbered += 1
        return self._numbered

    def _say(self, kind, payment, **about):
        self.webhooks.append(Webhook(id=f"evt_{self._number()}", type=kind, payment=payment, **about))

    def _answer(self, key):
        operation, outcome = self.operations[key], self.outcomes[key]
        said = {
            "key": key,
            "payment": operation.payment,
            "currency": operation.currency,
            "amount": operation.amount,
        }
        match outcome:
            case AmountHeld(reference, expires_at):
                return ProviderAnswer(**said, status="authorised", reference=reference, expires_at=expires_at)
            case MoneyMoved(reference):
                return ProviderAnswer(**said, status=_SAID[operation.step], reference=reference)
            case NotMoved(code, retryable):
                status = "declined" if operation.step == "authorise" else "failed"
                return ProviderAnswer(**said, status=status, code=code, retryable=retryable)
        raise AssertionError(f"{outcome} is not decided")


def _asked(operation):
    return operation.step, operation.payment, operation.currency, operation.amount
