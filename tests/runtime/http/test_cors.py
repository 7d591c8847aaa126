"""Web pages of other origins: those that are listed may call, in each way that a request comes in, and no other."""

import http.client

import pytest
from fastapi import Response

from commands import refusals
from runtime.http import cors
from runtime.http.pipeline import Refusal
from runtime.http.principal import ANONYMOUS
from runtime.settings import Settings, SettingsError
from tests.openapi import frozen
from tests.runtime.http.applying import ANSWERED_WITHIN_S, listening, pipelined, serve

SHOP, OTHER = "https://shop.example", "https://shop.example.org"
ASKING = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "idempotency-key"}
TOO_BUSY = Refusal(refusals.too_busy())


async def place(_exchange):
    return Response("placed")


def application(origins, steps=None):
    def noting(name, result=None):
        async def step(_exchange):
            steps.append(name)
            return result

        return step

    noted = {}
    if steps is not None:
        noted = {
            "limit_by_address": noting("limit by address"),
            "authenticate": noting("authenticate", ANONYMOUS),
            "limit_by_principal": noting("limit by principal"),
        }
    app = pipelined(origins=origins, shed=lambda _, path: TOO_BUSY if path == "/full" else None, **noted)
    for path in ("/orders", "/full"):
        serve(app, path, place)
    serve(app, "/orders/{order_id}", place, method="GET")
    return app


@pytest.fixture(scope="module")
def port():
    with listening(application([SHOP, "http://localhost:3000"])) as server:
        yield server.config.port


def asked(port, method, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWERED_WITHIN_S)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/orders", 200),
        ("POST", "/orders?x=1", 200),
        ("HEAD", "/orders/1", 200),
        ("PUT", "/orders", 405),
        ("GET", "/nowhere", 404),
        ("POST", "/full", 503),
        ("POST", "/full?x=1", 503),
    ],
)
def test_an_answer_can_be_read_by_pages_of_listed_origins_alone(port, method, path, status):
    shop, local, other, nobody = (
        asked(port, method, path, **({"Origin": origin} if origin else {}))
        for origin in (SHOP, "http://localhost:3000", OTHER, None)
    )

    assert [status] * 4 == [each.status for each in (shop, local, other, nobody)]
    assert [SHOP, "http://localhost:3000", None, None] == [
        each.headers["access-control-allow-origin"] for each in (shop, local, other, nobody)
    ]
    assert [", ".join(cors.READ), None] == [
        each.headers["access-control-expose-headers"] for each in (shop, other)
    ]
    assert ["origin"] * 4 == [each.headers["vary"] for each in (shop, local, other, nobody)]
    assert shop.headers["access-control-allow-credentials"] is None


def test_a_browser_learns_what_it_may_send(port):
    order = asked(port, "OPTIONS", "/orders", Origin=SHOP, **ASKING)
    one = asked(port, "OPTIONS", "/orders/1?x=1", Origin=SHOP, **ASKING)

    assert [204, 204] == [order.status, one.status]
    assert ["POST", "GET, HEAD"] == [each.headers["access-control-allow-methods"] for each in (order, one)]
    assert ", ".join(cors.SENT) == order.headers["access-control-allow-headers"]
    assert "600" == order.headers["access-control-max-age"]
    assert SHOP == order.headers["access-control-allow-origin"]
    assert "origin" == order.headers["vary"]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/orders", {"Origin": OTHER, **ASKING}, 403),
        ("/orders", {"Origin": "null", **ASKING}, 403),
        ("/orders", {"Origin": SHOP.upper(), **ASKING}, 403),
        ("/nowhere", {"Origin": SHOP, **ASKING}, 404),
        ("/orders", {"Origin": SHOP}, 405),
        ("/orders", ASKING, 405),
    ],
)
def test_what_is_no_question_of_a_listed_page_gets_no_leave(port, path, headers, status):
    answer = asked(port, "OPTIONS", path, **headers)

    assert status == answer.status
    assert answer.headers["access-control-allow-methods"] is None


def test_no_page_may_call_unless_origins_are_set():
    with listening(application([])) as server:
        answers = [
            asked(server.config.port, "POST", "/orders", Origin=SHOP),
            asked(server.config.port, "OPTIONS", "/orders", Origin=SHOP, **ASKING),
        ]

    assert [200, 405] == [each.status for each in answers]
    for answer in answers:
        assert [] == [name for name in answer.headers if name.startswith("access-control") or name == "vary"]


def test_a_preflight_passes_the_same_steps():
    steps = []
    with listening(application([SHOP], steps)) as server:
        asked(server.config.port, "OPTIONS", "/orders", Origin=SHOP, **ASKING)

    assert ["limit by address", "authenticate", "limit by principal"] == steps


@pytest.mark.parametrize("api", frozen.APIS)
def test_pages_may_send_and_read_all_headers_that_an_api_documents(api):
    components = frozen.current(api)["components"]
    sent = {each["name"] for each in components["parameters"].values() if each["in"] == "header"}

    assert set() == sent - set(cors.SENT)
    assert set() == components["headers"].keys() - set(cors.READ) - {"Vary"}  # which is for caches


@pytest.mark.parametrize(
    "origins",
    ["*", "null", "shop.example", "https://shop.example/", "https://Shop.example", "https://a.b,", " "],
)
def test_what_no_browser_sends_is_no_origin(monkeypatch, origins):
    monkeypatch.setenv("COUNTERFOIL_CORS_ORIGINS", origins)

    with pytest.raises(SettingsError, match=r"COUNTERFOIL_CORS_ORIGINS: .* is no origin"):
        Settings.load()


def test_origins_are_set_joined_by_commas(monkeypatch):
    monkeypatch.setenv("COUNTERFOIL_CORS_ORIGINS", f"{SHOP}, http://[::1]:3000")

    assert (SHOP, "http://[::1]:3000") == Settings.load().allowed_origins
