"""Sessions: opened by a password, refreshed by rotation, ended by logout or by a token that came twice.

A refresh token is a session's id and the number of its rotation, with a keyed hash of both. The vault has the number
that is valid now and moves it by comparison, so of many requests with one token at once one moves it. The others, for
30 seconds, are answered the same next token, which is made again and not stored; after that the token is in two hands,
and the session ends.
"""

import hmac
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import OKPKey
from msgspec import Struct

from commands.calls import uuid7
from commands.decision import DecisionView
from commands.identity import metrics
from commands.identity.accounts import Accounts, AccountWithRoles
from commands.identity.attempts import Attempts
from commands.identity.metrics import SessionMetrics
from commands.identity.recording import By, by_system
from commands.identity.secrets import Secrets
from commands.identity.vault import NewKey, Vault, VaultRow
from domain.event import Event
from domain.identity import session as sessions
from domain.identity import signing_key
from domain.identity.account import ACCOUNT
from domain.identity.events import Cause
from domain.identity.session import SESSION, Session
from domain.identity.signing_key import SIGNING_KEY
from domain.ids import AccountId, ClientId, SessionId, SigningKeyId
from runtime.http.principal import Principal
from runtime.identity import tokens
from runtime.identity.lifetimes import LIFETIME_S
from runtime.identity.tokens import Claims
from runtime.problems import ProblemError

GRACE: Final = timedelta(seconds=30)
"""How long a refresh token may come again: by a second tab, or after an answer that was lost."""

FINISHED_AFTER: Final = timedelta(seconds=10)
"""How long who changes a password has to end the sessions of the one before."""

KEY_KEPT_S: Final = 1.0
_PREFIX: Final = "cfr_"

log = structlog.get_logger()


class Tokens(Struct, frozen=True):
    """The answer to a login or a refresh."""

    session_id: str
    account_id: str
    access_token: str
    refresh_token: str
    expires_in: int


class NotRefreshed(Exception):
    """A refresh token is not accepted; why is for our logs only."""

    def __init__(self, reason: str, *, outcome: str = metrics.REFUSED) -> None:
        super().__init__(reason)
        self.outcome = outcome


class Signing:
    """The key that signs, as the vault has it, read again after a second."""

    def __init__(self, vault: Vault, secrets: Secrets) -> None:
        self._vault = vault
        self._secrets = secrets
        self._key: OKPKey | None = None
        self._read_at = 0.0

    async def key(self) -> OKPKey:
        """The key that signs now."""
        if self._key is None or time.monotonic() - self._read_at > KEY_KEPT_S:
            read_at, row = time.monotonic(), await self._vault.signing_key()
            if self._key is None or self._key.kid != row.kid:
                seed = self._secrets.unwrap(row.encrypted, kid=row.kid)
                self._key = private_key(row.kid, seed)
            self._read_at = read_at
        return self._key


def private_key(kid: str, seed: bytes) -> OKPKey:
    """The key that signs, from its 32 secret bytes."""
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return OKPKey.import_key(
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "kid": kid,
            "d": tokens.base64url(seed),
            "x": tokens.base64url(public),
        }
    )


def _wrong() -> ProblemError:
    return ProblemError("bad-credentials", "Address or password is wrong.")


def new_key(secrets: Secrets) -> NewKey:
    """A signing key that was not there before."""
    key, kid = Ed25519PrivateKey.generate(), uuid.uuid4().hex
    wrapped = secrets.wrap(key.private_bytes_raw(), kid=kid)
    return NewKey(kid, key.public_key().public_bytes_raw(), wrapped)


