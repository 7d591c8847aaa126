"""What a process trusts: the keys that sign, and what was revoked, read from the vault four times a second.

Tokens are verified once and remembered; whether one was revoked meanwhile is a look into a set. Where the vault was not
read for `STALE_AFTER_S`, tokens are still trusted until they expire, since they do so soon, but nothing is permitted
that cannot be undone (`access.FAIL_CLOSED`).
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

import psycopg
import structlog
from joserfc.jwk import OKPKey
from msgspec import Struct
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from runtime.actors import Kind
from runtime.http.access import PERMISSIONS, permissions_of
from runtime.http.principal import Principal
from runtime.identity import keys, lifetimes, tokens
from runtime.identity.tokens import BadToken, Claims

Pool = AsyncConnectionPool[psycopg.AsyncConnection[tuple[Any, ...]]]

POLL_S: Final = 0.25
POLL_TIMEOUT_S: Final = 2.0
STALE_AFTER_S: Final = 1.0
REMEMBERED_MAX: Final = 10_000
"""Verified tokens that one process remembers."""

_READ: Final = """
select (select id::text from log.installation), d.last,
    (select coalesce(json_agg(json_build_array(n.subject, extract(epoch from n.expires_at))), '[]')
        from vault.denial n where n.number > %(after)s and n.expires_at > clock_timestamp()),
    (select coalesce(json_agg(json_build_array(k.kid, encode(k.public, 'hex'))), '[]')
        from vault.signing_key k where k.verifies_until is null or k.verifies_until > clock_timestamp())
