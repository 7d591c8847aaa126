"""Logging in by an account at a provider: rows O1 and O2, and everything a provider may answer that is no login."""

import asyncio
import base64
import contextlib
import json
import re
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from oidc_provider_mock import User, run_server_in_thread
from pydantic import ValidationError

from commands.gateways.providers import oidc
from commands.gateways.providers.facebook import Facebook
from commands.identity import provider_routes
from commands.identity.provider_routes import COOKIE
from commands.identity.providers import Challenge, ProviderRefused
from commands.identity.sessions import Sessions
from counterfoil import accounts
from domain.event import type_name
from runtime.settings import Settings
from tests.identity.conftest import opened
from tests.identity.provider import CLIENT_ID, LOGIN_URL, with_provider
from tests.identity.shop import EMAIL, PASSWORD, bearer

pytestmark = pytest.mark.anyio


@pytest.fixture
async def shop(with_accounts, provider):
    async with opened(with_provider(with_accounts, provider.issuer)) as shop:
        shop.provider = provider
        yield shop


async def start(shop, *, name="oidc", **query):
    """Where the browser is sent, and its cookie."""
    answer = await shop.commands.get(f"/v1/oidc/{name}/start", params=query)
    assert 303 == answer.status_code, answer.text
    (kept,) = re.findall(rf"{COOKIE}=([^;]+)", answer.headers["set-cookie"])
    return answer.headers["location"], kept


async def at_provider(url):
    """What the browser brings back."""
    async with httpx.AsyncClient(trust_env=False, timeout=60) as browser:
        answer = await browser.get(url)
    assert 302 == answer.status_code, answer.text
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


async def callback(shop, given, kept, *, name="oidc"):
    headers = {} if kept is None else {"cookie": f"{COOKIE}={kept}"}
    return await shop.commands.get(f"/v1/oidc/{name}/callback", params=given, headers=headers)


async def log_in(shop, **query):
    url, kept = await start(shop, **query)
    return await callback(shop, await at_provider(url), kept)


def refused(answer, shop):
    assert (400, "login-refused") == (answer.status_code, answer.json()["code"]), answer.text
    assert 0 == shop.types()["identity.session_opened.v1"]
    return answer.json()["detail"]


async def test_who_logs_in_by_a_provider_has_an_account_and_the_same_one_the_next_time(shop):
    first = await log_in(shop, next="/basket?id=1", client_id="phone")
    second = await log_in(shop)

    assert (200, 200) == (first.status_code, second.status_code), first.text
    tokens, again = first.json(), second.json()
    assert tokens["account_id"] == again["account_id"]
    assert "/basket?id=1" == tokens["next"]
    assert "no-store" == first.headers["cache-control"]
    assert "Max-Age=0" in first.headers["set-cookie"]
    known = await shop.get("/v1/events", tokens["access_token"])
    assert (403, "forbidden") == (known.status_code, known.json()["code"]), "a customer reads no log"
    assert 200 == (await shop.refresh(tokens["refresh_token"], client_id="phone")).status_code
    assert {
        "account_registered": 1,
        "address_verified": 1,
        "external_identity_linked": 1,
        "role_granted": 1,
        "session_opened": 2,
    } == {name.split(".")[1]: count for name, count in shop.types().items()}
    everything = shop.everything()
    for canary in ("ada@example.org", "a-subject", shop.provider.issuer):
        assert canary not in everything


async def test_a_browser_is_sent_with_state_nonce_and_a_challenge_of_s256(shop):
    url, kept = await start(shop)
    asked = dict(parse_qsl(urlsplit(url).query))

    assert {"code", "S256", f"{LOGIN_URL}/oidc/callback", CLIENT_ID} == {
        asked[name] for name in ("response_type", "code_challenge_method", "redirect_uri", "client_id")
    }
    assert 43 == len(asked["code_challenge"]) == len(asked["state"]) == len(asked["nonce"])
    sealed = base64.urlsafe_b64decode(kept + "==")
    assert asked["state"].encode() not in sealed
    assert url != (await start(shop))[0]


