"""Accounts: found by their address, registered with a password, and swept where a registration was cut short.

A password is kept under a new credential first; then the event that names the credential makes the account. A process
that is killed in between leaves a password that nothing names, never an account without one; the sweep removes it.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import structlog
from msgspec import Struct

from commands.calls import uuid7
from commands.decision import Decision, DecisionView, Tagged, events_of
from commands.identity import passwords
from commands.identity.passwords import Passwords
from commands.identity.recording import By, Recorder
from commands.identity.secrets import Secrets
from commands.identity.vault import Vault
from commands.states import States
from domain.identity import account as accounts
from domain.identity.account import ACCOUNT, GRANTS, Account, Grants
from domain.identity.events import (
    AccountRegistered,
    RoleGranted,
    RoleRevoked,
    email_tag,
    role_tag,
)
from domain.ids import AccountId

SWEPT_AFTER: Final = timedelta(minutes=10)
"""No append takes that long: a credential that no event named by then is never named."""

HOLDER: Final[Tagged[AccountId | None]] = Tagged((AccountRegistered,), None, accounts.registered)
"""The account that an address belongs to."""

OWNERS: Final[Tagged[frozenset[AccountId]]] = Tagged(
    (RoleGranted, RoleRevoked), frozenset(), accounts.holding
)
"""The accounts that have a role."""

log = structlog.get_logger()


class AccountWithRoles(Struct, frozen=True):
    """An account with its roles, as of now."""

    account: Account
    roles: frozenset[str]


class Accounts(Struct, frozen=True):
    """Reads and registers accounts."""

    vault: Vault
    secrets: Secrets
    passwords: Passwords
    states: States
    recorder: Recorder

    async def by_email(self, address: str) -> AccountWithRoles | None:
        """The account that an address belongs to. Whether there is one takes the same questions to the log."""
        question = (HOLDER, (email_tag(self.secrets.email_digest(address)),))
        account_id = (await self.states.select(question)).value
        return await self.by_id(account_id or "nobody")

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

    async def create_owner(self, address: str, password: str, *, by: By) -> str:
        """Register the first owner; the id of the account.

        Raises:
            WeakPassword: the password is refused.
            ProblemError: there is an owner, or the address is taken.
        """
        passwords.require_strong(password)
        now = self.recorder.clock()
        account_id = AccountId(uuid7(now))
        credential_id, digest = uuid7(now), self.secrets.email_digest(address)
        hashed = await self.passwords.hash(password)
        await self.vault.add_verifier(credential_id, account_id=account_id, hashed=hashed, email=address)

        def decide(account: Account | None, view: DecisionView) -> Decision:
            view.prefetch_tagged(OWNERS, role_tag("owner"))
            registered = accounts.register(
                account,
                account_id=account_id,
                email_digest=digest,
                holder=view.tagged(HOLDER, email_tag(digest)),
                credential_id=credential_id,
                now=now,
            )
            owners = view.tagged(OWNERS, role_tag("owner"))
            appointed = accounts.appoint_first_owner(owners, account_id=account_id, now=now)
            return Decision(
                (*events_of(ACCOUNT, account_id, registered), *events_of(GRANTS, account_id, appointed))
            )

        await self.recorder.record(
            ACCOUNT,
            account_id,
            decide,
            command="create_owner",
            by=by,
            creates=True,
        )
        await self.vault.name_verifier(credential_id)
        return account_id

    async def sweep(self, *, older_than: timedelta = SWEPT_AFTER) -> Sequence[str]:
        """Throw away passwords that no event came to name; their credentials."""
        swept: list[str] = []
        for credential_id, account_id in await self.vault.not_named(older_than=older_than):
            found = await self.by_id(account_id)
            if found is not None and found.account.credential_id == credential_id:
                await self.vault.name_verifier(credential_id)
            else:
                await self.vault.drop_verifier(credential_id)
                swept.append(credential_id)
        if swept:
            log.info("verifiers_swept", credentials=len(swept))
        return swept
