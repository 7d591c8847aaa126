"""What is done to accounts: registered, given roles, locked, given another password; with a key of its caller's each.

What takes something away is appended first and then taken from the tokens that are out: an event that nobody obeys for
a moment is better than tokens that are refused for something that was never decided.
"""

from collections.abc import Sequence
from functools import partial

from msgspec import Struct

from commands.calls import Call, uuid7
from commands.decision import DecisionView
from commands.identity.accounts import NewAccount
from commands.identity.passwords import require_strong
from commands.identity.recording import By
from commands.identity.sessions import Sessions
from commands.owners import owners_left
from commands.recording import Answer
from domain.event import Event
from domain.identity import account as accounts
from domain.identity import external as externals
from domain.identity.account import ACCOUNT, GRANTS, Account, Grants
from domain.identity.events import Cause
from domain.identity.external import EXTERNAL, External
from domain.ids import AccountId, CredentialId
from runtime.problems import ProblemError


class Administration(Struct, frozen=True):
    """Changes accounts and their roles."""

    sessions: Sessions

    async def register(
        self, account_id: str | None, *, email: str, password: str, roles: Sequence[str], call: Call
    ) -> Answer:
        """Register an account with roles.

        Raises:
            WeakPassword: the password is refused.
            ProblemError: the address or the id is taken, or the log cannot be reached.
        """
        require_strong(password, own=(email, account_id or ""))
        of = self.sessions.accounts
        with of.recorder.caller(call) as caller:
            chosen = account_id or caller.new_id()
            new = NewAccount(account_id=chosen, email=email, password=password, roles=roles, at=caller.now)
            return await of.register(new, partial(caller.execute, creates=True))

    async def grant_role(self, account_id: str, role: str, *, call: Call) -> Answer:
        """Give an account a role; its tokens that are out are refused, so that the next ones have it.

        Raises:
            ProblemError: there is no such account, or the log cannot be reached.
        """
        identifier = AccountId(account_id)

        with self.sessions.accounts.recorder.caller(call) as caller:

            def decide(grants: Grants | None, view: DecisionView) -> list[Event]:
                account = view.current(ACCOUNT, identifier)
                return list(
                    accounts.grant_role(
                        grants,
                        account,
                        account_id=identifier,
                        role=role,
                        now=caller.now,
                    )
                )

            answer = await caller.execute(GRANTS, account_id, decide)
        await self.sessions.accounts.vault.deny_tokens_of(account_id)
        return answer

    async def revoke_role(self, account_id: str, role: str, *, call: Call) -> Answer:
        """Take a role from an account, and from the tokens that are out within a second.

        Raises:
            ProblemError: there is no such account, it is the last owner, or the log cannot be reached.
        """
        identifier = AccountId(account_id)

        with self.sessions.accounts.recorder.caller(call) as caller:

            def decide(grants: Grants | None, view: DecisionView) -> list[Event]:
                return list(
                    accounts.revoke_role(
                        grants,
                        view.current(ACCOUNT, identifier),
                        account_id=identifier,
                        role=role,
                        owners=owners_left(identifier, view),
                        now=caller.now,
                    )
                )

            answer = await caller.execute(GRANTS, account_id, decide)
        await self.sessions.accounts.vault.deny_tokens_of(account_id)
        return answer

    async def lock(self, account_id: str, *, call: Call) -> Answer:
        """Let nobody log in to an account, and end its sessions.

        Raises:
            ProblemError: there is no such account, it is the last owner, or the log cannot be reached.
        """
        identifier = AccountId(account_id)

        with self.sessions.accounts.recorder.caller(call) as caller:

            def decide(account: Account | None, view: DecisionView) -> list[Event]:
                return list(
                    accounts.lock(
                        account,
                        account_id=identifier,
                        owners=owners_left(identifier, view),
                        now=caller.now,
                    )
                )

            answer = await caller.execute(ACCOUNT, account_id, decide)
        by = By(call.actor, call.correlation_id)
        await self.sessions.end_all(account_id, cause="administrator", by=by)
        return answer

    async def unlock(self, account_id: str, *, call: Call) -> Answer:
        """Let an account be logged in to again.

        Raises:
            ProblemError: there is no such account, or the log cannot be reached.
        """
        with self.sessions.accounts.recorder.caller(call) as caller:
            return await caller.execute(
                ACCOUNT,
                account_id,
                lambda account, _: accounts.unlock(account, account_id=AccountId(account_id), now=caller.now),
            )

    async def unlink(self, account_id: str, provider: str, *, session_id: str | None, call: Call) -> Answer:
        """Have nobody log in to an account by a provider any more, and end its sessions but for that of the caller.

        Which login opened a session is not recorded, so all of them end. `session_id` is the one that asks, where it
        is one of the account itself.

        Raises:
            ProblemError: there is no such account or no such login of it, it is the only one, or the log cannot be
                reached.
        """
        identifier = AccountId(account_id)

        with self.sessions.accounts.recorder.caller(call) as caller:

            def decide(external: External | None, view: DecisionView) -> list[Event]:
                return list(
                    externals.unlink(
                        external,
                        view.current(ACCOUNT, identifier),
                        account_id=identifier,
                        provider=provider,
                        now=caller.now,
                    )
                )

            answer = await caller.execute(EXTERNAL, account_id, decide)
        by = By(call.actor, call.correlation_id)
        cause: Cause = "administrator" if session_id is None else "logout"
        await self.sessions.end_all(account_id, cause=cause, by=by, kept=session_id)
        return answer

    async def change_password(self, account_id: str, *, current: str, new: str, call: Call) -> Answer:
        """Put another password in the place of the one that is known, and end all sessions.

        Raises:
            WeakPassword: the new one is refused.
            ProblemError: `bad-credentials`: the current one is another; or the log cannot be reached.
        """
        of = self.sessions.accounts
        kept = await of.vault.address_of(account_id)
        email = "" if kept is None else await of.addresses.shown(kept)
        require_strong(new, own=(email, account_id))
        old = await self.sessions.require_password(account_id, current)
        hashed = await of.passwords.hash(new)
        with of.recorder.caller(call) as caller:
            credential_id = CredentialId(uuid7(caller.now))
            address = await of.vault.address_with(old)
            if address is None:
                raise _changed_meanwhile()
            await of.vault.add_verifier(credential_id, account_id=account_id, hashed=hashed, address=address)

            def decide(account: Account | None, _: DecisionView) -> list[Event]:
                if account is not None and account.credential_id != old:
                    raise _changed_meanwhile()
                return list(
                    accounts.change_password(
                        account, account_id=AccountId(account_id), old=old, new=credential_id, now=caller.now
                    )
                )

            answer = await caller.execute(ACCOUNT, account_id, decide)
        if not answer.replayed:
            by = By(call.actor, call.correlation_id)
            await self.sessions.end_all(account_id, cause="password", by=by, but=credential_id)
            await of.vault.replace_verifier(credential_id, old=old)
        return answer


def _changed_meanwhile() -> ProblemError:
    return ProblemError("bad-credentials", "The password was changed meanwhile.")
