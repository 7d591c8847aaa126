"""A command API and a query API of one installation with a key database."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import Struct

from counterfoil.contexts import SHOP_CONTEXTS
from counterfoil.testing import http, queries
from counterfoil.testing.http import Answered, CommandApi
from counterfoil.testing.queries import QueryApi


class Shop(Struct):
    """Both APIs."""

    commands: CommandApi
    queries: QueryApi

    async def post(self, path: str, body: object = None, *, key: str = "") -> Answered:
        """Send a command, and have views know of it."""
        answer = await self.commands.post(path, body, key=key)
        await self.queries.carried()
        return answer


@contextlib.asynccontextmanager
async def opened(url: str, **settings: str) -> AsyncIterator[Shop]:
    """Both APIs on a log."""
    async with (
        http.opened(url, *SHOP_CONTEXTS, **settings) as commands,
        queries.opened(url, *SHOP_CONTEXTS, **settings) as asked,
    ):
        yield Shop(commands, asked)


@pytest.fixture
def database_url(shop_url: str) -> str:
    """With a build of each view, since most tests ask them."""
    return shop_url


@pytest.fixture
async def shop(database_url: str, keys_database_url: str, tmp_path: Path) -> AsyncIterator[Shop]:
    """A shop whose log is empty."""
    async with opened(database_url, keys_database_url=keys_database_url, home=str(tmp_path)) as shop:
        yield shop
