"""An Envoy before the real APIs: what passes, and that it answers what the APIs answer."""

import re
import time

import httpx
import pytest

from runtime import media
from runtime.http import headers
from runtime.problem_types import CATALOGUE
from tests.gateway.conftest import ORIGIN
from tests.projections.feeding import feeding, publish

PRODUCT = {"sku": "85123A", "title": "Holder", "stocked": True, "unit_price": "2.55", "currency": "GBP"}


def test_a_command_and_a_read_pass_the_gateway(caller, owner, settings_of_shop, contexts):
    url = settings_of_shop.database_url.get_secret_value()
    with feeding(url, contexts.views) as feeder:
        sent = caller.post("/v1/products", json=PRODUCT, headers={**owner, "idempotency-key": "one"})
        publish(url)
        feeder.catch_up()
        shown = caller.get("/v1/products/85123A")
        read = caller.get("/v1/products/85123A", headers={**owner, "min-position": sent.headers["position"]})

    assert (201, "85123A") == (sent.status_code, sent.json()["id"])
    assert (200, "Holder") == (read.status_code, read.json()["title"])
    assert (200, "public, max-age=0, s-maxage=60") == (shown.status_code, shown.headers["cache-control"])
    assert "private, no-cache" == read.headers["cache-control"]


def test_a_context_from_outside_is_reached_and_says_itself_what_it_requires(caller, owner):
    answers = [
        caller.post(
            "/v1/books/dune/loan", json={"reader_id": "ada"}, headers=owner | {"idempotency-key": "1"}
        ),
        caller.get("/v1/books/dune", headers=owner),
    ]

    assert [(403, "books:lend"), (403, "books:read")] == [
        (answer.status_code, answer.json()["detail"].split()[-1].strip(".")) for answer in answers
    ]


def eventually(make, fits, *, within_s=120.0):
    """What is made as soon as it fits, or what is made last."""
    give_up = time.monotonic() + within_s
    while not fits(made := make()) and time.monotonic() < give_up:
        time.sleep(0.05)
    return made


def answered(client, route, method, given):
    """What can be compared of an answer: its status, its headers and the members of its body."""
    path = re.sub(r"\{\w+\}", "1", route.path)
    answer = client.request(method, path, headers=given, follow_redirects=False)
    kind = answer.headers.get("content-type", "")
    body = answer.json() if kind.endswith("json") and answer.content and "nd" not in kind else None
    members = sorted(body) if isinstance(body, dict) else type(body)
    names = set(answer.headers) - {"connection", "transfer-encoding", "date", "content-length"}
    return answer.status_code, kind, members, names


@pytest.fixture
def straight(apis):
    """Sends requests to a process of an API without the gateway."""
    processes = {role.replace("-", "_"): started[0] for role, started in apis.items()}
    with httpx.Client(timeout=60, trust_env=False) as client:

        def send(route):
            return _At(client, processes[route.api].url)

        yield send


class _At:
    def __init__(self, client, url):
        self._client, self._url = client, url

    def request(self, method, path, **given):
        return self._client.request(method, self._url + path, **given)


def test_every_route_of_both_apis_answers_through_the_gateway_as_it_does_itself(
    gateway_layout, caller, straight, owner
):
    def differences():
        found = {}
        for route in gateway_layout.routes:
            for method in route.methods:
                both = [answered(client, route, method, owner) for client in (straight(route), caller)]
                if both[0] != both[1]:
                    found[f"{method} {route.path}"] = both
        return found

    # Processes of the query API see at different moments what has happened to views.
    assert {} == eventually(differences, lambda found: found == {})
    assert {"command_api", "query_api"} == {route.api for route in gateway_layout.routes}


def test_who_shows_no_token_passes_to_routes_for_everybody_alone(gateway_layout, caller, straight):
    for route in gateway_layout.routes:
        method = route.methods[0]
        found = answered(caller, route, method, {})
        if route.is_open:
            assert answered(straight(route), route, method, {}) == found, route.path
        else:
            assert (401, "application/problem+json") == found[:2], route.path


