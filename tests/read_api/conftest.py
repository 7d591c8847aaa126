"""The query API in this process, over a real Postgres and a real Valkey."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import pytest
from pydantic import SecretStr

from read_api.app import create_app
from read_api.reading import documents
from runtime.settings import Settings
from tests.read_api.stage import Stage

Open = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def stage(database_url: str, redis_url: str) -> Iterator[Stage]:
    stage = Stage(database_url, redis_url)
    yield stage
    stage.close()


PATIENCE_S = 5.0
USUAL_S = documents.ANSWER_TIMEOUT_S


@pytest.fixture
def open_api(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens a query API: `async with open_api() as client`; `redis_url=None` for one without a cache.

    A test machine may be too busy for the cache to answer in time, so `patient` gives it more, except to tests of
    exactly that.
    """

    @asynccontextmanager
    async def opened(
        *,
        redis_url: str | None = stage.redis_url,
        database_url: str = stage.database_url,
        patient: bool = True,
    ) -> AsyncIterator[httpx.AsyncClient]:
        monkeypatch.setattr(documents, "ANSWER_TIMEOUT_S", PATIENCE_S if patient else USUAL_S)
        settings = Settings.model_construct(
            database_url=SecretStr(database_url),
            redis_url=None if redis_url is None else SecretStr(redis_url),
            database_pool_size=4,
        )
        app = create_app(settings)
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://query") as client:
                client.app = app  # type: ignore[attr-defined]
                await app.state.reads.watch.next_look()
                yield client

    return opened


@pytest.fixture
async def api(open_api: Open) -> AsyncIterator[httpx.AsyncClient]:
    """A query API with both servers, seeing what stood on the stage when it was opened."""
    async with open_api() as client:
        yield client
