"""The listener of a gateway with a certificate and small buckets: a second one of the Envoy of the run."""

import ssl

import httpx
import pytest

from tests.gateway.conftest import WRITES_MAX

TRIES_MAX = 1_000
"""Of commands, until one is refused; the bucket gets one more each second."""
HSTS = "max-age=31536000; includeSubDomains"


def calling(url, authority, *, source="127.0.0.1"):
    """A client that knows the authority and calls from an address."""
    context = ssl.create_default_context(cafile=str(authority.file))
    transport = httpx.HTTPTransport(verify=context, local_address=source)
    return httpx.Client(base_url=url, timeout=60, trust_env=False, transport=transport)


def statuses(client, *, many):
    """Of so many commands without a token, which a gateway refuses by itself."""
    return [client.post("/v1/orders").status_code for _ in range(many)]


def test_a_bucket_refuses_one_address_after_the_limit_and_not_before(gateway, secure_url, authority):
    with calling(secure_url, authority) as client:
        within = statuses(client, many=WRITES_MAX)
        tries = (client.post("/v1/orders") for _ in range(TRIES_MAX))
        beyond = next(one for one in tries if one.status_code == 429)
        read = client.get("/problems")
    with calling(secure_url, authority, source="127.0.0.2") as other:
        elsewhere = statuses(other, many=WRITES_MAX)

    assert [401] * WRITES_MAX == within == elsewhere
    assert ("too-many-requests", "1") == (beyond.json()["code"], beyond.headers["retry-after"])
    assert 200 == read.status_code


def test_over_tls_the_gateway_shows_its_certificate_and_says_hsts(gateway, secure_url, authority):
    with calling(secure_url, authority) as client:
        answers = [client.get(path) for path in ("/problems", "/v1/nowhere")]

    assert [(200, HSTS), (404, HSTS)] == [
        (each.status_code, each.headers["strict-transport-security"]) for each in answers
    ]


def test_who_speaks_plainly_to_a_listener_with_tls_is_not_answered(gateway, secure_url):
    with pytest.raises(httpx.TransportError):
        httpx.get(secure_url.replace("https", "http"), timeout=60, trust_env=False)
