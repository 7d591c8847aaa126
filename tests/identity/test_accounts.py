"""Accounts and their roles: registered, given and taken by an owner, locked, and given another password."""

import asyncio

import pytest

from commands.identity.account_routes import ASSIGNABLE
from commands.identity.passwords import Passwords
from counterfoil.testing.http import new_key
from domain.event import type_name
from runtime.http.access import PERMISSIONS
from tests.identity.shop import EMAIL, PASSWORD, PRODUCT, REFUSED_WITHIN_S

pytestmark = pytest.mark.anyio

ADA = {
    "account_id": "ada",
    "email": "ada@example.org",
    "password": "a long enough one",
    "roles": ["merchandiser"],
}


async def registered(shop, **changes):
    """The owner's token, after an account was registered."""
    owner = (await shop.session())["access_token"]
    answer = await shop.post("/v1/accounts", {**ADA, **changes}, owner)
    assert 201 == answer.status_code, answer.text
    return owner


async def ada(shop, **changes):
    return await shop.session(**{"email": ADA["email"], "password": ADA["password"], **changes})


async def test_an_account_may_do_what_its_roles_may(shop):
    await registered(shop)
    token = (await ada(shop))["access_token"]

    assert 201 == (await shop.post("/v1/products", PRODUCT, token)).status_code
    refused = await shop.post("/v1/stock/1/receipts", {"quantity": 1}, token)
    assert (403, "forbidden") == (refused.status_code, refused.json()["code"])
    for path, body in (("/v1/accounts", ADA), ("/v1/clients", {})):
        assert 403 == (await shop.post(path, body, token)).status_code


async def test_a_registration_that_comes_again_is_answered_again_and_an_address_is_had_once(shop):
    owner = await registered(shop)
    headers = {"idempotency-key": new_key()}
    bob = {**ADA, "account_id": None, "email": "bob@example.org"}

    first = await shop.post("/v1/accounts", bob, owner, headers=headers)
    again = await shop.post("/v1/accounts", bob, owner, headers=headers)
    taken = await shop.post("/v1/accounts", {**bob, "email": "ADA@Example.org"}, owner)
    id_taken = await shop.post("/v1/accounts", {**bob, "account_id": "ada", "email": "c@example.org"}, owner)

    assert (201, first.content, "true") == (
        again.status_code,
        again.content,
        again.headers["idempotent-replayed"],
    )
    assert (409, "email-taken") == (taken.status_code, taken.json()["code"])
    assert (409, "account-id-taken") == (id_taken.status_code, id_taken.json()["code"])
    await shop.session(email="bob@example.org", password=ADA["password"])


async def test_two_registrations_of_one_address_at_once_make_one_account(shop):
    owner = (await shop.session())["access_token"]

    answers = await asyncio.gather(
        *(shop.post("/v1/accounts", {**ADA, "account_id": f"ada-{n}"}, owner) for n in range(4))
    )

    assert [201, 409, 409, 409] == sorted(answer.status_code for answer in answers)
    assert 2 == shop.types()["identity.account_registered.v1"]


@pytest.mark.parametrize(
    "wrong", [{"password": "short"}, {"email": "nobody"}, {"roles": ["service"]}, {"roles": []}, {"more": 1}]
)
async def test_what_cannot_be_registered_is_422_and_shows_no_secret(shop, wrong):
    owner = (await shop.session())["access_token"]

    refused = await shop.post("/v1/accounts", {**ADA, **wrong}, owner)

    assert (422, "validation-failed") == (refused.status_code, refused.json()["code"])
    assert ADA["password"] not in refused.text


async def test_a_role_that_is_granted_or_taken_counts_within_a_second(shop):
    owner = await registered(shop)
    tokens = await ada(shop)

    granted = await shop.post("/v1/accounts/ada/roles", {"role": "warehouse"}, owner)
    assert 201 == granted.status_code
    assert await shop.refused_everywhere(tokens["access_token"]) < REFUSED_WITHIN_S
    tokens = (await shop.refresh(tokens["refresh_token"])).json()
    assert (
        404 == (await shop.post("/v1/stock/1/receipts", {"quantity": 1}, tokens["access_token"])).status_code
    )

    taken = await shop.post("/v1/accounts/ada/roles/warehouse/revocation", {}, owner)
    assert 201 == taken.status_code
    assert await shop.refused_everywhere(tokens["access_token"]) < REFUSED_WITHIN_S
    tokens = (await shop.refresh(tokens["refresh_token"])).json()
    assert (
        403 == (await shop.post("/v1/stock/1/receipts", {"quantity": 1}, tokens["access_token"])).status_code
    )
    assert ["role_granted", "role_granted", "role_revoked"] == [
        type_name(each).split(".")[1] for each in shop.events("grants-ada")
    ]


async def test_a_role_that_is_taken_is_taken_from_tokens_before_the_last_refresh_too(shop):
    owner = await registered(shop, roles=["auditor"])
    first = await ada(shop)
    second = (await shop.refresh(first["refresh_token"])).json()
    third = (await shop.refresh(second["refresh_token"])).json()
    for tokens in (first, second, third):
        assert 200 == (await shop.get("/v1/events", tokens["access_token"])).status_code

    assert 201 == (await shop.post("/v1/accounts/ada/roles/auditor/revocation", {}, owner)).status_code

    for tokens in (third, second, first):
        assert await shop.refused_everywhere(tokens["access_token"]) < REFUSED_WITHIN_S
    fourth = (await shop.refresh(third["refresh_token"])).json()
    assert 403 == (await shop.get("/v1/events", fourth["access_token"])).status_code


