"""Row K1 of the security checks, and programs with their keys, over both APIs."""

import base64
import hashlib

import pytest

from counterfoil.testing.http import new_key
from domain.event import type_name
from tests.identity.shop import ORDER, PRODUCT, REFUSED_WITHIN_S, bearer

pytestmark = pytest.mark.anyio

TILL = {
    "client_id": "till-1",
    "name": "Till 1",
    "scopes": ["orders:place", "catalogue:write", "orders:read", "tokens:introspect"],
}


async def registered(shop, **changes):
    """The owner's token, and what registering a program was answered."""
    owner = (await shop.session())["access_token"]
    answer = await shop.post("/v1/clients", {**TILL, **changes}, owner)
    assert 201 == answer.status_code, answer.text
    return owner, answer.json()


async def test_a_program_calls_with_its_key_and_events_name_it(shop):
    _, issued = await registered(shop)

    assert 201 == (await shop.post("/v1/products", PRODUCT, issued["secret"])).status_code
    assert 201 == (await shop.post("/v1/orders", ORDER, issued["secret"])).status_code
    assert ["service:till-1"] == [each.actor for each in shop.metadata("order-1001")]
    assert 503 == (await shop.get("/v1/orders/1001", issued["secret"])).status_code  # there are no views here


async def test_k1_a_key_may_do_no_more_than_its_scopes(shop):
    owner, issued = await registered(shop, scopes=["orders:place"])

    refused = await shop.post("/v1/products", PRODUCT, issued["secret"])
    unheard = await shop.post("/v1/clients", {**TILL, "client_id": "x", "scopes": ["keys:write"]}, owner)

    assert (403, "forbidden") == (refused.status_code, refused.json()["code"])
    assert 422 == unheard.status_code


async def test_k1_only_a_digest_of_a_key_is_kept(shop, capfd):
    _, issued = await registered(shop)
    secret = issued["secret"][len("cfk_") + 37 :]
    await shop.post("/v1/products", PRODUCT, issued["secret"])
    in_query = await shop.queries.get(f"/v1/events?key={issued['secret']}")

    with shop.vault() as vault:
        (row,) = vault.execute("select key::text, digest from vault.key").fetchall()
    assert 401 == in_query.status_code
    assert secret not in row[0] + shop.everything() + in_query.text + "".join(capfd.readouterr())
    assert hashlib.sha256(secret.encode()).digest() == row[1]
    assert 32 == len(base64.urlsafe_b64decode(secret + "="))


async def test_k1_an_expired_key_is_refused(shop):
    _, issued = await registered(shop)
    with shop.vault() as vault:
        vault.execute("update vault.key set expires_at = clock_timestamp()")

    assert 401 == (await shop.get("/v1/events", issued["secret"])).status_code


async def test_a_secret_is_answered_once(shop):
    owner = (await shop.session())["access_token"]
    headers = {"idempotency-key": new_key()}

    first = await shop.post("/v1/clients", TILL, owner, headers=headers)
    again = await shop.post("/v1/clients", TILL, owner, headers=headers)
    other = await shop.post("/v1/clients", {**TILL, "name": "Till 2"}, owner, headers=headers)
    taken = await shop.post("/v1/clients", TILL, owner)

    assert 201 == again.status_code
    assert {**first.json(), "secret": None, "secret_shown": True} == again.json()
    assert ("idempotency-key-reused", "client-id-taken") == (other.json()["code"], taken.json()["code"])
    with shop.vault() as vault:
        assert [(True,)] == vault.execute("select named from vault.key where named").fetchall()
    assert "no-store" == first.headers["cache-control"]


async def test_keys_overlap_and_a_revoked_one_is_refused_within_a_second(shop):
    owner, first = await registered(shop)
    second = (await shop.post("/v1/clients/till-1/keys", {}, owner)).json()
    for key in (first, second):
        assert 403 == (await shop.get("/v1/events", key["secret"])).status_code

    path = f"/v1/clients/till-1/keys/{first['credential_id']}/revocation"
    assert 204 == (await shop.post(path, {}, owner)).status_code

    assert await shop.refused_everywhere(first["secret"]) < REFUSED_WITHIN_S
    assert 403 == (await shop.get("/v1/events", second["secret"])).status_code
    assert ["client_registered", "key_issued", "key_issued", "key_revoked"] == [
        type_name(each).split(".")[1] for each in shop.events("client-till-1")
    ]
    unknown = await shop.post("/v1/clients/nobody/keys", {}, owner)
    assert (404, "client-unknown") == (unknown.status_code, unknown.json()["code"])


async def granted(shop, secret, client_id="till-1", **form):
    given = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret, **form}
    return await shop.commands.post("/oauth/token", data=given)


async def test_a_token_is_said_to_be_good_for_no_longer_than_its_key(shop):
    _, issued = await registered(shop)
    with shop.vault() as vault:
        vault.execute("update vault.key set expires_at = clock_timestamp() + interval '90 s'")

    token = (await granted(shop, issued["secret"])).json()

    assert 0 < token["expires_in"] <= 90


async def test_a_program_exchanges_its_key_for_a_token_of_fewer_scopes(shop):
    _, issued = await registered(shop)
    token = (await granted(shop, issued["secret"], scope="catalogue:write")).json()

    assert ("Bearer", "catalogue:write") == (token["token_type"], token["scope"])
    assert 201 == (await shop.post("/v1/products", PRODUCT, token["access_token"])).status_code
    assert 403 == (await shop.post("/v1/orders", ORDER, token["access_token"])).status_code
    by_header = await shop.commands.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, auth=("till-1", issued["secret"])
    )
    assert 200 == by_header.status_code
    for wrong in ({"secret": "cfk_x"}, {"secret": issued["secret"], "client_id": "till-2"}):
        assert "invalid_client" == (await granted(shop, **wrong)).json()["error"]
    beyond = await granted(shop, issued["secret"], scope="sales:read")
    assert "invalid_scope" == beyond.json()["error"]


async def test_introspection_says_what_a_token_stands_for(shop):
    _, issued = await registered(shop)
    tokens = await shop.session()

    async def asked(token):
        headers = bearer(issued["secret"])
        return (await shop.commands.post("/oauth/introspect", data={"token": token}, headers=headers)).json()

    found = await asked(tokens["access_token"])
    assert (True, tokens["account_id"], ["owner"]) == (found["active"], found["sub"], found["roles"])
    assert {"active": False} == await asked("x.y.z")
    await shop.commands.post("/oauth/revoke", data={"token": tokens["refresh_token"]})
    await shop.refused_everywhere(tokens["access_token"])
    assert {"active": False} == await asked(tokens["access_token"])


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
async def test_a_token_that_is_revoked_ends_its_session(shop, which):
    tokens = await shop.session()

    assert 200 == (await shop.commands.post("/oauth/revoke", data={"token": tokens[which]})).status_code
    assert 200 == (await shop.commands.post("/oauth/revoke", data={"token": "none"})).status_code

    assert await shop.refused_everywhere(tokens["access_token"]) < REFUSED_WITHIN_S
    assert 400 == (await shop.refresh(tokens["refresh_token"])).status_code


async def test_a_revoked_token_of_a_program_is_refused_and_its_key_is_not(shop):
    _, issued = await registered(shop)
    token = (await granted(shop, issued["secret"])).json()["access_token"]

    await shop.commands.post("/oauth/revoke", data={"token": token})

    assert await shop.refused_everywhere(token) < REFUSED_WITHIN_S
    assert 403 == (await shop.get("/v1/events", issued["secret"])).status_code
