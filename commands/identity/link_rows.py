"""The rows of links: asked for, handled, used. Every time here is the database's."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

from msgspec import Struct

from commands import refusals
from commands.identity.vault import KeptAddress, Pool, connected

Purpose = Literal["register", "reset"]
"""What a link is good for: to register an account, or to reset its password."""

LASTING: Final[dict[Purpose, timedelta]] = {"register": timedelta(hours=2), "reset": timedelta(minutes=30)}
AN_HOUR_MAX: Final = 3
"""Links for one address and purpose in an hour; what is asked for beyond is answered alike, and nothing is sent."""

WAITING_MAX: Final = 1_000
"""Requests that wait to be handled, of everybody together."""

_LOCK: Final = """
select pg_advisory_xact_lock(hashtextextended(%s, 0)),
    (
        select count(*) from (
            select from vault.link where handled_at is null and expires_at > clock_timestamp() limit %s
        ) waiting
    )
"""
_ASK: Final = """
insert into vault.link (link_id, purpose, email_digest, email, address, expires_at)
select %(link_id)s, %(purpose)s, %(digest)s, %(plain)s, %(sealed)s, clock_timestamp() + %(lasting)s
where %(most)s > (
    select count(*) from vault.link
    where email_digest = %(digest)s and purpose = %(purpose)s and requested_at > clock_timestamp() - interval '1 hour'
)
"""
_WAITING: Final = """
select link_id, purpose, email_digest, email, address from vault.link
where handled_at is null and expires_at > clock_timestamp() order by requested_at limit %s
"""
_ASSIGN: Final = """
update vault.link set account_id = %s, credential_id = %s, email = %s, address = %s where link_id = %s
"""
_HANDLED: Final = "update vault.link set handled_at = clock_timestamp() where link_id = %s"
_USED: Final = "update vault.link set used_at = clock_timestamp() where link_id = %s and used_at is null"
_LINK: Final = """
select purpose, email_digest, email, address, account_id, credential_id, expires_at <= clock_timestamp(), used_at,
    exists (
        select from vault.link later
        where later.email_digest = link.email_digest and later.purpose = link.purpose
            and (later.requested_at, later.link_id) > (link.requested_at, link.link_id)
    )
from vault.link where link_id = %s
"""
_FORGET: Final = "delete from vault.link where expires_at < clock_timestamp() - interval '1 day'"


class RequestedLink(Struct, frozen=True):
    """A link that somebody asked for, not handled yet. It never shows the address."""

    link_id: str
    purpose: Purpose
    digest: str
    """The keyed hash of the address."""
    address: KeptAddress

    def __repr__(self) -> str:
        return f"RequestedLink({self.link_id!r}, {self.purpose!r}, ***)"


class LinkRow(Struct, frozen=True):
    """One link as the vault has it. It never shows the address."""

    purpose: Purpose
    address: KeptAddress
    account_id: str | None
    credential_id: str | None
    expired: bool
    used_at: datetime | None
    superseded: bool

    @property
    def over(self) -> str | None:
        """Why it is good for nothing any more; None: it is good."""
        if self.used_at is not None or (self.purpose == "register" and self.account_id is not None):
            return "used"
        if self.expired:
            return "expired"
        return "superseded" if self.superseded else None

    def __repr__(self) -> str:
        return f"LinkRow({self.purpose!r}, ***)"


class LinkRows:
    """Reads and writes them through a pool of the vault's role."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def ask(self, link_id: str, *, purpose: Purpose, address: KeptAddress) -> None:
        """Note that a link was asked for, unless there were enough for the address lately.

        Raises:
            ProblemError: `too-busy`: too many wait.
        """
        given = {
            "link_id": link_id,
            "purpose": purpose,
            "digest": address.digest,
            "plain": address.plain,
            "sealed": address.sealed,
            "lasting": LASTING[purpose],
            "most": AN_HOUR_MAX,
        }
        async with connected(self._pool) as connection, connection.transaction():
            # One after another for an address, so that requests at once are not each the first of the hour.
            row = await (await connection.execute(_LOCK, [address.digest, WAITING_MAX])).fetchone()
            assert row is not None, "one row of values"
            if row[1] >= WAITING_MAX:
                raise refusals.too_busy()
            await connection.execute(_ASK, given)

    async def waiting(self, most: int) -> Sequence[RequestedLink]:
        """What is not handled yet, the oldest first."""
        async with connected(self._pool) as connection:
            rows = await (await connection.execute(_WAITING, [most])).fetchall()
        return [
            RequestedLink(link_id, purpose, digest, KeptAddress(digest, plain, sealed))
            for link_id, purpose, digest, plain, sealed in rows
        ]

    async def assign(
        self, link_id: str, *, account_id: str, credential_id: str, address: KeptAddress
    ) -> None:
        """Note whose the address is, and as they spelled it: mails go there, not where somebody else typed."""
        async with connected(self._pool) as connection:
            await connection.execute(
                _ASSIGN, [account_id, credential_id, address.plain, address.sealed, link_id]
            )

    async def handled(self, link_id: str) -> None:
        """Note that the log has the mail of a link, or that there is none to be sent."""
        async with connected(self._pool) as connection:
            await connection.execute(_HANDLED, [link_id])

    async def used(self, link_id: str) -> None:
        """Note that a link was followed to its end."""
        async with connected(self._pool) as connection:
            await connection.execute(_USED, [link_id])

    async def link(self, link_id: str) -> LinkRow | None:
        """One link; None: there is none."""
        async with connected(self._pool) as connection:
            row = await (await connection.execute(_LINK, [link_id])).fetchone()
        if row is None:
            return None
        purpose, digest, plain, sealed, *rest = row
        return LinkRow(purpose, KeptAddress(digest, plain, sealed), *rest)

    async def forget(self) -> None:
        """Delete links that nothing can be done with any more."""
        async with connected(self._pool) as connection:
            await connection.execute(_FORGET)
