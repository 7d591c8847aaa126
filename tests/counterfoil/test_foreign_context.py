"""A context from elsewhere, declared beside those of the shop, has all that they have."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from counterfoil import replaying
from counterfoil.applications import command_app, query_app
from counterfoil.context import Contexts
from counterfoil.contexts import CONTEXTS
from runtime.settings import Settings
from tests.counterfoil.lending import LENDING
from tests.projections.feeding import assert_views_hold_the_log, feeding, publish, settle

pytestmark = pytest.mark.anyio

BOTH = Contexts(*CONTEXTS, LENDING)


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://library") as client,
    ):
        yield client


async def test_a_context_from_elsewhere_is_commanded_shown_replayed_and_explained(database_url: str):
    settings = Settings(database_url=SecretStr(database_url), database_pool_size=2)
    settle(database_url)

    async with serving(command_app(settings, contexts=BOTH)) as commands:
        lent = await commands.post(
            "/v1/books/dune/loan", json={"reader_id": "ada"}, headers={"Idempotency-Key": "1"}
        )
        refused = await commands.post(
            "/v1/books/dune/loan", json={"reader_id": "bob"}, headers={"Idempotency-Key": "2"}
        )
        explained = await commands.get(refused.json()["type"])
        documented = (await commands.get("/openapi.json")).json()

    assert (201, "http://127.0.0.1:8081/v1/books/dune") == (lent.status_code, lent.headers["location"])
    assert (409, "book-lent-already", {"book_id": "dune"}) == (
        refused.status_code,
        refused.json()["code"],
        refused.json()["facts"],
    )
    assert "Reserve it." in explained.text
    assert {"name": "lending"} in documented["tags"]

    with feeding(database_url, BOTH.views) as feeder:
        publish(database_url)
        feeder.catch_up()
    assert_views_hold_the_log(database_url, BOTH.views)

    app = query_app(settings, contexts=BOTH)
    async with serving(app) as queries:
        await app.state.reads.watch.next_look()
        shown = await queries.get(lent.headers["location"])
        before = await queries.get(f"{lent.headers['location']}?as_of=0")
        page = await queries.get(refused.json()["type"])
        listed = await queries.get("/v1/books?pinned=true")
        named = await queries.get("/v1/books?ids=dune,emma")
        exported = await queries.get("/v1/books", headers={"Accept": "text/csv"})

    assert {"book_id": "dune", "reader_id": "ada"} == shown.json()
    assert (404, 200) == (before.status_code, page.status_code)
    assert {"items": [shown.json()], "next_cursor": None} == listed.json()
    assert (["emma"], [shown.json()]) == (named.json()["missing"], named.json()["items"])
    assert "book_id,reader_id\r\ndune,ada\r\n" == exported.text

    (step,) = replaying.history(database_url, "book-dune", contexts=BOTH)
    assert ("lending.book_lent.v1", "ada") == (step.type, step.state)
