"""Security notices: mails about events of an account. Runs only where a mail server is configured."""

from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeVar

from commands.decision import Decision, DecisionView, events_of
from commands.processes.process import Process, Streams
from domain.event import Event
from domain.identity.account import ACCOUNT
from domain.identity.events import (
    AccountLocked,
    ExternalIdentityLinked,
    ExternalIdentityUnlinked,
    PasswordChanged,
    PasswordReset,
    RefreshReuseDetected,
)
from domain.mail.mail import MAIL, id_about, request_mail
from domain.mail.templates import (
    ACCOUNT_LOCKED,
    IDENTITY_LINKED,
    IDENTITY_UNLINKED,
    PASSWORD_CHANGED,
    SESSIONS_REVOKED,
    Template,
)
from domain.moment import Moment
from event_store.consumers.starting import HEAD

SECURITY_NOTICES: Final = Process("security-notices", writes=(MAIL,), start=HEAD, gateway="mail")

E = TypeVar(
    "E",
    PasswordChanged,
    PasswordReset,
    RefreshReuseDetected,
    ExternalIdentityLinked,
    ExternalIdentityUnlinked,
    AccountLocked,
)


def _written(at: Moment) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _notice(
    trigger: type[E],
    template: Template,
    about: Callable[[E], tuple[str, ...]],
    parameters: Callable[[E], dict[str, str]],
) -> None:
    """Declare that an event is followed by one mail, unless its account is closed.

    An erasure closes the account and unlinks its providers in one append, and leaves no address to write to.
    """

    def account_and_mail(event: E) -> Streams:
        return [(ACCOUNT, event.account_id), (MAIL, id_about("notice", template.name, *about(event)))]

    def notify(event: E, view: DecisionView, now: datetime) -> Decision:
        account = view.current(ACCOUNT, event.account_id)
        if account is not None and account.closed:
            return Decision()
        mail_id = id_about("notice", template.name, *about(event))
        requested: list[Event] = request_mail(
            view.current(MAIL, mail_id),
            template,
            mail_id=mail_id,
            recipient_ref=event.account_id,
            now=now,
            parameters=parameters(event),
        )
        return Decision(events_of(MAIL, mail_id, requested))

    SECURITY_NOTICES.when(trigger, reads=account_and_mail)(notify)


_notice(
    PasswordChanged,
    PASSWORD_CHANGED,
    lambda event: (event.credential_id,),
    lambda event: {"at": _written(event.changed_at)},
)
_notice(
    PasswordReset,
    PASSWORD_CHANGED,
    lambda event: (event.credential_id,),
    lambda event: {"at": _written(event.reset_at)},
)
_notice(
    RefreshReuseDetected,
    SESSIONS_REVOKED,
    lambda event: (event.session_id,),
    lambda event: {"at": _written(event.detected_at)},
)
_notice(
    ExternalIdentityLinked,
    IDENTITY_LINKED,
    lambda event: (event.identity_digest, event.linked_at.isoformat()),
    lambda event: {"at": _written(event.linked_at), "provider": event.provider},
)
_notice(
    ExternalIdentityUnlinked,
    IDENTITY_UNLINKED,
    lambda event: (event.identity_digest, event.unlinked_at.isoformat()),
    lambda event: {"at": _written(event.unlinked_at), "provider": event.provider},
)
_notice(
    AccountLocked,
    ACCOUNT_LOCKED,
    lambda event: (event.account_id, event.locked_at.isoformat()),
    lambda event: {"at": _written(event.locked_at)},
)
