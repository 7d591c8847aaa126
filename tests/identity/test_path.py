"""From the first owner to a token that is refused: the whole path, over both APIs, a real log and a real vault."""

import asyncio

import pytest

from commands.identity.errors import OtherSecrets
from counterfoil import accounts
from counterfoil.accounts import NotCreated
from domain.event import type_name
from runtime.problems import ProblemError
from tests.identity.conftest import opened
from tests.identity.shop import EMAIL, ORDER, PASSWORD, PRODUCT, REFUSED_WITHIN_S, bearer

pytestmark = pytest.mark.anyio


async def test_an_order_names_the_account_that_placed_it(shop):
    tokens = await shop.session()

    assert 201 == (await shop.post("/v1/products", PRODUCT, tokens["access_token"])).status_code
    assert 201 == (await shop.post("/v1/orders", ORDER, tokens["access_token"])).status_code
    assert [f"account:{tokens['account_id']}"] == [each.actor for each in shop.metadata("order-1001")]
    assert 200 == (await shop.get("/v1/events", tokens["access_token"])).status_code


async def test_without_a_token_nobody_is_known(shop):
    for answer in (await shop.post("/v1/products", PRODUCT), await shop.get("/v1/orders/1001")):
        assert (401, "unauthenticated") == (answer.status_code, answer.json()["code"])
        assert 'Bearer realm="counterfoil"' == answer.headers["www-authenticate"]
    batch = await shop.commands.post("/v1/commands", json={"commands": []})
    assert 401 == batch.status_code


async def test_a_session_goes_on_by_rotation_and_the_log_has_one_event_of_it(shop):
    tokens = await shop.session()
    for _ in range(3):
        answer = await shop.refresh(tokens["refresh_token"])
        assert 200 == answer.status_code
        assert "no-store" == answer.headers["cache-control"]
        assert tokens["refresh_token"] != answer.json()["refresh_token"]
        tokens = answer.json()

    assert ["identity.session_opened.v1"] == [
        type_name(each) for each in shop.events(f"session-{tokens['session_id']}")
    ]
    assert 201 == (await shop.post("/v1/products", PRODUCT, tokens["access_token"])).status_code


async def test_a_logged_out_token_is_refused_by_both_apis_within_a_second(shop):
    tokens = await shop.session()
    path = f"/v1/sessions/{tokens['session_id']}/revocation"

    ended = await shop.commands.post(path, headers=bearer(tokens["access_token"]))

    assert 204 == ended.status_code
    assert await shop.refused_everywhere(tokens["access_token"]) < REFUSED_WITHIN_S
    assert 400 == (await shop.refresh(tokens["refresh_token"])).status_code
    assert ["session_opened", "session_revoked"] == [
        type_name(each).split(".")[1] for each in shop.events(f"session-{tokens['session_id']}")
    ]


async def test_a_session_of_somebody_else_is_none(shop):
    tokens = await shop.session()

    absent = await shop.commands.post(
        "/v1/sessions/nothing/revocation", headers=bearer(tokens["access_token"])
    )

    assert (404, "not-found") == (absent.status_code, absent.json()["code"])


async def test_there_is_one_first_owner(shop):
    with pytest.raises(ProblemError, match="owner-exists"):
        await asyncio.to_thread(
            accounts.create_owner, shop.settings, email="b@example.org", password=PASSWORD
        )

    assert 1 == shop.types()["identity.account_registered.v1"]


async def test_a_short_password_is_refused(with_accounts):
    with pytest.raises(NotCreated, match="8 to 256"):
        await asyncio.to_thread(accounts.create_owner, with_accounts, email=EMAIL, password="1234567")


async def test_the_log_has_neither_address_nor_password(shop):
    await shop.session()

    everything = shop.everything()
    for secret in (EMAIL, "example.org", PASSWORD, "argon2"):
        assert secret not in everything


async def test_an_api_with_another_file_of_secrets_does_not_start(shop, tmp_path):
    settings = shop.settings.model_copy(update={"identity_secrets": tmp_path / "other.key"})

    with pytest.raises(NotCreated, match="this installation has one"):
        await asyncio.to_thread(accounts.create_owner, settings, email=EMAIL, password=PASSWORD)
    (tmp_path / "other.key").write_bytes(bytes(32))
    (tmp_path / "other.key").chmod(0o600)
    with pytest.raises(OtherSecrets, match="begun with"):
        async with opened(settings):
            pass


async def test_a_nul_in_any_text_is_refused_and_nothing_breaks(shop):
    """Postgres keeps none, so a text that reached it unread would be an error of ours."""
    tokens = await shop.session()
    token, refresh = tokens["access_token"], tokens["refresh_token"]
    known = {"email": "a@b", "password": PASSWORD, "roles": ["support"]}
    by_link = {"token": "cfl_\0.1", "password": PASSWORD}
    answers = [
        *[await shop.post(path, {"email": "a\0@b"}) for path in ("/v1/registrations", "/v1/password-resets")],
        *[
            await shop.post(f"/v1/{each}/completion", by_link)
            for each in ("registrations", "password-resets")
        ],
        await shop.post("/v1/sessions", {"email": "a\0@b", "password": PASSWORD}),
        await shop.post("/v1/sessions", {"email": EMAIL, "password": PASSWORD, "client_id": "\0"}),
        await shop.refresh(refresh, client_id="\0"),
        await shop.refresh("cfr_\0.1.A"),
        await shop.post("/v1/accounts", known | {"email": "a\0@b"}, token),
        await shop.post("/v1/clients", {"client_id": "a", "name": "\0", "scopes": ["orders:read"]}, token),
        *[
            await shop.post(f"/v1/{path}", {}, token)
            for path in ("sessions/%00/revocation", "accounts/%00/lock")
        ],
        *[
            await shop.post(f"/v1/clients/{path}", {}, token)
            for path in ("%00/keys", "a/keys/%00/revocation")
        ],
        await shop.get("/v1/orders/%00", token),
        await shop.get("/v1/streams/a%00/events", token),
    ]

    assert [] == [a.url for a in answers if a.status_code not in {400, 401, 404, 422}]
    assert 200 == (await shop.refresh(refresh)).status_code
