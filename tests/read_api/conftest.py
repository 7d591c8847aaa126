"""The query API in this process, over a real Postgres and a real Valkey."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import pytest

from counterfoil.contexts import SHOP_CONTEXTS
from counterfoil.servers.unmanaged import ExternalServer
from counterfoil.testing import queries
from devservers.redis import RedisServer
from projections.ordering.views import order_details, order_summary
from read_api.reading import documents
from runtime import tracked_documents
from tests.read_api.stage import Stage, order, summary

Open = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]

PATIENCE_S = 20.0
USUAL_S = documents.ANSWER_TIMEOUT_S


@pytest.fixture
def stage(shop_url: str, redis_url: str) -> Iterator[Stage]:
    stage = Stage(shop_url, redis_url)
    yield stage
    stage.close()


@pytest.fixture
def open_api(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens a query API: `async with open_api() as client`; `redis_url=None` for one without a cache.

    A test machine may be too busy for the cache to answer in time, so `patient` gives it more, except to tests of
    exactly that.
    """

    @asynccontextmanager
    async def opened(
        *, redis_url: str | None = stage.redis_url, patient: bool = True
    ) -> AsyncIterator[httpx.AsyncClient]:
        monkeypatch.setattr(documents, "ANSWER_TIMEOUT_S", PATIENCE_S if patient else USUAL_S)
        if patient:
            monkeypatch.setattr(tracked_documents, "CONNECT_TIMEOUT_S", PATIENCE_S)
            monkeypatch.setattr(tracked_documents, "UNANSWERED_S_MAX", PATIENCE_S)
        async with running(stage.database_url, redis_url) as client:
            yield client

    return opened


@pytest.fixture(scope="session")
def small_shop(new_shop: Callable[[], str], redis_server: RedisServer | ExternalServer) -> Iterator[Stage]:
    """A stage that no test changes: one order, five entries of a list, one event; everybody stands at 9."""
    stage = Stage(new_shop(), redis_server.url)
    stage.write(order_details, [order()], position=7)
    stage.write(order_summary, [summary(number) for number in range(5)], position=7)
    stage.append("order-536365", version=1, position=1, payload={})
    stage.everybody_stands(9)
    yield stage
    stage.close()


@pytest.fixture(scope="module")
async def api(small_shop: Stage) -> AsyncIterator[httpx.AsyncClient]:
    """A query API over the small shop, which all tests of a module ask."""
    async with running(small_shop.database_url, small_shop.redis_url) as client:
        yield client


@asynccontextmanager
async def running(database_url: str, redis_url: str | None) -> AsyncIterator[httpx.AsyncClient]:
    """A query API that has looked at its database, if there is one; `client.app` is the application."""
    async with queries.opened(database_url, *SHOP_CONTEXTS, redis_url=redis_url) as api:
        api.client.app = api.app  # type: ignore[attr-defined]
        yield api.client
