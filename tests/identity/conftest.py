"""A shop with accounts on a real log for each test: an owner, and hashes of passwords that take next to no time."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from counterfoil import accounts, applications
from counterfoil.contexts import CONTEXTS
from counterfoil.testing import http
from counterfoil.testing.plugin import NewDatabase
from runtime.settings import Settings
from tests.identity import provider as providers
from tests.identity.shop import EMAIL, PASSWORD, Shop

WEAK_MB = 1
"""Memory of a hash, less than an installation may set: the weakest of those takes a core for 40 ms, and most of what
tests of accounts did was hashing."""


@pytest.fixture
def with_accounts(database_url: str, tmp_path: Path) -> Settings:
    """Settings of an installation whose callers log in."""
    return weakly(accounts_on(database_url, home=tmp_path))


def accounts_on(url: str, *, home: Path) -> Settings:
    """Settings of an installation on a database, whose callers log in, with the weakest hashes that are allowed."""
    return Settings(
        database_url=SecretStr(url),
        database_pool_size=http.CONNECTIONS,
        home=home,
        identity="accounts",
        password_memory_mb=19,
        login_failures_per_address=0,
    )


def weakly(settings: Settings) -> Settings:
    """With hashes that no installation may have."""
    return settings.model_copy(update={"password_memory_mb": WEAK_MB})


@pytest.fixture(scope="session")
def with_an_owner_only(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """An installation as its first owner finds it: registering one takes as long as much of what tests do then."""
    settings = weakly(accounts_on(new_database(), home=tmp_path_factory.mktemp("owned")))
    accounts.create_owner(settings, email=EMAIL, password=PASSWORD)
    return settings


@pytest.fixture
def owned(with_an_owner_only: Settings, new_database: NewDatabase, tmp_path: Path) -> Iterator[Settings]:
    """A copy of it for one test."""
    assert with_an_owner_only.database_url is not None
    url = new_database(like=with_an_owner_only.database_url.get_secret_value())
    settings = weakly(accounts_on(url, home=tmp_path))
    shutil.copy(with_an_owner_only.secrets_file, settings.secrets_file)
    yield settings
    new_database.drop(url)


@pytest.fixture
async def shop(owned: Settings) -> AsyncIterator[Shop]:
    """Both APIs, and an owner."""
    async with opened(owned) as shop:
        yield shop


@pytest.fixture(scope="module")
def running_provider() -> Iterator[Any]:
    """A provider of ours, which does wrong where a test wants it to."""
    with providers.running(f"{providers.LOGIN_URL}/oidc/callback") as provider:
        yield provider


@pytest.fixture
def provider(running_provider: Any) -> Any:
    """It does nothing wrong yet, and has one user."""
    running_provider.errs = ""
    running_provider.claims = {"email": "ada@example.org", "email_verified": True}
    running_provider.asked.clear()
    return running_provider


@pytest.fixture
async def shop_with_provider(owned: Settings, provider: Any) -> AsyncIterator[Shop]:
    """Both APIs, an owner, and logins at the provider."""
    async with opened(providers.with_provider(owned, provider.issuer)) as shop:
        yield shop


@contextlib.asynccontextmanager
async def with_an_owner(url: str, *, home: Path, weak: bool = True) -> AsyncIterator[Shop]:
    """Both APIs of a new installation on a database, and an owner: for tests that share one, or want strong hashes."""
    settings = accounts_on(url, home=home)
    settings = weakly(settings) if weak else settings
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
