"""Requests are counted by class of the route and kind of the caller, and answers say what is left."""

import httpx
import pytest
from fastapi import Response

from runtime.http.caller_address import CallerAddresses, trusted_proxies
from runtime.http.limiting import PRODUCTION, RequestLimits, limits_of
from runtime.http.principal import Principal
from runtime.quotas.limiter import Limiter
from runtime.settings import Settings, SettingsError
from tests.runtime.http.applying import ANYBODY, pipelined, serve

GUEST = Principal("guest", "1", frozenset({"orders:place"}))
ADA = Principal("account", "ada", frozenset({"orders:place"}))


def limited(limits, *, trusted=None, principal=GUEST):
    """An application with a route of each class."""

    async def authenticate(_exchange):
        return principal

    counted = RequestLimits(
        limits_of(Settings(limits=limits)), Limiter(shared=None, processes=1, clock=lambda: 0.0)
    )
    app = pipelined(
        authenticate=authenticate,
        limit_by_address=counted.by_address,
        limit_by_principal=counted.by_principal,
        address_of=CallerAddresses(trusted_proxies(Settings(trusted_proxies=trusted))).of,
    )

    async def done(_exchange):
        return Response("done")

    serve(app, "/orders", done, requires="orders:place")
    serve(app, "/orders", done, method="GET", requires="orders:place")
    serve(app, "/sessions", done, requires=ANYBODY)
    serve(app, "/livez", done, method="GET", requires=ANYBODY)
    return app


async def asked(app, *requests, peer="192.0.2.1", headers=None):
    transport = httpx.ASGITransport(app, client=(peer, 1234))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return [await client.request(*each, headers=headers) for each in requests]


POST, GET, LOGIN = ("POST", "/orders"), ("GET", "/orders"), ("POST", "/sessions")


@pytest.mark.anyio
async def test_who_sends_more_than_it_may_is_refused_and_learns_when_to_come_again():
    answers = await asked(limited("write:guest=2"), POST, POST, POST, GET)

    assert [200, 200, 429, 200] == [answer.status_code for answer in answers]
    assert ['"write-guest";q=2;w=60'] * 3 == [answer.headers["ratelimit-policy"] for answer in answers[:3]]
    assert ['"write-guest";r=1;t=60', '"write-guest";r=0;t=60', '"write-guest";r=0;t=60'] == [
        answer.headers["ratelimit"] for answer in answers[:3]
    ]
    assert "too-many-requests" == answers[2].json()["code"]
    assert 0 < int(answers[2].headers["retry-after"]) <= 60
    assert "ratelimit" not in answers[3].headers


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("limit", "request_", "principal"),
    [
        ("read:address=1", GET, GUEST),
        ("write:address=1", POST, GUEST),
        ("login:address=1", LOGIN, GUEST),
        ("read:guest=1", GET, GUEST),
        ("write:account=1", POST, ADA),
        ("read:address=1", ("GET", "/nowhere"), GUEST),
        ("write:service=1", POST, Principal("service", "till", frozenset({"orders:place"}))),
    ],
)
async def test_each_limit_counts_its_class_of_routes_and_its_kind_of_callers(limit, request_, principal):
    answers = await asked(limited(limit, principal=principal), request_, request_)

    assert [False, True] == [answer.status_code == 429 for answer in answers]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("limit", "request_"),
    [
        ("write:address=1", GET),
        ("read:account=1", GET),
        ("write:address=1", LOGIN),
        ("read:address=1", ("GET", "/livez")),
    ],
)
async def test_what_a_limit_is_not_for_it_does_not_count(limit, request_):
    answers = await asked(limited(limit), request_, request_)

    assert {200} == {answer.status_code for answer in answers}


@pytest.mark.anyio
async def test_l2_a_forged_x_forwarded_for_changes_nothing():
    app = limited("read:address=1")
    answers = [
        (await asked(app, GET, headers={"X-Forwarded-For": f"198.51.100.{number}"}))[0] for number in range(3)
    ]

    assert [200, 429, 429] == [answer.status_code for answer in answers]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("header", "peer", "counted_as"),
    [
        ("198.51.100.1", "192.0.2.1", "198.51.100.1"),
        ("203.0.113.9, 198.51.100.1, 192.0.2.2", "192.0.2.1", "198.51.100.1"),
        ("203.0.113.9,198.51.100.1", "192.0.2.1", "198.51.100.1"),
        ("not an address", "192.0.2.1", "192.0.2.1"),
        ("203.0.113.9, ?, 192.0.2.2", "192.0.2.1", "192.0.2.2"),
        ("192.0.2.3", "192.0.2.1", "192.0.2.3"),
        (None, "192.0.2.1", "192.0.2.1"),
        ("198.51.100.1", "203.0.113.5", "203.0.113.5"),
        ("198.51.100.1", "::ffff:192.0.2.1", "198.51.100.1"),
    ],
)
async def test_l2_an_address_counts_as_far_as_trusted_proxies_say_it(header, peer, counted_as):
    seen = []
    app = limited(None, trusted="192.0.2.0/24, 127.0.0.0/8")

    async def note(exchange):
        seen.append(exchange.address)
        return Response()

    serve(app, "/noted", note, method="GET")
    await asked(app, ("GET", "/noted"), peer=peer, headers=header and {"X-Forwarded-For": header})

    assert [counted_as] == seen


@pytest.mark.anyio
async def test_the_addresses_of_one_customers_ipv6_network_are_one():
    app = limited("read:address=1")
    answers = [
        (await asked(app, GET, peer=peer))[0] for peer in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")
    ]

    assert [200, 429, 200] == [answer.status_code for answer in answers]


def test_production_has_limits_unless_a_setting_says_otherwise_and_development_has_none():
    assert {} == limits_of(Settings())
    of_production = limits_of(Settings(profile="production"))
    assert PRODUCTION == {f"{kind[0]}:{kind[1]}": each.most for kind, each in of_production.items()}
    chosen = limits_of(Settings(profile="production", limits="write:guest=7, read:guest=0"))
    assert 7 == chosen["write", "guest"].most
    assert ("read", "guest") not in chosen


@pytest.mark.parametrize("limits", ["write:gest=1", "write:guest", "write:guest=-1", "write:guest=many"])
def test_a_limit_that_there_is_not_is_a_fault_of_the_configuration(limits):
    with pytest.raises(SettingsError, match="COUNTERFOIL_LIMITS"):
        limits_of(Settings(limits=limits))


def test_a_network_that_is_none_is_a_fault_of_the_configuration():
    with pytest.raises(SettingsError, match="COUNTERFOIL_TRUSTED_PROXIES"):
        trusted_proxies(Settings(trusted_proxies="192.0.2.0/24,192.0.2.1/33"))
