"""The vault: rows that prove who somebody is, moved by comparison. Every time here is the database's."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString

import psycopg
from msgspec import Struct
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from commands import refusals
from runtime.identity.lifetimes import GUEST_LIFETIME_S, LEEWAY_S, LIFETIME_S
from runtime.problems import ProblemError

VaultConnection = psycopg.AsyncConnection[tuple[Any, ...]]
Pool = AsyncConnectionPool[VaultConnection]

SESSION_LIFETIME: Final = timedelta(days=30)
"""How long a session can be refreshed, whatever happens."""

DENIED_FOR: Final = timedelta(seconds=LIFETIME_S + 2 * LEEWAY_S)
"""As long as a token that was signed just now could be trusted."""

GUEST_DENIED_FOR: Final = timedelta(seconds=GUEST_LIFETIME_S + 2 * LEEWAY_S)
"""The same of a guest's: so long verifies a key that signs no more."""

_MUTEX: Final = "select from vault.denials for update"
_BEGIN: Final = "insert into vault.secret (digest) values (%s) on conflict do nothing"
_DIGEST: Final = "select digest from vault.secret"
_KEYS: Final = "select count(*) from vault.signing_key where verifies_until is null"
_ADD_KEY: Final = """
insert into vault.signing_key (kid, public, encrypted, signs_from)
values (%s, %s, %s, case when %s then clock_timestamp() else 'infinity' end)
"""
_SIGNING: Final = """
select kid, encrypted from vault.signing_key
where signs_from <= clock_timestamp() and verifies_until is null order by signs_from desc limit 1
"""
_RETIRE: Final = """
update vault.signing_key set verifies_until = clock_timestamp() + %s
where signs_from <= clock_timestamp() and verifies_until is null
"""
_TAKE_OVER: Final = "update vault.signing_key set signs_from = clock_timestamp() where kid = %s"
_ANNOUNCED: Final = """
select kid from vault.signing_key where signs_from = 'infinity' and verifies_until is null order by made_at limit 1
"""
_DISTRUST: Final = """
update vault.signing_key set verifies_until = clock_timestamp()
where verifies_until is null or verifies_until > clock_timestamp()
"""
_ADD_VERIFIER: Final = """
insert into vault.verifier (credential_id, account_id, hash, email_digest, email, address)
values (%s, %s, %s, %s, %s, %s)
"""
_NAME_VERIFIER: Final = "update vault.verifier set named = true where credential_id = %s"
_FORGET_VERIFIER: Final = "delete from vault.verifier where credential_id = %s"
_ADDRESS_OF: Final = """
select email_digest, email, address from vault.verifier
where account_id = %s order by named desc, made_at desc limit 1
"""
_NOT_NAMED: Final = """
select credential_id, account_id from vault.verifier
where not named and made_at < clock_timestamp() - %s::interval order by made_at limit 100
"""
_DROP_VERIFIER: Final = "delete from vault.verifier where credential_id = %s and not named"
_HASH: Final = "select hash from vault.verifier where credential_id = %s"
_REHASH: Final = "update vault.verifier set hash = %s where credential_id = %s and hash = %s"
_OPEN: Final = """
insert into vault.session (session_id, account_id, credential_id, client_id, expires_at)
select %s, %s, credential_id, %s, clock_timestamp() + %s from vault.verifier where credential_id = %s for key share
returning rotated_at, expires_at
"""
_ERASE_LINKS: Final = """
delete from vault.link
where account_id = %(account_id)s
    or email_digest in (select email_digest from vault.verifier where account_id = %(account_id)s)
    or lower(email) in (select lower(email) from vault.verifier where account_id = %(account_id)s)
"""
_ERASE_VERIFIERS: Final = "delete from vault.verifier where account_id = %s"
_ERASE_SESSIONS: Final = "delete from vault.session where account_id = %s returning session_id"
_OPENED: Final = "update vault.session set opening_recorded = true where session_id = %s"
_ROTATE: Final = """
update vault.session set sequence = sequence + 1, rotated_at = clock_timestamp()
where session_id = %s and sequence = %s and client_id = %s and revoked_at is null and opening_recorded
    and expires_at > clock_timestamp()
returning session_id, account_id, credential_id, client_id, sequence, rotated_at, expires_at, revoked_at,
    clock_timestamp()
"""
_SESSION: Final = """
select session_id, account_id, credential_id, client_id, sequence, rotated_at, expires_at, revoked_at, clock_timestamp()
from vault.session where session_id = %s
"""
_REVOKE: Final = """
update vault.session set revoked_at = clock_timestamp(), cause = %s
where session_id = any(%s) and revoked_at is null returning session_id
"""
_DENY: Final = "select vault.deny(%s::text[], %s)"
_SESSIONS_OF: Final = """
select session_id from vault.session
where account_id = %s and credential_id <> %s and revoked_at is null and expires_at > clock_timestamp()
"""
_DENY_TOKENS_OF: Final = """
select vault.deny(array_agg(session_id || '.' || sequence), %s) from vault.session
where account_id = %s and revoked_at is null and expires_at > clock_timestamp() having count(*) > 0
"""
_ADDRESS_WITH: Final = "select email_digest, email, address from vault.verifier where credential_id = %s"
_KEYS_OF_ADDRESS: Final = """
select distinct address::json ->> 0 from vault.verifier where account_id = %s and address is not null
"""
_RECORDED: Final = "update vault.session set revocation_recorded = true where session_id = %s"
_NOT_RECORDED: Final = """
select session_id, cause from vault.session
where revoked_at < clock_timestamp() - interval '10 s' and not revocation_recorded and opening_recorded
order by revoked_at limit 100
"""
_ADD_KEY_OF: Final = """
insert into vault.key (credential_id, client_id, digest, scopes, expires_at) values (%s, %s, %s, %s, %s)
"""
_KEY: Final = """
select client_id, digest, scopes, expires_at, clock_timestamp() from vault.key
where credential_id = %s and named and revoked_at is null and coalesce(expires_at > clock_timestamp(), true)
"""
_NAME_KEY: Final = "update vault.key set named = true where credential_id = %s"
_REVOKE_KEY: Final = """
update vault.key set revoked_at = clock_timestamp() where credential_id = %s and client_id = %s and revoked_at is null
"""
_KEYS_NOT_NAMED: Final = """
select credential_id, client_id from vault.key
where not named and made_at < clock_timestamp() - %s::interval order by made_at limit 100
"""
_DROP_KEY: Final = "delete from vault.key where credential_id = %s and not named"
_FORGET_SESSIONS: Final = """
delete from vault.session where expires_at < clock_timestamp() - interval '1 day'
    or (not opening_recorded and opened_at < clock_timestamp() - interval '1 day')
"""
_FORGET_DENIALS: Final = "delete from vault.denial where expires_at < clock_timestamp()"


