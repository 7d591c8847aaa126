"""Accounts: found by their address, registered with a password, and swept where a registration was cut short.

A password is kept under a new credential first; then the event that names the credential makes the account. A process
that is killed in between leaves a password that nothing names, never an account without one; the sweep removes it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

import structlog
from msgspec import Struct

from commands.calls import uuid7
from commands.decision import Appended, Decision, DecisionView, Tagged, events_of
from commands.identity import passwords
from commands.identity.login_addresses import LoginAddresses
from commands.identity.passwords import Passwords
from commands.identity.recording import By, Recorder
from commands.identity.secrets import Secrets
from commands.identity.vault import Vault
from commands.owners import OWNERS
from commands.recording import Answer
from commands.states import States
from domain.aggregate import Aggregate
from domain.identity import account as accounts
from domain.identity.account import ACCOUNT, GRANTS, Account, Grants
from domain.identity.events import (
    AccountClosed,
    AccountRegistered,
    email_tag,
    role_tag,
)
from domain.ids import AccountId, CredentialId

SWEPT_AFTER: Final = timedelta(minutes=10)
"""No append takes that long: a credential that no event named by then is never named."""

HOLDER: Final[Tagged[AccountId | None]] = Tagged(
    (AccountRegistered, AccountClosed), None, accounts.registered
)
"""The account that an address belongs to."""

log = structlog.get_logger()


Appending = tuple[Appended, ...]
"""Events of streams that are appended together."""


class Execute(Protocol):
    """Executes a decision that makes a stream."""

    async def __call__(
        self,
        aggregate: Aggregate[Account],
        identifier: str,
        decide: Callable[[Account | None, DecisionView], Decision],
        /,
    ) -> Answer:
        """Append what is decided.

        Raises:
            ProblemError: it is refused, or cannot be answered at the moment.
        """
        ...


class NewAccount(Struct, frozen=True, kw_only=True):
    """Somebody who can log in from now on. It never shows what it holds."""

    account_id: str
    email: str
    password: str
    roles: Sequence[str]
    verified: bool = False
    """Whether the address was shown to be theirs."""
    at: datetime

    def __repr__(self) -> str:
        return f"NewAccount(account_id={self.account_id!r}, email=***, password=***)"


def _nothing(_: DecisionView) -> Appending:
    return ()


class AccountWithRoles(Struct, frozen=True):
    """An account with its roles, as of now."""

    account: Account
    roles: frozenset[str]


class Accounts(Struct, frozen=True):
    """Reads and registers accounts."""

    vault: Vault
    addresses: LoginAddresses
    secrets: Secrets
    passwords: Passwords
    states: States
    recorder: Recorder

    async def by_email(self, address: str) -> AccountWithRoles | None:
        """The account that an address belongs to. Whether there is one takes the same questions to the log."""
        return await self.by_digest(self.secrets.email_digest(address))

    async def by_digest(self, digest: str) -> AccountWithRoles | None:
        """The account that the address of a keyed hash belongs to."""
        question = (HOLDER, (email_tag(digest),))
        account_id = (await self.states.select(question)).value
        found = await self.by_id(account_id or "nobody")
        return None if account_id is None else found  # an account may have the id that is asked about then

    async def by_id(self, account_id: str) -> AccountWithRoles | None:
        """An account by its id, as the log has it now."""
        stream, roles = ACCOUNT.stream(account_id), GRANTS.stream(account_id)
        states = await self.states.load({stream: ACCOUNT, roles: GRANTS})
        account: Account | None = states[stream].state
        grants: Grants | None = states[roles].state
        return (
            None
            if account is None
            else AccountWithRoles(account, frozenset() if grants is None else grants.roles)
        )

    async def renew_hash(self, credential_id: str, hashed: str, password: str) -> None:
        """Keep a password that was just verified under the parameters of now, if its hash has others."""
        if self.passwords.needs_rehash(hashed):
            renewed = await self.passwords.hash(password)
            await self.vault.rehash(credential_id, old=hashed, new=renewed)

    async def register(
        self, new: NewAccount, execute: Execute, *, besides: Callable[[DecisionView], Appending] = _nothing
    ) -> Answer:
        """Register an account: its password first, then the event that names it.

        Args:
            new: who can log in from then on.
            execute: executes the decision as a command of somebody's.
            besides: what is decided in the same append.

        Raises:
            ProblemError: the address or the id is taken, what is decided besides is refused, or too much waits.
        """
        hashed, digest = await self.passwords.hash(new.password), self.secrets.email_digest(new.email)
        account_id, credential_id = AccountId(new.account_id), CredentialId(uuid7(new.at))

        def decide(account: Account | None, view: DecisionView) -> Decision:
            view.prefetch_tagged(HOLDER, email_tag(digest))
            appended = besides(view)  # reads what is scarcer than an address first
            registered = accounts.register(
                account,
                account_id=account_id,
                email_digest=digest,
                holder=view.tagged(HOLDER, email_tag(digest)),
                credential_id=credential_id,
                now=new.at,
            )
            if new.verified:
                registered = [
                    *registered,
                    *accounts.verify_address(ACCOUNT.evolve(None, registered[0]), now=new.at),
                ]
            granted = accounts.first_roles(new.roles, account_id=account_id, now=new.at)
            return Decision(
                (
                    *events_of(ACCOUNT, account_id, registered),
                    *events_of(GRANTS, account_id, granted),
                    *appended,
                )
            )

        address = await self.addresses.seal(new.email, digest=digest)
        await self.vault.add_verifier(credential_id, account_id=account_id, hashed=hashed, address=address)
        answer = await execute(ACCOUNT, account_id, decide)
        if not answer.replayed:
            await self.vault.name_verifier(credential_id)
        return answer

    async def create_owner(self, address: str, password: str, *, by: By) -> str:
        """Register the first owner; the id of the account.

        Raises:
            WeakPassword: the password is refused.
            ProblemError: there is an owner, or the address is taken.
        """
        passwords.require_strong(password, own=(address,))
        now = self.recorder.clock()
        new = NewAccount(account_id=uuid7(now), email=address, password=password, roles=("owner",), at=now)

        def require_none(view: DecisionView) -> Appending:
            accounts.require_no_owner(view.tagged(OWNERS, role_tag("owner")))
            return ()

        await self.register(new, self.recorder.creating("create_owner", by=by), besides=require_none)
        return new.account_id

    async def sweep(self, *, older_than: timedelta = SWEPT_AFTER) -> Sequence[str]:
        """Throw away passwords that no event came to name; their credentials."""
        swept: list[str] = []
        for credential_id, account_id in await self.vault.not_named(older_than=older_than):
            found = await self.by_id(account_id)
            if found is None or found.account.credential_id != credential_id:
                await self.vault.drop_verifier(credential_id)
                swept.append(credential_id)
        if swept:
            log.info("verifiers_swept", credentials=len(swept))
        return swept
