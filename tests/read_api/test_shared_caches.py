"""What lets a shared cache keep the page of a product, and what keeps it from those who must not be answered so."""

import http.client
import time

import pytest
from msgspec.structs import replace
from pydantic import SecretStr

from counterfoil.applications import query_app
from domain.ids import Sku
from domain.text import Title
from projections.catalogue.views import ProductPage, product_page
from read_api import polling
from read_api.reading import documents
from runtime import tracked_documents
from runtime.http.pipeline import permit
from runtime.http.principal import ANONYMOUS, Principal
from runtime.settings import Settings
from tests.read_api.stage import PLACED_AT, token
from tests.runtime.http.applying import listening

PATH = "/v1/products/lamp%20A"
PUBLIC = {
    "cache-control": "public, max-age=0, s-maxage=60",
    "surrogate-key": "product-lamp%20A",
    "vary": "authorization, min-position",
}
BUYER = Principal("guest", "g-1", permissions=frozenset({"catalogue:read"}))
MOMENT = {"date", "correlation-id"}


@pytest.fixture
def ask(stage, monkeypatch):
    """Asks a query API whose cache has a product; the header `who` makes the caller known, as tokens do."""
    monkeypatch.setattr(polling, "POLL_INTERVAL_S", 60.0)
    monkeypatch.setattr(documents, "ANSWER_TIMEOUT_S", 60.0)
    monkeypatch.setattr(tracked_documents, "CONNECT_TIMEOUT_S", 60.0)
    product = ProductPage(
        sku=Sku("lamp A"),
        title=Title("Lamp"),
        stocked=True,
        unit_price=None,
        currency=None,
        created_at=PLACED_AT,
        price_changed_at=None,
    )
    stage.write(product_page, [product], position=7)
    stage.everybody_stands(9)
    stage.mirror(product_page, [product], position=7, upto=9)
    settings = Settings.model_construct(
        database_url=SecretStr(stage.database_url), redis_url=SecretStr(stage.redis_url)
    )

    def who(exchange):
        return BUYER if b"who" in dict(exchange.headers) else ANONYMOUS

    async def authenticate(exchange):
        return who(exchange)

    app = query_app(settings)
    app.pipeline._steps = replace(
        app.pipeline._steps, authenticate=authenticate, recognise=who, authorise=permit
    )
    with listening(app) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.config.port)

        def asked(path=PATH, **headers):
            connection.request(
                "GET", path, headers={name.replace("_", "-"): each for name, each in headers.items()}
            )
            answer = connection.getresponse()
            names = {name for name, _ in answer.getheaders()} - MOMENT
            given = {name: answer.headers.get_all(name)[0] for name in names}
            return answer.status, given, answer.read()

        while asked("/readyz")[0] != 200:
            time.sleep(0.01)
        yield asked
        connection.close()


def test_an_answer_to_nobody_known_may_be_kept_also_where_it_comes_at_once_or_is_not_sent_again(ask):
    waited, at_once = ask(), ask()
    status, again, body = ask(if_none_match=waited[1]["etag"])

    assert waited == at_once
    assert PUBLIC.items() <= waited[1].items()
    assert (304, b"") == (status, body)
    assert PUBLIC.items() <= again.items()


@pytest.mark.parametrize("at_once", [False, True])
def test_an_answer_to_a_known_caller_is_theirs_alone(ask, at_once):
    if at_once:
        ask()
    status, given, _ = ask(who="guest")

    assert (200, "private, no-cache") == (status, given["cache-control"])
    assert {"surrogate-key", "vary"}.isdisjoint(given)


def test_who_names_a_position_gets_an_answer_of_their_own(ask):
    status, given, _ = ask(min_position=token({0: 1}))

    assert (200, "private, no-cache") == (status, given["cache-control"])


@pytest.mark.parametrize("path", ["/v1/products/none", "/v1/products", "/v1/stock/none", f"{PATH}?x=1"])
def test_what_is_no_page_of_a_product_is_not_kept(ask, path):
    _, given, _ = ask(path)

    assert "no-store" == given["cache-control"]
