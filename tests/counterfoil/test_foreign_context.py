"""A context from elsewhere, declared next to those of the shop, has all that they have."""

import pytest

from counterfoil import replaying
from counterfoil.context import Contexts
from counterfoil.contexts import SHOP_CONTEXTS
from counterfoil.operations import OPERATIONS
from counterfoil.testing import http, queries
from tests.counterfoil.lending import LENDING
from tests.projections.feeding import assert_views_hold_the_log

pytestmark = pytest.mark.anyio

BOTH = (*SHOP_CONTEXTS, LENDING)


async def test_a_context_from_elsewhere_is_commanded_shown_replayed_and_explained(database_url: str):
    contexts = Contexts(*BOTH, OPERATIONS)
    async with http.opened(database_url, *BOTH) as library:
        lent = await library.post("/v1/books/dune/loan", {"reader_id": "ada"})
        refused = await library.post("/v1/books/dune/loan", {"reader_id": "bob"})
        explained = await library.client.get(refused.body["type"])
        documented = (await library.client.get("/openapi.json")).json()

    lent.then_accepted(stream="book-dune", version=1)
    location = lent.headers["location"]
    assert "http://127.0.0.1:8081/v1/books/dune" == location
    refused.then_refused(409, "book-lent-already", book_id="dune")
    assert "Reserve it." in explained.text
    assert {"name": "lending"} in documented["tags"]

    async with queries.opened(database_url, *BOTH) as shown:
        await shown.carried()
        dune = {"book_id": "dune", "reader_id": "ada"}
        (await shown.get(location)).then_shown(dune)
        (await shown.get(location, params={"as_of": 0})).then_refused(404, "not-found")
        (await shown.get("/v1/books", params={"pinned": "true"})).then_listed(dune)
        named = (await shown.get("/v1/books", params={"ids": "dune,emma"})).then_listed(dune)
        exported = await shown.get("/v1/books", headers={"Accept": "text/csv"})
        page = await shown.get(refused.body["type"])

    assert (["emma"], 200) == (named.body["missing"], page.status)
    assert b"book_id,reader_id\r\ndune,ada\r\n" == exported.bytes
    assert_views_hold_the_log(database_url, contexts.views)

    (step,) = replaying.history(database_url, "book-dune", contexts=contexts)
    assert ("lending.book_lent.v1", "ada") == (step.type, step.state)