async def test_O1_an_answer_that_belongs_to_no_login_of_this_browser_opens_no_session(shop, monkeypatch):  # noqa: N802
    url, kept = await start(shop)
    given = await at_provider(url)
    _, other = await start(shop)

    cases = {
        "no state": ({"code": given["code"]}, kept),
        "another state": ({**given, "state": "another"}, kept),
        "no code": ({"state": given["state"]}, kept),
        "no cookie": (given, None),
        "a cookie of another login": (given, other),
        "a cookie that is made up": (given, "AAAA"),
        "a cookie that is no base64": (given, "A"),
        "a changed cookie": (given, kept[:-2] + ("AA" if kept[-2:] != "AA" else "BB")),
        "another issuer": ({**given, "iss": "https://evil.example"}, kept),
        "denied": ({"error": "access_denied", "state": given["state"]}, kept),
    }
    for case, (answered, cookie) in cases.items():
        assert refused(await callback(shop, answered, cookie), shop), case
    assert refused(await callback(shop, given, kept, name="google"), shop)
    twice = await shop.commands.get(
        f"/v1/oidc/oidc/callback?code=1&state=2&state={given['state']}",
        headers={"cookie": f"{COOKIE}={kept}"},
    )
    assert refused(twice, shop)
    monkeypatch.setattr(provider_routes, "LOGIN_S", -1)
    late, old = await start(shop)
    assert "The login took too long." == refused(await callback(shop, await at_provider(late), old), shop)


@pytest.mark.parametrize(
    "by_provider", [True, False], ids=["the provider refuses", "the provider answers again"]
)
async def test_O1_an_answer_that_comes_twice_opens_one_session(shop, by_provider):  # noqa: N802
    shop.provider.errs = "" if by_provider else "code twice"
    url, kept = await start(shop)
    given = await at_provider(url)

    assert 200 == (await callback(shop, given, kept)).status_code
    again = await callback(shop, given, kept)

    assert (400, "login-refused") == (again.status_code, again.json()["code"])
    assert 1 == shop.types()["identity.session_opened.v1"]


async def test_O1_a_code_of_another_login_fails_by_its_challenge(shop):  # noqa: N802
    mine, kept = await start(shop)
    theirs = await at_provider((await start(shop))[0])

    state = dict(parse_qsl(urlsplit(mine).query))["state"]
    refused(await callback(shop, {"code": theirs["code"], "state": state}, kept), shop)


async def test_O1_a_code_that_is_over_opens_no_session(shop):  # noqa: N802
    url, kept = await start(shop)
    given = await at_provider(url)
    shop.provider.codes[given["code"]].given_at -= 61

    refused(await callback(shop, given, kept), shop)


SPOILED = ("nonce", "issuer", "audience", "expired", "unsigned", "shared secret", "stranger's key")


async def test_O1_an_id_token_that_is_not_for_this_login_opens_no_session(shop):  # noqa: N802
    for errs in SPOILED:
        url, kept = await start(shop)
        given = await at_provider(url)
        shop.provider.errs = errs
        assert refused(await callback(shop, given, kept), shop), errs


ELSEWHERE = (
    "//evil.example",
    "https://evil.example",
    "/\\evil.example",
    "\\\\evil",
    "evil",
    "",
    "/a\r\nSet-Cookie: a=b",
)


async def test_O1_what_follows_is_a_path_of_ours(shop):  # noqa: N802
    for following in ELSEWHERE:
        answer = await shop.commands.get("/v1/oidc/oidc/start", params={"next": following})

        assert (400, "login-refused") == (answer.status_code, answer.json()["code"]), following
        assert "set-cookie" not in answer.headers


async def test_O1_a_document_of_another_issuer_is_none_of_this_provider(shop):  # noqa: N802
    shop.provider.errs = "another document"

    answer = await shop.commands.get("/v1/oidc/oidc/start")

    assert (503, "provider-unreachable") == (answer.status_code, answer.json()["code"])


async def test_a_provider_that_is_away_says_nothing_of_the_login(shop):
    url, kept = await start(shop)
    given = await at_provider(url)
    shop.provider.errs = "silent"
    away = await callback(shop, given, kept)
    shop.provider.errs = ""

    assert (503, "provider-unreachable") == (away.status_code, away.json()["code"])
    assert 200 == (await callback(shop, given, kept)).status_code, "the code was not used"


async def test_a_key_that_is_rotated_during_a_login_is_fetched(shop, monkeypatch):
    monkeypatch.setattr(oidc, "REFETCHED_AFTER_S", 0.0)
    url, kept = await start(shop)
    given = await at_provider(url)
    shop.provider.rotate()

    assert 200 == (await callback(shop, given, kept)).status_code
    assert 2 == shop.provider.asked.count("/keys")


