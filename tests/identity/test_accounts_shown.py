"""Accounts in the query API: each to itself, all of them to owners and auditors, and never with an address."""

import asyncio

import pytest

from counterfoil.contexts import CONTEXTS
from counterfoil.testing import queries
from tests.identity.test_unlinking import link, unlink

pytestmark = pytest.mark.anyio

LIST = "/v1/accounts"


@pytest.fixture
def shop(shop_with_provider):
    return shop_with_provider


async def carried(shop):
    """Have the view know of everything."""
    await asyncio.to_thread(queries.carry, shop.url, CONTEXTS.views)
    await shop.query_app.state.reads.poller.next_snapshot()


async def shown(shop, account_id, token):
    await carried(shop)
    return await shop.get(f"{LIST}/{account_id}", token)


async def ids(shop, token, query=""):
    answer = await shop.get(f"{LIST}?{query}", token)
    assert 200 == answer.status_code, answer.text
    return [each["account_id"] for each in answer.json()["items"]]


async def paged(shop, token, query):
    """The ids of all pages of one entry each."""
    found, cursor = [], ""
    while cursor is not None:
        page = (await shop.get(f"{LIST}?limit=1&{query}{cursor}", token)).json()
        found += [each["account_id"] for each in page["items"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    return found


async def test_an_account_shows_its_roles_its_status_and_its_providers_to_itself(shop):
    await shop.token_as("customer")
    tokens, owner = await shop.session(email="customer@example.org"), await shop.session()
    await link(shop, tokens)

    before = await shown(shop, "customer", tokens["access_token"])
    (linked,) = shop.events("external-customer")
    assert {
        "account_id": "customer",
        "status": "active",
        "roles": ["customer"],
        "providers": [{"provider": "oidc", "linked_at": before.json()["changed_at"]}],
    } == {name: value for name, value in before.json().items() if not name.endswith("ed_at")}
    assert "example.org" not in before.text
    assert linked.identity_digest not in before.text

    await unlink(shop, "customer", tokens)
    assert [] == (await shown(shop, "customer", tokens["access_token"])).json()["providers"]
    await shop.post(f"{LIST}/customer/roles", {"role": "warehouse"}, owner["access_token"])
    await shop.post(f"{LIST}/customer/lock", {}, owner["access_token"])
    after = (await shown(shop, "customer", owner["access_token"])).json()
    assert ("locked", ["customer", "warehouse"]) == (after["status"], after["roles"])


async def test_of_somebody_else_s_account_nobody_but_an_owner_or_auditor_learns_that_there_is_one(shop):
    tokens = {
        role: await shop.token_as(role)
        for role in ("customer", "support", "warehouse", "finance", "operator", "merchandiser", "auditor")
    }
    await carried(shop)
    everything = {role: await shop.get(LIST, token) for role, token in tokens.items()}

    for role, token in tokens.items():
        assert 200 == (await shop.get(f"{LIST}/{role}", token)).status_code, role
        foreign, absent = [await shop.get(f"{LIST}/{each}", token) for each in ("owner-x", "nobody")]
        other = await shop.get(f"{LIST}/{'support' if role == 'customer' else 'customer'}", token)
        past = await shop.get(f"{LIST}/{'support' if role == 'customer' else 'customer'}?as_of=3", token)
        if role == "auditor":
            assert (200, 200) == (other.status_code, everything[role].status_code)
            continue
        assert (404, 404, 404, 404) == tuple(each.status_code for each in (foreign, absent, other, past))
        assert {f"There is no account {name!r}." for name in ("owner-x", "nobody")} == {
            foreign.json()["detail"],
            absent.json()["detail"],
        }
        assert other.json()["detail"].startswith("There is no account")
        assert 403 == everything[role].status_code, role
    for role in ("guest", "service"):
        token = await shop.token_as(role)
        assert [403, 403] == [
            (await shop.get(path, token)).status_code for path in (LIST, f"{LIST}/customer")
        ]


async def test_accounts_are_listed_by_role_and_status_page_by_page(shop):
    owner = (await shop.session())["access_token"]
    for role in ("customer", "support", "auditor"):
        await shop.token_as(role)
    await shop.post(f"{LIST}/support/roles", {"role": "warehouse"}, owner)
    await shop.post(f"{LIST}/auditor/lock", {}, owner)
    await shop.post(f"{LIST}/customer/roles", {"role": "warehouse"}, owner)
    await shop.post(f"{LIST}/customer/roles/warehouse/revocation", {}, owner)
    await carried(shop)

    everybody = await ids(shop, owner)
    assert ["auditor", "support", "customer"] == everybody[:3], "newest first"
    assert ["support"] == await ids(shop, owner, "ids=nobody,support")
    assert ["support"] == await ids(shop, owner, "role=warehouse")
    assert ["auditor"] == await ids(shop, owner, "status=locked")
    assert [] == await ids(shop, owner, "status=locked&role=support")
    assert ["support"] == await ids(shop, owner, "status=active&role=support&pinned=true&from=2020-01-01")
    for wrong in ("role=astronaut", "status=gone"):
        assert 400 == (await shop.get(f"{LIST}?{wrong}", owner)).status_code

    assert everybody == await paged(shop, owner, "pinned=true")
    assert ["customer"] == await paged(shop, owner, "role=customer")
