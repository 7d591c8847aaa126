"""What a gateway sends a second time where nobody answered: reads, and requests with a key. Nothing else, ever."""

import collections
import contextlib
import json

import httpx
import pytest
from msgspec import structs

from counterfoil.api_gateway import envoy
from counterfoil.api_gateway.layout import TRIES_MAX, ApiAddress
from devservers import child
from devservers.envoy_server import EnvoyServer
from tests.gateway.silent import Silent

STEERING = {"x-envoy-retry-on": "5xx,reset,connect-failure", "x-envoy-max-retries": "3"}
"""By which a caller that Envoy trusts has a request sent again."""


@contextlib.contextmanager
def before_silence(gateway_layout, directory, *, change=lambda configuration: configuration):
    """A gateway before processes that never answer; `change` is made to its configuration."""
    with Silent() as one, Silent() as other:
        targets = (ApiAddress("127.0.0.1", one.port), ApiAddress("127.0.0.1", other.port))
        layout = structs.replace(
            gateway_layout,
            verifies_tokens=False,
            listens=ApiAddress("127.0.0.1", child.free_port()),
            targets=dict.fromkeys(gateway_layout.targets, targets),
        )
        url = f"http://127.0.0.1:{layout.listens.port}"
        with (
            EnvoyServer(directory, configuration=change(envoy.bootstrap(layout)), url=url),
            httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
        ):
            yield client, lambda: collections.Counter(one.counted) + collections.Counter(other.counted)


def without_the_condition(configuration):
    """A planted fault: everything that may be sent again with a key is so without one."""
    text = json.dumps(configuration)
    key = json.dumps({"name": "idempotency-key", "present_match": True})
    assert key in text
    return json.loads(text.replace(f", {key}", ""))


@pytest.fixture(scope="module")
def silence(gateway_layout, servers_directory):
    with before_silence(gateway_layout, servers_directory / "before-silence") as opened:
        yield opened


def test_a_post_without_a_key_is_sent_once_and_nobody_can_have_it_sent_again(silence, gateway_layout):
    client, counted = silence
    posts = [route.path for route in gateway_layout.routes if "POST" in route.methods and not route.pattern]
    before = counted()
    for path in posts:
        answer = client.post(path, headers=STEERING, content=b"{}")
        assert (503, "outcome-unknown") == (answer.status_code, answer.json()["code"])

    assert dict.fromkeys((f"POST {path}" for path in posts), 1) == dict(counted() - before)


def test_a_read_and_a_post_with_a_key_are_sent_to_others_a_few_times(silence):
    client, counted = silence
    before = counted()
    for number in range(3):
        client.get(f"/v1/orders/{number}")
        client.post("/v1/orders", headers={"idempotency-key": str(number)}, content=b"{}")
    found = counted() - before

    assert 3 * TRIES_MAX == found["POST /v1/orders"]
    assert 3 * TRIES_MAX == sum(found[f"GET /v1/orders/{number}"] for number in range(3))


def test_a_key_helps_nothing_on_a_route_that_takes_none(silence, gateway_layout):
    client, counted = silence
    keyless = [
        route.path for route in gateway_layout.routes if not (route.reads or route.takes_key or route.pattern)
    ]
    before = counted()
    for path in keyless:
        client.post(path, headers={"idempotency-key": "k"}, content=b"{}")

    assert "/v1/sessions" in keyless
    assert dict.fromkeys((f"POST {path}" for path in keyless), 1) == dict(counted() - before)


def test_planted_a_policy_without_the_condition_is_found(gateway_layout, servers_directory):
    directory = servers_directory / "planted"
    with before_silence(gateway_layout, directory, change=without_the_condition) as (client, counted):
        client.post("/v1/orders", content=b"{}")

        assert 1 < counted()["POST /v1/orders"]