from vault.denials d
"""

UNREADABLE: Final = (psycopg.Error, PoolTimeout, TimeoutError)
"""What polling raises while the vault cannot be read."""

_KEY: Final = """
select client_id, digest, scopes, coalesce(extract(epoch from expires_at), 'infinity')
from vault.key where credential_id = %s and named and revoked_at is null
"""
KEY_KEPT_S: Final = 60.0
"""After this long a key is looked up again, so that a revocation which a process slept through counts at last."""

_numbered = re.compile(r"(.+)\.([0-9]{1,9})").fullmatch
"""One token of a session, as a denial names it."""

log = structlog.get_logger()


class Verified(Struct, frozen=True):
    """A token that was verified: who it stands for, and what its belief depends on."""

    principal: Principal
    subjects: tuple[str, ...]
    kid: str | None
    """The key that signed it; None for an API key."""
    expires_at: float
    number: int = 0
    """Which token of its session it is; 0: it belongs to none."""


class Trust:
    """The keys and revocations that this process knows of."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        """Nothing is known yet, so nobody is trusted. `clock` gives seconds since 1970."""
        self._clock = clock
        self._keys: dict[str, OKPKey] = {}
        self._denied: dict[str, float] = {}
        self._denied_up_to: dict[str, int] = {}
        """Session → the newest of its tokens that is denied: so are all before it, which are good for minutes yet."""
        self._last = 0
        self._read_at: float | None = None
        self._remembered: dict[bytes, Verified] = {}
        self._by_header: dict[bytes, Verified] = {}
        """The same by the header that they came in, since taking a token out of it costs as much as finding it."""
        self._failing = False
        self.issuer = ""

    @property
    def is_known(self) -> bool:
        """Whether the vault was ever read."""
        return self._read_at is not None

    @property
    def age_s(self) -> float:
        """Seconds since the vault was read."""
        return float("inf") if self._read_at is None else time.monotonic() - self._read_at

    @property
    def is_current(self) -> bool:
        """Whether what was revoked a second ago is known."""
        return self._read_at is not None and time.monotonic() - self._read_at < STALE_AFTER_S

    def recognised(self, header: bytes) -> Principal | None:
        """Who stands behind a header whose token was verified; None: it was not, or is not trusted any more."""
        verified = self._by_header.get(header)
        return None if verified is None or self._mistrusts(verified) else verified.principal

    def recognise_by(self, header: bytes, token: bytes) -> None:
        """Recognise a header from now on, if its token was verified."""
        verified = self._remembered.get(token)
        if verified is not None:
            _keep(self._by_header, header, verified)

    def trusted(self, token: bytes) -> Principal:
        """Who a token stands for.

        Raises:
            BadToken: it is not trusted, or not any more.
        """
        verified = self._remembered.get(token)
        if verified is None:
            verified = self._verify(token, int(self._clock()))
        return self._accepted(verified)

    async def shown(self, token: bytes, pool: Pool) -> Principal:
        """Who a token or an API key stands for; a key is looked up in the vault once a minute.

        Raises:
            BadToken: as `trusted`.
            psycopg.OperationalError, PoolTimeout, TimeoutError: the key has to be looked up, and cannot be now.
        """
        if not token.startswith(keys.PREFIX.encode()):
            return self.trusted(token)
        verified = self._remembered.get(token)
        if verified is None or verified.expires_at <= self._clock():
            verified = self._remember(token, await self._find_key(token, pool))
        return self._accepted(verified)

    async def _find_key(self, token: bytes, pool: Pool) -> Verified:
        key = keys.parse(token)
        if key is None:
            raise BadToken("it is no key")
        async with asyncio.timeout(POLL_TIMEOUT_S), pool.connection() as connection:
            row = await (await connection.execute(_KEY, [key.credential_id])).fetchone()
        if row is None or not key.is_behind(bytes(row[1])):
            raise BadToken("it is no key of ours, or was revoked")
        client_id, _, scopes, expires_at = row
        principal = service(str(client_id), scopes, credential=key.credential_id)
        until = min(float(expires_at), self._clock() + KEY_KEPT_S)
        return Verified(principal, (key.credential_id,), None, until)

    def _accepted(self, verified: Verified) -> Principal:
        if why := self._mistrusts(verified):
            raise BadToken(why)
        return verified.principal

    def _mistrusts(self, verified: Verified) -> str:
        """Why a token that was verified is not trusted any more; empty: it is."""
        if verified.kid is None:
            leeway_s = 0
        elif verified.kid in self._keys:
            leeway_s = lifetimes.LEEWAY_S
        else:
            return "its key is not trusted any more"
        if verified.expires_at + leeway_s <= self._clock():
            return "it is over"
        if self._denied and (
            not self._denied.keys().isdisjoint(verified.subjects)
            or verified.number <= self._denied_up_to.get(verified.subjects[0], -1)
        ):
            return "it was revoked"
        return ""

    def claims(self, token: bytes) -> Claims:
        """What a token says that is trusted now.

        Raises:
            BadToken: as `trusted`.
        """
        self.trusted(token)
        return tokens.read(token, self._keys, issuer=self.issuer, now=int(self._clock()))

    def key_set(self) -> list[dict[str, Any]]:
        """The public keys, as a JWK set has them."""
        return [{**key.as_dict(private=False), "alg": tokens.ALGORITHM} for key in self._keys.values()]

    def remembers(self, token: bytes) -> bool:
        """Whether a token was verified before, so that asking for it again costs next to nothing."""
        return token in self._remembered

    async def poll(self, pool: Pool) -> None:
        """Read what changed in the vault since the last time.

        Raises:
            psycopg.OperationalError, PoolTimeout, TimeoutError: it cannot be read now.
        """
        began = time.monotonic()
        async with asyncio.timeout(POLL_TIMEOUT_S), pool.connection() as connection:
            row = await (await connection.execute(_READ, {"after": self._last})).fetchone()
        assert row is not None, "vault.denials always has its one row"
        installation, last, denied, keys = row
        if last < self._last:  # the database is an older one: what it denies is read from the beginning
            self._last = 0
            return
        self.issuer = tokens.issuer_of(str(installation))
        self._take(denied=denied, keys=keys)
        self._last, self._read_at = cast("int", last), began

    async def run(self, pool: Pool) -> None:
        """Read for ever."""
        while True:
            try:
                await self.poll(pool)
            except UNREADABLE as error:
                if not self._failing:
                    log.warning("vault_not_read", reason=str(error).strip() or type(error).__name__)
                self._failing = True
            else:
                self._failing = False
            await asyncio.sleep(POLL_S)

    def _take(self, *, denied: list[tuple[str, float]], keys: list[tuple[str, str]]) -> None:
        if {kid for kid, _ in keys} != self._keys.keys():
            self._keys = {kid: public_key(kid, bytes.fromhex(public)) for kid, public in keys}
        self._denied.update(denied)
        for subject, _ in denied:
            if found := _numbered(subject):
                self._denied_up_to[found[1]] = max(int(found[2]), self._denied_up_to.get(found[1], 0))
        now = self._clock()
        for subject in [subject for subject, until in self._denied.items() if until < now]:
            del self._denied[subject]
            found = _numbered(subject)
            if found and self._denied_up_to.get(found[1]) == int(found[2]):
                del self._denied_up_to[found[1]]

    def _verify(self, token: bytes, now: int) -> Verified:
        claims = tokens.read(token, self._keys, issuer=self.issuer, now=now)
        if claims.kind not in {"account", "service", "guest"}:
            raise BadToken(f"it stands for {claims.kind}")
        if claims.kind == "service":
            principal = service(claims.sub, claims.scope.split(), credential=claims.sid)
        else:
            principal = Principal(
                cast("Kind", claims.kind),
                claims.sub,
                permissions=permissions_of(claims.roles),
                roles=frozenset(claims.roles),
                credential=claims.sid,
            )
        found = _numbered(claims.jti)
        number = int(found[2]) if found and found[1] == claims.sid else 0
        verified = Verified(principal, (claims.sid, claims.jti), tokens.kid_of(token), claims.exp, number)
        return self._remember(token, verified)

    def _remember(self, token: bytes, verified: Verified) -> Verified:
        _keep(self._remembered, token, verified)
        return verified


def _keep(kept: dict[bytes, Verified], key: bytes, verified: Verified) -> None:
    if len(kept) >= REMEMBERED_MAX:
        del kept[next(iter(kept))]
    kept[key] = verified


def service(client_id: str, scopes: Iterable[str], *, credential: str) -> Principal:
    """A program within its scopes; what services may not do at all, none of them may."""
    return Principal(
        "service",
        client_id,
        permissions=PERMISSIONS["service"] & frozenset(scopes),
        roles=frozenset(("service",)),
        credential=credential,
    )


def public_key(kid: str, public: bytes) -> OKPKey:
    """A key that verifies, from its 32 bytes."""
    return OKPKey.import_key(
        {"kty": "OKP", "crv": "Ed25519", "x": tokens.base64url(public), "kid": kid, "use": "sig"}
    )