def test_the_gateway_itself_refuses_a_token_that_is_not_signed_by_us_as_the_apis_do(caller, owner):
    head, claims, signature = owner["authorization"].split(".")
    forged = f"{head}.{claims}.{signature[::-1]}"
    refused = caller.get("/v1/orders", headers={"authorization": forged})

    assert (401, "unauthenticated") == (refused.status_code, refused.json()["code"])
    assert (
        CATALOGUE["unauthenticated"].meaning == refused.json()["detail"]
    )  # an API says which header it means
    assert refused.headers["correlation-id"] == refused.json()["correlation_id"]
    for name, value in (*headers.STANDARD, headers.NEVER_STORED):
        assert value.decode() == refused.headers[name.decode()]


def test_an_api_key_passes_and_is_verified_by_the_apis(caller, owner):
    made = caller.post(
        "/v1/clients",
        json={"name": "till", "scopes": ["catalogue:write"]},
        headers={**owner, "idempotency-key": "till"},
    )
    key = made.json()["secret"]

    assert ["idempotency-key-missing", "unauthenticated"] == [
        caller.post("/v1/products", headers={"authorization": f"Bearer {each}"}).json()["code"]
        for each in (key, key[:-1] + ("A" if key[-1] != "A" else "B"))
    ]


@pytest.mark.parametrize("path", ["/metrics", "/livez", "/docs", "/openapi.json", "/v1/nothing"])
def test_what_no_api_publishes_is_not_there(caller, path):
    answer = caller.get(path)

    assert (404, "not-found") == (answer.status_code, answer.json()["code"])


def test_the_gateway_says_by_itself_whether_both_apis_are_there(caller):
    assert 200 == caller.get("/readyz").status_code


def test_a_file_is_stored_and_read_in_part_through_the_gateway(caller, owner):
    content = b"\x89PNG\r\n\x1a\n" + bytes(2 * 2**20)  # more than the gateway keeps of a command
    path = f"/v1/media/{media.name_of(content, 'png')}"
    png = {"content-type": "image/png"}
    stored = [caller.put(path, content=content, headers=each).status_code for each in (png, owner | png)]
    part = caller.get(path, headers={"range": "bytes=1-3"})

    assert [401, 201] == stored
    assert (206, b"PNG", f"bytes 1-3/{len(content)}") == (
        part.status_code,
        part.content,
        part.headers["content-range"],
    )
    assert content == caller.get(path).content


def test_a_page_of_a_named_origin_may_call_and_one_of_another_may_not(caller, owner):
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    named, other = ({"origin": each} for each in (ORIGIN, f"{ORIGIN}.evil.example"))
    preflights = [caller.options("/v1/orders", headers=asked | each) for each in (named, other)]
    answers = [caller.get("/v1/orders", headers=owner | each) for each in (named, other)]

    assert [204, 403] == [answer.status_code for answer in preflights]
    assert "POST" in preflights[0].headers["access-control-allow-methods"]
    for allowed, refused in (preflights, answers):
        assert ORIGIN == allowed.headers["access-control-allow-origin"]
        assert "access-control-allow-origin" not in refused.headers


def test_a_page_of_a_named_origin_may_read_what_the_gateway_itself_refuses(caller):
    named, other, nobody = (
        caller.get("/v1/nothing", headers=each)
        for each in ({"origin": ORIGIN}, {"origin": f"{ORIGIN}.evil.example"}, {})
    )

    assert ORIGIN == named.headers["access-control-allow-origin"]
    assert "Correlation-Id" in named.headers["access-control-expose-headers"]
    for answer in (named, other, nobody):
        assert (404, "not-found", "origin") == (
            answer.status_code,
            answer.json()["code"],
            answer.headers["vary"],
        )
    assert not any("access-control-allow-origin" in each.headers for each in (other, nobody))