async def test_keys_are_not_fetched_for_each_token_that_names_none_of_them(shop, monkeypatch):
    monkeypatch.setattr(oidc, "REFETCHED_AFTER_S", 60.0)
    shop.provider.errs = "unsigned"
    for _ in range(3):
        url, kept = await start(shop)
        refused(await callback(shop, await at_provider(url), kept), shop)

    assert 1 == shop.provider.asked.count("/keys")


VICTIM = {"email": EMAIL}


@pytest.mark.parametrize(
    "claims",
    [
        {**VICTIM, "email_verified": False},
        VICTIM,
        {**VICTIM, "email_verified": "true"},
        {**VICTIM, "email_verified": True},
    ],
    ids=["unverified", "not said", "a text", "verified"],
)
async def test_O2_an_address_links_nothing_to_the_account_that_has_it(  # noqa: N802
    with_accounts, provider, claims
):
    settings = with_provider(with_accounts, provider.issuer)
    await asyncio.to_thread(accounts.create_owner, settings, email=EMAIL, password="correct horse")
    provider.claims = claims
    async with opened(settings) as shop:
        refused(await log_in(shop), shop)
        assert 0 == shop.types()["identity.external_identity_linked.v1"]


async def test_O2_an_address_that_is_not_verified_makes_no_account(shop):  # noqa: N802
    shop.provider.claims = {"email": "ada@example.org", "email_verified": False}

    refused(await log_in(shop), shop)
    assert 0 == shop.types()["identity.account_registered.v1"]


async def test_O2_an_identity_stays_with_its_account_whatever_address_it_has(shop):  # noqa: N802
    first = (await log_in(shop)).json()
    shop.provider.claims = {"email": "somebody-else@example.org", "email_verified": True}

    assert first["account_id"] == (await log_in(shop)).json()["account_id"]


async def begin_link(shop, tokens, *, password=PASSWORD):
    """Where the browser is sent that links an identity to the account of a session."""
    headers = bearer(tokens["access_token"])
    return await shop.commands.post("/v1/oidc/oidc/link", json={"password": password}, headers=headers)


async def test_who_is_logged_in_links_a_provider_and_logs_in_by_it(with_accounts, provider):
    settings = with_provider(with_accounts, provider.issuer)
    await asyncio.to_thread(accounts.create_owner, settings, email=EMAIL, password="correct horse battery")
    provider.claims = {}
    async with opened(settings) as shop:
        tokens = await shop.session()
        asked = await begin_link(shop, tokens)
        assert 401 == (await shop.commands.post("/v1/oidc/oidc/link")).status_code
        (kept,) = re.findall(rf"{COOKIE}=([^;]+)", asked.headers["set-cookie"])
        given = await at_provider(asked.json()["authorization_url"])
        linked = await callback(shop, given, kept)
        assert (200, "oidc") == (linked.status_code, linked.json()["linked"])
        assert tokens["account_id"] == (await log_in(shop)).json()["account_id"]
        (event,) = shop.events(shop_stream(shop))
        assert "identity.external_identity_linked.v1" == type_name(event)


async def locked(shop, tokens):
    await shop.token_as("owner", name="-2")
    second = (await shop.session(email="owner-2@example.org"))["access_token"]
    return await shop.post(f"/v1/accounts/{tokens['account_id']}/lock", {}, second)


async def with_another_password(shop, tokens):
    body = {"current": PASSWORD, "new": "staple and a candle"}
    return await shop.post(f"/v1/accounts/{tokens['account_id']}/password", body, tokens["access_token"])


async def logged_out(shop, tokens):
    return await shop.post(f"/v1/sessions/{tokens['session_id']}/revocation", {}, tokens["access_token"])


@pytest.mark.parametrize(
    ("ended", "cut_short"),
    [
        (logged_out, False),
        *((how, cut) for how in (locked, with_another_password) for cut in (False, True)),
    ],
)
async def test_no_provider_is_linked_by_a_session_that_ended_meanwhile(
    owned, provider, monkeypatch, ended, cut_short
):
    async with opened(with_provider(owned, provider.issuer)) as shop:
        tokens = await shop.session()
        asked = await begin_link(shop, tokens)
        (kept,) = re.findall(rf"{COOKIE}=([^;]+)", asked.headers["set-cookie"])
        given = await at_provider(asked.json()["authorization_url"])
        if cut_short:  # the log has it, and the sessions are there yet
            monkeypatch.setattr(Sessions, "end_all", lambda *_given, **_named: asyncio.sleep(0))
        assert (await ended(shop, tokens)).status_code in {201, 204}

        answer = await callback(shop, given, kept)

        assert (400, "login-refused") == (answer.status_code, answer.json()["code"]), answer.text
        assert 0 == shop.types()["identity.external_identity_linked.v1"]


