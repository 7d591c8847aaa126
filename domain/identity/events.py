"""The events of identity: the only part of it that other packages may rely on.

All events of one account belong to its partition. What proves who somebody is stays in the vault: events name it by the
id of a credential. An address is only ever a keyed hash here, which finds the account and tells nobody the address.
"""

from typing import Annotated, Literal, Protocol

from domain.event import Event, event_type
from domain.ids import AccountId, ClientId, CredentialId, KeyedHash, LinkId, SessionId, SigningKeyId
from domain.moment import Moment
from domain.text import PublicText, Reason, Word

Cause = Literal["logout", "reuse", "administrator", "password"]
"""Why a session ended before its time."""


def email_tag(digest: str) -> str:
    """The tag of an address, by its keyed hash."""
    return f"email:{digest}"


def identity_tag(digest: str) -> str:
    """The tag of an identity at a provider, by its keyed hash."""
    return f"identity:{digest}"


def role_tag(role: str) -> str:
    """The tag of a role."""
    return f"role:{role}"


class _OfAccount(Protocol):
    @property
    def account_id(self) -> AccountId: ...


def _account(event: _OfAccount) -> str:
    return f"account-{event.account_id}"


@event_type(
    "identity.account_registered.v1", partition=_account, tags=lambda event: (email_tag(event.email_digest),)
)
class AccountRegistered(Event, frozen=True, kw_only=True):
    """Somebody can log in: with the address whose digest this is, and the password behind this credential."""

    account_id: AccountId
    email_digest: KeyedHash
    credential_id: CredentialId
    registered_at: Moment


@event_type("identity.role_granted.v1", partition=_account, tags=lambda event: (role_tag(event.role),))
class RoleGranted(Event, frozen=True, kw_only=True):
    """The account has this role from now on."""

    account_id: AccountId
    role: Word
    granted_at: Moment


@event_type("identity.role_revoked.v1", partition=_account, tags=lambda event: (role_tag(event.role),))
class RoleRevoked(Event, frozen=True, kw_only=True):
    """The account does not have this role any more."""

    account_id: AccountId
    role: Word
    revoked_at: Moment


@event_type("identity.password_changed.v1", partition=_account)
class PasswordChanged(Event, frozen=True, kw_only=True):
    """The password is the one behind this credential from now on; sessions of the one before end."""

    account_id: AccountId
    credential_id: CredentialId
    changed_at: Moment


@event_type("identity.password_reset.v1", partition=_account)
class PasswordReset(Event, frozen=True, kw_only=True):
    """A reader of the account's mail chose a new password; sessions of the one before end."""

    account_id: AccountId
    credential_id: CredentialId
    link_id: LinkId
    reset_at: Moment


@event_type("identity.address_verified.v1", partition=_account)
class AddressVerified(Event, frozen=True, kw_only=True):
    """The owner of the account reads its address: followed a link that was sent there, or a provider verified it."""

    account_id: AccountId
    email_digest: KeyedHash
    verified_at: Moment


@event_type("identity.account_locked.v1", partition=_account)
class AccountLocked(Event, frozen=True, kw_only=True):
    """Nobody logs in to the account until it is unlocked."""

    account_id: AccountId
    locked_at: Moment


@event_type("identity.account_unlocked.v1", partition=_account)
class AccountUnlocked(Event, frozen=True, kw_only=True):
    """The account can be logged in to again."""

    account_id: AccountId
    unlocked_at: Moment


@event_type(
    "identity.account_closed.v1", partition=_account, tags=lambda event: (email_tag(event.email_digest),)
)
class AccountClosed(Event, frozen=True, kw_only=True):
    """Its customer was erased: nobody logs in to the account any more, and its address may be registered again."""

    account_id: AccountId
    email_digest: KeyedHash
    closed_at: Moment


@event_type("identity.session_opened.v1", partition=_account)
class SessionOpened(Event, frozen=True, kw_only=True):
    """Somebody logged in; the session can be refreshed until it expires."""

    session_id: SessionId
    account_id: AccountId
    credential_id: CredentialId
    client_id: ClientId
    opened_at: Moment
    expires_at: Moment


@event_type("identity.session_revoked.v1", partition=_account)
class SessionRevoked(Event, frozen=True, kw_only=True):
    """The session ended before its time."""

    session_id: SessionId
    account_id: AccountId
    cause: Cause
    revoked_at: Moment


@event_type("identity.refresh_reuse_detected.v1", partition=_account)
class RefreshReuseDetected(Event, frozen=True, kw_only=True):
    """A refresh token came that was used before: it is in two hands, so the session ends. `sequence` is its number."""

    session_id: SessionId
    account_id: AccountId
    sequence: int
    detected_at: Moment


def _client(event: "ClientRegistered | KeyIssued | KeyRevoked") -> str:
    return f"client-{event.client_id}"


@event_type("identity.client_registered.v1", partition=_client)
class ClientRegistered(Event, frozen=True, kw_only=True):
    """A program may call, within these scopes; it has no key yet."""

    client_id: ClientId
    name: Annotated[str, PublicText("what an owner calls a program", typed=True)]
    scopes: tuple[Word, ...]
    registered_at: Moment


@event_type("identity.key_issued.v1", partition=_client)
class KeyIssued(Event, frozen=True, kw_only=True):
    """The program has a key from now on, until it expires or is revoked; several overlap while one is replaced."""

    client_id: ClientId
    credential_id: CredentialId
    issued_at: Moment
    expires_at: Moment | None


@event_type("identity.key_revoked.v1", partition=_client)
class KeyRevoked(Event, frozen=True, kw_only=True):
    """The key is refused from now on."""

    client_id: ClientId
    credential_id: CredentialId
    revoked_at: Moment


@event_type("identity.signing_key_rotated.v1")
class SigningKeyRotated(Event, frozen=True, kw_only=True):
    """This key signs access tokens from now on; `distrusted`: those before it are trusted for nothing any more."""

    kid: SigningKeyId
    distrusted: bool
    reason: Reason
    rotated_at: Moment


@event_type(
    "identity.external_identity_linked.v1",
    partition=_account,
    tags=lambda event: (identity_tag(event.identity_digest),),
)
class ExternalIdentityLinked(Event, frozen=True, kw_only=True):
    """The holder of an account at a provider can log in. `identity_digest`: keyed hash of issuer and subject."""

    account_id: AccountId
    provider: Word
    identity_digest: KeyedHash
    linked_at: Moment


@event_type(
    "identity.external_identity_unlinked.v1",
    partition=_account,
    tags=lambda event: (identity_tag(event.identity_digest),),
)
class ExternalIdentityUnlinked(Event, frozen=True, kw_only=True):
    """The holder of an account at a provider does not log in any more, and may link it to any account again."""

    account_id: AccountId
    provider: Word
    identity_digest: KeyedHash
    unlinked_at: Moment
