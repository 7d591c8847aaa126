"""A command API on a real log for each test."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
from pydantic import SecretStr

from counterfoil.applications import command_app
from domain.event import Event
from runtime.settings import Settings
from tests.commands.http_spec import Shop
from tests.examples import NOW

Given = Callable[..., Awaitable[Shop]]


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[Shop]:
    """One process of the command API on a log; tests may open several."""
    app = command_app(Settings(database_url=SecretStr(url), database_pool_size=4), clock=lambda: NOW)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://shop"
        ) as client,
    ):
        yield Shop(app, client, url)


@pytest.fixture
async def shop(database_url: str) -> AsyncIterator[Shop]:
    """A shop whose log is empty."""
    async with opened(database_url) as shop:
        yield shop


@pytest.fixture
def given(shop: Shop) -> Given:
    """The shop after these facts."""

    async def after(*facts: Event) -> Shop:
        return await shop.given(*facts)

    return after
