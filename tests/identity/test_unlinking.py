"""Providers that are unlinked: by the account itself or an owner, so that nobody keeps a login that is not theirs."""

import asyncio
import re

import pytest
from pydantic import SecretStr

from commands.identity.provider_routes import COOKIE
from commands.identity.sessions import Sessions
from commands.identity.vault import Vault
from commands.processes.security_notices import SECURITY_NOTICES
from counterfoil.testing.http import new_key
from domain.event import type_name
from domain.identity import external as externals
from tests.customers import erasing
from tests.identity.conftest import opened
from tests.identity.provider import with_provider
from tests.identity.shop import EMAIL, PASSWORD, REFUSED_WITHIN_S
from tests.identity.test_providers import (
    at_provider,
    begin_link,
    callback,
    log_in,
    start,
)

pytestmark = pytest.mark.anyio

ADA = "ada@example.org"
RESET = "/v1/password-resets"


@pytest.fixture
def shop(shop_with_provider):
    return shop_with_provider


async def link(shop, tokens, *, password=PASSWORD):
    """What linking the identity to the account of a session is answered."""
    asked = await begin_link(shop, tokens, password=password)
    if asked.status_code != 200:
        return asked
    (kept,) = re.findall(rf"{COOKIE}=([^;]+)", asked.headers["set-cookie"])
    return await callback(shop, await at_provider(asked.json()["authorization_url"]), kept)


async def unlink(shop, account_id, tokens, *, provider="oidc", **headers):
    path = f"/v1/accounts/{account_id}/providers/{provider}/revocation"
    return await shop.post(path, {}, tokens["access_token"], headers=headers)


def code(answer):
    return answer.status_code, answer.json().get("code")


async def test_a_provider_that_is_unlinked_opens_nothing_and_is_linked_again(shop):
    tokens = await shop.session()
    account_id = tokens["account_id"]
    assert 200 == (await link(shop, tokens)).status_code
    thief = (await log_in(shop)).json()
    assert account_id == thief["account_id"]

    key = new_key()
    first = await unlink(shop, account_id, tokens, **{"idempotency-key": key})
    again = await unlink(shop, account_id, tokens, **{"idempotency-key": key})

    assert (201, 201, first.content) == (first.status_code, again.status_code, again.content), first.text
    assert await shop.refused_everywhere(thief["access_token"]) < REFUSED_WITHIN_S
    assert 400 == (await shop.refresh(thief["refresh_token"])).status_code
    assert "logout" == shop.events(f"session-{thief['session_id']}")[-1].cause
    assert 200 == (await shop.refresh(tokens["refresh_token"])).status_code, "the session that asked goes on"
    assert (404, "provider-not-linked") == code(await unlink(shop, account_id, tokens))
    assert 200 == (await link(shop, tokens)).status_code
    assert account_id == (await log_in(shop)).json()["account_id"]
    assert 2 == shop.types()["identity.external_identity_linked.v1"]


async def test_an_identity_that_is_unlinked_may_belong_to_another_account(shop):
    owner = await shop.session()
    await link(shop, owner)
    assert 201 == (await unlink(shop, owner["account_id"], owner)).status_code

    ada = (await log_in(shop)).json()

    assert ada["account_id"] != owner["account_id"]
    assert (400, "login-refused") == code(await link(shop, owner)), "it is hers now"


async def test_a_login_that_is_the_only_one_is_kept_until_there_is_a_password(shop):
    ada = (await log_in(shop)).json()

    assert (409, "last-login") == code(await unlink(shop, ada["account_id"], ada))
    assert 200 == (await log_in(shop)).status_code
    token = await shop.asked(RESET, ADA)
    reset = await shop.commands.post(
        f"{RESET}/completion", json={"token": token, "password": "staple and a candle"}
    )
    assert 204 == reset.status_code
    assert ada["account_id"] == (await log_in(shop)).json()["account_id"], "a reset unlinks nothing"
    ada = await shop.session(email=ADA, password="staple and a candle")
    assert 201 == (await unlink(shop, ada["account_id"], ada)).status_code
    assert (400, "login-refused") == code(await log_in(shop))


async def test_an_owner_unlinks_the_provider_of_another_account_and_nobody_else_does(shop):
    await shop.token_as("customer")
    customer = await shop.session(email="customer@example.org")
    assert 200 == (await link(shop, customer)).status_code
    await shop.token_as("support")
    support = await shop.session(email="support@example.org")

    assert (404, "not-found") == code(await unlink(shop, "customer", support))
    owner = await shop.session()
    assert (404, "provider-not-linked") == code(await unlink(shop, "customer", owner, provider="google"))
    assert (404, "account-unknown") == code(await unlink(shop, "nobody", owner))
    assert 201 == (await unlink(shop, "customer", owner)).status_code

    assert 400 == (await shop.refresh(customer["refresh_token"])).status_code
    assert "administrator" == shop.events(f"session-{customer['session_id']}")[-1].cause
    assert 200 == (await shop.refresh(owner["refresh_token"])).status_code


