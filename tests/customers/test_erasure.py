"""An erasure through all that it touches: asked for, carried out, killed at each step, and after a restored backup."""

import asyncio
from collections import Counter

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from commands.gateways.shredding import ERASURE, Destroyed, Shredder
from commands.identity import address_book, startup
from commands.identity.vault import Vault
from commands.recipients import Unwanted
from counterfoil import accounts
from counterfoil.contexts import CONTEXTS
from counterfoil.testing import queries
from domain.mail.templates import PASSWORD_CHANGED
from runtime.keyring import keyring as keyrings
from runtime.keyring.key_rows import KeyRows
from runtime.keyring.keyring import Erasures
from tests.customer_examples import erasure_requested
from tests.customers.erasing import ADA, LOGIN, cut_off, erased, page_of_case, registered
from tests.examples import mail_requested
from tests.identity.conftest import accounts_on, opened, weakly
from tests.identity.shop import EMAIL, PASSWORD, REFUSED_WITHIN_S

pytestmark = pytest.mark.anyio

FIELDS = ("name", "email")
ERASED = {"shown": "erased", "text": None}


@pytest.fixture
def installation(database_url, keys_database_url, tmp_path):
    settings = weakly(accounts_on(database_url, home=tmp_path))
    return settings.model_copy(update={"keys_database_url": SecretStr(keys_database_url)})


@pytest.fixture
async def shop(installation):
    await asyncio.to_thread(accounts.create_owner, installation, email=EMAIL, password=PASSWORD)
    async with opened(installation) as shop:
        yield shop


async def shown(shop):
    """What the owner is shown of the customer."""
    await asyncio.to_thread(queries.carry, shop.url, CONTEXTS.views)
    await shop.query_app.state.reads.poller.next_snapshot()
    owner = (await shop.session())["access_token"]
    return (await shop.get("/v1/customers/ada", owner)).json()


def keys(settings):
    """All keys but that of the owner's address."""
    secrets = startup.secrets_of(settings.database_url.get_secret_value(), settings.secrets_file)
    with psycopg.connect(settings.keys_database_url.get_secret_value()) as connection:
        others = "select * from keys.subject where subject <> %s"
        return connection.execute(others, [f"address-{secrets.email_digest(EMAIL)}"]).fetchall()


async def test_an_erased_customer_is_gone_and_may_come_again(shop, installation, tmp_path):
    tokens = await registered(shop)
    assert "Ada Lovelace" == (await shown(shop))["name"]["text"]
    asked = await shop.post("/v1/customers/ada/erasure", {}, tokens["access_token"])
    await erased(installation)

    assert 201 == asked.status_code, asked.text
    assert await shop.refused_everywhere(tokens["access_token"]) < REFUSED_WITHIN_S
    assert 401 == (await shop.log_in(**LOGIN)).status_code
    assert 400 == (await shop.refresh(tokens["refresh_token"])).status_code
    await shop.query_app.state.reads.keyring.follow_erasures()
    row = await shown(shop)
    assert ("erased", ERASED, ERASED) == (row["status"], *(row[name] for name in FIELDS))
    assert [] == keys(installation)
    page = await asyncio.to_thread(page_of_case, shop.url, tmp_path / "seal", "ada")
    assert (len(FIELDS), False) == (page.count("<em>erased</em> under"), "Ada" in page)
    with shop.vault() as vault:
        assert [] == vault.execute("select from vault.verifier where account_id = 'ada'").fetchall()
    owner = (await shop.session())["access_token"]
    again = {"account_id": "ada-again", "roles": ["customer"], **LOGIN}
    assert 201 == (await shop.post("/v1/accounts", again, owner)).status_code
    assert 201 == (await shop.log_in(**LOGIN)).status_code


async def test_an_owner_who_is_being_erased_does_not_replace_the_last_one(shop, installation):
    tokens, second = await shop.session(), await shop.token_as("owner", name="-2")
    first = tokens["access_token"]
    for each, token in (("owner-2", second), (tokens["account_id"], first)):
        body = {**ADA, "customer_id": each, "has_account": True}
        assert 201 == (await shop.post("/v1/customers", body, token)).status_code
    assert 201 == (await shop.post("/v1/customers/owner-2/erasure", {}, second)).status_code

    last = f"/v1/customers/{tokens['account_id']}/erasure"
    refused = [await shop.post(last, {}, first)]
    await erased(installation)
    refused.append(await shop.post(last, {}, first))

    assert [(409, "last-owner")] * 2 == [(each.status_code, each.json()["code"]) for each in refused]


async def test_the_account_of_staff_is_closed_by_no_erasure_of_others(shop):
    owner, support = await shop.token_as("owner"), await shop.token_as("support")
    await shop.token_as("auditor")
    body = {**ADA, "customer_id": "auditor", "has_account": True}
    assert 201 == (await shop.post("/v1/customers", body, support)).status_code

    for token in (support, owner):
        refused = await shop.post("/v1/customers/auditor/erasure", {}, token)
        assert (403, "forbidden") == (refused.status_code, refused.json()["code"])

    taken = await shop.post("/v1/accounts/auditor/roles/auditor/revocation", {}, owner)
    assert 201 == taken.status_code
    assert 201 == (await shop.post("/v1/customers/auditor/erasure", {}, support)).status_code


