"""How tests tamper with an installation: a superuser's session, at places that chance chooses."""

import random
from collections.abc import Callable
from typing import Any, Final

import psycopg
from msgspec import Struct
from psycopg import sql

from tests.event_store.proofs.sealing import RELEAF
from tests.tampering.shop import Shop

_NOTED_AGAIN: Final = """
update consumers.checkpoint c set leaf = e.leaf from log.event e where e.position = c.position and c.leaf is not null;
update views.build_checkpoint c set leaf = e.leaf from log.event e where e.position = c.position and c.leaf is not null;
update views.shared_checkpoint c set leaf = e.leaf from log.event e where e.position = c.position and c.leaf is not null
"""
Act = Callable[["Tampering"], None]


class Manipulation(Struct, frozen=True):
    """One thing that is done, in the words of docs/audit.md, and who finds it."""

    name: str
    keyless: bool
    """`audit verify` without a key or a checkpoint."""
    sealed: bool
    """Somebody who has the public key and an earlier checkpoint: `audit verify --against`, or a bundle."""
    act: Act


class Tampering:
    """A superuser's session."""

    def __init__(self, connection: psycopg.Connection[Any], shop: Shop, chance: random.Random) -> None:
        self.shop = shop
        self.chance = chance
        self.leaves = True
        """Whether everything that follows from the rows is computed again at the end."""
        self._connection = connection

    def sql(self, statement: str, **given: int) -> None:
        """Run statements with numbers filled in."""
        self._connection.execute(sql.SQL(statement.format(**given)))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query finds."""
        return self._connection.execute(sql.SQL(query)).fetchall()

    def pick(self, where: str = "true") -> int:
        """The position of an event, by chance."""
        found = self.rows(f"select position from log.event where {where} order by position")
        return int(self.chance.choice(found)[0])

    @property
    def head(self) -> int:
        """The last position."""
        return int(self.rows("select position from log.head")[0][0])


def tamper(shop: Shop, manipulation: Manipulation, *, seed: int) -> None:
    """Do it."""
    with psycopg.connect(shop.url, autocommit=True) as connection:
        connection.execute("alter table log.tag drop constraint tag_position_fkey")
        tampering = Tampering(connection, shop, random.Random(f"{manipulation.name} {seed}"))
        manipulation.act(tampering)
        if tampering.leaves:
            connection.execute(sql.SQL(RELEAF))
            connection.execute(sql.SQL(_NOTED_AGAIN))
