"""Keys that sign access tokens: two are live, one takes over, and one that was stolen is refused at once."""

import asyncio
import re

import pytest

from commands.identity.vault import Vault
from counterfoil import accounts
from tests.identity.shop import REFUSED_WITHIN_S
from tests.identity.test_crashes import Killed, killed_at

pytestmark = pytest.mark.anyio

AGE_S_MAX = 60.0
"""Of what an API knows of denials: it asks four times a second, and a busy machine lets it wait."""


async def knows(shop, kid, *, keys):
    """Wait until both APIs have so many keys, and this one among them."""
    async with asyncio.timeout(120):
        for app in (shop.command_app, shop.query_app):
            trust = app.state.callers.trust
            while keys != len(trust.key_set()) or kid not in {key["kid"] for key in trust.key_set()}:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


async def signed_by(shop, kid):
    """The tokens of a session, as soon as the command API signs with a key."""
    async with asyncio.timeout(120):
        while (await shop.sessions.signing.key()).kid != kid:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return await shop.session()


async def test_two_keys_are_live_and_rotation_keeps_tokens_good(shop):
    tokens = await shop.session()
    keys = (await shop.commands.get("/.well-known/jwks.json")).json()["keys"]
    assert 2 == len(keys)
    assert {"kty", "crv", "x", "kid", "use", "alg"} == set(keys[0])

    kid = await asyncio.to_thread(accounts.rotate_key, shop.settings, reason="it is March", by="jo")
    await knows(shop, kid, keys=3)
    again = await signed_by(shop, kid)

    assert kid in {key["kid"] for key in keys}, "it was announced before it signed"
    assert 200 == (await shop.get("/v1/events", tokens["access_token"])).status_code
    assert 200 == (await shop.get("/v1/events", again["access_token"])).status_code
    (rotated,) = shop.events(f"signing_key-{kid}")
    assert (False, "it is March") == (rotated.distrusted, rotated.reason)
    assert ["operator:jo"] == [each.actor for each in shop.metadata(f"signing_key-{kid}")]


async def test_a_stolen_signing_key_is_refused_within_a_second_and_sessions_go_on(shop):
    tokens = await shop.session()
    stolen = (await shop.sessions.signing.key()).kid

    kid = await asyncio.to_thread(accounts.rotate_key, shop.settings, distrust=True, by="jo")

    assert await shop.refused_everywhere(tokens["access_token"]) < REFUSED_WITHIN_S
    await knows(shop, kid, keys=2)
    await signed_by(shop, kid)
    refreshed = (await shop.refresh(tokens["refresh_token"])).json()
    assert 200 == (await shop.get("/v1/events", refreshed["access_token"])).status_code
    assert stolen not in (await shop.commands.get("/.well-known/jwks.json")).text
    assert [True] == [each.distrusted for each in shop.events(f"signing_key-{kid}")]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_rotation_that_is_killed_is_done_once_by_the_next_try(shop, after):
    announced = await shop.sessions.accounts.vault.announced_key()
    with pytest.MonkeyPatch.context() as patched:
        killed_at(patched, Vault, "rotate_key", after=after)
        with pytest.raises(Killed):
            await asyncio.to_thread(accounts.rotate_key, shop.settings)
    next_kid = await asyncio.to_thread(accounts.rotate_key, shop.settings)

    assert after == (next_kid != announced)
    assert 1 + after == shop.types()["identity.signing_key_rotated.v1"]
    with shop.vault() as vault:
        (signing,) = vault.execute(
            "select kid from vault.signing_key where signs_from <= now() and verifies_until is null"
        ).fetchall()
    assert (next_kid,) == signing


async def test_logins_and_refreshes_are_counted_by_outcome(shop):
    tokens = await shop.session()
    assert 401 == (await shop.log_in(password="another one")).status_code
    for given in ({}, {}, {"client_id": "other"}):
        await shop.refresh(tokens["refresh_token"], **given)
    assert 400 == (await shop.refresh("none")).status_code
    await shop.get("/v1/events", "none")

    metrics = (await shop.commands.get("/metrics")).text + (await shop.queries.get("/metrics")).text
    for line in (
        'counterfoil_identity_logins_total{outcome="opened"} 1.0',
        'counterfoil_identity_logins_total{outcome="refused"} 1.0',
        'counterfoil_identity_refreshes_total{outcome="rotated"} 1.0',
        'counterfoil_identity_refreshes_total{outcome="repeated"} 1.0',
        'counterfoil_identity_refreshes_total{outcome="reused"} 1.0',
        'counterfoil_identity_refreshes_total{outcome="refused"} 1.0',
        'counterfoil_identity_denials_total{code="bad-credentials",route="/v1/sessions"} 1.0',
        'counterfoil_identity_denials_total{code="unauthenticated",route="/v1/events"} 1.0',
        'counterfoil_identity_verifications_total{cached="no"} 1.0',
    ):
        assert line in metrics, line
    ages_s = re.findall(r"^counterfoil_identity_denials_age_seconds (\S+)$", metrics, re.MULTILINE)
    assert [True] * 2 == [0 <= float(each) < AGE_S_MAX for each in ages_s]
