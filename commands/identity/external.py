"""Logging in by an account at a provider: found by issuer and subject, never by an address.

An identity that nobody knows yet makes an account of its own, under the address that the provider verified, if that is
free. An address of somebody who is here already, verified or not, links nothing: who has the account logs in and links.
"""

import contextlib
import secrets as chance
from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from commands.calls import uuid7
from commands.decision import DecisionView, Tagged, events_of
from commands.identity.accounts import Accounts, AccountWithRoles, Appending, NewAccount
from commands.identity.providers import Asserted
from commands.identity.recording import By, by_system
from domain.event import Event
from domain.identity import external as externals
from domain.identity.account import ACCOUNT, EmailTaken
from domain.identity.events import ExternalIdentityLinked, ExternalIdentityUnlinked, identity_tag
from domain.identity.external import EXTERNAL, External, IdentityTaken
from domain.identity.session import SESSION
from domain.ids import AccountId, KeyedHash
from runtime.http.principal import Principal
from runtime.problems import ProblemError

HOLDER: Final[Tagged[AccountId | None]] = Tagged(
    (ExternalIdentityLinked, ExternalIdentityUnlinked), None, externals.belonging
)
"""The account that an identity belongs to."""


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """Say what is refused in the words of a login.

    Raises:
        ProblemError: `login-refused`, or what else went wrong.
    """
    try:
        yield
    except ProblemError as problem:
        if problem.type.slug == EmailTaken.code:
            raise ProblemError(
                "login-refused", "An account here has your address: log in to it, and link the provider."
            ) from None
        if problem.type.slug == IdentityTaken.code:
            raise ProblemError(
                "login-refused", "Your account at the provider is linked to another account here."
            ) from None
        raise


def _session_over() -> ProblemError:
    return ProblemError("login-refused", "The session that the provider was to be linked in is over.")


class Externals(Struct, frozen=True):
    """Finds, registers and links accounts by identities at providers."""

    accounts: Accounts

    async def found(self, provider: str, asserted: Asserted, *, correlation_id: str) -> AccountWithRoles:
        """The account of an identity, registered now if there is none.

        Raises:
            ProblemError: `login-refused`: no account can be made of it, or its address has one.
        """
        digest = self.accounts.secrets.identity_digest(asserted.issuer, asserted.subject)
        account_id = await self._account_of(digest)
        if account_id is None:
            with _refusing():
                await self._register(provider, asserted, digest, correlation_id=correlation_id)
            account_id = await self._account_of(digest)
        found = await self.accounts.by_id(account_id or "nobody")
        assert found is not None, "an identity belongs to an account"
        return found

    async def link(
        self, session_id: str, provider: str, asserted: Asserted, *, login_id: str, correlation_id: str
    ) -> AccountId:
        """Have an identity log in to the account of the session that asked for it; whose that is.

        `login_id` is that of the login at the provider: an identity that was unlinked is linked again by another one.

        Raises:
            ProblemError: `login-refused`: it logs in to another one, or the session ended meanwhile.
        """
        session = await self.accounts.vault.session(session_id)
        if session is None or session.revoked_at is not None or session.expires_at <= session.now:
            raise _session_over()
        account_id, credential_id = AccountId(session.account_id), session.credential_id
        digest = self.accounts.secrets.identity_digest(asserted.issuer, asserted.subject)
        now = self.accounts.recorder.clock()

        def decide(_: External | None, view: DecisionView) -> list[Event]:
            # Its sessions end a moment after a lock or a new password.
            account = view.current(ACCOUNT, account_id)
            if account is None or account.locked or account.credential_id != credential_id:
                raise _session_over()
            asking = view.current(SESSION, session_id)  # a thief's ends when another one unlinks a provider
            if asking is None or asking.revoked is not None:
                raise _session_over()
            return list(
                externals.link(
                    view.tagged(HOLDER, identity_tag(digest)),
                    account_id=account_id,
                    provider=provider,
                    identity_digest=digest,
                    now=now,
                )
            )

        with _refusing():
            await self.accounts.recorder.record(
                EXTERNAL,
                account_id,
                decide,
                command=f"link_identity {digest} by {login_id} to",
                by=By(Principal("account", account_id).actor, correlation_id),
            )
        return account_id

    def linked(self, asserted: Asserted, account_id: str) -> Callable[[DecisionView], bool]:
        """Whether an identity logs in to an account when that is decided on: it may be unlinked meanwhile."""
        digest = self.accounts.secrets.identity_digest(asserted.issuer, asserted.subject)
        return lambda view: view.tagged(HOLDER, identity_tag(digest)) == account_id

    async def _account_of(self, digest: str) -> AccountId | None:
        found: AccountId | None = (await self.accounts.states.select((HOLDER, (identity_tag(digest),)))).value
        return found

    async def _register(
        self, provider: str, asserted: Asserted, digest: KeyedHash, *, correlation_id: str
    ) -> None:
        """Register an account that is logged in to by an identity; its password is one that nobody knows."""
        if asserted.email is None:
            raise ProblemError(
                "login-refused",
                "The provider reports no verified address, so no account is created.",
            )
        recorder = self.accounts.recorder
        now = recorder.clock()
        new = NewAccount(
            account_id=uuid7(now),
            email=asserted.email,
            password=chance.token_urlsafe(32),
            roles=("customer",),
            verified=True,
            at=now,
        )

        def link(view: DecisionView) -> Appending:
            linked = externals.link(
                view.tagged(HOLDER, identity_tag(digest)),
                account_id=AccountId(new.account_id),
                provider=provider,
                identity_digest=digest,
                now=now,
            )
            return events_of(EXTERNAL, new.account_id, linked)

        by = by_system(correlation_id)
        await self.accounts.register(new, recorder.creating("register_external", by=by), besides=link)
