"""A shop with accounts on a real log for each test: an owner, and the weakest hashes that are allowed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from counterfoil import accounts, applications
from counterfoil.contexts import CONTEXTS
from counterfoil.testing import http
from runtime.settings import Settings
from tests.identity.shop import EMAIL, PASSWORD, Shop


@pytest.fixture
def with_accounts(database_url: str, tmp_path: Path) -> Settings:
    """Settings of an installation whose callers log in."""
    return accounts_on(database_url, home=tmp_path)


def accounts_on(url: str, *, home: Path) -> Settings:
    """Settings of an installation on a database, whose callers log in."""
    return Settings(
        database_url=SecretStr(url),
        database_pool_size=http.CONNECTIONS,
        home=home,
        identity="accounts",
        password_memory_mb=19,
        login_failures_per_address=0,
    )


@pytest.fixture
async def shop(with_accounts: Settings) -> AsyncIterator[Shop]:
    """Both APIs, and an owner."""
    await asyncio.to_thread(accounts.create_owner, with_accounts, email=EMAIL, password=PASSWORD)
    async with opened(with_accounts) as shop:
        yield shop


@contextlib.asynccontextmanager
async def with_an_owner(url: str, *, home: Path) -> AsyncIterator[Shop]:
    """Both APIs of a new installation on a database, and an owner: for tests that share one."""
    settings = accounts_on(url, home=home)
    await asyncio.to_thread(accounts.create_owner, settings, email=EMAIL, password=PASSWORD)
    async with opened(settings) as shop:
        yield shop


@contextlib.asynccontextmanager
async def opened(settings: Settings, **given: Any) -> AsyncIterator[Shop]:
    """Both APIs of one installation; a test may open several."""
    commands = applications.command_app(settings, contexts=CONTEXTS, **given)
    queries = applications.query_app(settings, contexts=CONTEXTS)
    async with http.serving(commands) as to_commands, http.serving(queries) as to_queries:
        yield Shop(commands, queries, to_commands, to_queries, settings)
