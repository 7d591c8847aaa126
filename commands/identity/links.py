"""Links that are sent to an address: to register an account there, or to choose another password for it.

All who ask for one are answered the same, after the same work: a row is written, and nothing is looked up. A task looks
up later whose address it is and requests a mail. A token is made of the link's id and the file of secrets, so it is
stored nowhere. It is good once: the account that it made has the address, the password that it replaced is another one.
"""

import asyncio
import contextlib
import hmac
import random
from typing import Final

import structlog
from msgspec import Struct

from commands.calls import uuid7
from commands.decision import DecisionView
from commands.identity.accounts import NewAccount
from commands.identity.attempts import Attempts
from commands.identity.link_rows import LinkRow, LinkRows, Purpose, RequestedLink
from commands.identity.passwords import require_strong
from commands.identity.recording import By, by_system
from commands.identity.secrets import Secrets
from commands.identity.sessions import Sessions
from domain.event import Event
from domain.identity import account as accounts
from domain.identity.account import ACCOUNT, Account, EmailTaken
from domain.ids import CredentialId, LinkId, is_id
from domain.mail.events import MailId
from domain.mail.mail import MAIL, request_mail
from domain.mail.templates import ADDRESS_IN_USE, RESET_PASSWORD, VERIFY_ADDRESS, Template
from runtime import problems
from runtime.http.principal import Principal
from runtime.identity import tokens
from runtime.problems import Fault, ProblemError

HANDLED_AT_ONCE: Final = 20
HANDLED_AFTER_S: Final = (0.05, 0.5)
"""Handling begins at a time between these, so that what it costs is not seen from who asked for which address."""

TOKEN_CHARACTERS_MAX: Final = 256
_PREFIX: Final = "cfl_"

log = structlog.get_logger()


