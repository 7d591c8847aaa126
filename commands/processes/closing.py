"""Closing: the account of a customer who was erased is closed, which frees its address and its logins at providers."""

from datetime import datetime
from typing import Final

from commands.decision import Decision, DecisionView, events_of
from commands.processes.process import Process, Streams
from domain.customers.events import PersonalDataErased
from domain.identity import account as accounts
from domain.identity import external as externals
from domain.identity.account import ACCOUNT
from domain.identity.external import EXTERNAL
from event_store.consumers.starting import HEAD

CLOSING: Final = Process("account-closing", writes=(ACCOUNT, EXTERNAL), start=HEAD)


def account_of(event: PersonalDataErased) -> Streams:
    """The account and its logins at providers, where the customer had one."""
    return () if event.account_id is None else [(each, event.account_id) for each in (ACCOUNT, EXTERNAL)]


@CLOSING.when(PersonalDataErased, reads=account_of)
def close(event: PersonalDataErased, view: DecisionView, now: datetime) -> Decision:
    """Unlink every provider and close the account; nothing for who had none."""
    if event.account_id is None:
        return Decision()
    unlinked = externals.unlink_all(view.current(EXTERNAL, event.account_id), now=now)
    closed = accounts.close(view.current(ACCOUNT, event.account_id), now=now)
    return Decision(
        (*events_of(EXTERNAL, event.account_id, unlinked), *events_of(ACCOUNT, event.account_id, closed))
    )
