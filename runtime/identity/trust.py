"""Whom a process believes: the keys that sign, and what was revoked, read from the vault four times a second.

Tokens are verified once and remembered; whether one was revoked meanwhile is a look into a set. Where the vault was not
read for `STALE_AFTER_S`, tokens are still trusted until they expire, since they do so soon, but nothing is permitted
that cannot be undone (`access.FAIL_CLOSED`).
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, cast

import psycopg
import structlog
from joserfc.jwk import OKPKey
from msgspec import Struct
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from runtime.http.access import permissions_of
from runtime.http.principal import Kind, Principal
from runtime.identity import tokens
from runtime.identity.tokens import BadToken

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

log = structlog.get_logger()


class Verified(Struct, frozen=True):
    """A token that was verified: who it stands for, and what its belief depends on."""

    principal: Principal
    subjects: tuple[str, ...]
    kid: str
    expires_at: int


class Trust:
    """The keys and revocations that this process knows of."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        """Nothing is known yet, so nobody is trusted. `clock` gives seconds since 1970."""
        self._clock = clock
        self._keys: dict[str, OKPKey] = {}
        self._denied: dict[str, float] = {}
        self._last = 0
        self._read_at: float | None = None
        self._remembered: dict[bytes, Verified] = {}
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
        return self.age_s < STALE_AFTER_S

    def trusted(self, token: bytes) -> Principal:
        """Who a token stands for.

        Raises:
            BadToken: it is not trusted, or not any more.
        """
        now = self._clock()
        verified = self._remembered.get(token)
        if verified is None:
            verified = self._verify(token, int(now))
        if verified.expires_at + tokens.LEEWAY_S <= now:
            raise BadToken("it is over")
        if verified.kid not in self._keys:
            raise BadToken("its key is not trusted any more")
        for subject in verified.subjects:
            if subject in self._denied:
                raise BadToken("it was revoked")
        return verified.principal

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
        now = self._clock()
        for subject in [subject for subject, until in self._denied.items() if until < now]:
            del self._denied[subject]

    def _verify(self, token: bytes, now: int) -> Verified:
        claims = tokens.read(token, self._keys, issuer=self.issuer, now=now)
        if claims.kind not in {"account", "service", "guest"}:
            raise BadToken(f"it stands for {claims.kind}")
        principal = Principal(
            cast("Kind", claims.kind),
            claims.sub,
            permissions=permissions_of(claims.roles),
            roles=frozenset(claims.roles),
            credential=claims.sid,
        )
        verified = Verified(principal, (claims.sid, claims.jti), tokens.kid_of(token), claims.exp)
        if len(self._remembered) >= REMEMBERED_MAX:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[token] = verified
        return verified


def public_key(kid: str, public: bytes) -> OKPKey:
    """A key that verifies, from its 32 bytes."""
    return OKPKey.import_key(
        {"kty": "OKP", "crv": "Ed25519", "x": tokens.base64url(public), "kid": kid, "use": "sig"}
    )