class VaultRow(Struct, frozen=True):
    """One session as the vault has it, and the time there."""

    session_id: str
    account_id: str
    credential_id: str
    client_id: str
    sequence: int
    rotated_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    now: datetime


class KeptKey(Struct, frozen=True):
    """A key that is accepted now, and the time in the vault."""

    client_id: str
    digest: bytes
    scopes: tuple[str, ...]
    expires_at: datetime | None
    now: datetime


class KeptAddress(Struct, frozen=True):
    """An address as a row has it, sealed or plain, with its keyed hash. It never shows the address."""

    digest: str | None
    """None where an earlier release kept it plain."""
    plain: str | None = None
    sealed: str | None = None
    """`domain.sealed.Sealed` as JSON."""

    def __repr__(self) -> str:
        return "KeptAddress(***)"


class SigningKey(Struct, frozen=True):
    """A key that signs, its secret half encrypted."""

    kid: str
    encrypted: bytes


class NewKey(Struct, frozen=True):
    """A key to be kept."""

    kid: str
    public: bytes
    encrypted: bytes


class Vault:
    """Reads and writes the vault through a pool of the role that may."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    async def digest(self) -> bytes | None:
        """What only the file of secrets gives that the vault was begun with; None: it was not begun."""
        async with self._connection() as connection:
            row = await (await connection.execute(_DIGEST)).fetchone()
        return None if row is None else bytes(row[0])

    async def begin(self, digest: bytes) -> bool:
        """Remember the file of secrets the first time; whether this is the one."""
        async with self._connection() as connection:
            await connection.execute(_BEGIN, [digest])
            row = await (await connection.execute(_DIGEST)).fetchone()
        assert row is not None, "just made, unless it was there"
        return bytes(row[0]) == digest

    async def require_keys(self, keys: Sequence[NewKey]) -> None:
        """Keep two keys if there are none: the first one signs, the second one is announced."""
        async with self._connection() as connection, connection.transaction():
            await connection.execute(_MUTEX)
            row = await (await connection.execute(_KEYS)).fetchone()
            if row == (0,):
                for number, key in enumerate(keys):
                    await self._keep_key(connection, key, signs=number == 0)

    async def announced_key(self) -> str:
        """The key that signs next."""
        async with self._connection() as connection:
            row = await (await connection.execute(_ANNOUNCED)).fetchone()
        assert row is not None, "made at the start of the process"
        return str(row[0])

    async def rotate_key(self, kid: str, *, announced: NewKey) -> None:
        """Have the announced key of this name sign from now on, and announce another one; once."""
        async with self._connection() as connection, connection.transaction():
            await connection.execute(_MUTEX)
            if await (await connection.execute(_ANNOUNCED)).fetchone() == (kid,):
                await connection.execute(_RETIRE, [GUEST_DENIED_FOR])
                await connection.execute(_TAKE_OVER, [kid])
                await self._keep_key(connection, announced, signs=False)

    async def replace_keys(self, signing: NewKey, *, announced: NewKey) -> None:
        """Trust none of the keys that there are any more, and go on with two others."""
        async with self._connection() as connection, connection.transaction():
            await connection.execute(_MUTEX)
            await connection.execute(_DISTRUST)
            await self._keep_key(connection, signing, signs=True)
            await self._keep_key(connection, announced, signs=False)

    @staticmethod
    async def _keep_key(connection: VaultConnection, key: NewKey, *, signs: bool) -> None:
        await connection.execute(_ADD_KEY, [key.kid, key.public, key.encrypted, signs])

    async def signing_key(self) -> SigningKey:
        """The key that signs now."""
        async with self._connection() as connection:
            row = await (await connection.execute(_SIGNING)).fetchone()
        assert row is not None, "made at the start of the process"
        return SigningKey(str(row[0]), bytes(row[1]))

    async def add_verifier(
        self, credential_id: str, *, account_id: str, hashed: str, address: KeptAddress
    ) -> None:
        """Keep a password under a new credential, before any event names it."""
        kept = [address.digest, address.plain, address.sealed]
        async with self._connection() as connection:
            await connection.execute(_ADD_VERIFIER, [credential_id, account_id, hashed, *kept])

    async def name_verifier(self, credential_id: str) -> None:
        """Note that an event names the credential: it is not swept."""
        async with self._connection() as connection:
            await connection.execute(_NAME_VERIFIER, [credential_id])

    async def replace_verifier(self, new: str, *, old: str) -> None:
        """Note that an event put one credential in the place of another, whose hash is thrown away."""
        async with self._connection() as connection, connection.transaction():
            await connection.execute(_NAME_VERIFIER, [new])
            await connection.execute(_FORGET_VERIFIER, [old])

    async def address_of(self, account_id: str) -> KeptAddress | None:
        """The address of an account; None: there is none."""
        async with self._connection() as connection:
            row = await (await connection.execute(_ADDRESS_OF, [account_id])).fetchone()
        return None if row is None else KeptAddress(*row)

    async def keys_of_address(self, account_id: str) -> list[str]:
        """The keys that the address of an account is sealed under."""
        async with self._connection() as connection:
            rows = await (await connection.execute(_KEYS_OF_ADDRESS, [account_id])).fetchall()
        return [str(key) for (key,) in rows]

    async def not_named(self, *, older_than: timedelta) -> list[tuple[str, str]]:
        """Credentials with their accounts that nobody noted to be named by an event."""
        async with self._connection() as connection:
            rows = await (await connection.execute(_NOT_NAMED, [older_than])).fetchall()
        return [(str(credential), str(account)) for credential, account in rows]

    async def drop_verifier(self, credential_id: str) -> None:
        """Throw a password away that no event came to name."""
        async with self._connection() as connection:
            await connection.execute(_DROP_VERIFIER, [credential_id])

    async def address_with(self, credential_id: str) -> KeptAddress | None:
        """The address that was kept with a password; None: the password was thrown away."""
        async with self._connection() as connection:
            row = await (await connection.execute(_ADDRESS_WITH, [credential_id])).fetchone()
        return None if row is None else KeptAddress(*row)

    async def hash_of(self, credential_id: str) -> str | None:
        """The hash of a password; None: there is no such credential."""
        async with self._connection() as connection:
            row = await (await connection.execute(_HASH, [credential_id])).fetchone()
        return None if row is None else str(row[0])

    async def rehash(self, credential_id: str, *, old: str, new: str) -> None:
        """Keep a hash with other parameters in the place of one."""
        async with self._connection() as connection:
            await connection.execute(_REHASH, [new, credential_id, old])

    async def open_session(
        self, session_id: str, *, account_id: str, credential_id: str, client_id: str
    ) -> tuple[datetime, datetime]:
        """Keep a new session, which cannot be refreshed yet; when it was opened, and when it expires.

        Raises:
            ProblemError: `bad-credentials`: its credential was thrown away meanwhile.
        """
        given = [session_id, account_id, client_id, SESSION_LIFETIME, credential_id]
        async with self._connection() as connection:
            row = await (await connection.execute(_OPEN, given)).fetchone()
        if row is None:
            raise ProblemError("bad-credentials", "Address and password do not belong together.")
        return row[0], row[1]

    async def erase(self, account_id: str) -> None:
        """Throw away all that is personal of an account and all that lets it log in, and have its tokens refused."""
        async with self._connection() as connection, connection.transaction():
            await connection.execute(_ERASE_LINKS, {"account_id": account_id})
            # Who opens a session meanwhile has a lock on the credential: its row is there, or it is never made.
            await connection.execute(_ERASE_VERIFIERS, [account_id])
            rows = await (await connection.execute(_ERASE_SESSIONS, [account_id])).fetchall()
            if rows:
                await connection.execute(_DENY, [[row[0] for row in rows], DENIED_FOR])

    async def opened(self, session_id: str) -> None:
        """Note that the log has the opening: from now on the session can be refreshed."""
        async with self._connection() as connection:
            await connection.execute(_OPENED, [session_id])

    async def rotate(self, session_id: str, *, sequence: int, client_id: str) -> VaultRow | None:
        """Move a session to the next refresh token; None: this one is not the valid one, or the session is over."""
        return await self._session(_ROTATE, [session_id, sequence, client_id])

    async def session(self, session_id: str) -> VaultRow | None:
        """One session; None: there is none."""
        return await self._session(_SESSION, [session_id])

    async def revoke(self, session_ids: Sequence[str], *, cause: str) -> None:
        """End sessions, and have their access tokens refused by every process within a second."""
        async with self._connection() as connection, connection.transaction():
            rows = await (await connection.execute(_REVOKE, [cause, list(session_ids)])).fetchall()
            if rows:
                await connection.execute(_DENY, [[row[0] for row in rows], DENIED_FOR])

    async def sessions_of(self, account_id: str, *, but: str) -> list[str]:
        """The sessions of an account that are not over, but for those that a credential opened."""
        async with self._connection() as connection:
            rows = await (await connection.execute(_SESSIONS_OF, [account_id, but])).fetchall()
        return [str(row[0]) for row in rows]

    async def deny_tokens_of(self, account_id: str) -> None:
        """Have the access tokens of an account that are out refused; refreshing gives others.

        The newest one of each session is named, and verifiers refuse those before it, too.
        """
        async with self._connection() as connection:
            await connection.execute(_DENY_TOKENS_OF, [DENIED_FOR, account_id])

    async def deny(self, subjects: Sequence[str], *, lifetime: timedelta = DENIED_FOR) -> None:
        """Have tokens refused by every process within a second, until they would be over anyway."""
        async with self._connection() as connection:
            await connection.execute(_DENY, [list(subjects), lifetime])

    async def recorded(self, session_id: str) -> None:
        """Note that the log has the revocation."""
        async with self._connection() as connection:
            await connection.execute(_RECORDED, [session_id])

    async def not_recorded(self) -> list[tuple[str, str]]:
        """Sessions whose revocation the log lacks, with its cause: a process died between the two."""
        async with self._connection() as connection:
            rows = await (await connection.execute(_NOT_RECORDED)).fetchall()
        return [(str(session), str(cause)) for session, cause in rows]

    async def add_key(
        self,
        credential_id: str,
        *,
        client_id: str,
        digest: bytes,
        scopes: Sequence[str],
        expires_at: datetime | None,
    ) -> None:
        """Keep the digest of a key, before any event names it; until then it is not accepted."""
        given = [credential_id, client_id, digest, list(scopes), expires_at]
        async with self._connection() as connection:
            await connection.execute(_ADD_KEY_OF, given)

    async def key(self, credential_id: str) -> KeptKey | None:
        """A key that is named, not revoked and not over; None: there is none."""
        async with self._connection() as connection:
            row = await (await connection.execute(_KEY, [credential_id])).fetchone()
        if row is None:
            return None
        client_id, digest, scopes, expires_at, now = row
        return KeptKey(client_id, bytes(digest), tuple(scopes), expires_at, now)

    async def name_key(self, credential_id: str) -> None:
        """Note that an event names the key: it is accepted from now on."""
        async with self._connection() as connection:
            await connection.execute(_NAME_KEY, [credential_id])

    async def revoke_key(self, credential_id: str, *, client_id: str) -> None:
        """Have a key, and the tokens that were got with it, refused by every process within a second."""
        async with self._connection() as connection, connection.transaction():
            revoked = await connection.execute(_REVOKE_KEY, [credential_id, client_id])
            if revoked.rowcount:  # else it is another client's, or refused already
                await connection.execute(_DENY, [[credential_id], DENIED_FOR])

    async def keys_not_named(self, *, older_than: timedelta) -> list[tuple[str, str]]:
        """Keys with their clients that nobody noted to be named by an event."""
        async with self._connection() as connection:
            rows = await (await connection.execute(_KEYS_NOT_NAMED, [older_than])).fetchall()
        return [(str(credential), str(client)) for credential, client in rows]

    async def drop_key(self, credential_id: str) -> None:
        """Throw a key away that no event came to name."""
        async with self._connection() as connection:
            await connection.execute(_DROP_KEY, [credential_id])

    async def forget_denials(self) -> None:
        """Delete those of tokens that have expired."""
        async with self._connection() as connection:
            await connection.execute(_FORGET_DENIALS)

    async def forget_sessions(self) -> None:
        """Delete sessions that nothing can be done with any more; reads all sessions."""
        async with self._connection() as connection:
            await connection.execute(_FORGET_SESSIONS)

    async def _session(self, statement: LiteralString, given: Sequence[object]) -> VaultRow | None:
        async with self._connection() as connection:
            row = await (await connection.execute(statement, given)).fetchone()
        return None if row is None else VaultRow(*row)

    def _connection(self) -> contextlib.AbstractAsyncContextManager[VaultConnection]:
        return connected(self.pool)


@contextlib.asynccontextmanager
async def connected(pool: Pool) -> AsyncIterator[VaultConnection]:
    """One connection; that the database does not answer is a problem of the caller.

    Raises:
        ProblemError: `store-unavailable`.
    """
    try:
        async with pool.connection() as connection:
            yield connection
    except (psycopg.OperationalError, PoolTimeout) as error:
        raise refusals.store_unavailable() from error