async def test_a_login_that_is_unlinked_meanwhile_opens_no_session(shop, monkeypatch):
    owner = await shop.session()
    await link(shop, owner)
    opening, waiting = Sessions.open, [owner]

    async def unlinked_meanwhile(self, *given, **named):
        while waiting:
            assert 201 == (await unlink(shop, owner["account_id"], waiting.pop())).status_code
        return await opening(self, *given, **named)

    monkeypatch.setattr(Sessions, "open", unlinked_meanwhile)
    opened_before = shop.types()["identity.session_opened.v1"]
    url, kept = await start(shop)

    assert (400, "login-refused") == code(await callback(shop, await at_provider(url), kept))
    assert opened_before == shop.types()["identity.session_opened.v1"]


async def test_a_session_that_ends_by_an_unlinking_links_nothing_meanwhile(shop, monkeypatch):
    owner = await shop.session()
    await link(shop, owner)
    thief = (await log_in(shop)).json()
    finding, waiting = Vault.session, [owner]

    async def unlinked_meanwhile(self, session_id):
        found = await finding(self, session_id)
        while session_id == thief["session_id"] and waiting:
            assert 201 == (await unlink(shop, owner["account_id"], waiting.pop())).status_code
        return found

    monkeypatch.setattr(Vault, "session", unlinked_meanwhile)

    assert (400, "login-refused") == code(await link(shop, thief))
    assert 1 == shop.types()["identity.external_identity_linked.v1"]


async def test_sessions_that_a_process_did_not_come_to_end_are_ended_by_the_next_try(shop, monkeypatch):
    tokens = await shop.session(email=EMAIL)
    await link(shop, tokens)
    thief, key = (await log_in(shop)).json(), new_key()
    with monkeypatch.context() as cut_short:
        cut_short.setattr(Sessions, "end_all", lambda *_given, **_named: asyncio.sleep(0))
        await unlink(shop, tokens["account_id"], tokens, **{"idempotency-key": key})

    again = await unlink(shop, tokens["account_id"], tokens, **{"idempotency-key": key})

    assert "true" == again.headers["idempotent-replayed"]
    assert 400 == (await shop.refresh(thief["refresh_token"])).status_code


@pytest.fixture
async def shop_with_keys(owned, keys_database_url, provider):
    settings = owned.model_copy(update={"keys_database_url": SecretStr(keys_database_url)})
    async with opened(with_provider(settings, provider.issuer)) as shop:
        yield shop


async def erased(shop):
    """The account that a login at the provider made, after the erasure of its customer."""
    ada = (await log_in(shop)).json()
    account_id, token = ada["account_id"], ada["access_token"]
    made = await shop.post("/v1/customers", erasing.ADA, token)
    assert 201 == made.status_code, made.text
    assert 201 == (await shop.post(f"/v1/customers/{account_id}/erasure", {}, token)).status_code
    await asyncio.to_thread(erasing.send, shop.settings)
    assert (400, "login-refused") == code(await log_in(shop)), "it is not closed yet"
    await asyncio.to_thread(erasing.close, shop.settings)
    return account_id


async def test_who_was_erased_registers_anew_by_the_same_provider(shop_with_keys):
    account_id = await erased(shop_with_keys)

    again = await log_in(shop_with_keys)

    assert 200 == again.status_code, again.text
    assert account_id != again.json()["account_id"]
    assert ["external_identity_linked", "external_identity_unlinked"] == [
        type_name(each).split(".")[1] for each in shop_with_keys.events(f"external-{account_id}")
    ]
    await asyncio.to_thread(erasing.close, shop_with_keys.settings)
    assert again.json()["account_id"] == (await log_in(shop_with_keys)).json()["account_id"]


async def test_who_was_erased_is_not_written_to_about_providers_that_this_unlinked(shop_with_keys):
    def notify():
        erasing.work_off(shop_with_keys.settings, SECURITY_NOTICES)

    await asyncio.to_thread(notify)
    await log_in(shop_with_keys)
    await asyncio.to_thread(notify)
    await erased(shop_with_keys)
    await asyncio.to_thread(notify)

    assert 1 == shop_with_keys.types()["identity.external_identity_unlinked.v1"]
    assert 1 == shop_with_keys.types()["mail.mail_requested.v1"], "that of the provider that was linked"


async def test_a_provider_of_who_was_erased_may_be_linked_to_another_account(shop_with_keys):
    await erased(shop_with_keys)
    owner = await shop_with_keys.session()

    assert (200, owner["account_id"]) == (
        (linked := await link(shop_with_keys, owner)).status_code,
        linked.json()["account_id"],
    )


async def test_an_owner_unlinks_what_an_earlier_release_left_linked_to_a_closed_account(
    shop_with_keys, monkeypatch
):
    with monkeypatch.context() as earlier:
        earlier.setattr(externals, "unlink_all", lambda *_given, **_named: [])
        account_id = await erased(shop_with_keys)
    owner = await shop_with_keys.session()

    assert 201 == (await unlink(shop_with_keys, account_id, owner)).status_code
    assert account_id != (await log_in(shop_with_keys)).json()["account_id"]
