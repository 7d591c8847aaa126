"""Linking a provider takes the password once more: a stolen session adds no login that outlasts it."""

import pytest

from commands.identity.attempts import FAILURES_PER_ACCOUNT_MAX
from tests.identity.shop import bearer
from tests.identity.test_providers import log_in
from tests.identity.test_unlinking import ADA, RESET, code, link

pytestmark = pytest.mark.anyio

LINKED = "identity.external_identity_linked.v1"


@pytest.fixture
def shop(shop_with_provider):
    return shop_with_provider


async def test_who_has_a_token_and_not_the_password_links_nothing(shop):
    stolen = await shop.session()
    path, headers = "/v1/oidc/oidc/link", bearer(stolen["access_token"])

    without = [
        await shop.commands.post(path, headers=headers),
        await shop.commands.post(path, headers=headers, json={}),
    ]
    refused = [await link(shop, stolen, password="a guess") for _ in range(FAILURES_PER_ACCOUNT_MAX)]

    assert [415, 422] == [each.status_code for each in without]
    assert {(401, "bad-credentials")} == {code(each) for each in refused}
    for answer in (*without, *refused):
        assert "set-cookie" not in answer.headers
    assert (429, "too-many-attempts") == code(await link(shop, stolen)), "it is not tried out"
    assert 0 == shop.types()[LINKED]


async def test_an_account_that_a_provider_made_chooses_a_password_before_it_links_another(shop):
    ada = (await log_in(shop)).json()
    assert (401, "bad-credentials") == code(await link(shop, ada))

    body = {"token": await shop.asked(RESET, ADA), "password": "staple and a candle"}
    assert 204 == (await shop.commands.post(f"{RESET}/completion", json=body)).status_code
    ada = (await log_in(shop)).json()

    assert 200 == (await link(shop, ada, password="staple and a candle")).status_code
