"""Closing: the account of a customer who was erased is closed, so that its address can be registered again."""

from datetime import datetime
from typing import Final

from commands.decision import Decision, DecisionView, events_of
from commands.processes.process import Process, Streams
from domain.customers.events import PersonalDataErased
from domain.identity import account as accounts
from domain.identity.account import ACCOUNT
from event_store.consumers.starting import HEAD

CLOSING: Final = Process("account-closing", writes=(ACCOUNT,), start=HEAD)


def account_of(event: PersonalDataErased) -> Streams:
    """The account, where the customer had one."""
    return () if event.account_id is None else [(ACCOUNT, event.account_id)]


@CLOSING.when(PersonalDataErased, reads=account_of)
def close(event: PersonalDataErased, view: DecisionView, now: datetime) -> Decision:
    """Close the account; nothing for who had none."""
    if event.account_id is None:
        return Decision()
    closed = accounts.close(view.current(ACCOUNT, event.account_id), now=now)
    return Decision(events_of(ACCOUNT, event.account_id, closed))
