"""Documents that are kept in caches are shown to whom they belong to, and to who may see all."""

import http.client
import re
import time

import msgspec
import pytest
from msgspec.structs import replace
from pydantic import SecretStr

from counterfoil.applications import query_app
from projections.ordering.views import order_details
from read_api import polling
from read_api.reading import documents
from runtime import tracked_documents
from runtime.http.pipeline import permit
from runtime.http.principal import Principal
from runtime.settings import Settings
from tests.read_api.stage import order
from tests.runtime.http.applying import listening

OWN = frozenset(("own-orders:read",))
KNOWN = {
    b"owner": Principal("account", "17850", OWN),
    b"another": Principal("guest", "another", OWN),
    b"support": Principal("account", "support", frozenset(("orders:read",))),
}
SQL = re.compile(r'counterfoil_reads_total\{source="sql",view="order_details"\} (\d+)')


def who(exchange):
    """Whom a header names: what a token does elsewhere."""
    return KNOWN[dict(exchange.headers)[b"who"]]


@pytest.fixture
def ask(stage, monkeypatch):
    """Asks a query API whose client-side cache has the order; with status, headers, body and questions to SQL."""
    monkeypatch.setattr(polling, "POLL_INTERVAL_S", 60.0)
    monkeypatch.setattr(documents, "ANSWER_TIMEOUT_S", 60.0)
    monkeypatch.setattr(tracked_documents, "CONNECT_TIMEOUT_S", 60.0)
    stage.write(order_details, [order("mine")], position=7)
    stage.everybody_stands(9)
    stage.mirror(order_details, [order("mine")], position=7, upto=9)
    settings = Settings.model_construct(
        database_url=SecretStr(stage.database_url), redis_url=SecretStr(stage.redis_url)
    )

    async def authenticate(exchange):
        return KNOWN.get(dict(exchange.headers).get(b"who", b""), KNOWN[b"support"])

    app = query_app(settings)
    app.pipeline._steps = replace(
        app.pipeline._steps, authenticate=authenticate, recognise=who, authorise=permit
    )
    with listening(app) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.config.port)

        def answered(path, **headers):
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

        def asked(order_id, name, **headers):
            before = _by_sql(answered)
            status, given, body = answered(f"/v1/orders/{order_id}", who=name, **headers)
            return status, given, body, _by_sql(answered) - before

        while answered("/readyz")[0] != 200:
            time.sleep(0.01)
        yield asked
        connection.close()


def _by_sql(answered):
    return int(SQL.search(answered("/metrics")[2].decode())[1])


def test_a_kept_document_is_shown_to_its_owner_and_to_who_sees_all_and_to_nobody_else(ask):
    shown = msgspec.json.encode(order("mine"))
    for _ in range(2):  # from Redis, and then from the client-side cache
        assert (200, shown, 0) == _but_headers(ask("mine", "support"))
    assert (200, shown, 0) == _but_headers(ask("mine", "owner"))

    foreign, absent = ask("mine", "another"), ask("none", "another")

    assert (404, 404, 1, 1) == (foreign[0], absent[0], foreign[3], absent[3])
    assert _shown(foreign, "mine") == _shown(absent, "none")


def test_what_its_owner_may_keep_answers_another_with_nothing(ask):
    ask("mine", "support")
    tag = ask("mine", "owner")[1]["etag"]

    assert 304 == ask("mine", "owner", **{"If-None-Match": tag})[0]
    assert 404 == ask("mine", "another", **{"If-None-Match": tag})[0]
    assert "private, no-cache" == ask("mine", "owner")[1]["cache-control"]


def _but_headers(answer):
    status, _, body, by_sql = answer
    return status, body, by_sql


def _shown(answer, order_id):
    _, headers, body, _ = answer
    problem = {name: value for name, value in msgspec.json.decode(body).items() if name != "correlation_id"}
    varies = {"date", "correlation-id", "content-length"}
    return repr(problem).replace(order_id, "<id>"), {k: v for k, v in headers.items() if k not in varies}
