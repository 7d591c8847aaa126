"""The expiry of store credit: what is left of a credit whose time is over is not owed any more.

A customer has several credits and one timer, set for the first expiry; firing schedules the next.
"""

from datetime import datetime
from typing import Final

from commands.decision import DecisionView
from commands.processes.process import Process
from commands.processes.timer import Timer
from domain.event import Event
from domain.payments import store_credit
from domain.payments.events import CreditExpired, CreditExpiryScheduled
from domain.payments.store_credit import STORE_CREDIT, StoreCredit
from event_store.consumers.starting import HEAD

CREDIT_EXPIRY: Final = Process("credit-expiry", writes=(STORE_CREDIT,), start=HEAD)

EXPIRY: Final = Timer(CREDIT_EXPIRY, "expiry", of=STORE_CREDIT)


@EXPIRY.set_by(CreditExpiryScheduled)
def as_scheduled(event: CreditExpiryScheduled, _recorded_at: datetime) -> datetime:
    """The first of all expiries, which the decision knows."""
    return event.expires_at


EXPIRY.cleared_by(CreditExpired)


@EXPIRY.fires
def expire(credit: StoreCredit | None, _view: DecisionView, now: datetime) -> list[Event]:
    """Have what is due expire, and schedule the next."""
    assert credit is not None, "a credit that expires was issued"
    return store_credit.expire(credit, now=now)
