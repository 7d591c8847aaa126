"""Z3: an append relies on what its caller may do: a role or a key that is taken away in between refuses it."""

import pytest
from msgspec.structs import replace

from event_store.log.appending.writer import Writer
from runtime.http.access import PERMISSIONS
from tests.identity.conftest import opened
from tests.identity.shop import ORDER, PRODUCT

pytestmark = pytest.mark.anyio

SCOPES = sorted(PERMISSIONS["service"])


@pytest.fixture
async def elsewhere(shop):
    """Another process of the installation, in which roles are taken away."""
    async with opened(shop.settings) as other:
        yield other


def between(monkeypatch, taken_away):
    """Have something happen once, after a command was decided and before it is appended."""
    appended = Writer.append
    waiting = [taken_away]

    async def append(self, request, *, epoch=None, **more):
        while waiting:
            await waiting.pop()()
        return await appended(self, request, epoch=epoch, **more)

    monkeypatch.setattr(Writer, "append", append)


def authorised_then(shop, taken_away):
    """Have something happen once, after a request was authorised and before anything is read for it."""
    waiting = [taken_away]

    async def limit(_exchange):
        while waiting:
            await waiting.pop()()

    pipeline = shop.command_app.pipeline
    pipeline._steps = replace(pipeline._steps, limit_by_principal=limit)


@pytest.mark.parametrize("when", [between, authorised_then])
@pytest.mark.parametrize("known", [True, False], ids=["kept", "not kept"])
async def test_z3_a_role_that_is_revoked_after_authorising_refuses_the_append(
    shop, elsewhere, monkeypatch, when, known
):
    owner, token = await shop.token_as("owner"), await shop.token_as("merchandiser")
    if known:
        assert 201 == (await shop.post("/v1/products", {**PRODUCT, "sku": "0"}, token)).status_code

    async def revoke():
        path = "/v1/accounts/merchandiser/roles/merchandiser/revocation"
        assert 201 == (await elsewhere.post(path, {}, owner)).status_code

    when(monkeypatch if when is between else shop, revoke)
    refused = await shop.post("/v1/products", PRODUCT, token)

    assert (403, "forbidden") == (refused.status_code, refused.json()["code"])
    assert [] == shop.events("product-1")


async def test_z3_a_key_that_is_revoked_after_authorising_refuses_the_append(shop, elsewhere, monkeypatch):
    owner = await shop.token_as("owner")
    issued = (
        await shop.post("/v1/clients", {"client_id": "till", "name": "T", "scopes": SCOPES}, owner)
    ).json()

    async def revoke():
        path = f"/v1/clients/till/keys/{issued['credential_id']}/revocation"
        assert 204 == (await elsewhere.post(path, {}, owner)).status_code

    between(monkeypatch, revoke)
    refused = await shop.post("/v1/products", PRODUCT, issued["secret"])

    assert (403, "forbidden") == (refused.status_code, refused.json()["code"])
    assert [] == shop.events("product-1")


async def test_an_owner_who_is_one_no_more_grants_nothing(shop, elsewhere, monkeypatch):
    owner, second = await shop.token_as("owner"), await shop.token_as("owner", name="-2")

    async def revoke():
        assert (
            201
            == (await elsewhere.post("/v1/accounts/owner-2/roles/owner/revocation", {}, owner)).status_code
        )

    between(monkeypatch, revoke)
    refused = await shop.post("/v1/accounts/owner-2/roles", {"role": "finance"}, second)

    assert (403, "forbidden") == (refused.status_code, refused.json()["code"])


async def test_a_role_that_comes_in_between_refuses_nothing(shop, elsewhere, monkeypatch):
    owner, token = await shop.token_as("owner"), await shop.token_as("merchandiser")

    async def grant():
        answer = await elsewhere.post("/v1/accounts/merchandiser/roles", {"role": "finance"}, owner)
        assert 201 == answer.status_code

    between(monkeypatch, grant)

    assert 201 == (await shop.post("/v1/products", PRODUCT, token)).status_code
    assert 1 == len(shop.events("product-1"))


async def test_who_may_order_for_others_no_more_does_not_order_as_a_customer_instead(
    shop, elsewhere, monkeypatch
):
    owner, token = await shop.token_as("owner"), await shop.token_as("support")
    await shop.post("/v1/products", PRODUCT, owner)
    assert 201 == (await shop.post("/v1/accounts/support/roles", {"role": "customer"}, owner)).status_code
    token = (await shop.session(email="support@example.org"))["access_token"]

    async def revoke():
        answer = await elsewhere.post("/v1/accounts/support/roles/support/revocation", {}, owner)
        assert 201 == answer.status_code

    between(monkeypatch, revoke)

    assert 403 == (await shop.post("/v1/orders", ORDER, token)).status_code
    assert [] == shop.events("order-1001")


async def test_an_append_names_the_stream_of_roles_and_adds_nothing_to_it(shop, monkeypatch):
    owner = await shop.session()
    named = []
    appended = Writer.append

    async def append(self, request, **more):
        named.append({each.stream: each.version for each in request.expectations})
        return await appended(self, request, **more)

    monkeypatch.setattr(Writer, "append", append)
    assert 201 == (await shop.post("/v1/products", PRODUCT, owner["access_token"])).status_code

    assert [{"product-1": 0, f"grants-{owner['account_id']}": 1}] == named
    assert 1 == len(shop.events(f"grants-{owner['account_id']}"))
