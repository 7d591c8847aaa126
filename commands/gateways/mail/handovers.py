"""How often each mail was handed to the server without a known answer: SMTP cannot be asked what came of a mail.

A row is written before a mail is handed over, and counts until the server says no. So a sender that goes on after a
crash knows that the mail may have been taken, and how often. A row is deleted once the answer is in the log.
"""

from typing import Any, Final

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

FORGOTTEN_PER_HANDOVER: Final = 10
"""Rows of answered mails that are deleted when another mail is handed over."""

_COUNT: Final = "select handovers from consumers.handover where key = %s"
_BEGIN: Final = """
insert into consumers.handover as h (key, handovers)
select %(key)s, 1 where %(known)s = 0 and not exists (select from log.outcome where key = %(key)s)
on conflict (key) do nothing
returning handovers
"""
_AGAIN: Final = """
update consumers.handover set handovers = handovers + 1, begun_at = clock_timestamp()
where key = %(key)s and handovers = %(known)s
    and not exists (select from log.outcome where key = %(key)s)
returning handovers
"""
_TAKE_BACK: Final = "update consumers.handover set handovers = %(known)s where key = %(key)s"
_FORGET: Final = "delete from consumers.handover where key = %s"
_FORGET_ANSWERED: Final = """
delete from consumers.handover where key in (
    select h.key from consumers.handover h join log.outcome o on o.key = h.key limit %s
)
"""


class Overtaken(Exception):
    """Another sender handed the mail over meanwhile, or its answer is recorded."""


class Handovers:
    """The counts, by the key under which the answer to a mail is recorded."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]]) -> None:
        self._pool = pool

    async def count(self, key: bytes) -> int:
        """How many handovers of a mail have no known answer.

        Raises:
            psycopg.OperationalError: the database cannot be reached.
        """
        async with self._pool.connection() as conn:
            row = await (await conn.execute(_COUNT, [key])).fetchone()
        return 0 if row is None else int(row[0])

    async def begin(self, key: bytes, *, known: int) -> None:
        """Count one more, before it happens.

        Raises:
            Overtaken: the count is not `known` any more, or the answer is recorded.
            psycopg.OperationalError: the database cannot be reached.
        """
        async with self._pool.connection() as conn:
            await conn.execute(_FORGET_ANSWERED, [FORGOTTEN_PER_HANDOVER])
            statement = _BEGIN if known == 0 else _AGAIN
            if await (await conn.execute(statement, {"key": key, "known": known})).fetchone() is None:
                raise Overtaken

    async def take_back(self, key: bytes, *, known: int) -> None:
        """Count one less again: the server said no.

        Raises:
            psycopg.OperationalError: the database cannot be reached.
        """
        async with self._pool.connection() as conn:
            if known == 0:
                await conn.execute(_FORGET, [key])
            else:
                await conn.execute(_TAKE_BACK, {"key": key, "known": known})