async def test_a_locked_account_is_refused_in_the_words_of_a_login_at_a_provider(owned, provider):
    async with opened(with_provider(owned, provider.issuer)) as shop:
        account_id = (await log_in(shop)).json()["account_id"]
        owner = (await shop.session())["access_token"]
        assert 201 == (await shop.post(f"/v1/accounts/{account_id}/lock", {}, owner)).status_code

        answer = await log_in(shop)

        assert (400, "login-refused") == (answer.status_code, answer.json()["code"])
        assert "locked" in answer.json()["detail"]


def shop_stream(shop):
    with shop.reader() as connection:
        row = connection.execute("select stream from log.event where stream like 'external-%'").fetchone()
    return str(row[0])


async def test_a_provider_that_is_not_set_up_is_none(shop):
    assert 404 == (await shop.commands.get("/v1/oidc/facebook/start")).status_code


async def test_a_provider_of_somebody_else_s_is_logged_in_by(with_accounts):
    user = User(sub="somebody", claims={"email": "grace@example.org", "email_verified": True})
    with run_server_in_thread(user_claims=[user]) as server:
        issuer = f"http://localhost:{server.server_port}"
        async with opened(with_provider(with_accounts, issuer)) as shop:
            url, kept = await start(shop)
            async with httpx.AsyncClient(trust_env=False, timeout=60) as browser:
                sent = await browser.post(url, data={"sub": "somebody"})
            given = dict(parse_qsl(urlsplit(sent.headers["location"]).query))
            answer = await callback(shop, given, kept)

    assert 200 == answer.status_code, answer.text


CHALLENGE = Challenge(state="s", nonce="n", code_verifier="v" * 43)


@contextlib.asynccontextmanager
async def facebook(answers):
    """Facebook as its documentation shows it."""
    seen = []

    def answer(request):
        seen.append(request)
        status, document = answers[request.url.path.rpartition("/")[2]]
        return httpx.Response(status, content=json.dumps(document).encode())

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        yield (
            Facebook(
                http=http,
                client_id="shop",
                client_secret="secret",
                redirect_uri=f"{LOGIN_URL}/facebook/callback",
            ),
            seen,
        )


async def test_facebook_says_who_it_is_by_me_and_no_address():
    answers = {
        "access_token": (200, {"access_token": "t", "token_type": "bearer", "expires_in": 5183944}),
        "me": (200, {"id": "10158", "email": "ada@example.org"}),
    }
    async with facebook(answers) as (known, seen):
        url = await known.authorization_url(CHALLENGE)
        asserted = await known.assert_identity("code", CHALLENGE, issuer=None)

    assert ("https://www.facebook.com", "10158", None) == (asserted.issuer, asserted.subject, asserted.email)
    assert "S256" == dict(parse_qsl(urlsplit(url).query))["code_challenge_method"]
    exchanged, me = seen
    assert {"code": "code", "code_verifier": "v" * 43, "client_secret": "secret"}.items() <= dict(
        parse_qsl(exchanged.content.decode())
    ).items()
    assert "Bearer t" == me.headers["authorization"]


@pytest.mark.parametrize(
    "answers",
    [
        {
            "access_token": (
                400,
                {"error": {"message": "This authorization code has been used.", "code": 100}},
            )
        },
        {"access_token": (200, {"access_token": "t"}), "me": (400, {"error": {"code": 190}})},
        {"access_token": (200, {"access_token": "t"}), "me": (200, {"name": "Ada"})},
    ],
)
async def test_facebook_refusing_is_no_login(answers):
    async with facebook(answers) as (known, _):
        with pytest.raises(ProviderRefused):
            await known.assert_identity("code", CHALLENGE, issuer=None)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"google_client_id": "x"}, "all settings of the provider or none"),
        ({"oidc_client_id": "x", "oidc_client_secret": "y"}, "all settings of the provider or none"),
        ({"google_client_id": "x", "google_client_secret": "y"}, "needs COUNTERFOIL_LOGIN_URL"),
    ],
)
def test_settings_of_a_provider_are_whole_or_refused(given, text):
    with pytest.raises(ValidationError, match=text):
        Settings(**given)


def test_the_secret_of_a_provider_is_never_shown():
    shown = Settings(google_client_id="x", google_client_secret="a secret", login_url=LOGIN_URL).masked()

    assert "***" == shown["COUNTERFOIL_GOOGLE_CLIENT_SECRET"]