class Links(Struct, frozen=True):
    """Notes that links are asked for, requests their mails, and does what they are for."""

    sessions: Sessions
    rows: LinkRows
    attempts: Attempts
    asked: asyncio.Event
    """Set where there is something to handle."""

    async def ask(self, purpose: Purpose, email: str, *, address: str) -> None:
        """Have a link sent to an address, if it is one that it can be sent to; the answer never says which.

        Raises:
            ProblemError: `too-many-attempts`, for this address or from this place; `too-busy`.
        """
        of = self.sessions.accounts
        digest = of.secrets.email_digest(email)
        await self.attempts.begin(account=f"{purpose} {digest}", address=address)
        kept = await of.addresses.seal(email, digest=digest)
        await self.rows.ask(uuid7(of.recorder.clock()), purpose=purpose, address=kept)
        self.asked.set()

    async def handle(self) -> None:
        """Request the mails of links that were asked for."""
        found = await self.rows.waiting(HANDLED_AT_ONCE)
        if len(found) == HANDLED_AT_ONCE:
            self.asked.set()
        for asked in found:
            try:
                await self._handle(asked)
            except ProblemError as problem:
                # The others need not wait for it; it comes again with the next round.
                log.warning("link_put_off", link=asked.link_id, problem=problem.type.slug)

    async def handle_when_asked(self, *, at_least_every_s: float) -> None:
        """One round of the task that handles; what a process that died left is found without being asked."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_least_every_s):
                await self.asked.wait()
        await asyncio.sleep(random.uniform(*HANDLED_AFTER_S))
        self.asked.clear()
        await self.handle()

    async def complete_registration(
        self, token: str, password: str, *, address: str, correlation_id: str
    ) -> str:
        """Register the account that a link is for; its id.

        Raises:
            WeakPassword: the password is refused; the link stays good.
            ProblemError: `link-refused`: it is none, or good for nothing any more; `too-many-attempts`.
        """
        link_id, row = await self._followed(token, "register", address=address)
        email = await self.sessions.accounts.addresses.shown(row.address)
        if not email:
            raise _refused()
        require_strong(password, own=(email,))
        recorder = self.sessions.accounts.recorder
        now = recorder.clock()
        new = NewAccount(
            account_id=uuid7(now),
            email=email,
            password=password,
            roles=("customer",),
            verified=True,
            at=now,
        )
        by = By(Principal("account", new.account_id).actor, correlation_id)
        try:
            await self.sessions.accounts.register(new, recorder.creating("complete_registration", by=by))
        except ProblemError as problem:
            if problem.type.slug == EmailTaken.code:
                raise _refused() from None
            raise
        await self.rows.used(link_id)
        return new.account_id

    async def complete_reset(self, token: str, password: str, *, address: str, correlation_id: str) -> None:
        """Put a password in the place of the one that was forgotten, and end all sessions.

        Raises:
            WeakPassword: the password is refused; the link stays good.
            ProblemError: `link-refused`: it is none, or good for nothing any more; `too-many-attempts`.
        """
        link_id, row = await self._followed(token, "reset", address=address)
        account_id, old = row.account_id, row.credential_id
        if account_id is None or old is None:
            raise _refused()
        of = self.sessions.accounts
        require_strong(password, own=(await of.addresses.shown(row.address), account_id))
        hashed, now = await of.passwords.hash(password), of.recorder.clock()
        credential_id = CredentialId(uuid7(now))
        await of.vault.add_verifier(credential_id, account_id=account_id, hashed=hashed, address=row.address)

        def decide(account: Account | None, _: DecisionView) -> list[Event]:
            if account is None or account.locked or account.credential_id != old:
                raise _refused()
            return list(accounts.reset_password(account, new=credential_id, link_id=LinkId(link_id), now=now))

        by = By(Principal("account", account_id).actor, correlation_id)
        await of.recorder.record(
            ACCOUNT, account_id, decide, command=f"reset_password {credential_id}", by=by
        )
        await self.sessions.end_all(account_id, cause="password", by=by, but=credential_id)
        await of.vault.replace_verifier(credential_id, old=old)
        await self.rows.used(link_id)

    async def _handle(self, asked: RequestedLink) -> None:
        of = self.sessions.accounts
        found = await of.by_digest(asked.digest)
        account = None if found is None else found.account
        template = _template(asked.purpose, account)
        if account is not None:
            address = await of.vault.address_of(account.account_id)
            await self.rows.assign(
                asked.link_id,
                account_id=account.account_id,
                credential_id=account.credential_id,
                address=address or asked.address,
            )
        if template is not None:
            now, recipient = of.recorder.clock(), asked.link_id if account is None else account.account_id
            await of.recorder.record(
                MAIL,
                asked.link_id,
                lambda mail, _: request_mail(
                    mail, template, mail_id=MailId(asked.link_id), recipient_ref=recipient, now=now
                ),
                command="request_mail",
                by=by_system(asked.link_id),
                creates=True,
            )
        await self.rows.handled(asked.link_id)

    async def _followed(self, token: str, purpose: Purpose, *, address: str) -> tuple[str, LinkRow]:
        """The link of a token, if it is good for this.

        Raises:
            ProblemError: `link-refused`, whatever is wrong with it; `too-many-attempts`.
        """
        link_id = token.removeprefix(_PREFIX).partition(".")[0]
        if not is_id(link_id):
            raise _refused()  # no link has it, so nothing is tried out
        attempt = await self.attempts.begin(account=f"link {link_id}", address=address)
        if not hmac.compare_digest(
            token_of(link_id, self.sessions.accounts.secrets).encode(), token.encode()
        ):
            raise _refused()
        row = await self.rows.link(link_id)
        if row is None or row.purpose != purpose or row.over is not None:
            raise _refused()
        await self.attempts.succeeded(attempt)
        return link_id, row


def token_of(link_id: str, secrets: Secrets) -> str:
    """The token of a link: the same whenever it is made."""
    return f"{_PREFIX}{link_id}.{tokens.base64url(secrets.link_mac(link_id))}"


def _template(purpose: Purpose, account: Account | None) -> Template | None:
    """What is written to an address; None: nothing."""
    if purpose == "register":
        return VERIFY_ADDRESS if account is None else ADDRESS_IN_USE
    return None if account is None or account.locked else RESET_PASSWORD


def _refused() -> ProblemError:
    fault = Fault(detail="The link is unknown, used or expired", pointer="/token")
    return problems.of_fault("link-refused", fault)