async def test_an_erasure_is_asked_for_once_however_often(shop, installation):
    tokens = await registered(shop)
    for _ in range(2):
        assert 201 == (await shop.post("/v1/customers/ada/erasure", {}, tokens["access_token"])).status_code
    await erased(installation)
    await erased(installation)

    assert Counter({"requested": 1, "erased": 1, "closed": 1}) == counted(shop)


async def test_mails_that_wait_for_an_erased_account_are_sent_to_nobody(shop, installation):
    tokens = await registered(shop)
    await shop.asked("/v1/password-resets", LOGIN["email"])
    link = shop.mails()[-1]
    notice = mail_requested(template=PASSWORD_CHANGED.name, recipient_ref="ada", parameters={"at": "today"})
    waiting = (link, notice)

    async def recipients():
        async with address_book.opened(installation) as book:
            return [await book.find(mail) for mail in waiting]

    assert [LOGIN["email"]] * 2 == [each.address for each in await recipients()]
    await shop.post("/v1/customers/ada/erasure", {}, tokens["access_token"])
    await erased(installation)

    assert [Unwanted("erased")] * 2 == await recipients()


def counted(shop):
    names = {
        "customers.erasure_requested.v1": "requested",
        "customers.personal_data_erased.v1": "erased",
        "identity.account_closed.v1": "closed",
    }
    return Counter({names[name]: count for name, count in shop.types().items() if name in names})


STEPS = ((Shredder, "ask"), (Vault, "erase"), (KeyRows, "destroy"))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("owner", "name"), STEPS, ids=[name for _, name in STEPS])
async def test_killed_at_each_step_an_erasure_is_done_by_the_next_sender(
    shop, installation, owner, name, after
):
    tokens = await registered(shop)
    await shop.post("/v1/customers/ada/erasure", {}, tokens["access_token"])
    await asyncio.to_thread(cut_off, installation, owner, name, after=after)
    assert 0 == counted(shop)["erased"], "nothing is recorded before all of it is done"
    await erased(installation)

    assert Counter({"requested": 1, "erased": 1, "closed": 1}) == counted(shop)
    assert [] == keys(installation)
    assert 401 == (await shop.log_in(**LOGIN)).status_code


async def test_a_restored_backup_of_the_key_database_opens_nobody_who_was_erased(shop, installation):
    tokens = await registered(shop)
    backup = keys(installation)
    assert ["address", "customer"] == sorted(row[0].partition("-")[0] for row in backup)
    await shop.post("/v1/customers/ada/erasure", {}, tokens["access_token"])
    await erased(installation)
    with psycopg.connect(installation.keys_database_url.get_secret_value()) as connection:
        for row in backup:
            connection.execute("insert into keys.subject values (%s, %s, %s, %s, %s, %s)", row)

    async with opened(installation) as restored:
        assert [] == keys(installation), "destroyed again before anything was opened"
        row = await shown(restored)
    assert ERASED == row["name"]


async def test_an_open_order_or_a_legal_hold_keeps_the_data(shop, installation):
    tokens = await registered(shop)
    owner = (await shop.session())["access_token"]
    product = {"sku": "1", "title": "One", "stocked": True, "unit_price": "2.55", "currency": "GBP"}
    await shop.post("/v1/products", product, owner)
    order = {"country": "Italy", "currency": "GBP", "lines": [{"sku": "1", "quantity": 1}]}
    placed = (await shop.post("/v1/orders", order, tokens["access_token"])).json()

    async def erase():
        return await shop.post("/v1/customers/ada/erasure", {}, tokens["access_token"])

    refused = await erase()
    order_id = placed["stream"].removeprefix("order-")
    assert (409, "orders-open", [order_id]) == (refused.status_code, *problem(refused, "order_ids"))
    await shop.post(f"/v1/orders/{order_id}/cancellation", {"reason": "customer"}, tokens["access_token"])
    hold = {"hold_id": "case-7", "reason": "litigation"}
    await shop.post("/v1/customers/ada/holds", hold, owner)
    refused = await erase()
    assert (409, "hold-stands", ["case-7"]) == (refused.status_code, *problem(refused, "hold_ids"))
    await shop.post("/v1/customers/ada/hold-liftings", {"hold_id": "case-7"}, owner)
    assert 201 == (await erase()).status_code


def problem(answer: httpx.Response, named: str):
    body = answer.json()
    return body["code"], body["facts"][named]


async def test_somebody_else_s_data_is_erased_by_no_customer(shop):
    tokens = await registered(shop)
    owner = (await shop.session())["access_token"]
    await shop.post("/v1/customers", {**ADA, "customer_id": "bob"}, owner)
    answer = await shop.post("/v1/customers/bob/erasure", {}, tokens["access_token"])

    assert (404, "customer-unknown") == (answer.status_code, answer.json()["code"])


async def test_the_sender_destroys_keys_whoever_else_does(installation):
    nothing = Erasures(1, 0, ())

    async def unerased(_position):
        return nothing

    opening = keyrings.opened(installation, role="counterfoil_keys", name="test", erasures=unerased)
    async with opening as keyring, ERASURE.opened(installation) as port:
        key_id = await keyring.key_of("customer-ada")
        for _ in range(2):
            assert Destroyed() == await port.ask("key", erasure_requested(key_ids=(key_id,)))

        assert [] == keys(installation)
