"""`counterfoil customer erase`, and acts: requests to the command API, and what it answers."""

import httpx
import pytest
from typer.testing import CliRunner

from counterfoil import erasing
from counterfoil.acts.errors import Refused
from counterfoil.acts.over_http import OverHttp
from counterfoil.cli.main import app
from runtime.settings import Settings


@pytest.fixture
def sent(monkeypatch):
    """Has the command API answer what a test says, and remembers what it was asked."""
    requests = []

    def answering(status, body):
        def post(url, **options):
            requests.append((url, options["headers"]))
            return httpx.Response(status, json=body, request=httpx.Request("POST", url))

        monkeypatch.setattr(erasing.httpx, "post", post)
        return requests

    return answering


def test_an_erasure_is_asked_for_as_who_has_the_token(sent, monkeypatch):
    monkeypatch.setenv("COUNTERFOIL_COMMAND_API_URL", "http://commands.example")
    monkeypatch.setenv("COUNTERFOIL_TOKEN", "owner")
    requests = sent(201, {"position": 17})
    printed = CliRunner().invoke(app, ["customer", "erase", "a b"])

    assert (0, True) == (printed.exit_code, "at position 17" in printed.stdout)
    ((url, headers),) = requests
    assert "http://commands.example/v1/customers/a%20b/erasure" == url
    assert {"Idempotency-Key": "erase-a%20b", "Authorization": "Bearer owner"} == headers


def test_a_refusal_says_why(sent):
    sent(409, {"detail": "Customer '1' has open orders."})

    with pytest.raises(erasing.NotErased, match="has open orders"):
        erasing.request(Settings(), "1")


def test_a_refusal_for_want_of_a_token_says_how_one_is_given(sent):
    sent(401, {"detail": "The request carries no token."})

    with pytest.raises(erasing.NotErased, match="carries no token: COUNTERFOIL_TOKEN holds"):
        erasing.request(Settings(), "1")


def test_an_act_that_is_refused_for_want_of_a_token_says_how_one_is_given(monkeypatch):
    def request(_client, method, url, **_):
        given = {"detail": "The token is not accepted."}
        return httpx.Response(401, json=given, request=httpx.Request(method, url))

    monkeypatch.setattr(httpx.Client, "request", request)

    with (
        OverHttp("http://commands.example", "http://queries.example", operator="jo") as operator,
        pytest.raises(Refused, match="is not accepted: COUNTERFOIL_TOKEN holds what is sent"),
    ):
        operator.ask("pause_consumer", "relay", {})
