"""Guests: a token for a day without an account, limited by address; what it places belongs to it."""

import asyncio

import pytest

from commands.identity.guests import WINDOW_S
from counterfoil import accounts
from runtime.identity import lifetimes
from tests.identity.conftest import opened
from tests.identity.shop import PRODUCT, REFUSED_WITHIN_S, bearer
from tests.identity.test_ownership import MINE

pytestmark = pytest.mark.anyio


async def test_a_guests_order_belongs_to_the_subject_of_its_token(shop):
    await shop.post("/v1/products", PRODUCT, await shop.token_as("owner"))
    answer = await shop.commands.post("/v1/guest-tokens")
    guest = answer.json()

    placed = await shop.post("/v1/orders", MINE, guest["access_token"])

    assert (201, "no-store") == (answer.status_code, answer.headers["cache-control"])
    assert 201 == placed.status_code, placed.text
    stream = f"order-{placed.json()['id']}"
    assert [guest["guest_id"]] == [event.customer_id for event in shop.events(stream)]
    assert [f"guest:{guest['guest_id']}"] == [each.actor for each in shop.metadata(stream)]
    assert (
        201
        == (
            await shop.post(
                f"/v1/orders/{placed.json()['id']}/cancellation",
                {"reason": "customer"},
                guest["access_token"],
            )
        ).status_code
    )


async def test_a_token_of_a_guest_lasts_a_day_and_is_no_account(shop):
    before = shop.types()
    guest = (await shop.commands.post("/v1/guest-tokens")).json()
    claims = shop.trust.claims(guest["access_token"].encode())

    assert (86_400, 86_400) == (guest["expires_in"], claims.exp - claims.iat)
    assert (guest["guest_id"], "guest", ("guest",)) == (claims.sub, claims.kind, claims.roles)
    assert before == shop.types()
    with shop.vault() as vault:
        assert (0,) == vault.execute("select count(*) from vault.session").fetchone()


async def test_a_guests_token_can_be_revoked_for_as_long_as_it_would_last(shop):
    token = await shop.token_as("guest")
    other = await shop.token_as("guest")

    assert 200 == (await shop.commands.post("/oauth/revoke", data={"token": token})).status_code

    assert await shop.refused_everywhere(token) < REFUSED_WITHIN_S
    assert 401 != (await shop.get("/v1/products", other)).status_code
    with shop.vault() as vault:
        row = vault.execute(
            "select max(extract(epoch from expires_at - clock_timestamp())) from vault.denial"
        ).fetchone()
    assert row[0] > lifetimes.GUEST_LIFETIME_S


async def test_a_guests_token_outlives_the_key_that_signed_it(shop):
    token = await shop.token_as("guest")
    await asyncio.to_thread(accounts.rotate_key, shop.settings)

    with shop.vault() as vault:
        row = vault.execute(
            "select max(extract(epoch from verifies_until - clock_timestamp())) from vault.signing_key"
        ).fetchone()
    assert row[0] > lifetimes.GUEST_LIFETIME_S
    assert 401 != (await shop.queries.get("/v1/products", headers=bearer(token))).status_code


async def test_an_address_is_given_so_many(with_accounts):
    async with opened(with_accounts.model_copy(update={"guest_tokens_per_address": 2})) as shop:
        answers = [await shop.commands.post("/v1/guest-tokens") for _ in range(3)]

    assert [201, 201, 429] == [answer.status_code for answer in answers]
    assert "too-many-requests" == answers[-1].json()["code"]
    assert 0 < int(answers[-1].headers["retry-after"]) <= WINDOW_S + 1