async def test_a_role_that_is_taken_during_a_login_is_not_in_its_tokens(shop, monkeypatch):
    owner = await registered(shop, roles=["auditor"])
    verify = Passwords.verify

    async def taken_meanwhile(self, hashed, password):
        if password == ADA["password"]:
            taken = await shop.post("/v1/accounts/ada/roles/auditor/revocation", {}, owner)
            assert 201 == taken.status_code
        return await verify(self, hashed, password)

    monkeypatch.setattr(Passwords, "verify", taken_meanwhile)
    tokens = await ada(shop)

    assert 403 == (await shop.get("/v1/events", tokens["access_token"])).status_code


async def test_an_unknown_address_is_not_that_of_an_account_with_the_id_nobody(shop):
    await registered(shop, account_id="nobody")

    refused = await shop.log_in(email="unknown@example.org", password=ADA["password"])

    assert (401, "bad-credentials") == (refused.status_code, refused.json()["code"])
    await shop.asked("/v1/registrations", "unknown@example.org")
    assert ["verify-address"] == [mail.template.partition(".")[0] for mail in shop.mails()]


async def test_the_last_owner_stays(shop):
    tokens = await shop.session()
    owner, path = tokens["access_token"], f"/v1/accounts/{tokens['account_id']}"

    for what in ("roles/owner/revocation", "lock"):
        refused = await shop.post(f"{path}/{what}", {}, owner)
        assert (409, "last-owner") == (refused.status_code, refused.json()["code"])
    unknown = await shop.post("/v1/accounts/nobody/lock", {}, owner)
    assert (404, "account-unknown") == (unknown.status_code, unknown.json()["code"])


@pytest.mark.parametrize("what", ["roles/owner/revocation", "lock"])
async def test_an_owner_who_is_locked_does_not_replace_the_last_one(shop, what):
    tokens, _ = await shop.session(), await shop.token_as("owner", name="-2")
    owner, path = tokens["access_token"], f"/v1/accounts/{tokens['account_id']}"
    assert 201 == (await shop.post("/v1/accounts/owner-2/lock", {}, owner)).status_code

    refused = await shop.post(f"{path}/{what}", {}, owner)
    assert (409, "last-owner") == (refused.status_code, refused.json()["code"])

    assert 201 == (await shop.post("/v1/accounts/owner-2/unlock", {}, owner)).status_code
    assert 201 == (await shop.post(f"{path}/{what}", {}, owner)).status_code


async def test_a_locked_account_is_out_at_once_and_answers_like_a_wrong_password(shop):
    owner = await registered(shop)
    tokens = await ada(shop)

    assert 201 == (await shop.post("/v1/accounts/ada/lock", {}, owner)).status_code

    assert await shop.refused_everywhere(tokens["access_token"]) < REFUSED_WITHIN_S
    assert 400 == (await shop.refresh(tokens["refresh_token"])).status_code
    locked = await shop.log_in(email=ADA["email"], password=ADA["password"])
    wrong = await shop.log_in(email=ADA["email"], password="another one")
    assert (401, "bad-credentials") == (locked.status_code, locked.json()["code"])
    assert locked.json()["detail"] == wrong.json()["detail"]
    await shop.post("/v1/accounts/ada/unlock", {}, owner)
    await ada(shop)


async def test_r3_a_session_ends_with_the_password_that_it_was_opened_with(shop):
    tokens = await shop.session()
    path = f"/v1/accounts/{tokens['account_id']}/password"
    new = {"current": PASSWORD, "new": "staple and a candle"}

    wrong = await shop.post(path, {**new, "current": "a guess"}, tokens["access_token"])
    assert (401, "bad-credentials") == (wrong.status_code, wrong.json()["code"])
    assert 'Bearer realm="counterfoil"' == wrong.headers["www-authenticate"]
    assert 422 == (await shop.post(path, {**new, "new": "short"}, tokens["access_token"])).status_code
    assert 404 == (await shop.post("/v1/accounts/x/password", new, tokens["access_token"])).status_code
    assert 201 == (await shop.post(path, new, tokens["access_token"])).status_code

    assert await shop.refused_everywhere(tokens["access_token"]) < REFUSED_WITHIN_S
    assert 400 == (await shop.refresh(tokens["refresh_token"])).status_code
    assert 401 == (await shop.log_in(email=EMAIL, password=PASSWORD)).status_code
    await shop.session(password=new["new"])
    assert "password" == shop.events(f"session-{tokens['session_id']}")[-1].cause


async def test_a_password_that_was_changed_meanwhile_is_not_changed_again(shop, monkeypatch):
    tokens = await shop.session()
    path = f"/v1/accounts/{tokens['account_id']}/password"
    hashing, waiting = Passwords.hash, ["staple and a candle"]

    async def changed_meanwhile(self, password):
        while waiting:
            change = {"current": PASSWORD, "new": waiting.pop()}
            assert 201 == (await shop.post(path, change, tokens["access_token"])).status_code
        return await hashing(self, password)

    monkeypatch.setattr(Passwords, "hash", changed_meanwhile)
    late = {"current": PASSWORD, "new": "another long one"}
    refused = await shop.post(path, late, tokens["access_token"])

    assert (401, "bad-credentials") == (refused.status_code, refused.json()["code"])
    await shop.session(password="staple and a candle")


def test_every_role_but_those_of_no_account_can_be_given():
    assert {"guest", "service"} == PERMISSIONS.keys() - ASSIGNABLE
