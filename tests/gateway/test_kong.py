"""What is generated for Kong, by its documented fields and its rule of which route is taken.

There is no wheel of Kong, so none is started here.
"""

import json
import re
from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from counterfoil.api_gateway import kong
from counterfoil.api_gateway.layout import TRIES_MAX, ApiAddress
from tests.gateway import kong_fields

KEY = {"Idempotency-Key": "k"}
WAITING = {"Prefer": "respond-async, WAIT=5"}


@pytest.fixture(scope="module")
def declared(gateway_layout):
    return kong_fields.read(kong.declaration(gateway_layout))


def service_of(declared, method, path, given):
    """Where Kong sends a request: of the routes that match, the one with the most headers, then the first in rank."""
    matching = [
        (len(route.headers), route.regex_priority, service)
        for service in declared.services
        for route in service.routes
        if method in route.methods
        and any(re.match(each.removeprefix("~"), path) for each in route.paths)
        and all(re.search(value[0][2:], given.get(name, "")) for name, value in route.headers.items())
    ]
    best = max(rank for *rank, _ in matching)
    [found] = [service for *rank, service in matching if rank == best]
    return found


def wrongly_sent(declared, layout):
    """Requests that go to the wrong API, or are sent again where that has an effect, or are not where it has none."""
    found = []
    for route in layout.routes:
        path = re.sub(r"\{\w+\}", "1", route.path)
        for method in route.methods:
            for given in ({}, KEY, WAITING, KEY | WAITING, {"Idempotency-Key": ""}):
                service = service_of(declared, method, path, given)
                again = route.reads or (route.takes_key and bool(given.get("Idempotency-Key")))
                wanted = route.api.replace("_", "-"), TRIES_MAX - 1 if again else 0
                if wanted != (service.host, service.retries):
                    found.append((method, path, given, service.name))
    return found


def test_every_request_goes_to_its_api_and_is_sent_again_only_where_that_has_no_effect(
    declared, gateway_layout
):
    assert [] == wrongly_sent(declared, gateway_layout)


def test_planted_a_service_that_sends_everything_again_is_found(declared, gateway_layout):
    services = [structs.replace(each, retries=TRIES_MAX - 1) for each in declared.services]
    planted = structs.replace(declared, services=services)

    assert any(("POST", "/v1/orders", {}) == found[:3] for found in wrongly_sent(planted, gateway_layout))


def test_names_are_used_once_and_every_service_leads_to_an_upstream(gateway_layout):
    declared = kong_fields.read(
        kong.declaration(structs.replace(gateway_layout, origins=("https://shop.example",)))
    )
    names = [route.name for service in declared.services for route in service.routes]

    assert len(names) == len(set(names))
    assert {each.name for each in declared.upstreams} == {each.host for each in declared.services}


def test_a_read_that_waits_has_longer_and_a_class_with_a_limit_has_its_bucket(declared, gateway_layout):
    paths = ("/v1/orders/1", {}), ("/v1/orders/1", WAITING)
    short, long = (service_of(declared, "GET", path, given) for path, given in paths)
    login = service_of(declared, "POST", "/v1/sessions", {})

    assert short.read_timeout < long.read_timeout
    assert gateway_layout.buckets["login"].most == login.plugins[0].config["minute"]


def test_over_tls_certificates_are_verified_and_weights_are_those_given(gateway_layout):
    canary = (ApiAddress("one.example", 8080, 95), ApiAddress("::1", 8080, 5))
    layout = structs.replace(
        gateway_layout,
        targets=dict.fromkeys(gateway_layout.targets, canary),
        certificate=Path("/tls.pem"),
        upstream_ca=Path("/ca.pem"),
    )
    declared = kong_fields.read(kong.declaration(layout))

    assert [("one.example:8080", 95), ("[::1]:8080", 5)] == [
        (each.target, each.weight) for each in declared.upstreams[0].targets
    ]
    assert {("https", True)} == {(each.protocol, each.tls_verify) for each in declared.services}
    assert {"https"} == {
        one for each in declared.services for route in each.routes for one in route.protocols
    }
    assert "response-transformer" in {each.name for each in declared.plugins}


def test_planted_a_field_that_kong_does_not_know_is_found(gateway_layout):
    text = json.dumps(kong.declaration(gateway_layout)).replace('"retries"', '"retry"')

    with pytest.raises(msgspec.ValidationError, match="retry"):
        kong_fields.read(json.loads(text))
