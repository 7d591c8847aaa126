"""An answer that needs no waiting passes the steps of every other one, and is written without a task."""

import http.client
import json

import pytest
from fastapi import Response

from runtime.http.principal import ANONYMOUS, NOBODY, Principal
from runtime.http.routes import Prepared
from runtime.telemetry import new_registry
from tests.runtime.http.applying import ANSWERED_WITHIN_S, Endpoint, listening, pipelined, serve

THING = "/things/{thing_id}"


class Thing:
    """Answers at once, unless the id says otherwise."""

    def __init__(self):
        self.at_once = []

    async def answer(self, exchange):
        return Response(b"waited for " + exchange.parameters["thing_id"].encode())

    def immediate(self, exchange):
        thing_id = exchange.parameters["thing_id"]
        self.at_once.append(thing_id)
        if thing_id == "broken":
            raise RuntimeError("a mistake of ours")
        if thing_id == "absent":
            return None
        body = b"at once " + thing_id.encode()
        return Prepared(b"content-type: text/plain\r\ncontent-length: %d\r\n" % len(body), body)


@pytest.fixture
def thing():
    return Thing()


@pytest.fixture
def registry():
    return new_registry()


def asked(thing, registry, *paths, headers=None, requires="things:read", **given):
    """The answers to GETs over one connection: status, headers, body."""
    app = pipelined(registry=registry, **{"recognise": lambda _exchange: ANONYMOUS, **given})
    route = serve(app, THING, thing.answer, method="GET", requires=requires)
    assert isinstance(route.endpoint, Endpoint)
    route.endpoint.immediate = thing.immediate
    with listening(app) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.config.port, timeout=ANSWERED_WITHIN_S)
        answers = []
        for path in paths:
            connection.request("GET", path, headers=headers or {})
            answer = connection.getresponse()
            answers.append((answer.status, answer.headers, answer.read()))
        connection.close()
    return answers


def test_what_is_there_is_answered_at_once_and_the_rest_is_waited_for(thing, registry):
    answers = asked(thing, registry, "/things/1", "/things/absent", "/things/2")

    assert [b"at once 1", b"waited for absent", b"at once 2"] == [body for _, _, body in answers]


def test_it_has_the_callers_correlation_id_what_pages_may_read_and_is_counted(thing, registry):
    ((status, headers, _),) = asked(
        thing,
        registry,
        "/things/1",
        headers={"Correlation-Id": "mine", "Origin": "https://shop.example"},
        origins=("https://shop.example",),
    )
    counted = registry.get_sample_value(
        "counterfoil_http_requests_total", {"method": "GET", "route": THING, "status": "200"}
    )

    assert (200, "mine") == (status, headers["correlation-id"])
    assert headers["access-control-allow-origin"] == "https://shop.example"
    assert counted == 1.0


def test_an_id_in_percent_encoding_is_the_same_id(thing, registry):
    ((_, _, body),) = asked(thing, registry, "/things/order%201")

    assert body == b"at once order 1"


@pytest.mark.parametrize("recognised", [None, NOBODY, Principal("account", "clerk", frozenset({"other"}))])
def test_a_caller_who_is_not_known_or_may_not_is_not_answered_at_once(thing, registry, recognised):
    async def forbidden(_exchange):
        return NOBODY

    ((status, _, _),) = asked(
        thing, registry, "/things/1", authenticate=forbidden, recognise=lambda _exchange: recognised
    )

    assert (403, []) == (status, thing.at_once)


def test_a_malformed_correlation_id_is_refused(thing, registry):
    ((status, _, body),) = asked(thing, registry, "/things/1", headers={"Correlation-Id": "ä"})

    assert (400, "correlation-id-malformed") == (status, json.loads(body)["code"])
    assert thing.at_once == []


def test_a_mistake_in_answering_at_once_is_no_end_of_the_request(thing, registry):
    answers = asked(thing, registry, "/things/broken", "/things/1")

    assert [b"waited for broken", b"at once 1"] == [body for _, _, body in answers]