class Sessions(Struct, frozen=True):
    """Opens, refreshes and ends sessions."""

    accounts: Accounts
    signing: Signing
    issuer: str
    attempts: Attempts
    metrics: SessionMetrics

    async def log_in(
        self, email: str, password: str, *, client_id: str, address: str, correlation_id: str
    ) -> Tokens:
        """Open a session for a caller who knows the password.

        Raises:
            ProblemError: `too-many-attempts` before any work; `bad-credentials`, whatever of the two is wrong, after
                the same work.
        """
        vault, recorder = self.accounts.vault, self.accounts.recorder
        try:
            attempt = await self.attempts.begin(
                account=self.accounts.secrets.email_digest(email), address=address
            )
        except ProblemError:
            self.metrics.logins.labels(metrics.LIMITED).inc()
            raise
        async with self.accounts.passwords.admitted():
            found = await self.accounts.by_email(email)
            credential_id = "nobody" if found is None else found.account.credential_id
            hashed = await vault.hash_of(credential_id)
            is_right = await self.accounts.passwords.verify(hashed, password)
        if not is_right or found is None or found.account.locked:
            self.metrics.logins.labels(metrics.REFUSED).inc()
            raise ProblemError(
                "bad-credentials",
                "Address or password is wrong.",
                about=None if found is None else Principal("account", found.account.account_id).actor,
            )
        await self.attempts.succeeded(attempt)
        assert hashed is not None, "verified"
        await self.accounts.renew_hash(credential_id, hashed, password)
        session_id = SessionId(uuid7(recorder.clock()))
        return await self.open(found, session_id, client_id=client_id, correlation_id=correlation_id)

    async def require_password(self, account_id: str, password: str) -> str:
        """Have a caller who is logged in prove it once more, since a session may be stolen; the credential.

        Raises:
            ProblemError: `too-many-attempts` before any work; `bad-credentials`: the password is another.
        """
        of = self.accounts
        found = await of.by_id(account_id)
        credential_id = "nobody" if found is None else found.account.credential_id
        attempt = await self.attempts.begin(account=account_id, address=account_id)
        if not await of.passwords.verify(await of.vault.hash_of(credential_id), password):
            raise ProblemError("bad-credentials", "The current password is wrong.")
        await self.attempts.succeeded(attempt)
        return credential_id

    async def open(
        self,
        found: AccountWithRoles,
        session_id: SessionId,
        *,
        client_id: str,
        correlation_id: str,
        proven: Callable[[DecisionView], bool] = lambda _: True,
    ) -> Tokens:
        """Open a session of an account, for who proved that it is theirs; `proven`: the proof holds yet.

        Raises:
            ProblemError: `bad-credentials`: its password was changed meanwhile, or the proof holds no more.
            psycopg.errors.UniqueViolation: a session of this id was opened before.
        """
        vault, recorder = self.accounts.vault, self.accounts.recorder
        account_id, credential_id = found.account.account_id, found.account.credential_id
        opened_at, expires_at = await vault.open_session(
            session_id, account_id=account_id, credential_id=credential_id, client_id=client_id
        )

        def decide(session: Session | None, view: DecisionView) -> list[Event]:
            current = view.current(ACCOUNT, account_id)  # a password that was changed meanwhile opens nothing
            known = current is not None and not current.locked and current.credential_id == credential_id
            if not (known and proven(view)):
                raise _wrong()
            return list(
                sessions.open_session(
                    session,
                    session_id=session_id,
                    account_id=account_id,
                    credential_id=credential_id,
                    client_id=ClientId(client_id),
                    expires_at=expires_at,
                    now=opened_at,
                )
            )

        await recorder.record(
            SESSION,
            session_id,
            decide,
            command="open_session",
            by=By(Principal("account", account_id).actor, correlation_id),
            creates=True,
        )
        await vault.opened(session_id)
        self.metrics.logins.labels(metrics.OPENED).inc()
        row = await vault.session(session_id)
        if row is None:  # an erasure took it meanwhile, with all that lets its account log in
            raise _wrong()
        # Roles that were taken since the account was found were denied to the sessions that there were then.
        current = await self.accounts.by_id(account_id)
        assert current is not None, "an account stays one"
        return await self._tokens(row, current.roles)

    async def refresh(self, refresh_token: str, *, client_id: str, correlation_id: str) -> Tokens:
        """The next tokens of a session.

        Raises:
            NotRefreshed: the token is none, is over, or came twice, which ends the session.
        """
        try:
            refreshed, outcome = await self._refreshed(
                refresh_token, client_id=client_id, by=by_system(correlation_id)
            )
        except NotRefreshed as refused:
            self.metrics.refreshes.labels(refused.outcome).inc()
            raise
        self.metrics.refreshes.labels(outcome).inc()
        return refreshed

    async def _refreshed(self, refresh_token: str, *, client_id: str, by: By) -> tuple[Tokens, str]:
        vault, outcome = self.accounts.vault, metrics.ROTATED
        session_id, sequence = self._read(refresh_token)
        row = await vault.rotate(session_id, sequence=sequence, client_id=client_id)
        if row is None:
            row, outcome = (
                await self._again(session_id, sequence, client_id=client_id, by=by),
                metrics.REPEATED,
            )
        found = await self.accounts.by_id(row.account_id)
        if found is None or found.account.locked or found.account.credential_id != row.credential_id:
            await self.end(session_id, cause="password", by=by)
            raise NotRefreshed("the password was changed, or the account is locked")
        return await self._tokens(row, found.roles), outcome

    async def end(self, session_id: str, *, cause: Cause, by: By, reused: int | None = None) -> None:
        """End a session; its tokens are refused by then. The log follows; `catch_up` repeats what it missed."""
        await self.accounts.vault.revoke([session_id], cause=cause)
        await self._record_end(session_id, cause=cause, by=by, reused=reused)

    async def end_all(
        self, account_id: str, *, cause: Cause, by: By, but: str = "", kept: str | None = None
    ) -> None:
        """End every session of an account, but for those that a credential opened, and the one that is `kept`."""
        found = await self.accounts.vault.sessions_of(account_id, but=but)
        session_ids = [each for each in found if each != kept]
        await self.accounts.vault.revoke(session_ids, cause=cause)
        for session_id in session_ids:
            await self._record_end(session_id, cause=cause, by=by, reused=None)

    async def rotate_key(self, *, distrust: bool = False, reason: str = "", by: By) -> str:
        """Have the announced key sign from now on; the one before verifies until its last token is over.

        `distrust`: trust neither of the two any more, and go on with two others. The event comes first: cut short, the
        same rotation is done by the next try, and the log has it once. Returns the key that signs.

        Raises:
            ProblemError: the log or the vault cannot be reached.
        """
        vault, recorder = self.accounts.vault, self.accounts.recorder
        following, announced = new_key(self.accounts.secrets), new_key(self.accounts.secrets)
        kid = following.kid if distrust else await vault.announced_key()
        await recorder.record(
            SIGNING_KEY,
            kid,
            lambda key, _: list(
                signing_key.rotate(
                    key, kid=SigningKeyId(kid), distrusted=distrust, reason=reason, now=recorder.clock()
                )
            ),
            command="rotate_signing_key",
            by=by,
            creates=True,
        )
        if distrust:
            await vault.replace_keys(following, announced=announced)
        else:
            await vault.rotate_key(kid, announced=announced)
        return kid

    async def catch_up(self) -> None:
        """Tell the log of sessions that ended when a process died before it could."""
        for session_id, cause in await self.accounts.vault.not_recorded():
            await self._record_end(
                session_id,
                cause=cause,  # type: ignore[arg-type]  # written by `end`
                by=by_system(SESSION.stream(session_id)),
                reused=None,
            )

    async def finish_passwords(self, *, older_than: timedelta = FINISHED_AFTER) -> None:
        """End what a password opened that is another one by now, where a process died before it could."""
        vault = self.accounts.vault
        for credential_id, account_id in await vault.not_named(older_than=older_than):
            found = await self.accounts.by_id(account_id)
            if found is not None and found.account.credential_id == credential_id:
                by = by_system(ACCOUNT.stream(account_id))
                await self.end_all(account_id, cause="password", by=by, but=credential_id)
                await vault.name_verifier(credential_id)

    def refresh_token(self, session_id: str, sequence: int) -> str:
        """The refresh token of a rotation: the same whenever it is made."""
        mac = self.accounts.secrets.refresh_mac(session_id, sequence)
        return f"{_PREFIX}{session_id}.{sequence}.{tokens.base64url(mac)}"

    def session_of(self, refresh_token: str) -> str | None:
        """The session of a refresh token, whichever of them it is; None: it is none of ours."""
        try:
            return self._read(refresh_token)[0]
        except NotRefreshed:
            return None

    async def account_of(self, session_id: str) -> AccountId | None:
        """Whose session it is; None: there is none."""
        row = await self.accounts.vault.session(session_id)
        return None if row is None else AccountId(row.account_id)

    async def _again(self, session_id: str, sequence: int, *, client_id: str, by: By) -> VaultRow:
        """The answer to a used refresh token: its successor again, for a while."""
        row = await self.accounts.vault.session(session_id)
        if row is None or row.revoked_at is not None or row.expires_at <= row.now:
            raise NotRefreshed("the session is over")
        if sequence == row.sequence - 1 and row.client_id == client_id and row.now - row.rotated_at <= GRACE:
            return row
        log.warning("refresh_token_reused", session=session_id, sequence=sequence)
        await self.end(session_id, cause="reuse", by=by, reused=sequence)
        raise NotRefreshed("the token was used before", outcome=metrics.REUSED)

    async def _record_end(self, session_id: str, *, cause: Cause, by: By, reused: int | None) -> None:
        recorder = self.accounts.recorder
        await recorder.record(
            SESSION,
            session_id,
            lambda session, _: list(
                sessions.revoke(session, cause=cause, reused=reused, now=recorder.clock())
            ),
            command="revoke_session",
            by=by,
        )
        await self.accounts.vault.recorded(session_id)

    async def _tokens(self, row: VaultRow, roles: frozenset[str]) -> Tokens:
        # Everything follows from the row: who refreshes twice within the grace gets the same tokens, not two of each.
        issued_at = int(row.rotated_at.timestamp())
        claims = Claims(
            iss=self.issuer,
            sub=row.account_id,
            sid=row.session_id,
            jti=f"{row.session_id}.{row.sequence}",
            client_id=row.client_id,
            kind="account",
            roles=tuple(sorted(roles)),
            iat=issued_at,
            exp=issued_at + LIFETIME_S,
        )
        return Tokens(
            session_id=row.session_id,
            account_id=row.account_id,
            access_token=tokens.sign(claims, await self.signing.key()),
            refresh_token=self.refresh_token(row.session_id, row.sequence),
            expires_in=max(0, issued_at + LIFETIME_S - int(row.now.timestamp())),
        )

    def _read(self, token: str) -> tuple[str, int]:
        """Session and number of a refresh token that is ours."""
        session_id, _, rest = token.removeprefix(_PREFIX).partition(".")
        number, _, _mac = rest.partition(".")
        if not token.startswith(_PREFIX) or not number.isascii() or not number.isdigit() or len(number) > 9:
            raise NotRefreshed("it is no refresh token")
        expected = self.refresh_token(session_id, int(number))
        if not hmac.compare_digest(expected.encode(), token.encode()):
            raise NotRefreshed("it is no refresh token")
        return session_id, int(number)
