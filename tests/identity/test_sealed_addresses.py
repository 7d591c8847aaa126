"""LoginAddresses that people log in with are sealed in the vault, and everything that needs one goes on as before."""

import asyncio
from datetime import timedelta

import psycopg
import pytest
from pydantic import SecretStr

from commands.gateways.shredding import ERASURE
from commands.identity import address_book
from commands.identity.login_addresses import AddressChores
from commands.recipients import RecipientsUnreachable, Unwanted
from counterfoil import accounts
from domain.mail.templates import PASSWORD_CHANGED
from tests.customer_examples import erasure_requested
from tests.examples import mail_requested
from tests.files_of_tables import files_of
from tests.identity.conftest import opened
from tests.identity.shop import EMAIL, PASSWORD

pytestmark = pytest.mark.anyio

ADA = "Ada.L@example.org"
RESET, REGISTER = "/v1/password-resets", "/v1/registrations"
AT_ONCE = timedelta(0)


@pytest.fixture
def with_keys(with_accounts, keys_database_url):
    return with_accounts.model_copy(update={"keys_database_url": SecretStr(keys_database_url)})


@pytest.fixture
async def shop(with_keys):
    await asyncio.to_thread(accounts.create_owner, with_keys, email=EMAIL, password=PASSWORD)
    async with opened(with_keys) as shop:
        yield shop


async def followed(shop, path, token, password):
    return await shop.commands.post(f"{path}/completion", json={"token": token, "password": password})


async def registered(shop, email=ADA):
    token = await shop.asked(REGISTER, email)
    assert 201 == (await followed(shop, REGISTER, token, PASSWORD)).status_code
    return (await shop.session(email=email))["account_id"]


def rows(shop):
    with shop.vault() as vault:
        return vault.execute(
            "select email, address from vault.verifier union all select email, address from vault.link"
        ).fetchall()


def keys(shop):
    with psycopg.connect(shop.settings.keys_database_url.get_secret_value()) as connection:
        return {subject for (subject,) in connection.execute("select subject from keys.subject")}


def key_of(shop, email):
    return f"address-{shop.sessions.accounts.secrets.email_digest(email)}"


def chores(shop, settings=None):
    of = (settings or shop).sessions.accounts
    return AddressChores(of.vault.pool, of.secrets, shop.command_app.state.dispatcher._personal._keyring)


async def written_to(settings, account_id):
    notice = mail_requested(
        template=PASSWORD_CHANGED.name, recipient_ref=account_id, parameters={"at": "today"}
    )
    async with address_book.opened(settings) as book:
        found = await book.find(notice)
    return found if isinstance(found, Unwanted) else found.address


async def test_registration_login_reset_change_and_notices_need_no_plain_address(shop):
    account_id = await registered(shop)
    reset = await shop.asked(RESET, ADA.upper())
    async with address_book.opened(shop.settings) as book:
        link = (await book.find(shop.mails()[-1])).address
    weak = await followed(shop, RESET, reset, f"{ADA}1")
    assert 204 == (await followed(shop, RESET, reset, "staple and a candle")).status_code
    tokens = await shop.session(email=ADA.lower(), password="staple and a candle")
    path = f"/v1/accounts/{account_id}/password"
    changed = await shop.post(
        path, {"current": "staple and a candle", "new": PASSWORD}, tokens["access_token"]
    )
    taken = await shop.asked(REGISTER, ADA)

    assert 422 == weak.status_code, "a password that is the address"
    assert 201 == changed.status_code, changed.text
    assert ADA == link, "as they spelled it"
    assert ADA == await written_to(shop.settings, account_id)
    assert 400 == (await followed(shop, REGISTER, taken, PASSWORD)).status_code
    assert {None} == {email for email, _ in rows(shop)}
    assert {key_of(shop, EMAIL), key_of(shop, ADA)} == keys(shop)


async def test_addresses_of_before_are_sealed_and_their_pages_are_written_anew(with_accounts, with_keys):
    await asyncio.to_thread(accounts.create_owner, with_accounts, email=EMAIL, password=PASSWORD)
    async with opened(with_accounts) as before:
        account_id = await registered(before)
        with before.vault() as vault:
            vault.execute("update vault.verifier set email_digest = null")
        assert {EMAIL, ADA} == {email for email, _ in rows(before)}
    async with opened(with_keys) as shop:
        while None not in (found := {email for email, _ in rows(shop)}) or len(found) > 1:
            await chores(shop).seal_plain()  # as the process does now and then, which may be at it

        assert ADA == await written_to(with_keys, account_id)
        assert account_id == (await shop.session(email=ADA))["account_id"]
        assert 0 == await chores(shop).seal_plain()
    with psycopg.connect(with_keys.database_url.get_secret_value(), autocommit=True) as connection:
        connection.execute("checkpoint")
        plain = [table for table, content in files_of(connection) if ADA.encode() in content]
    assert [] == plain


async def test_a_key_goes_when_the_vault_has_its_address_no_more(shop):
    await registered(shop)
    await shop.asked(REGISTER, "bob@example.org")
    assert [] == await chores(shop).sweep(), "somebody may be about to keep what was sealed"
    assert [] == await chores(shop).sweep(older_than=AT_ONCE)
    with shop.vault() as vault:
        vault.execute("delete from vault.link")

    assert [key_of(shop, "bob@example.org")] == await chores(shop).sweep(older_than=AT_ONCE)
    assert {key_of(shop, EMAIL), key_of(shop, ADA)} == keys(shop)


async def test_an_address_whose_key_was_erased_is_written_to_by_nobody_and_sealed_under_another(shop):
    account_id = await registered(shop)
    of = shop.sessions.accounts
    (key_id,) = await of.vault.keys_of_address(account_id)
    keyring = shop.command_app.state.dispatcher._personal._keyring
    keyring._erased.add(key_id)
    again = await of.addresses.seal(ADA, digest=of.secrets.email_digest(ADA))

    assert "" == await of.addresses.shown(await of.vault.address_of(account_id))
    assert ADA == await of.addresses.shown(again)
    with pytest.raises(RecipientsUnreachable, match="its key is missing"):
        await written_to(shop.settings, account_id)


async def test_mails_wait_for_the_master_key(shop):
    account_id = await registered(shop)
    file = shop.settings.master_key_path
    file.rename(file.with_name("elsewhere"))
    async with address_book.opened(shop.settings) as book:
        notice = mail_requested(template=PASSWORD_CHANGED.name, recipient_ref=account_id)
        with pytest.raises(RecipientsUnreachable, match="master key"):
            await book.find(notice)
        file.with_name("elsewhere").rename(file)

        assert ADA == (await book.find(notice)).address


async def test_an_erasure_leaves_no_link_that_was_asked_for_with_the_address(shop):
    account_id = await registered(shop)
    await shop.asked(RESET, ADA)
    with shop.vault() as vault:
        vault.execute("update vault.link set account_id = null")  # as before it is handled
    async with ERASURE.opened(shop.settings) as port:
        await port.ask("key", erasure_requested(account_id=account_id, key_ids=()))

    assert 1 == len(rows(shop)), "that of the owner"
