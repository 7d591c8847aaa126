"""A session: opened by a login, over when it expires or is revoked. Its tokens are rotated in the vault, not here."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from domain.aggregate import Aggregate
from domain.event import Event
from domain.identity.events import Cause, RefreshReuseDetected, SessionOpened, SessionRevoked
from domain.ids import AccountId, ClientId, CredentialId, SessionId
from domain.moment import in_utc


class Session(Struct, frozen=True, kw_only=True):
    """The account of a session, and whether the session was revoked."""

    session_id: SessionId
    account_id: AccountId
    revoked: Cause | None = None


def evolve(session: Session | None, event: Event) -> Session:
    """Return the session as it is after `event`."""
    if isinstance(event, SessionOpened):
        return Session(session_id=event.session_id, account_id=event.account_id)
    assert session is not None, "the end of a session that was never opened"
    match event:
        case RefreshReuseDetected():
            return session
        case SessionRevoked():
            return replace(session, revoked=event.cause)
    raise AssertionError(f"{type(event).__name__} is no event of a session")


SESSION: Final = Aggregate("session", evolve, events=(SessionOpened, SessionRevoked, RefreshReuseDetected))


def open_session(
    session: Session | None,
    *,
    session_id: SessionId,
    account_id: AccountId,
    credential_id: CredentialId,
    client_id: ClientId,
    expires_at: datetime,
    now: datetime,
) -> Sequence[Event]:
    """Open a session once."""
    if session is not None:
        return []
    return [
        SessionOpened(
            session_id=session_id,
            account_id=account_id,
            credential_id=credential_id,
            client_id=client_id,
            opened_at=in_utc(now),
            expires_at=in_utc(expires_at),
        )
    ]


def revoke(session: Session | None, *, cause: Cause, reused: int | None, now: datetime) -> Sequence[Event]:
    """End a session; where a refresh token was `reused`, say which one. One that is over stays as it is."""
    if session is None or session.revoked is not None:
        return []
    ended = SessionRevoked(
        session_id=session.session_id, account_id=session.account_id, cause=cause, revoked_at=in_utc(now)
    )
    if reused is None:
        return [ended]
    detected = RefreshReuseDetected(
        session_id=session.session_id,
        account_id=session.account_id,
        sequence=reused,
        detected_at=in_utc(now),
    )
    return [detected, ended]
