"""A command API on a real log for each test."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from counterfoil.contexts import SHOP_CONTEXTS
from counterfoil.testing import http
from domain.event import Event
from tests.commands.http_spec import Shop
from tests.examples import NOW

Given = Callable[..., Awaitable[Shop]]


@contextlib.asynccontextmanager
async def opened(url: str, **settings: str) -> AsyncIterator[Shop]:
    """One process of the command API of the shop on a log; tests may open several."""
    async with http.opened(url, *SHOP_CONTEXTS, clock=lambda: NOW, **settings) as api:
        yield Shop(api.app, api.client, api.url)


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
